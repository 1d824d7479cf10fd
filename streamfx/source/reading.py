"""One pass through the pictures of a video file, decoded by the CPU or by an NVIDIA card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import av
from av.codec.context import CodecContext, ThreadType
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from streamfx.source.base import SOFTWARE
from streamfx.source.recognition import Recognition
from streamfx.source.tracks import Tracks

DECODER_THREADS: Final = 2
"""Frame threads: 0.45 instead of 0.85 ms a picture at 512x512, 1.5 instead of 2.8 at 720x1280 (two cores).
Never thread type AUTO: it has hung at interpreter exit (PyAV #909)."""

LATE: Final = 6
"""Packets: pictures come as much later as threads, and the order in which pictures are stored, make them."""

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
        self._by_card, self._reformatter = by_card, VideoReformatter()
        self._undecoded, self._refused = 0, 0
        """Packets that were refused: all, and those since the last picture."""
        self.unread = 0.0
        """Share of the file that another film takes, behind this one; known at the end."""
        self._key_dts: int | None = None
        self._delay: int | None = None
        """By how many ticks later than it is shown a picture comes that is timed by its decoding alone."""
        self._latest: VideoFrame | None = None
        self._repeats: list[int] = []
        """When a picture is shown once more, by packets that hold nothing else; not yet given."""
        self.tracks = Tracks(path, timeout_s, _card() if by_card else None)
        self.stream = self.tracks.pictures
        self.codec = self.stream.codec_context
        """The decoder; another one when the codec changes on the way."""
        self._recognition: Recognition[VideoStream] = Recognition(self.codec.name, LATE)
        try:
            self._set_up()
        except CardFailed:
            self.close()
            raise

    @property
    def damaged(self) -> int:
        """Pieces of the stream that could not be decoded and were skipped."""
        return self._undecoded + self.tracks.damaged

    def close(self) -> None:
        """Release file and decoder; may be called twice."""
        self.tracks.close()
        # A decoder's memory goes with the last who knows it, and packets know it, too.
        for name in ("stream", "codec", "_recognition", "_latest"):
            vars(self).pop(name, None)

    def pictures(self) -> Iterator[VideoFrame]:
        """All of them, each to be used before the next is asked for; call it once.

        Raises:
            CardFailed: the CPU must do the rest; only with `by_card`.
        """
        for packet in self.tracks.packets():
            if packet.stream is not self.stream:
                continue
            shown = packet.pts if packet.pts is not None else packet.dts
            if packet.size or shown is None:
                yield from self._decoded(packet)
            else:  # Theora: nothing has changed since the picture before; a decoder would take it for the end
                self._repeats.append(shown)
        yield from self._decoded(None)
        yield from self._repeated()
        self.unread = self.tracks.unread()

    def _decoded(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
        if packet is not None and packet.is_keyframe and (self._key_dts is None or self._refused):
            self._key_dts = packet.dts
        try:
            decoded = self.codec.decode(packet)
        except av.EOFError:  # drained already
            return
        except (av.FFmpegError, ValueError) as error:
            if self._by_card:
                raise CardFailed from error
            self._undecoded, self._refused = self._undecoded + 1, self._refused + 1
            decoded = []
        if decoded:
            self._refused = 0
            self._recognition.decoded(packet)
        else:
            yield from self._by_other_codec(packet)
        for picture in decoded:
            picture.time_base = self.stream.time_base  # PyAV leaves it out of the last ones
            if picture.pts is None and picture.dts is not None:
                if self._delay is None:
                    self._delay = picture.dts - (self._key_dts or 0)
                picture.pts = picture.dts - self._delay
            shown = self._from_card(picture) if self._by_card else picture
            yield from self._repeated(shown.pts)
            self._latest = shown
            yield shown

    def _repeated(self, until: int | None = None) -> Iterator[VideoFrame]:
        """The latest picture, at the times of its repetitions before the next one's."""
        while self._repeats and self._latest is not None and (until is None or self._repeats[0] < until):
            self._latest.pts = self._repeats.pop(0)
            yield self._latest

    def _by_other_codec(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
        """Files that were joined may go on in another codec, which the container's header does not tell."""
        name = self._recognition.failed(packet)
        if name is None:
            return
        kept, damaged = self._recognition.kept(), self._undecoded - self._refused
        yield from self._decoded(None)
        self.codec = cast(VideoCodecContext, CodecContext.create(name, "r"))
        self._set_up()
        for one in kept:
            yield from self._decoded(one)
        self._undecoded, self._refused = damaged, 0  # what is refused of these is the codec's before

    def _set_up(self) -> None:
        if not self._by_card:
            self.codec.thread_type = ThreadType.FRAME
            self.codec.thread_count = DECODER_THREADS
        elif not self.codec.is_hwaccel or self.codec.name not in _EXACT:
            raise CardFailed

    def _from_card(self, picture: VideoFrame) -> VideoFrame:
        """A picture that the card gave, as the CPU's decoder would have given it.

        Raises:
            CardFailed: the card gave none, so that FFmpeg took its own decoder; or one of another size than
                the stream's: columns to be cut off on the left stay where pictures lie on a card.
        """
        codec = self.codec
        if codec.pix_fmt != CARD or (picture.width, picture.height) != (codec.width, codec.height):
            raise CardFailed
        return planar(picture, self._reformatter)


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
