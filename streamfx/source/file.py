"""A video file as a source: every picture it holds, upright, at its own time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamfx.errors import SourceUnreadable
from streamfx.frames import Frame
from streamfx.media import OPEN_REMEDY, TIMEOUT_S
from streamfx.source.base import SOFTWARE, Source, SourceInfo, SourceStatistics
from streamfx.source.picture import RgbConverter, orientation_of
from streamfx.source.reading import CardFailed, Reading
from streamfx.source.timeline import Timeline

DEFAULT_FPS: Final = 30.0
MAX_FPS: Final = 1000.0

_log = logging.getLogger(__name__)


class FileSource(Source):
    """Decodes a video file from its first picture to its last.

    `captured_ns` counts from the first picture. Damaged packets are skipped and counted; a file cut off in
    the middle yields what it has. `epoch` grows when the picture size changes or the time jumps.

    With `hardware` an NVIDIA card decodes, as far as it can; the pictures are the same, to the bit.

    Raises:
        SourceMissing: no such file, or no permission.
        SourceUnreadable: empty, not a video, sound only, unknown codec, too large, or no picture decodes.
    """

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S, *, hardware: bool = False) -> None:
        self._path, self._timeout_s = path, timeout_s
        self._decoded = 0
        self._epoch = 0
        self._size: tuple[int, int] | None = None
        self._converter = RgbConverter()
        self._reading = self._open(hardware=hardware)
        with ExitStack() as failing:
            failing.callback(self._release)
            self._pictures = self._decode()
            first = self._first_picture()
            container, stream = self._reading.container, self._reading.stream
            self._aspect = _pixel_aspect(stream)
            self._timeline = Timeline(round(1e9 / _average_fps(stream)))
            self._info = _describe(path, container, stream, first, self._aspect)
            self._waiting: VideoFrame | None = first
            failing.pop_all()

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def statistics(self) -> SourceStatistics:
        return SourceStatistics(
            decoded=self._decoded,
            repaired_timestamps=self._timeline.repaired,
            damaged_packets=self._reading.damaged,
            decoder=self._reading.decoder,
        )

    def __next__(self) -> Frame:
        picture, self._waiting = self._waiting or next(self._pictures), None
        time_ns, jumps = self._stamp(picture)
        size = (picture.width, picture.height)
        self._epoch += bool(jumps or self._size not in (None, size))
        self._size = size
        rgb = self._converter.convert(picture, self._aspect)
        self._decoded += 1
        return Frame(rgb, captured_ns=time_ns, seq=self._decoded - 1, epoch=self._epoch)

    def close(self) -> None:
        self._pictures = iter(())
        self._waiting = None
        self._release()

    def _release(self) -> None:
        self._reading.close()

    def _stamp(self, picture: VideoFrame) -> tuple[int, bool]:
        jumps = self._timeline.jumps
        time_ns = self._timeline.stamp(_source_ns(picture))
        return time_ns, self._timeline.jumps > jumps

    def _first_picture(self) -> VideoFrame:
        for picture in self._pictures:
            return picture
        cause = f"{self._path} holds a video track, but not one picture of it can be decoded"
        raise SourceUnreadable(f"{cause} ({self._reading.damaged} damaged packets)", OPEN_REMEDY)

    def _open(self, *, hardware: bool) -> Reading:
        """By the card if it can be; whatever is wrong with the file is told by the CPU's way."""
        if hardware:
            with suppress(CardFailed, SourceUnreadable):
                return Reading(self._path, self._timeout_s, by_card=True)
        return Reading(self._path, self._timeout_s)

    def _decode(self) -> Iterator[VideoFrame]:
        """Every picture. Where the card fails, the CPU begins anew and goes on behind its last picture."""
        given = 0
        if self._reading.decoder != SOFTWARE:
            with suppress(CardFailed):
                for picture in self._reading.pictures():
                    yield picture
                    given += 1
                if given:
                    return
            _log.info("%s: the card does not decode it beyond picture %d", self._path.name, given)
            self._reading.close()
            self._reading = Reading(self._path, self._timeout_s)
        yield from islice(self._reading.pictures(), given, None)


def _describe(
    path: Path, container: InputContainer, stream: VideoStream, first: VideoFrame, aspect: float
) -> SourceInfo:
    orientation = orientation_of(first)
    width, height = round(first.width * aspect), first.height
    if orientation.transpose:
        width, height = height, width
    return SourceInfo(
        name=path.name,
        width=width,
        height=height,
        fps=_average_fps(stream),
        frames=stream.frames or None,
        duration_s=_duration_s(container, stream),
        codec=stream.codec_context.name,
        rotation=orientation.rotation,
        live=False,
        has_audio=bool(container.streams.audio),
    )


def _average_fps(stream: VideoStream) -> float:
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= MAX_FPS:
            return float(rate)
    return DEFAULT_FPS


def _duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _pixel_aspect(stream: VideoStream) -> float:
    """Width of a stored pixel in heights; 1 where the stream names none, or nonsense."""
    aspect = float(stream.sample_aspect_ratio or 1)
    return aspect if 0.25 <= aspect <= 4 else 1.0


def _source_ns(picture: VideoFrame) -> int | None:
    if picture.pts is None or picture.time_base is None:
        return None
    return round(picture.pts * picture.time_base * 1_000_000_000)
