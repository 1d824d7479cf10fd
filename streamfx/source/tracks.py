"""The tracks of a media file that make its film: moving pictures, and the sound that belongs to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Final, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamfx.errors import SourceError, SourceUnreadable
from streamfx.media import demuxer
from streamfx.source.picture import check_size
from streamfx.source.rate import rate_of
from streamfx.source.sequel import share_of_sequel
from streamfx.source.timeline import MediaPacket, Timeline

MAX_RESUMES: Final = 32
"""Damaged places in a container behind which reading is tried again."""
PROBED: Final = 60
"""Pictures that are looked through for the rate, before the first is decoded."""
PROBED_PACKETS: Final = 1000
PROBED_BYTES: Final = 16_000_000
STILL_SHARE: Final = 10
"""A track that has this many times fewer pictures than another is a cover or a thumbnail."""
_WITHOUT_DISPLAY_TIMES: Final = frozenset({"avi"})
"""Containers that keep the times of decoding only: those of presentation that FFmpeg gives are guessed."""


class Tracks:
    """A file opened once for one pass through its packets, whose stamps are on one clock (Timeline)."""

    def __init__(self, path: Path, timeout_s: float, hwaccel: HWAccel | None = None) -> None:
        """Open it, choose the tracks and read ahead a little; nothing is decoded yet.

        Args:
            path: the file.
            timeout_s: longest wait for one read.
            hwaccel: what its video decoders run on; None: the CPU.

        Raises:
            SourceMissing, SourceUnreadable: see FileSource; also that there is no such hardware.
        """
        self.damaged = 0
        """Pieces of the file that could not be read and were skipped."""
        self.timeline = Timeline()
        self._path, self._last = path, 0
        with ExitStack() as resources:
            self.container: InputContainer = resources.enter_context(demuxer(path, timeout_s, hwaccel))
            pictures = _picture_tracks(self.container, path)
            packets = self._read()
            choice = len(pictures) > 1 or len(self.container.streams.audio) > 1
            probed = _probed(packets) if choice else []
            counts = Counter(packet.stream.index for packet in probed if packet.size)
            self.pictures = _moving(pictures, counts)
            check_size(self.pictures.codec_context.width, self.pictures.codec_context.height)
            self.sound = _sound_track(self.container, self.pictures, counts)
            self._packets = self.timeline.place(self._chosen(chain(probed, packets)))
            self._ahead = self._read_ahead()
            self.fps = rate_of(self.pictures, self._ahead)
            """Pictures a second, as the stamps of the first ones and the container tell."""
            self._resources = resources.pop_all()

    def close(self) -> None:
        """Release the file; may be called twice."""
        self._packets = iter(())
        self._ahead = []
        self._resources.close()
        with suppress(AttributeError):
            del self.pictures, self.sound, self.container  # memory is released with the last who knows it

    def unread(self) -> float:
        """The share of the file behind its last packet that another film takes: files that were joined."""
        with suppress(SourceError):  # the file is gone: what was read is wanted all the same
            return share_of_sequel(self._path, self.container.format.name, self._last)
        return 0.0

    def packets(self) -> Iterator[MediaPacket]:
        """Those of both tracks, to the end; empty ones, which drain a decoder, come last. Call it once."""
        ahead, self._ahead = self._ahead, []
        yield from ahead
        yield from self._packets

    def _read(self) -> Iterator[MediaPacket]:
        """All packets of pictures and sound that can be read, in the order of the file."""
        streams = self.container.streams
        for _ in range(MAX_RESUMES):
            try:
                yield from cast("Iterator[MediaPacket]", self.container.demux(*streams.video, *streams.audio))
                return
            except IndexError:  # the end, in PyAV's words, of a file in which tracks appeared on the way
                return
            except av.ExitError:  # the read timed out: trying again would multiply the wait
                self.damaged += 1
                break
            except (av.FFmpegError, OSError):  # some containers find their next picture by themselves
                self.damaged += 1

    def _chosen(self, packets: Iterable[MediaPacket]) -> Iterator[MediaPacket]:
        wanted = {self.pictures.index, self.sound.index if self.sound else self.pictures.index}
        guessed = self.container.format.name in _WITHOUT_DISPLAY_TIMES
        for packet in packets:
            self._last = max(self._last, packet.pos or 0)
            if packet.stream.index in wanted:
                if guessed and packet.stream.type == "video":
                    packet.pts = None
                yield packet

    def _read_ahead(self) -> list[MediaPacket]:
        ahead: list[MediaPacket] = []
        pictures, size = 0, 0
        for packet in islice(self._packets, PROBED_PACKETS):
            ahead.append(packet)
            pictures, size = pictures + (packet.stream is self.pictures), size + packet.size
            if pictures > PROBED or size > PROBED_BYTES:
                break
        return ahead


def _probed(packets: Iterator[MediaPacket]) -> list[MediaPacket]:
    """The first packets of the file."""
    probed: list[MediaPacket] = []
    size = 0
    while len(probed) < PROBED_PACKETS and size < PROBED_BYTES:
        packet = next(packets, None)
        if packet is None:
            break
        probed.append(packet)
        size += packet.size
    return probed


def _picture_tracks(container: InputContainer, path: Path) -> list[VideoStream]:
    """The video tracks that can be decoded and are no cover picture.

    Raises:
        SourceUnreadable: there is none, or its codec is unknown.
    """
    tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
    if not tracks:
        has = "only sound, no pictures" if container.streams.audio else "neither pictures nor sound"
        raise SourceUnreadable(f"{path} holds {has}", "Choose a video of a face")
    known = [track for track in tracks if _has_decoder(track)]
    if not known:
        cause = f"{path} uses a video codec that this FFmpeg build ({av.ffmpeg_version_info}) does not know"
        raise SourceUnreadable(cause, "Convert it to MP4 (H.264)")
    return known


def _moving(tracks: list[VideoStream], counts: Counter[int]) -> VideoStream:
    """The track that is the video: not one of a still picture or a few, and the file's default one."""
    most = max(counts[track.index] for track in tracks)

    def order(track: VideoStream) -> tuple[bool, bool]:
        still = track.frames == 1 or STILL_SHARE * counts[track.index] < most
        return still, not track.disposition & Disposition.default

    return min(tracks, key=order)


def _sound_track(
    container: InputContainer, pictures: VideoStream, counts: Counter[int]
) -> AudioStream | None:
    """The sound that players choose for these pictures; not an empty one, or one of an unknown codec."""
    try:
        best = container.streams.best("audio", related=pictures)
    except IndexError:  # one that appeared on the way, of which PyAV does not know
        best = None

    def order(track: AudioStream) -> tuple[bool, bool, bool]:
        empty = bool(counts) and not counts[track.index]
        return not _has_decoder(track), empty, track is not best

    return min(container.streams.audio, key=order, default=None)


def _has_decoder(track: VideoStream | AudioStream) -> bool:
    codec: VideoCodecContext | AudioCodecContext | None = track.codec_context
    return codec is not None  # missing from PyAV's annotations
