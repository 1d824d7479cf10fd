"""The driver's sound beside the film: copied where the container takes it, else encoded anew."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition

from streamfx.errors import UsageError
from streamfx.media import demuxer

BIT_RATE: Final = 128_000
"""bit/s of newly encoded sound."""
OPUS_RATE: Final = 48_000
"""Hz: Opus knows no other, and AAC gets it for rates that it does not know."""
_AAC_RATES: Final = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


@dataclass(frozen=True, slots=True)
class Sound:
    """An opened driver's sound track."""

    container: InputContainer
    stream: AudioStream
    start_s: float
    """When the driver's first picture is shown, on the driver's own clock: the film's time 0."""


class TimedPacket(NamedTuple):
    """Encoded sound and the time of the film at which it begins."""

    seconds: float
    packet: Packet[AudioStream]


@contextmanager
def open_sound(path: Path) -> Iterator[Sound]:
    """The first sound track of a media file.

    Raises:
        SourceMissing, SourceUnreadable: the file cannot be opened.
        UsageError: it has no sound.
    """
    with demuxer(path) as container:
        tracks = [track for track in container.streams.audio if _decodable(track)]
        if not tracks:
            raise UsageError(f"{path} has no sound track to keep", "Leave out --audio")
        yield Sound(container, tracks[0], _picture_start_s(container))


class SoundTrack:
    """Moves sound into the film, step by step with the pictures, so that the file is interleaved.

    Args:
        sound: the driver's track.
        film: gets the new track; not yet started.
        copied: codecs that are taken over as they are.
        encoder: for all others.
    """

    def __init__(self, sound: Sound, film: OutputContainer, copied: frozenset[str], encoder: str) -> None:
        self._film = film
        self._packets = (
            _copy(sound, film.add_stream_from_template(sound.stream))
            if sound.stream.codec_context.name in copied
            else _encode(sound, _add_encoder(sound, film, encoder))
        )
        self._waiting: TimedPacket | None = None

    def write_until(self, seconds: float) -> None:
        """Write the sound that begins before this time of the film. Raises av.FFmpegError, OSError."""
        while (packet := self._next()) and packet.seconds < seconds:
            self._waiting = None
            self._film.mux(packet.packet)

    def finish(self, seconds: float) -> None:
        """Write what is left up to the film's end; what comes after is cut."""
        self.write_until(seconds)
        self._packets.close()

    def _next(self) -> TimedPacket | None:
        self._waiting = self._waiting or next(self._packets, None)
        return self._waiting


def _copy(sound: Sound, track: AudioStream) -> Generator[TimedPacket]:
    for packet in _demux(sound):
        if packet.pts is None or packet.dts is None:
            continue
        shift = round(sound.start_s / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        if packet.pts >= 0:
            packet.stream = track
            yield TimedPacket(_seconds(packet), packet)


def _encode(sound: Sound, track: AudioStream) -> Generator[TimedPacket]:
    for packet in _demux(sound):
        for frame in _decode(sound.stream, packet):
            if _place(frame, sound.start_s):
                yield from _timed(track.encode(frame))
    yield from _timed(track.encode(None))


def _add_encoder(sound: Sound, film: OutputContainer, encoder: str) -> AudioStream:
    """A track that takes frames of any layout and rate: PyAV resamples to the encoder's own."""
    source = sound.stream.codec_context
    rate = source.sample_rate if encoder == "aac" and source.sample_rate in _AAC_RATES else OPUS_RATE
    track = cast(AudioStream, film.add_stream(encoder, rate=rate))
    track.codec_context.layout = "mono" if source.layout.nb_channels == 1 else "stereo"
    track.codec_context.bit_rate = BIT_RATE
    return track


def _demux(sound: Sound) -> Generator[Packet[AudioStream]]:
    """All packets up to the end or to where the file is damaged."""
    with suppress(av.FFmpegError, OSError):
        yield from sound.container.demux(sound.stream)


def _decode(stream: AudioStream, packet: Packet[AudioStream]) -> list[AudioFrame]:
    try:
        return stream.decode(packet)
    except (av.FFmpegError, ValueError):  # a damaged packet: a gap in the sound
        return []


def _place(frame: AudioFrame, start_s: float) -> bool:
    """Shift the frame to the film's time; False when it lies before the film."""
    if frame.pts is None or frame.time_base is None:
        return False
    frame.pts -= round(start_s / frame.time_base)
    return frame.pts >= 0


def _timed(packets: list[Packet[AudioStream]]) -> Generator[TimedPacket]:
    yield from (TimedPacket(_seconds(packet), packet) for packet in packets)


def _seconds(packet: Packet[AudioStream]) -> float:
    return float((packet.pts or 0) * packet.time_base)


def _picture_start_s(container: InputContainer) -> float:
    for track in container.streams.video:
        attached = track.disposition & Disposition.attached_pic
        if not attached and track.start_time is not None and track.time_base:
            return float(track.start_time * track.time_base)
    return 0.0


def _decodable(track: AudioStream) -> bool:
    codec: AudioCodecContext | None = track.codec_context  # None is missing from PyAV's annotations
    return codec is not None
