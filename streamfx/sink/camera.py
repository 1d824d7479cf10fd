"""The virtual camera: where a live portrait goes. This file has the contract and chooses among the kinds.

| kind | where | file |
| --- | --- | --- |
| v4l2loopback | Linux, the module loaded | loopback_camera.py |
| PipeWire | Linux, without root or a module | pipewire.py |
| OBS virtual camera, Unity Capture | Windows, macOS | platform_camera.py |
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import Final

from streamfx.errors import CameraUnavailable, UsageError
from streamfx.frames import U8, Rendered

AUTO: Final = "auto"
PIPEWIRE: Final = "pipewire"
PIPEWIRE_LISTED_BY: Final = "Chromium, Firefox and OBS"
"""Programs that know PipeWire's cameras; Zoom and most others know V4L2's alone."""


class VirtualCamera(ABC):
    """An open virtual camera. One size and one rate from opening to closing: readers bear no change."""

    name: str
    """What a call's program lists."""
    device: str
    """Where the pictures go: "/dev/video10", "pipewire"."""

    @abstractmethod
    def publish(self, picture: Rendered) -> None:
        """Show a picture. Never blocks for longer than the time of one.

        Raises:
            CameraLost: the device went away or refuses pictures. It stays lost: close it, open another.
            TypeError: anything but a `Rendered`: the real camera's picture must not get here by mistake.
            ValueError: a picture of another size than the camera's.
        """

    @abstractmethod
    def readers(self) -> int | None:
        """Programs that have the camera open now; None where that cannot be told.

        Cheap enough for once a second. Programs that look at every camera for a moment (udev, a settings
        dialog) count while they do.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the device and leave it usable by others. May be called twice."""


def open_camera(spec: str, size: tuple[int, int], fps: float) -> VirtualCamera:
    """Open the virtual camera that a person asked for.

    Args:
        spec: "auto" (on Linux the first usable v4l2loopback device, one labelled "streamfx" before others,
            else PipeWire; elsewhere the first that is installed), "/dev/videoN", "pipewire", or on Windows
            and macOS the name of the device.
        size: width and height in px, both even.
        fps: pictures per second, as readers are told.

    Raises:
        UsageError: an odd size, a senseless rate, or no such spec.
        CameraUnavailable: none can be opened; the error names what to do.
    """
    _check(size, fps)
    if sys.platform != "linux":
        from streamfx.sink.platform_camera import PlatformCamera

        return PlatformCamera(size, fps, device=None if spec == AUTO else spec)
    if spec == AUTO:
        return _first_usable(size, fps)
    if spec == PIPEWIRE:
        return _open_pipewire(size, fps)
    if spec.startswith("/dev/"):
        from streamfx.sink.loopback_camera import open_device

        return open_device(spec, size, fps)
    raise UsageError(f"There is no virtual camera '{spec}'", f"Use {AUTO}, {PIPEWIRE} or /dev/videoN")


def pixels_of(picture: Rendered, size: tuple[int, int]) -> U8:
    """The picture's u8 [H,W,3], when it is one that a camera of this size may show.

    Raises:
        TypeError: anything but a `Rendered`.
        ValueError: another size.
    """
    if not isinstance(picture, Rendered):
        raise TypeError(f"a virtual camera takes Rendered pictures only, not {type(picture).__name__}")
    height, width = picture.rgb.shape[:2]
    if (width, height) != size:
        raise ValueError("a picture of {}x{} px for a camera of {}x{}".format(width, height, *size))
    return picture.rgb


def _first_usable(size: tuple[int, int], fps: float) -> VirtualCamera:
    """Of several causes the first is told: that of the device which a person most likely meant."""
    from streamfx.sink.loopback import find_loopbacks, none_found
    from streamfx.sink.loopback_camera import open_device

    failures: list[CameraUnavailable] = []
    for found in find_loopbacks():
        try:
            return open_device(str(found.device), size, fps)
        except CameraUnavailable as error:
            failures.append(error)
    try:
        return _open_pipewire(size, fps)
    except CameraUnavailable as error:
        raise (failures[0] if failures else _none(none_found(), error)) from error


def _none(module: CameraUnavailable, pipewire: CameraUnavailable) -> CameraUnavailable:
    """There is neither kind of camera: the ways to go on, the easiest first."""
    from streamfx.sink.loopback import KEEP

    commands = module.remedy.removesuffix(KEEP).splitlines()
    start = pipewire.remedy[:1].lower() + pipewire.remedy[1:]
    ways = (
        "Without a camera, to try it: --camera none",
        f"PipeWire, for {PIPEWIRE_LISTED_BY}, without root: {start}",
        "v4l2loopback, for every program, Zoom too:",
        *(f"  {command}" for command in commands),
    )
    cause = "No virtual camera: there is neither v4l2loopback nor PipeWire"
    return CameraUnavailable(cause, "\n".join(ways))


def _open_pipewire(size: tuple[int, int], fps: float) -> VirtualCamera:
    try:
        from streamfx.sink.pipewire import PipeWireCamera  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError as error:
        cause = "This installation has no PipeWire camera"
        raise CameraUnavailable(cause, "Use v4l2loopback: streamfx doctor says how") from error
    camera: VirtualCamera = PipeWireCamera(size, fps)
    return camera


def _check(size: tuple[int, int], fps: float) -> None:
    width, height = size
    if width < 2 or height < 2 or width % 2 or height % 2:
        remedy = f"Choose for instance {max(2, width // 2 * 2)}x{max(2, height // 2 * 2)}"
        raise UsageError(f"A camera of {width}x{height} px is not possible: both must be even", remedy)
    if not 1 <= fps <= 240:
        raise UsageError(f"A camera cannot run at {fps:g} pictures per second", "Choose 1 to 240")
