"""Finished pictures as a film: the only door to PyAV's encoders.

The film runs at a constant rate; its time 0 is the driver's first picture, and the driver's sound is counted
from that. It takes its name only when it is complete (files.atomic_output).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self, cast

import av
import numpy as np
from av.codec import Codec
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from streamfx.errors import OutputError, UsageError
from streamfx.files import atomic_output, write_failure
from streamfx.frames import U8
from streamfx.media import reason
from streamfx.sink.sound import Sound, SoundTrack
from streamfx.sink.writer import PictureWriter


class Container(NamedTuple):
    """How a suffix is written."""

    muxer: str
    video: tuple[str, ...]
    """Encoders, best first; the first that this FFmpeg build has is used."""
    sound: str
    """The encoder of sound."""
    lossless: str | None
    """That of sound which was kept without loss, where players expect such a codec in this container."""
    options: dict[str, str]


_H264: Final = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf")

CONTAINERS: Final = {
    ".mp4": Container("mp4", _H264, "aac", None, {"movflags": "+faststart"}),
    ".mov": Container("mov", _H264, "aac", "pcm_s16le", {"movflags": "+faststart"}),
    ".mkv": Container("matroska", _H264, "aac", "flac", {}),
    ".webm": Container("webm", ("libvpx-vp9",), "libopus", None, {}),
}

_FRAGMENTS: Final = {"movflags": "+frag_keyframe+empty_moov+default_base_moof"}
STREAMED: Final[dict[str, dict[str, str]]] = {".mkv": {}, ".mp4": _FRAGMENTS, ".mov": _FRAGMENTS, ".webm": {}}
"""Containers that can be written into a pipe, and FFmpeg's options for it: with an index in each part."""

PRESET: Final = "veryfast"
"""x264: 5.4 ms of one core a picture at 640x480, 850 kbit/s; superfast 3.6 ms but 1,590 kbit/s, faster 8.6 ms
for the same size (the clip asl_no_small_face, crf 18)."""
CRF: Final = 18
ENCODER_THREADS: Final = 2
_KEY_EVERY_S: Final = 2


