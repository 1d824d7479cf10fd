"""Files that were joined and go on in another codec: which one, by its own bytes."""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, Literal, TypeVar

from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.stream import VideoStream

from streamfx.media import codec_of

FAILURES: Final = 6
"""Packets in a row that cannot be decoded, before another codec is thought of: more than damage explains."""
LOOKS: Final = 4
"""Times that it is looked for, each after twice as many packets."""

S = TypeVar("S", VideoStream, AudioStream)


class Recognition(Generic[S]):
    """Watches a decoder fail: refuse packets, or take them and give nothing."""

    def __init__(self, codec: str, late: int = 0) -> None:
        """Begin with a codec.

        Args:
            codec: FFmpeg's name.
            late: packets by which what a decoder gives may be late: so many that it took before are another
                codec's already.
        """
        self._codec = codec
        self._before: deque[Packet[S]] = deque(maxlen=late)
        self._kept: list[Packet[S]] = []
        self._look_at = FAILURES

    def decoded(self, packet: Packet[S] | None) -> None:
        """The decoder gave something for a packet: what failed before was damage."""
        self._before.extend(self._kept)
        if packet is not None:
            self._before.append(packet)
        self._kept, self._look_at = [], FAILURES

    def failed(self, packet: Packet[S] | None) -> str | None:
        """The decoder gave nothing for a packet. Returns another codec's name as soon as it is recognised."""
        if packet is None or self._look_at >= FAILURES << LOOKS:
            return None
        self._kept.append(packet)
        if len(self._kept) < self._look_at:
            return None
        self._look_at *= 2
        kind: Literal["video", "audio"] = "video" if packet.stream.type == "video" else "audio"
        name = codec_of(b"".join(bytes(kept) for kept in self._kept), kind)
        if name is None or name == self._codec:
            return None
        self._codec = name
        return name

    def kept(self) -> list[Packet[S]]:
        """For the new decoder, once: the last packets that were taken before, and those that gave nothing."""
        kept = list(self._before)
        kept += self._kept
        self._kept, self._look_at = [], FAILURES
        self._before.clear()
        return kept
