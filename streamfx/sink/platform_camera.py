"""The virtual camera on Windows and macOS: the only door to pyvirtualcam.

Its backends are OBS's virtual camera (both systems) and Unity Capture (Windows). Tested with stand-ins for
the backends, and OBS's under Wine; untested on the systems themselves. The native backends do not tell when a
picture is lost.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import numpy as np

from streamfx.errors import CameraLost, CameraUnavailable
from streamfx.frames import Rendered
from streamfx.sink.camera import VirtualCamera, pixels_of

if TYPE_CHECKING:
    from pyvirtualcam import Camera  # type: ignore[import-untyped, import-not-found, unused-ignore]

REMEDIES: Final = {
    "win32": "Install OBS Studio (obsproject.com), open it once, and close it",
    "darwin": "Install OBS Studio (obsproject.com), press Start Virtual Camera there once, allow its "
    "extension in System Settings, then stop it and quit OBS",
}
_ABSENT: Final = ("not found", "not installed", "no camera registered", "did you install")
_BUSY: Final = ("could not be started", "in use", "already")
_FAILURES: Final = (RuntimeError, ValueError, TypeError, OSError)
"""What pyvirtualcam and its native parts raise."""


class PlatformCamera(VirtualCamera):
    """A camera of pyvirtualcam.

    Args:
        size: width and height in px.
        fps: pictures per second.
        device: the camera's name as programs list it; None takes the first that works.

    Raises:
        CameraUnavailable: no such camera is installed, or it is in use.
    """

    def __init__(self, size: tuple[int, int], fps: float, device: str | None = None) -> None:
        self._size = size
        self._camera: Camera | None = _open(size, fps, device)
        self.name = self.device = str(self._camera.device)

    def publish(self, picture: Rendered) -> None:
        pixels = np.ascontiguousarray(pixels_of(picture, self._size))
        if self._camera is None:
            raise CameraLost(f"The virtual camera {self.device} was closed", "Open it again")
        try:
            self._camera.send(pixels)
        except _FAILURES as error:
            cause = f"The virtual camera {self.device} refuses pictures: {error}"
            raise CameraLost(cause, "Open it again; if that fails, open and close OBS") from error

    def readers(self) -> int | None:
        """These systems do not tell."""
        return None

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is None:
            return
        try:
            camera.close()
        except _FAILURES as error:
            cause = f"The virtual camera {self.device} did not close: {error}"
            raise CameraLost(cause, "If programs do not see it again, restart them") from error


def _open(size: tuple[int, int], fps: float, device: str | None) -> Camera:
    try:
        from pyvirtualcam import Camera, PixelFormat
    except ImportError as error:
        raise CameraUnavailable("pyvirtualcam is not installed", "pip install pyvirtualcam") from error
    width, height = size
    try:
        return Camera(width, height, fps, fmt=PixelFormat.RGB, device=device)
    except _FAILURES as error:
        raise _unavailable(str(error)) from error
    except KeyError as error:  # pyvirtualcam looks the backend up by its name
        raise CameraUnavailable(
            f"There is no kind of virtual camera {error}", "Leave the kind out"
        ) from error


def _unavailable(told: str) -> CameraUnavailable:
    """By what the backends say: they have no error types of their own."""
    text = told.lower()
    remedy = REMEDIES.get(sys.platform, "Install OBS Studio (obsproject.com)")
    if any(word in text for word in _BUSY):
        stop = "Stop the virtual camera in OBS, and close other programs that feed it"
        return CameraUnavailable(f"The virtual camera is in use: {told}", stop)
    if any(word in text for word in _ABSENT):
        return CameraUnavailable(f"No virtual camera is installed: {told}", remedy)
    return CameraUnavailable(f"The virtual camera cannot be opened: {told}", remedy)
