"""The tracks of a media file that make its film: moving pictures, and the sound that belongs to them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from io import FileIO
from itertools import chain, islice
from pathlib import Path
from statistics import fmean, median
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
from streamfx.files import DRIVER, open_regular
from streamfx.media import demuxer
from streamfx.source.picture import check_size
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


DEFAULT_FPS: Final = 30.0
MAX_FPS: Final = 1000.0
FASTEST: Final = 250.0
"""Pictures a second; two that are nearer are one that was stored twice."""
AGREES: Final = 0.1
"""Share by which a container's rate may differ from that of the stamps: their average may vary on the way."""
NEAR_STANDARD: Final = 0.02
STANDARD: Final = (
    *(10, 12, 12.5, 15, 20, 24000 / 1001, 24, 25, 30000 / 1001, 30),
    *(48, 50, 60000 / 1001, 60, 90, 100, 120000 / 1001, 120, 240),
)


def rate_of(stream: VideoStream, packets: Iterable[MediaPacket]) -> float:
    """Pictures a second.

    Containers that know no rate (browsers' recordings) give the unit of their clock instead, 1000 or 90000 a
    second; those that vary on the way (phones) give an average over minutes.

    Args:
        stream: whose rate it is.
        packets: its first ones, and those of other tracks.
    """
    counted = _counted(stream)
    stamps: list[MediaPacket] = [one for one in packets if one.stream is stream and one.pts is not None]
    told, seen = _told(stream, has_clock=bool(stamps)), _seen(stamps)
    if seen is None:
        return told or DEFAULT_FPS
    if told and abs(told / seen - 1) <= AGREES:
        return told
    nearest = min(STANDARD, key=lambda rate: abs(rate / seen - 1))
    typical = nearest if abs(nearest / seen - 1) <= NEAR_STANDARD else seen
    return max(typical, counted or 0.0)


def _told(stream: VideoStream, *, has_clock: bool) -> float | None:
    """The container's word; of bare streams the codec's, for FFmpeg's average is 25 a second for them all."""
    rates = (stream.average_rate, stream.guessed_rate)
    for rate in rates if has_clock else reversed(rates):
        if rate and 0 < rate <= MAX_FPS:
            return float(rate)
    return None


def _counted(stream: VideoStream) -> float | None:
    """The average of a container that knows how many pictures it has, and how long they last."""
    if not stream.frames or not stream.duration or not stream.time_base:
        return None
    rate = float(stream.frames / (stream.duration * stream.time_base))
    return rate if rate <= FASTEST else None


def _seen(packets: list[MediaPacket]) -> float | None:
    """The rate at which pictures follow each other, pauses left out; None from fewer than three."""
    times = sorted(float(packet.pts * packet.time_base) for packet in packets if packet.pts is not None)
    apart: list[float] = []
    last: float | None = None
    for time in times:
        if last is None or time - last > 1 / FASTEST:
            if last is not None:
                apart.append(time - last)
            last = time
    if len(apart) < 2:
        return None
    usual = median(apart)
    return 1 / fmean(step for step in apart if step <= 2 * usual)


_PIECE: Final = 1 << 20
_OVERLAP: Final = 256
_BEGINNINGS: Final = {
    "mov": re.compile(rb"\0\0\0[\x0c-\x80]ftyp"),
    "flv": re.compile(rb"FLV\x01[\x01\x04\x05]\0\0\0\x09"),
    "asf": re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"),
}
"""How a file of a container begins, which FFmpeg reads to the end of its first."""
_PROGRAMMES: Final = re.compile(
    rb"\x47[\x40\x60]\0[\x10-\x1f]\0\0\xb0([\x0d-\xa0])..[\xc0-\xff]\0\0", re.DOTALL
)
"""The packet of an MPEG transport stream that lists its programmes (ISO 13818-1, 2.4.4.3), up to that list.

FFmpeg goes on where a programme's tracks are other ones, but not where another programme begins.
"""


def share_of_sequel(path: Path, container: str, end: int) -> float:
    """The share of a file that another film takes, which begins behind the one that was read; 0 if none does.

    Args:
        path: the file.
        container: FFmpeg's name of its format.
        end: byte at which the last packet began.

    Raises:
        SourceError: the file cannot be opened any more.
    """
    if not end:
        return 0.0
    with open_regular(path, DRIVER) as file:
        size = file.seek(0, 2)
        begins = _other_programme(file, end) if container == "mpegts" else _beginning(file, container, end)
    return 0.0 if begins is None else 1 - begins / size


def _beginning(file: FileIO, container: str, end: int) -> int | None:
    pattern = _BEGINNINGS.get(container.split(",")[0])
    if pattern is None:
        return None
    return next(
        (at + found.start() for at, data in _pieces(file, end) for found in pattern.finditer(data)), None
    )


def _other_programme(file: FileIO, end: int) -> int | None:
    first = next((programmes for _, programmes in _lists(file, 0)), None)
    return next((at for at, programmes in _lists(file, end) if programmes != first), None)


def _lists(file: FileIO, start: int) -> Iterator[tuple[int, bytes]]:
    """Where programmes are listed, and that list."""
    for at, data in _pieces(file, start):
        for found in _PROGRAMMES.finditer(data):
            length = found[1][0] - 9  # without what follows the length up to the list, and the checksum
            yield at + found.start(), data[found.end() : found.end() + length]


def _pieces(file: FileIO, start: int) -> Iterator[tuple[int, bytes]]:
    """What follows a place, in pieces that overlap a little; each with its own place."""
    at = start
    while True:
        file.seek(at)
        data = file.read(_PIECE)
        yield at, data
        if len(data) <= _OVERLAP:
            return
        at += len(data) - _OVERLAP
