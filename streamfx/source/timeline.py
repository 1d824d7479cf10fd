"""One clock for a file's pictures and sound: their packets' stamps, continuous where the file's own jump.

Files that were joined, streams whose stamps wrap around (MPEG-TS: every 26.5 hours) or that were interrupted
begin anew in the middle, each track a little earlier or later than the others. Both tracks are moved by the
same amount at the same place, so that they stay in step. What decides is in the packets alone: two passes
through a file, one that decodes its pictures and one that decodes its sound, get the same clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeAlias, Union

from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.stream import VideoStream

MIN_STEP_NS: Final = 1_000_000
"""Given to a picture whose time does not increase: trackers count in milliseconds."""
MAX_BACK_NS: Final = 200_000_000
"""Running back farther than this is a new beginning, not a slip."""
MAX_REORDER_NS: Final = 3_000_000_000
"""The same for packets that have a time of presentation only: pictures are stored in another order."""
MAX_LEAP_NS: Final = 60_000_000_000
"""Leaping farther than this, ahead of every track, is a new beginning or damage, not a pause."""
NEAR_NS: Final = 10_000_000_000
"""Tracks that begin anew at the same place are not farther apart."""
MAX_OVERLAP_NS: Final = 3_000_000_000
"""Nor does one that follows later begin earlier than that before its own last packet."""
HELD_NS: Final = 2_000_000_000
"""Of a track's new beginning, while the others are waited for."""
HELD_PACKETS: Final = 2000
BELIEVED: Final = 3
"""Packets in a row behind a jump; fewer are damaged ones."""
LONGEST_NS: Final = 1_000_000_000
"""A packet that claims to last longer says nothing about its end."""

MediaPacket: TypeAlias = Union["Packet[VideoStream]", "Packet[AudioStream]"]
"""PyAV's class is generic for type checkers alone."""


@dataclass(slots=True)
class _Track:
    """A track's place on the common clock; all in ns."""

    offset: int
    """From its own clock to the common one."""
    last: int | None = None
    """Its latest time of decoding, if its packets have one."""
    end: int | None = None
    """When its packets so far have been shown or heard."""
    step: int = 0
    """Between its last two times of decoding: how long a packet lasts that does not say so."""


