"""The portrait as a camera on the desktop's PipeWire server."""

from __future__ import annotations

import threading
from fractions import Fraction

from streamfx.errors import CameraLost, UsageError
from streamfx.frames import Rendered
from streamfx.sink.camera import VirtualCamera
from streamfx.sink.panel import fitted
from streamfx.sink.pipewire.stream import Stream


class PipeWireCamera(VirtualCamera):
    """A camera that PipeWire programs list as `name`. Whoever publishes sets the pace.

    Chromium reads such cameras when it is started with `--enable-features=WebRtcPipeWireCamera`, Firefox with
    `media.webrtc.camera.allow-pipewire`; OBS by its source "Video Capture Device (PipeWire)". Programs that
    know V4L2 only (Zoom) do not see it.

    Hold it for the life of the program: when it goes, Chromium keeps its last picture until the page opens
    the camera anew, even if another of the same name comes.

    All readers share a few buffers: one that keeps pictures instead of leaving some out slows the others down
    to its own pace; one that is stopped does not.

    Args:
        size: width and height in px, both even, for the camera's life; other pictures are fitted into it.
        fps: the rate that programs are told.
        name: what they list.

    Raises:
        UsageError: an odd size, or a senseless rate.
        CameraUnavailable: libpipewire is not installed, or no PipeWire server runs.
    """

    def __init__(self, size: tuple[int, int], fps: float, name: str = "streamfx") -> None:
        self.name = name
        self.device = "pipewire"
        self._size = _even(size)
        self._lock = threading.Lock()
        self._stream = Stream(name, size, _rate(fps))

    def publish(self, picture: Rendered) -> None:
        """Show the next picture; costs next to nothing while nobody looks.

        A picture is left out when a program has not taken the last one yet.

        Raises:
            TypeError: anything but a `Rendered`: a camera picture must not be shown by mistake.
            CameraLost: the server went away, or the camera is closed.
        """
        if not isinstance(picture, Rendered):
            raise TypeError(f"a camera shows Rendered pictures only, not {type(picture).__name__}")
        with self._lock:
            if self._stream.trouble:
                cause = f"PipeWire no longer shows the camera {self.name}: {self._stream.trouble}"
                raise CameraLost(cause, "Check it (systemctl --user status pipewire), then start again")
            if not self._stream.streaming:
                return
            height, width = picture.rgb.shape[:2]
            rgb = picture.rgb if (width, height) == self._size else fitted(picture.rgb, self._size)
            self._stream.send(rgb)

    def readers(self) -> int:
        """Programs that are linked to the camera now."""
        return self._stream.readers

    def close(self) -> None:
        """Take the camera off the list. May be called twice, and from any thread."""
        with self._lock:
            self._stream.close()


def _even(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    if width < 2 or height < 2 or width % 2 or height % 2:
        remedy = f"Choose for instance {max(2, width // 2 * 2)}x{max(2, height // 2 * 2)}"
        raise UsageError(f"A camera cannot have {width}x{height} px: both must be even", remedy)
    return width, height


def _rate(fps: float) -> Fraction:
    rate = Fraction(fps).limit_denominator(1001) if 0 < fps <= 1000 else Fraction(0)
    if not rate:
        raise UsageError(f"A camera cannot run at {fps:g} pictures per second", "Choose 1 to 240")
    return rate
