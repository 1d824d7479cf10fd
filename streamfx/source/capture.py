"""The camera's reader thread: opens the device, hands over the newest picture, and reopens after a loss."""

from __future__ import annotations

import errno
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamfx.devices import FORMATS, list_cameras
from streamfx.errors import SourceError, SourceLost, SourceMissing, SourceUnreadable
from streamfx.media import reason
from streamfx.realtime import Latest

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 1.0
JOIN_S: Final = 2.0
"""How long `stop` waits for the thread; one that hangs in the driver is left behind (it is a daemon)."""
DEFAULT_FPS: Final = 30.0

AvOpen = Callable[..., InputContainer]
"""`av.open`: the seam where tests inject faults."""


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """What to ask a camera for, and how patient to be."""

    size: tuple[int, int] | None = None
    """Width and height in px; None leaves the camera's own. The driver may choose the nearest."""
    fps: int | None = None
    budget_s: float = 10.0
    """Longest silence, at the start or after a loss, before the camera counts as lost."""


class Shot(NamedTuple):
    """A picture as it came from the camera."""

    picture: VideoFrame
    captured_ns: int
    """Monotonic clock, when it arrived."""
    epoch: int
    """Counts reopenings and changes of the picture size."""


class CaptureThread:
    """Owns the device from `start` to `stop`. What it reads goes to `latest`, and so does its failure."""

    def __init__(self, device: str, options: CameraOptions, av_open: AvOpen) -> None:
        self.latest: Latest[Shot] = Latest()
        self.damaged = 0
        self.reopened = 0
        self.codec = ""
        self.fps = DEFAULT_FPS
        self._device = device
        self._options = options
        self._av_open = av_open
        self._epoch = 0
        self._size: tuple[int, int] | None = None
        self._last_ns: int | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {device}", daemon=True)

    def start(self) -> None:
        """Begin; the device is opened in the thread, since a driver may hang."""
        self._thread.start()

    def stop(self) -> None:
        """Release the device. May be called twice."""
        self._stopping.set()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        try:
            self._read_until_lost()
            self.latest.close()
        except SourceError as error:
            self.latest.close(error)
        finally:  # a defect must not leave the reader of `latest` waiting; its traceback goes to excepthook
            self.latest.close(SourceLost(f"The reader of the camera {self._device} ended"))

    def _read_until_lost(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            before = self.latest.statistics().put
            failure = self._read_once()
            if self._stopping.is_set():
                return
            self._check_budget(failure)
            fruitful = self.latest.statistics().put > before
            pause_s = FIRST_PAUSE_S if fruitful else min(2 * pause_s, LONGEST_PAUSE_S)
            self._stopping.wait(pause_s)

    def _check_budget(self, failure: Exception | None) -> None:
        """Raises what ends the source: a camera that never worked at once, one that did after the budget."""
        if self._last_ns is None:
            raise open_failure(self._device, failure) from failure
        silent_s = (time.monotonic_ns() - self._last_ns) / 1e9
        if silent_s > self._options.budget_s:
            cause = f"The camera {self._device} stopped and did not come back for {silent_s:.1f} s"
            raise SourceLost(cause, "Plug it in again, or choose another camera") from failure

    def _read_once(self) -> Exception | None:
        """Open the device and read until it fails or ends; returns the failure."""
        try:
            with self._open() as container:
                for picture in self._pictures(container):
                    self._offer(picture)
                    if self._stopping.is_set():
                        break
        except (av.FFmpegError, OSError) as error:
            return error
        return None

    def _open(self) -> InputContainer:
        asked: dict[str, str] = {}
        if self._options.size:
            asked["video_size"] = "{}x{}".format(*self._options.size)
        if self._options.fps:
            asked["framerate"] = str(self._options.fps)
        container = self._av_open(
            self._device,
            "r",
            format=FORMATS.get(sys.platform, "v4l2"),
            container_options=asked,
            timeout=self._options.budget_s,
        )
        if self._last_ns is not None:
            self.reopened += 1
            self._epoch += 1
        return container

    def _pictures(self, container: InputContainer) -> Iterator[VideoFrame]:
        stream = container.streams.video[0]
        self._note(stream)
        for packet in container.demux(stream):
            try:
                yield from stream.decode(packet)
            except av.EOFError:
                return
            except av.InvalidDataError:  # cameras cut MJPEG pictures short now and then
                self.damaged += 1

    def _note(self, stream: VideoStream) -> None:
        self.codec = stream.codec_context.name
        self.fps = float(stream.average_rate or DEFAULT_FPS)

    def _offer(self, picture: VideoFrame) -> None:
        self._last_ns = time.monotonic_ns()
        size = (picture.width, picture.height)
        self._epoch += self._size not in (None, size)
        self._size = size
        self.latest.put(Shot(picture, self._last_ns, self._epoch))


def open_failure(device: str, failure: Exception | None) -> SourceError:
    """Why a camera could not be opened, in words, by the system's error number."""
    number = getattr(failure, "errno", None)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return SourceMissing(f"There is no camera {device}", _name_cameras())
    if number in (errno.EACCES, errno.EPERM):
        remedy = "Join the group video (sudo usermod -aG video $USER), then log in again"
        return SourceMissing(f"The camera {device} may not be opened by this user", remedy)
    if number == errno.EBUSY:
        remedy = f"Close that program (fuser -v {device} names it)"
        return SourceUnreadable(f"The camera {device} is in use by another program", remedy)
    why = reason(failure) if failure else "it ended at once"
    return SourceUnreadable(f"{device} gives no pictures: {why}", _name_cameras())


def _name_cameras() -> str:
    names = ", ".join(f"{camera.spec} ({camera.name})" for camera in list_cameras())
    return f"Cameras found: {names}" if names else "No camera was found: plug one in, or use a video file"
