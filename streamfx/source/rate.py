"""The rate of a video: the container's word where its pictures' stamps agree, else theirs."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean, median
from typing import Final

from av.video.stream import VideoStream

from streamfx.source.timeline import MediaPacket

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
