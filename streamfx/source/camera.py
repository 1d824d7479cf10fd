"""A camera as a live source: the newest picture wins, and a camera that vanishes is waited for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import av

from streamfx.devices import list_cameras
from streamfx.errors import SourceError, SourceLost
from streamfx.frames import Frame
from streamfx.realtime import Closed, Stalled
from streamfx.source.base import Source, SourceInfo, SourceStatistics
from streamfx.source.capture import AvOpen, CameraOptions, CaptureThread, Shot
from streamfx.source.picture import RgbConverter, orientation_of

_DEFAULTS: Final = CameraOptions()


class CameraSource(Source):
    """Reads a camera in a thread of its own; `next()` gives the newest picture, on the monotonic clock.

    `epoch` grows when the camera was reopened or changed its picture size.

    Raises:
        SourceMissing: no such camera, or no permission.
        SourceUnreadable: in use by another program, or no camera that yields pictures.
        SourceLost: (also from `next()`) it stopped and did not come back within the budget.
    """

    def __init__(self, device: str, options: CameraOptions = _DEFAULTS, av_open: AvOpen = av.open) -> None:
        self._device = device
        self._budget_s = options.budget_s
        self._converter = RgbConverter()
        self._seq = 0
        self._capture = CaptureThread(device, options, av_open)
        self._capture.start()
        try:
            first = self._take()
        except SourceError:
            self.close()
            raise
        self._waiting: Shot | None = first
        self._info = self._describe(first)

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def statistics(self) -> SourceStatistics:
        return SourceStatistics(
            decoded=self._seq,
            damaged_packets=self._capture.damaged,
            dropped=self._capture.latest.statistics().dropped,
            reopened=self._capture.reopened,
        )

    def __next__(self) -> Frame:
        shot, self._waiting = self._waiting or self._take(), None
        rgb = self._converter.convert(shot.picture)
        self._seq += 1
        return Frame(rgb, captured_ns=shot.captured_ns, seq=self._seq - 1, epoch=shot.epoch)

    def close(self) -> None:
        self._waiting = None
        self._capture.stop()

    def interrupt(self) -> None:
        self._capture.stop()  # the capture's thread alone touches the camera, and releases it

    def _take(self) -> Shot:
        try:
            # Longer than the thread's own budget, so that its error, which knows more, comes first.
            return self._capture.latest.take(self._budget_s + 1)
        except Closed:
            raise StopIteration from None
        except Stalled as error:
            cause = f"The camera {self._device} gave no picture for {self._budget_s:g} s"
            raise SourceLost(cause, "Plug it in again, or choose another camera") from error

    def _describe(self, first: Shot) -> SourceInfo:
        orientation = orientation_of(first.picture)
        width, height = first.picture.width, first.picture.height
        if orientation.transpose:
            width, height = height, width
        return SourceInfo(
            name=_camera_name(self._device),
            width=width,
            height=height,
            fps=self._capture.fps,
            frames=None,
            duration_s=None,
            codec=self._capture.codec,
            rotation=orientation.rotation,
            live=True,
            has_audio=False,
        )


def _camera_name(device: str) -> str:
    names = {camera.spec: camera.name for camera in list_cameras()}
    return names.get(device, Path(device).name)
