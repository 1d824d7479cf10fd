"""Finished pictures as an animated GIF or WebP, which plays in rounds wherever a picture is shown.

A GIF has 256 colours, chosen for all pictures at once, so that what stands still is written once. Until the
last picture is seen, all wait in a file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self, cast

import av
import cv2
import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamfx.errors import OutputError
from streamfx.files import atomic_output, write_failure
from streamfx.frames import U8
from streamfx.media import reason
from streamfx.sink.writer import PictureWriter

SUFFIXES: Final = (".gif", ".webp")

_TICKS: Final = 100
"""A second of a GIF."""
_LEAST_TICKS: Final = 2
"""Of a picture: viewers take less for a tenth of a second."""
_DITHER: Final = "dither=bayer:bayer_scale=4:diff_mode=rectangle"
"""A pattern that stays where it is: diffused errors would swim about the face, and cost twice the bytes."""
_SPOOL: Final = (cv2.IMWRITE_PNG_COMPRESSION, 1)
_WEBP: Final = {"quality": "82", "compression_level": "3"}


def shown_rate(suffix: str, fps: float) -> float:
    """The highest rate up to `fps` that such a file can have: a GIF counts in hundredths of a second."""
    if suffix.lower() != ".gif":
        return fps
    return _TICKS / max(_LEAST_TICKS, ceil(_TICKS / fps - 1e-6))


def animation(path: Path, size: tuple[int, int], fps: float) -> PictureWriter:
    """The writer of an animation, by the file's suffix."""
    return (GifWriter if path.suffix.lower() == ".gif" else WebPWriter)(path, size, fps)


class WebPWriter(PictureWriter):
    """Writes an animation that is played in rounds, without sound.

    Args:
        path: of the file.
        size: width and height in px, both even.
        fps: constant rate.

    Raises:
        OutputError: the file cannot be written: folder, permission, space, encoder.
    """

    _muxer, _encoder, _format = "webp", "libwebp_anim", "bgra"
    _options: ClassVar[dict[str, str]] = _WEBP

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        super().__init__(size)
        self._path = path
        self._rate = Fraction(fps).limit_denominator(1001)
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            part = resources.enter_context(atomic_output(self._path))
            with self._failures():
                self._open(part, resources)
            resources.push(self._finish)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, trace)

    def _open(self, part: Path, resources: ExitStack) -> None:
        self._container = resources.enter_context(
            av.open(f"file:{part}", "w", format=self._muxer, container_options={"loop": "0"})
        )
        track = self._container.add_stream(self._encoder, self._rate, self._options)
        self._track = cast(VideoStream, track)
        self._track.width, self._track.height = self._size
        self._track.pix_fmt = self._format

    def _encode(self, rgb: U8) -> None:
        with self._failures():
            self._mux(self._timed(_frame(rgb), self._written))

    def _mux(self, picture: VideoFrame | None) -> None:
        self._container.mux(self._track.encode(picture))

    def _timed(self, picture: VideoFrame, number: int) -> VideoFrame:
        picture.pts, picture.time_base = number, 1 / self._rate
        return picture

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        if not self._written:
            raise OutputError(f"{self._path} was not written: there was not one picture", "Check the driver")
        with self._failures():
            self._complete()
            self._mux(None)
            self._container.close()

    def _complete(self) -> None:
        """What is left to do before the end."""

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """FFmpeg's and the system's errors as OutputError."""
        try:
            yield
        except OSError as error:  # PyAV's errors with a system number are OSErrors too
            raise write_failure(self._path, error) from error
        except av.FFmpegError as error:
            cause = f"{self._path} cannot be encoded: {reason(error)}"
            raise OutputError(cause, "Try another suffix (.mp4, .mkv, .webm)") from error


class GifWriter(WebPWriter):
    """The same as GIF; `fps` is a `shown_rate`."""

    _muxer, _encoder, _format = "gif", "gif", "pal8"
    _options: ClassVar[dict[str, str]] = {}

    def _open(self, part: Path, resources: ExitStack) -> None:
        super()._open(part, resources)
        self._spool = resources.enter_context(tempfile.TemporaryFile(dir=part.parent))  # noqa: SIM115
        self._lengths: list[int] = []
        self._palette = Graph()
        width, height = self._size
        self._seen = self._palette.add_buffer(
            width=width, height=height, format=VideoFormat("rgb24", width, height), time_base=1 / self._rate
        )
        _chain(self._palette, self._seen, "palettegen", None)

    def _encode(self, rgb: U8) -> None:
        with self._failures():
            self._seen.push(self._timed(_frame(rgb), self._written))
            data = cv2.imencode(".png", rgb, _SPOOL)[1].tobytes()
            self._lengths.append(self._spool.write(data))

    def _complete(self) -> None:
        self._seen.push(None)
        painter = _Painter(self._palette.vpull(), self._size, 1 / self._rate)
        self._spool.seek(0)
        for number, length in enumerate(self._lengths):
            data = np.frombuffer(self._spool.read(length), np.uint8)
            rgb = cast(U8, cv2.imdecode(data, cv2.IMREAD_COLOR))
            self._mux(self._timed(painter.paint(self._timed(_frame(rgb), number)), number))


class _Painter:
    """Pictures in the colours of a palette."""

    def __init__(self, palette: VideoFrame, size: tuple[int, int], time_base: Fraction) -> None:
        self._graph = Graph()
        width, height = size
        self._pictures = self._graph.add_buffer(
            width=width, height=height, format=VideoFormat("rgb24", width, height), time_base=time_base
        )
        colours = self._graph.add_buffer(
            width=16, height=16, format=VideoFormat("rgb32", 16, 16), time_base=time_base
        )
        _chain(self._graph, self._pictures, "paletteuse", _DITHER, colours)
        colours.push(palette)
        colours.push(None)

    def paint(self, picture: VideoFrame) -> VideoFrame:
        self._pictures.push(picture)
        return self._graph.vpull()


def _chain(graph: Graph, source: FilterContext, name: str, options: str | None, *more: FilterContext) -> None:
    """`source`, and what else the filter takes, through it to the graph's end."""
    applied, end = graph.add(name, options), graph.add("buffersink")
    for place, given in enumerate((source, *more)):
        given.link_to(applied, 0, place)
    applied.link_to(end)
    graph.configure()


def _frame(rgb: U8) -> VideoFrame:
    return VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