class Timeline:
    """Moves packets onto the common clock. A good stamp passes unchanged."""

    def __init__(self) -> None:
        self.jumps: list[int] = []
        """ns, common clock: where the file's own clock began anew."""
        self._tracks: dict[int, _Track] = {}
        self._offset = self._begin = 0
        """Of the latest beginning: from the file's own clock, and where it lies on the common one."""
        self._held: list[MediaPacket] = []
        """In order: the packets since a jump that not all tracks have made yet."""
        self._joined: dict[int, tuple[int, int, int]] = {}
        """The tracks that made it: first and latest stamp, in ns of their own clock; how many packets."""
        self._jumped_at = 0
        """How far the file had come then, on the common clock."""
        self._moved: set[int] = set()
        """Those that went on by the old clock meanwhile."""

    @property
    def moved_ns(self) -> int:
        """By how much later the file now is than by its own clock; below zero behind a hole."""
        return self._offset

    def place(self, packets: Iterable[MediaPacket]) -> Iterator[MediaPacket]:
        """The packets, in an order that may differ around a jump between tracks, never within one."""
        for packet in packets:
            yield from self._take(packet)
        yield from self._settle()

    def _take(self, packet: MediaPacket) -> Iterator[MediaPacket]:
        index = packet.stream.index
        track = self._tracks.setdefault(index, _Track(self._offset))
        if _apart_ns(packet) > NEAR_NS:
            self._drop_stamp(packet, track)
        raw = _decoding_ns(packet)
        if raw is None:
            yield from self._hold(packet) if index in self._joined else [packet]
            return
        if index in self._joined:
            yield from self._after_jump(packet, track, raw)
        elif not self._joins(track, raw) and (self._fits(track, packet, raw) or self._follows(track, raw)):
            yield self._placed(packet, track)
            if self._held:
                self._moved.add(index)
                yield from self._caught_up()
        elif not self._held or self._joins(track, raw):
            if not self._joined:
                self._jumped_at = self._front() or 0
            self._joined[index] = (raw, raw, 1)
            self._moved.discard(index)
            yield from self._hold(packet)
        else:  # a third clock
            yield from self._settle()
            yield from self._take(packet)

    def _drop_stamp(self, packet: MediaPacket, track: _Track) -> None:
        """One of a packet's stamps is damaged: that which does not continue the track."""
        decoding, packet.dts = packet.dts, None
        raw = _decoding_ns(packet)
        if raw is None or not self._fits(track, packet, raw):
            packet.pts, packet.dts = None, decoding

    def _fits(self, track: _Track, packet: MediaPacket, raw: int) -> bool:
        """Whether a packet continues its track by the clock so far."""
        front = self._front()
        if front is None:
            return True
        time = raw + track.offset
        if track.end is None:  # files that are not interleaved have a whole track behind the other
            return self._begin - MAX_LEAP_NS <= time <= front + MAX_LEAP_NS
        if packet.dts is None or track.last is None:
            earliest = track.end - MAX_REORDER_NS
        else:
            earliest = track.last - MAX_BACK_NS
        return earliest < time <= front + MAX_LEAP_NS

    def _joins(self, track: _Track, raw: int) -> bool:
        """Whether a packet is nearer to where another track has begun anew than to where the file was."""
        nearest = min((abs(raw - last) for _, last, _ in self._joined.values()), default=NEAR_NS)
        front = self._front()
        return nearest < NEAR_NS and (front is None or nearest < abs(raw + track.offset - front))

    def _follows(self, track: _Track, raw: int) -> bool:
        """Whether a packet continues its track by the clock that another track has; if so, that is taken."""
        front, end = self._front(), track.end
        if front is None or end is None:
            return False
        for other in self._tracks.values():
            differs = other.offset != track.offset
            if differs and end - MAX_OVERLAP_NS <= raw + other.offset <= front + NEAR_NS:
                track.offset = other.offset
                return True
        return False

    def _after_jump(self, packet: MediaPacket, track: _Track, raw: int) -> Iterator[MediaPacket]:
        """A packet of a track that has made a jump: is it true, and have all made it?"""
        index = packet.stream.index
        first, last, count = self._joined[index]
        back = MAX_BACK_NS if packet.dts is not None else MAX_REORDER_NS
        if last - back < raw <= last + MAX_LEAP_NS:
            self._joined[index] = (first, max(last, raw), count + 1)
            yield from self._hold(packet)
        elif self._fits(track, packet, raw):  # it returns: its stamps were damaged meanwhile
            yield from self._forget(index)
            yield from self._take(packet)
        else:
            yield from self._settle()
            yield from self._take(packet)

    def _hold(self, packet: MediaPacket) -> Iterator[MediaPacket]:
        """Keep a packet until all tracks have made the jump, or clearly none follows."""
        self._held.append(packet)
        waiting = [index for index in self._tracks if index not in self._joined and self._is_alive(index)]
        longest = max(last - first for first, last, _ in self._joined.values())
        believed = all(count >= BELIEVED for _, _, count in self._joined.values())
        if (believed and not waiting) or longest > HELD_NS or len(self._held) > HELD_PACKETS:
            yield from self._settle()

    def _is_alive(self, index: int) -> bool:
        end, front = self._tracks[index].end, self._front()
        return end is not None and front is not None and end > front - NEAR_NS

    def _caught_up(self) -> Iterator[MediaPacket]:
        """No jump but a pause, as another track shows, which has come near by the clock so far."""
        for packet in self._held:
            raw = _decoding_ns(packet)
            if raw is not None and not self._fits(self._tracks[packet.stream.index], packet, raw):
                return
        yield from self._released()

    def _forget(self, index: int) -> Iterator[MediaPacket]:
        """The held packets of a track lose their damaged stamps."""
        del self._joined[index]
        held, self._held = self._held, []
        for packet in held:
            if packet.stream.index == index:
                packet.pts = packet.dts = None
                yield packet
            else:
                self._held.append(packet)
        if not self._joined:
            yield from self._released()

    def _settle(self) -> Iterator[MediaPacket]:
        """All tracks that made the jump go on where the file has ended so far, moved by one amount."""
        if not self._joined:
            return
        ends = [
            track.end
            for index, track in self._tracks.items()
            if track.end is not None and index not in self._moved
        ]
        end = max(ends, default=self._jumped_at)
        first: dict[int, int] = {}
        for packet in self._held:
            start = _shown_ns(packet)
            if start is not None:
                first.setdefault(packet.stream.index, start)
        self._offset = end - min(first.values())
        for index, track in self._tracks.items():
            if index not in self._moved:  # nor was anything heard of those that did not join
                self._tracks[index] = _Track(self._offset, None, track.end, track.step)
        self._begin = end
        self.jumps.append(end)
        yield from self._released()

    def _released(self) -> Iterator[MediaPacket]:
        held, self._held = self._held, []
        self._joined, self._moved = {}, set()
        for packet in held:
            raw = _decoding_ns(packet)
            yield packet if raw is None else self._placed(packet, self._tracks[packet.stream.index])

    def _placed(self, packet: MediaPacket, track: _Track) -> MediaPacket:
        shift = round(track.offset / _tick_ns(packet))
        if packet.pts is not None:
            packet.pts += shift
        if packet.dts is not None:
            packet.dts += shift
            decoded = _ns(packet.dts, packet)
            track.step = decoded - track.last if track.last is not None else track.step
            track.last = decoded
        start = _shown_ns(packet)
        if start is not None:
            if self._front() is None:
                self._begin = start
            lasts = round((packet.duration or 0) * _tick_ns(packet)) or track.step
            end = start + (lasts if 0 <= lasts <= LONGEST_NS else 0)
            track.end = end if track.end is None else max(track.end, end)
        return packet

    def _front(self) -> int | None:
        """How far the file has come, by the track that has come farthest."""
        return max((track.end for track in self._tracks.values() if track.end is not None), default=None)


