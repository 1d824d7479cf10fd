"""A video file as a source: every picture it holds, upright, at its own time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamfx.errors import SourceUnreadable
from streamfx.frames import Frame
from streamfx.media import OPEN_REMEDY, TIMEOUT_S, demuxer
from streamfx.source.base import Source, SourceInfo, SourceStatistics
from streamfx.source.picture import RgbConverter, check_size, orientation_of
from streamfx.source.timeline import Timeline

DECODER_THREADS: Final = 2
"""Frame threads: 0.45 instead of 0.85 ms a picture at 512x512, 1.5 instead of 2.8 at 720x1280 (two cores).
Never thread type AUTO: it has hung at interpreter exit (PyAV #909)."""

MAX_RESUMES: Final = 32
"""Damaged places in a container behind which reading is tried again."""
DEFAULT_FPS: Final = 30.0
MAX_FPS: Final = 1000.0


class FileSource(Source):
    """Decodes a video file from its first picture to its last.

    `captured_ns` counts from the first picture. Damaged packets are skipped and counted; a file cut off in
    the middle yields what it has. `epoch` grows when the picture size changes or the time jumps.

    Raises:
        SourceMissing: no such file, or no permission.
        SourceUnreadable: empty, not a video, sound only, unknown codec, too large, or no picture decodes.
    """

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._damaged = 0
        self._decoded = 0
        self._epoch = 0
        self._size: tuple[int, int] | None = None
        self._converter = RgbConverter()
        with ExitStack() as resources:
            container = resources.enter_context(demuxer(path, timeout_s))
            stream = _picture_stream(container, path)
            self._aspect = _pixel_aspect(stream)
            self._timeline = Timeline(round(1e9 / _average_fps(stream)))
            self._pictures = self._decode(container, stream)
            first = self._first_picture()
            self._info = _describe(path, container, stream, first, self._aspect)
            self._waiting: VideoFrame | None = first
            self._resources = resources.pop_all()

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def statistics(self) -> SourceStatistics:
        return SourceStatistics(
            decoded=self._decoded,
            repaired_timestamps=self._timeline.repaired,
            damaged_packets=self._damaged,
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
        self._resources.close()

    def _stamp(self, picture: VideoFrame) -> tuple[int, bool]:
        jumps = self._timeline.jumps
        time_ns = self._timeline.stamp(_source_ns(picture))
        return time_ns, self._timeline.jumps > jumps

    def _first_picture(self) -> VideoFrame:
        for picture in self._pictures:
            return picture
        cause = f"{self._path} holds a video track, but not one picture of it can be decoded"
        raise SourceUnreadable(f"{cause} ({self._damaged} damaged packets)", OPEN_REMEDY)

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        for packet in self._packets(container, stream):
            try:
                yield from stream.decode(packet)
            except av.EOFError:  # drained already
                return
            except (av.FFmpegError, ValueError):
                self._damaged += 1

    def _packets(
        self, container: InputContainer, stream: VideoStream
    ) -> Iterator[Packet[VideoStream] | None]:
        """All packets that can be read, then the one that drains the decoder."""
        for _ in range(MAX_RESUMES):
            try:
                yield from container.demux(stream)
                return
            except av.ExitError:  # the read timed out: trying again would multiply the wait
                self._damaged += 1
                break
            except (av.FFmpegError, OSError):  # some containers find their next picture by themselves
                self._damaged += 1
        yield None


def _picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first video track that is not a cover picture, its decoder set up.

    Raises:
        SourceUnreadable: there is none, its codec is unknown, or its pictures are too large.
    """
    tracks = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not tracks:
        has = "only sound, no pictures" if container.streams.audio else "neither pictures nor sound"
        raise SourceUnreadable(f"{path} holds {has}", "Choose a video of a face")
    stream = tracks[0]
    codec: VideoCodecContext | None = stream.codec_context  # None is missing from PyAV's annotations
    if codec is None:
        cause = f"{path} uses a video codec that this FFmpeg build ({av.ffmpeg_version_info}) does not know"
        raise SourceUnreadable(cause, "Convert it to MP4 (H.264)")
    check_size(codec.width, codec.height)
    codec.thread_type = ThreadType.FRAME
    codec.thread_count = DECODER_THREADS
    return stream


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
