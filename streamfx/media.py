"""What both doors to PyAV share: opening a media file safely, and FFmpeg's errors in words.

Imported by source/ (decoding) and sink/film.py (encoding) only.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, FileIO
from pathlib import Path
from typing import Final, Literal, NoReturn

import av
from av.codec.context import CodecContext
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from streamfx.errors import SourceUnreadable
from streamfx.files import DRIVER, open_regular

# FFmpeg's threads calling into Python's logging can deadlock (PyAV #751); errors come as exceptions anyway.
av.logging.set_level(None)

CONTAINERS: Final = (
    # picture and sound
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "asf", "flv", "mpegts", "mpeg", "mxf", "nut", "ogg",
    "dv", "rm", "wtv", "gif", "apng", "ivf", "yuv4mpegpipe", "mjpeg", "mpegvideo", "m4v", "h264", "hevc",
    "vvc", "av1", "obu", "vc1",
    # sound only: to be able to say so
    "wav", "mp3", "aac", "flac", "aiff", "amr", "caf", "w64",
)  # fmt: skip
"""The containers that are read, by FFmpeg's names. Playlists and concatenations (hls, dash, concat, sdp),
pictures by pattern (image2), scripts and text art (tty) are not among them: they make FFmpeg open other
files or addresses, or turn any text into a video."""

TIMEOUT_S: Final = 20.0
"""Longest wait for one read of a file (a network folder may hang)."""

ELEMENTARY: Final = (
    *("aac", "ac3", "eac3", "mp3", "dts", "loas", "truehd"),
    *("h264", "hevc", "vvc", "mpegvideo", "m4v", "vc1", "obu"),
)
"""Formats of one track without a container: what packets of broadcast streams are."""

OPEN_REMEDY: Final = "Check that it plays, or convert it to MP4 (H.264)"


@contextmanager
def demuxer(
    path: Path, timeout_s: float = TIMEOUT_S, hwaccel: HWAccel | None = None
) -> Iterator[InputContainer]:
    """The media file opened for demuxing; closed with the block.

    FFmpeg gets an open file instead of a name, no protocol, and no way to open anything else.

    Args:
        path: the file.
        timeout_s: longest wait for one read.
        hwaccel: what its video decoders run on; None: the CPU.

    Raises:
        SourceMissing: no such file, or no permission.
        SourceUnreadable: not a regular file, empty, no container of `CONTAINERS`, or damaged from the start;
            with `hwaccel` also that there is no such hardware.
    """
    with open_regular(path, DRIVER) as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise SourceUnreadable(f"The video {path} is empty (0 bytes)", "Copy or download it again")
        try:
            container = av.open(
                _Answering(file, file.name),
                "r",
                container_options={
                    "format_whitelist": ",".join(CONTAINERS),
                    "protocol_whitelist": "file",
                    "merge_pmt_versions": "1",  # tracks of MPEG-TS may go on by other numbers
                },
                metadata_errors="replace",
                timeout=timeout_s,
                io_open=_refuse,
                hwaccel=hwaccel,
            )
        except (av.FFmpegError, OSError) as error:
            _raise_unopened(path, error)
        with container:
            yield container


class _Answering:
    """An open file as FFmpeg wants it: a seek to where no file has a place, as damaged ones ask for, fails.

    Where it raises instead, PyAV prints the traceback.
    """

    def __init__(self, file: FileIO | BytesIO, name: object) -> None:
        self.name = str(name)
        """Its ending helps to recognise the container."""
        self.read, self.tell, self._seek = file.read, file.tell, file.seek

    def seek(self, offset: int, whence: int) -> int:
        """The new place; below zero the reason why there is none."""
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError):
            return -errno.EINVAL


def codec_of(packets: bytes, kind: Literal["video", "audio"]) -> str | None:
    """FFmpeg's name of the decoder for these packets of a stream without global headers; None if unknown."""
    options = {"format_whitelist": ",".join(ELEMENTARY), "protocol_whitelist": ""}
    file = _Answering(BytesIO(packets), "packets")
    try:
        with av.open(file, "r", container_options=options, io_open=_refuse) as container:
            stream = container.streams[0]
            codec: CodecContext | None = stream.codec_context  # None is missing in annotations
            return codec.name if codec is not None and stream.type == kind else None
    except (av.FFmpegError, OSError, IndexError):
        return None


def reason(error: BaseException) -> str:
    """FFmpeg's own words for an error, without numbers and file names, to stand inside a sentence."""
    text = str(getattr(error, "strerror", None) or error)
    return text[:1].lower() + text[1:]


def _refuse(url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    raise PermissionError(1, "a video may not open other files", url)


def _raise_unopened(path: Path, error: Exception) -> NoReturn:
    if isinstance(error, av.ArgumentError):  # what FFmpeg says to a format outside the list
        cause = (
            f"{path} is of a kind that is not read as a video (text, a playlist, a still picture, WebP ...)"
        )
    elif isinstance(error, av.InvalidDataError):
        cause = f"{path} is not a video, or its beginning or index is damaged"
    elif isinstance(error, av.EOFError):
        cause = f"{path} ends before its first picture"
    else:
        cause = f"{path} cannot be opened as a video: {reason(error)}"
    remedy = "Choose a video of a face" if isinstance(error, av.ArgumentError) else OPEN_REMEDY
    raise SourceUnreadable(cause, remedy) from error