class PictureClock:
    """Decoded pictures at strictly rising times from the first one on, by a file's clock.

    Args:
        start_ns: the first picture's time on the file's clock, whose time is 0.
        nominal_ns: the usual distance between pictures, used where a stamp is missing.
    """

    def __init__(self, start_ns: int, nominal_ns: int) -> None:
        self.repaired = 0
        """Stamps that were missing or did not increase, and jumps of the file's clock."""
        self._start_ns, self._nominal_ns = start_ns, max(MIN_STEP_NS, nominal_ns)
        self._last: int | None = None
        self._jumps = 0

    def stamp(self, file_ns: int | None, jumps: Sequence[int]) -> tuple[int, bool]:
        """The time of the next picture in ns, and whether the file's clock began anew before it.

        Args:
            file_ns: on the file's clock, if it has a stamp.
            jumps: of the file's clock, so far (Timeline.jumps).
        """
        expected = 0 if self._last is None else self._last + self._nominal_ns
        earliest = 0 if self._last is None else self._last + MIN_STEP_NS
        time_ns = expected if file_ns is None else max(earliest, file_ns - self._start_ns)
        passed = sum(jump - self._start_ns <= time_ns for jump in jumps)
        jumped = passed > self._jumps and self._last is not None
        self.repaired += jumped or file_ns is None or time_ns > file_ns - self._start_ns
        self._last, self._jumps = time_ns, passed
        return time_ns, jumped


def _tick_ns(packet: MediaPacket) -> Fraction:
    return packet.time_base * 1_000_000_000


def _ns(stamp: int, packet: MediaPacket) -> int:
    return round(stamp * _tick_ns(packet))


def _apart_ns(packet: MediaPacket) -> int:
    """How far apart its times of decoding and of presentation are."""
    return 0 if packet.pts is None or packet.dts is None else _ns(abs(packet.pts - packet.dts), packet)


def _decoding_ns(packet: MediaPacket) -> int | None:
    """When it is decoded, by its own clock: that rises in every file, whatever the order of pictures."""
    stamp = packet.dts if packet.dts is not None else packet.pts
    return None if stamp is None else _ns(stamp, packet)


def _shown_ns(packet: MediaPacket) -> int | None:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return None if stamp is None else _ns(stamp, packet)