class FilmWriter(PictureWriter):
    """Writes a film.

    Args:
        path: `.mp4`, `.mov`, `.mkv` (H.264) or `.webm` (VP9).
        size: width and height in px, both even.
        fps: constant rate.
        sound: laid beside the pictures, as long as the film lasts; encoded anew.
        crf: quality, 0 to 51, smaller is better.
        preset: x264's trade of time for size.

    Raises:
        UsageError: an unknown suffix, an odd size, or a senseless rate.
        OutputError: the file cannot be written: folder, permission, space, encoder.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        fps: Fraction | float,
        *,
        sound: Sound | None = None,
        crf: int = CRF,
        preset: str = PRESET,
    ) -> None:
        super().__init__(size)
        self._path = path
        self._rate = _rate(fps)
        self._kind = _container(path)
        self._options = _encoder_options(self._kind, crf, preset)
        self._sound_source = sound
        self._reformatter = VideoReformatter()
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            with self._failures():
                self._container = self._open(resources)
                resources.push(self._finish)
                self._video = self._add_video()
                self._sound = self._add_sound()
                self._container.start_encoding()
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, trace)

    @property
    def seconds(self) -> float:
        """The film's length so far."""
        return float(self._written / self._rate)

    def _encode(self, rgb: U8) -> None:
        with self._failures():
            self._container.mux(self._video.encode(self._picture(rgb)))
            if self._sound:
                self._sound.write_until(float((self._written + 1) / self._rate))

    def _open(self, resources: ExitStack) -> OutputContainer:
        part = resources.enter_context(atomic_output(self._path))
        return _open_muxer(part, self._kind)

    def _picture(self, rgb: U8) -> VideoFrame:
        picture = self._reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        picture.pts, picture.time_base = self._written, 1 / self._rate
        return picture

    def _add_video(self) -> VideoStream:
        encoder = _encoder(self._kind.video)
        stream = cast(VideoStream, self._container.add_stream(encoder, self._rate, self._options))
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = ENCODER_THREADS
        context.gop_size = round(self._rate * _KEY_EVERY_S)
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        return stream

    def _add_sound(self) -> SoundTrack | None:
        sound = self._sound_source
        if sound is None:
            return None
        lossless = self._kind.lossless if sound.lossless else None
        return SoundTrack(sound, self._container, lossless or self._kind.sound)

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the file; after a failure only let go of it."""
        if kind is not None:
            with suppress(av.FFmpegError, OSError):
                self._container.close()
            return
        try:
            self._complete()
        finally:
            with suppress(av.FFmpegError, OSError):  # a second close does nothing
                self._container.close()

    def _complete(self) -> None:
        if not self._written:
            raise OutputError(f"{self._path} was not written: there was not one picture", "Check the driver")
        with self._failures():
            self._container.mux(self._video.encode(None))
            if self._sound:
                self._sound.finish(self.seconds)
            self._container.close()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """FFmpeg's and the system's errors as OutputError."""
        try:
            yield
        except BrokenPipeError:  # of a film that goes to a program, which has had enough
            raise
        except OSError as error:  # PyAV's errors with a system number are OSErrors too
            raise write_failure(self._path, error) from error
        except av.FFmpegError as error:
            cause = f"{self._path} cannot be encoded: {reason(error)}"
            raise OutputError(cause, "Try another suffix (.mp4, .mkv, .webm)") from error


class FilmStream(FilmWriter):
    """Writes a film to a program, while it is made: into a pipe, where nothing can be mended afterwards.

    Args:
        file: takes bytes.
        suffix: of STREAMED.
        size, fps, sound: as of a FilmWriter.

    Raises:
        BrokenPipeError: nobody reads any more.
    """

    def __init__(
        self,
        file: BinaryIO,
        suffix: str,
        size: tuple[int, int],
        fps: Fraction | float,
        *,
        sound: Sound | None = None,
    ) -> None:
        super().__init__(Path(f"the film on standard output{suffix}"), size, fps, sound=sound)
        self._pipe = _Pipe(file)

    def _open(self, resources: ExitStack) -> OutputContainer:
        options = STREAMED[self._path.suffix]
        return av.open(self._pipe, "w", format=self._kind.muxer, container_options=options)


class _Pipe:
    """A file without a way back, to PyAV."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data)


def _open_muxer(part: Path, kind: Container) -> OutputContainer:
    # The protocol is named: a colon in the folder's name must not be taken for one.
    return av.open(f"file:{part}", "w", format=kind.muxer, container_options=kind.options)


def _container(path: Path) -> Container:
    kind = CONTAINERS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(CONTAINERS)
        raise UsageError(f"A film cannot be written as '{path.suffix or path.name}'", f"Use one of {known}")
    return kind


def _rate(fps: Fraction | float) -> Fraction:
    rate = Fraction(fps).limit_denominator(1001) if 0 < fps <= 1000 else Fraction(0)
    if not rate:
        raise UsageError(f"A film cannot run at {fps:g} pictures per second", "Choose 1 to 240")
    return rate


def _encoder(names: tuple[str, ...]) -> str:
    for name in names:
        with suppress(av.codec.codec.UnknownCodecError):
            return Codec(name, "w").name
    cause = f"This FFmpeg build ({av.ffmpeg_version_info}) has none of the encoders {', '.join(names)}"
    raise OutputError(cause, "Reinstall PyAV from its wheel: pip install --force-reinstall av")


def _encoder_options(kind: Container, crf: int, preset: str) -> dict[str, str]:
    encoder = _encoder(kind.video)
    if encoder == "libx264":
        return {"preset": preset, "crf": str(crf)}
    if encoder == "libvpx-vp9":  # its scale of crf reaches to 63 and starts softer
        return {"crf": str(crf + 8), "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}
    return {"b": "6M"}
