"""Files that were joined and go on in another codec: which one, by its own bytes."""

from __future__ import annotations

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
    """Watches a decoder fail."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._kept: list[Packet[S]] = []
        self._look_at = FAILURES

    def decoded(self, any_picture: bool) -> None:
        """The decoder gave something: what failed before was damage."""
        if any_picture:
            self._kept, self._look_at = [], FAILURES

    def failed(self, packet: Packet[S] | None) -> str | None:
        """The decoder refused a packet. Returns the name of another codec as soon as one is recognised."""
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
        """The packets that were refused; they are given once, for the new decoder."""
        kept, self._kept, self._look_at = self._kept, [], FAILURES
        return kept
