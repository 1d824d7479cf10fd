"""A video file as a source: every picture it holds, upright, at its own time."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Final

import av
from av.video.frame import VideoFrame

from streamfx.errors import SourceUnreadable
from streamfx.frames import Frame
from streamfx.media import OPEN_REMEDY, TIMEOUT_S
from streamfx.source.base import SOFTWARE, Source, SourceInfo, SourceStatistics
from streamfx.source.deinterlace import Deinterlacer
from streamfx.source.picture import RgbConverter, orientation_of
from streamfx.source.reading import CardFailed, Reading
from streamfx.source.sound import SoundReader
from streamfx.source.timeline import PictureClock
from streamfx.source.tracks import Tracks

FIELD_RATE: Final = 40.0
"""Interlaced pictures come 25 or 30 a second; what comes faster are fields."""

_log = logging.getLogger(__name__)


class FileSource(Source):
    """Decodes a video file from its first picture to its last.

    `captured_ns` counts from the first picture. Damaged packets are skipped and counted; a file cut off in
    the middle yields what it has. `epoch` grows when the picture size or the file's clock changes.
    Interlaced pictures are deinterlaced, marked or found so. The sound of the same file, on the same clock:
    `sound`.

    With `hardware` an NVIDIA card decodes, as far as it can; the pictures are the same, to the bit.

    Raises:
        SourceMissing: no such file, or no permission.
        SourceUnreadable: empty, not a video, sound only, unknown codec, too large, or no picture decodes.
    """

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S, *, hardware: bool = False) -> None:
        self._path, self._timeout_s = path, timeout_s
        self._decoded = 0
        self._epoch = 0
        self._size: tuple[int, int, float] | None = None
        self._converter = RgbConverter()
        self._reading = self._open(hardware=hardware)
        with ExitStack() as failing:
            failing.callback(self._release)
            deinterlacer = Deinterlacer()
            self._pictures = deinterlacer.pictures(self._decode())
            self._waiting = deque([self._first_picture()])
            first, tracks = self._waiting[0], self._reading.tracks
            if deinterlacer.is_at_work:
                self._waiting.extend(islice(self._pictures, 1))
            packets = _packets_each(tracks.fps, self._waiting)
            self._aspect = _pixel_aspect(tracks.pictures.sample_aspect_ratio)
            self._coded_aspect = self._reading.codec.sample_aspect_ratio
            self._start_ns = _file_ns(first) or 0
            self._clock = PictureClock(self._start_ns, round(packets * 1e9 / tracks.fps))
            self._info = _describe(path, tracks, first, self._aspect, packets)
            failing.pop_all()

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def statistics(self) -> SourceStatistics:
        return SourceStatistics(
            decoded=self._decoded,
            repaired_timestamps=self._clock.repaired,
            damaged_packets=self._reading.damaged,
            unread=self._reading.unread,
            longer_s=self._reading.tracks.timeline.moved_ns / 1e9,
            decoder=self._reading.decoder,
        )

    def __next__(self) -> Frame:
        picture = self._waiting.popleft() if self._waiting else next(self._pictures)
        time_ns, jumped = self._clock.stamp(_file_ns(picture), self._reading.tracks.timeline.jumps)
        coded = self._reading.codec.sample_aspect_ratio
        if coded != self._coded_aspect:  # broadcasts change between 4:3 and 16:9
            self._coded_aspect, self._aspect = coded, _pixel_aspect(coded)
        size = (picture.width, picture.height, self._aspect)
        self._epoch += bool(jumped or self._size not in (None, size))
        self._size = size
        rgb = self._converter.convert(picture, self._aspect)
        self._decoded += 1
        return Frame(rgb, captured_ns=time_ns, seq=self._decoded - 1, epoch=self._epoch)

    def sound(self) -> SoundReader | None:
        """The sound of the same file, from its first picture on, read independently; None if it has none.

        Raises:
            SourceMissing, SourceUnreadable: the file cannot be opened any more.
        """
        if not self._info.has_audio:
            return None
        return SoundReader(self._path, self._start_ns, self._timeout_s)

    def close(self) -> None:
        self._pictures = iter(())
        self._waiting.clear()
        self._release()

    def _release(self) -> None:
        self._reading.close()

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


def _packets_each(rate: float, first: Sequence[VideoFrame]) -> int:
    """How many packets make a picture: two where each field of an interlaced one (PAFF) is in one of its own.

    Args:
        rate: packets a second.
        first: the first two pictures, where they were interlaced.
    """
    times = [time for time in map(_file_ns, first) if time is not None]
    if len(times) < 2 or rate < FIELD_RATE:
        return 1
    return 2 if 1.5 < (times[1] - times[0]) * rate / 1e9 < 2.5 else 1


def _describe(path: Path, tracks: Tracks, first: VideoFrame, aspect: float, packets_each: int) -> SourceInfo:
    orientation, stream = orientation_of(first), tracks.pictures
    width, height = round(first.width * aspect), first.height
    if orientation.transpose:
        width, height = height, width
    return SourceInfo(
        name=path.name,
        width=width,
        height=height,
        fps=tracks.fps / packets_each,
        frames=stream.frames // packets_each or None,
        duration_s=_duration_s(tracks),
        codec=stream.codec_context.name,
        rotation=orientation.rotation,
        live=False,
        has_audio=tracks.sound is not None,
    )


def _duration_s(tracks: Tracks) -> float | None:
    stream, container = tracks.pictures, tracks.container
    if stream.duration and stream.duration > 0 and stream.time_base:
        return float(stream.duration * stream.time_base)
    told = container.duration or 0  # below zero in damaged files
    return told / av.time_base if told > 0 else None


def _pixel_aspect(told: Fraction | None) -> float:
    """Width of a stored pixel in heights; 1 where the stream names none, or nonsense."""
    aspect = float(told or 1)
    return aspect if 0.25 <= aspect <= 4 else 1.0


def _file_ns(picture: VideoFrame) -> int | None:
    """When a picture is shown, by the file's clock (Timeline)."""
    if picture.pts is None or picture.time_base is None:
        return None
    return round(picture.pts * picture.time_base * 1_000_000_000)
