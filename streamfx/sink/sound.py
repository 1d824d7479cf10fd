"""The driver's sound beside the film's pictures: without a gap, sample by sample at its time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, Protocol, cast

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer

from streamfx.frames import F32, SoundBlock

BIT_RATE: Final = 96_000
"""bit/s of each channel."""
OPUS_RATE: Final = 48_000
"""Hz: Opus knows no other, and AAC gets it for rates that it does not know."""
_AAC_RATES: Final = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_LOSSY: Final = frozenset({"aac", "libopus"})
SLACK_S: Final = 0.02
"""Sound that begins so little off the end of that before follows it: containers round their times."""
_SILENCE_S: Final = 1.0
"""Written at once; a pause may last an hour."""


class Sound(Protocol):
    """What a film's sound is made of."""

    rate: int
    """Samples a second."""
    channels: int
    """1 or 2."""
    lossless: bool
    """Whether it is as it was recorded, to the sample."""

    def __iter__(self) -> Iterator[SoundBlock]:
        """In order, from the film's time 0; they may overlap, and there may be pauses between them."""
        ...


class SoundTrack:
    """Encodes sound into the film, step by step with the pictures, so that the file is interleaved.

    Args:
        sound: the driver's.
        film: gets the new track; not yet started.
        encoder: FFmpeg's name of it.
    """

    def __init__(self, sound: Sound, film: OutputContainer, encoder: str) -> None:
        self._film, self._rate = film, sound.rate
        self._track = _add_encoder(sound, film, encoder)
        self._pieces = _continuous(sound)
        self._waiting: F32 | None = None
        self._samples = 0

    def write_until(self, seconds: float) -> None:
        """Write the sound that begins before this time of the film. Raises av.FFmpegError, OSError."""
        end = round(seconds * self._rate)
        while (left := end - self._samples) > 0 and (samples := self._next()) is not None:
            self._waiting = samples[:, left:] if samples.shape[1] > left else None
            self._write(samples[:, :left])

    def finish(self, seconds: float) -> None:
        """Write what is left up to the film's end; what comes after is cut."""
        self.write_until(seconds)
        self._film.mux(self._track.encode(None))

    def _next(self) -> F32 | None:
        return self._waiting if self._waiting is not None else next(self._pieces, None)

    def _write(self, samples: F32) -> None:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", _layout(samples.shape[0]))
        frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
        frame.pts = self._samples
        self._film.mux(self._track.encode(frame))
        self._samples += samples.shape[1]


def _continuous(sound: Sound) -> Iterator[F32]:
    """f32 [C,N] one behind the other from time 0, with silence between blocks that are apart."""
    reached, slack, most = 0, round(SLACK_S * sound.rate), round(_SILENCE_S * sound.rate)
    for block in sound:
        samples = block.samples
        apart = round(block.start_ns * sound.rate / 1e9) - reached
        if apart < -slack:
            samples = samples[:, -apart:]
        while apart > slack:
            silence = np.zeros((sound.channels, min(apart, most)), np.float32)
            reached, apart = reached + silence.shape[1], apart - silence.shape[1]
            yield silence
        if samples.shape[1]:
            reached += samples.shape[1]
            yield samples


def _add_encoder(sound: Sound, film: OutputContainer, encoder: str) -> AudioStream:
    """A track that takes frames of any rate: PyAV resamples to the encoder's own."""
    known = encoder != "libopus" and (encoder != "aac" or sound.rate in _AAC_RATES)
    track = cast(AudioStream, film.add_stream(encoder, rate=sound.rate if known else OPUS_RATE))
    track.codec_context.layout = _layout(sound.channels)
    if encoder in _LOSSY:
        track.codec_context.bit_rate = BIT_RATE * sound.channels
    return track


def _layout(channels: int) -> str:
    return "mono" if channels == 1 else "stereo"
