"""One pass through the pictures of a video file, decoded by the CPU or by an NVIDIA card."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import av
from av.codec.context import ThreadType
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from streamfx.errors import SourceUnreadable
from streamfx.media import demuxer
from streamfx.source.base import SOFTWARE
from streamfx.source.picture import check_size

DECODER_THREADS: Final = 2
"""Frame threads: 0.45 instead of 0.85 ms a picture at 512x512, 1.5 instead of 2.8 at 720x1280 (two cores).
Never thread type AUTO: it has hung at interpreter exit (PyAV #909)."""

MAX_RESUMES: Final = 32
"""Damaged places in a container behind which reading is tried again."""

CARD: Final = "cuda"
"""FFmpeg's name of NVIDIA cards, as a device and as the format of pictures that lie there."""
_EXACT: Final = frozenset({"h264", "hevc", "vp8", "vp9", "av1"})
"""Codecs whose pictures are defined to the bit: whoever decodes them, they are the same."""
_PLANAR: Final = {"nv12": "yuv420p", "nv16": "yuv422p"}
"""What a card gives, as what the CPU's decoder would have given: the same bytes in planes. swscale makes
other RGB of the one than of the other, up to 20 grey levels apart at the borders of colours."""


class CardFailed(Exception):  # noqa: N818 - never leaves source/
    """The card does not decode this, or not any further; the CPU may."""


class Reading:
    """The pictures of a file, once, from the first to the last."""

    def __init__(self, path: Path, timeout_s: float, *, by_card: bool = False) -> None:
        """Open it; nothing is decoded yet.

        Args:
            path: the file.
            timeout_s: longest wait for one read.
            by_card: whether a card decodes; else the CPU.

        Raises:
            SourceMissing, SourceUnreadable: see FileSource; with `by_card` also that there is no card.
            CardFailed: this FFmpeg knows no cards, or not for this codec; only with `by_card`.
        """
        self.decoder = CARD if by_card else SOFTWARE
        self.damaged = 0
        """Pieces of the stream that could not be decoded and were skipped."""
        self._by_card, self._reformatter = by_card, VideoReformatter()
        with ExitStack() as resources:
            hwaccel = _card() if by_card else None
            self.container: InputContainer = resources.enter_context(demuxer(path, timeout_s, hwaccel))
            self.stream = _picture_stream(self.container, path)
            self._set_up(self.stream.codec_context)
            self._resources = resources.pop_all()

    def close(self) -> None:
        """Release file and decoder; may be called twice."""
        self._resources.close()
        with suppress(AttributeError):
            del self.stream, self.container  # a decoder's memory is released with the last who knows it

    def pictures(self) -> Iterator[VideoFrame]:
        """All of them; call it once.

        Raises:
            CardFailed: the CPU must do the rest; only with `by_card`.
        """
        for packet in self._packets():
            try:
                decoded = self.stream.decode(packet)
            except av.EOFError:  # drained already
                return
            except (av.FFmpegError, ValueError) as error:
                if self._by_card:
                    raise CardFailed from error
                self.damaged += 1
                continue
            yield from map(self._from_card, decoded) if self._by_card else decoded

    def _set_up(self, codec: VideoCodecContext) -> None:
        if not self._by_card:
            codec.thread_type = ThreadType.FRAME
            codec.thread_count = DECODER_THREADS
        elif not codec.is_hwaccel or codec.name not in _EXACT:
            raise CardFailed

    def _from_card(self, picture: VideoFrame) -> VideoFrame:
        """A picture that the card gave, as the CPU's decoder would have given it.

        Raises:
            CardFailed: the card gave none, so that FFmpeg took its own decoder; or one of another size than
                the stream's: columns to be cut off on the left stay where pictures lie on a card.
        """
        codec = self.stream.codec_context
        if codec.pix_fmt != CARD or (picture.width, picture.height) != (codec.width, codec.height):
            raise CardFailed
        return planar(picture, self._reformatter)

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """All packets that can be read, then the one that drains the decoder."""
        for _ in range(MAX_RESUMES):
            try:
                yield from self.container.demux(self.stream)
                return
            except av.ExitError:  # the read timed out: trying again would multiply the wait
                self.damaged += 1
                break
            except (av.FFmpegError, OSError):  # some containers find their next picture by themselves
                self.damaged += 1
        yield None


def planar(picture: VideoFrame, reformatter: VideoReformatter) -> VideoFrame:
    """The same bytes in the layout of FFmpeg's own decoders, if a card gave them in another."""
    layout = _PLANAR.get(picture.format.name)
    return reformatter.reformat(picture, format=layout, threads=1) if layout else picture


def _card() -> HWAccel:
    """For `demuxer`. A context of its own on the card: that of torch may be recording a graph.

    Raises:
        CardFailed: this FFmpeg was built without NVIDIA's cards; asked for them, PyAV would take any other.
    """
    if CARD not in hwdevices_available():
        raise CardFailed
    return HWAccel(CARD, allow_software_fallback=True)


def _picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first video track that is not a cover picture.

    Raises:
        SourceUnreadable: there is none, its codec is unknown, or its pictures are too large.
    """
    tracks = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not tracks:
        has = "only sound, no pictures" if container.streams.audio else "neither pictures nor sound"
        raise SourceUnreadable(f"{path} holds {has}", "Choose a video of a face")
    codec: VideoCodecContext | None = tracks[0].codec_context  # None is missing from PyAV's annotations
    if codec is None:
        cause = f"{path} uses a video codec that this FFmpeg build ({av.ffmpeg_version_info}) does not know"
        raise SourceUnreadable(cause, "Convert it to MP4 (H.264)")
    check_size(codec.width, codec.height)
    return tracks[0]
