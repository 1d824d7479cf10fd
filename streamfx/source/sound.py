"""The sound of a video file on the clock of its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec.codec import Codec, Properties
from av.codec.context import CodecContext
from av.packet import Packet

from streamfx.errors import SourceUnreadable
from streamfx.frames import F32, SoundBlock
from streamfx.media import OPEN_REMEDY, TIMEOUT_S
from streamfx.source.recognition import Recognition
from streamfx.source.tracks import Tracks

FORMAT: Final = "fltp"
"""FFmpeg's name of planar floating-point samples."""


class SoundReader:
    """A pass of its own through a file for its sound, decoded, from the first picture's time on.

    Iterate once; close it, or use it in a `with` block. All blocks have the rate and the channels with which
    the sound begins, whatever it changes to on the way. What cannot be decoded is left out and counted.
    """

    def __init__(self, path: Path, start_ns: int, timeout_s: float = TIMEOUT_S) -> None:
        """Open it and decode the beginning.

        Args:
            path: a video file.
            start_ns: its first picture's time on the file's clock (Timeline): the sound's time 0.
            timeout_s: longest wait for one read.

        Raises:
            SourceMissing: no such file, or no permission.
            SourceUnreadable: it has no sound that can be decoded.
        """
        self.lost_s = 0.0
        """Of sound that could not be decoded so far."""
        self.heard_s = 0.0
        """Of sound that was given so far."""
        self._start_ns = start_ns
        self._end_ns = -start_ns
        """Of the last block, for the next one if that has no time of its own."""
        self._resampler: AudioResampler | None = None
        self._form: tuple[str, str, int] | None = None
        """Sample format, layout and rate that the resampler takes."""
        with ExitStack() as resources:
            self._tracks = Tracks(path, timeout_s)
            resources.callback(self._tracks.close)
            track = self._tracks.sound
            codec: AudioCodecContext | None = track.codec_context if track else None
            if track is None or codec is None:
                raise SourceUnreadable(f"The sound of {path} is of an unknown codec", OPEN_REMEDY)
            self._track, self._codec = track, codec
            self.codec = codec.name
            """FFmpeg's name of the codec with which it begins."""
            self.lossless = _is_lossless(codec.codec)
            """Whether that keeps every sample."""
            self._recognition: Recognition[AudioStream] = Recognition(codec.name)
            self._frames = self._decoded_frames()
            self._first = next(self._frames, None)
            if self._first is None:
                raise SourceUnreadable(f"The sound of {path} cannot be decoded ({codec.name})", OPEN_REMEDY)
            self.rate = self._first.sample_rate
            """Samples a second."""
            self.channels = 1 if self._first.layout.nb_channels == 1 else 2
            self._resources = resources.pop_all()

    def __iter__(self) -> Iterator[SoundBlock]:
        frame, self._first = self._first, None
        while frame is not None:
            yield from self._blocks(frame)
            frame = next(self._frames, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release decoder and file; may be called twice."""
        self._frames = iter(())
        self._resources.close()

    def _decoded_frames(self) -> Iterator[AudioFrame]:
        for packet in self._tracks.packets():
            if packet.stream is self._track:
                yield from self._decoded(packet)

    def _decoded(self, packet: Packet[AudioStream]) -> list[AudioFrame]:
        try:
            frames = self._codec.decode(packet)
        except av.EOFError:  # drained already
            return []
        except (av.FFmpegError, ValueError):
            self.lost_s += _seconds(packet)
            return self._by_other_codec(packet)
        if frames:
            self._recognition.decoded(packet)
        return frames

    def _by_other_codec(self, packet: Packet[AudioStream]) -> list[AudioFrame]:
        """Files that were joined may go on in another codec, which the container's header does not tell."""
        name = self._recognition.failed(packet)
        if name is None:
            return []
        self._codec = cast(AudioCodecContext, CodecContext.create(name, "r"))
        kept = self._recognition.kept()
        self.lost_s -= sum(map(_seconds, kept))
        return [frame for one in kept for frame in self._decoded(one)]

    def _blocks(self, frame: AudioFrame) -> Iterator[SoundBlock]:
        """A decoded frame in the form of all, and what a resampler still holds when the form changes."""
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        try:
            if self._resampler is None or form != self._form:
                if self._resampler is not None:
                    yield from self._block(self._resampler.resample(None), None)
                layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
                self._resampler, self._form = AudioResampler(FORMAT, layout, self.rate), form
            resampled = self._resampler.resample(frame)
        except (av.FFmpegError, ValueError):  # channels or a rate that damage invented
            self._resampler = None
            self.lost_s += frame.samples / max(1, frame.sample_rate)
            return
        yield from self._block(resampled, _file_ns(frame))

    def _block(self, resampled: list[AudioFrame], file_ns: int | None) -> Iterator[SoundBlock]:
        """Samples that begin at a time of the file, or where the last ended; none before the film."""
        if not resampled:
            return
        start_ns = self._end_ns if file_ns is None else file_ns - self._start_ns
        samples = _mixed(np.hstack([cast("F32", frame.to_ndarray()) for frame in resampled]), self.channels)
        self._end_ns = start_ns + round(samples.shape[1] * 1e9 / self.rate)
        early = min(samples.shape[1], max(0, round(-start_ns * self.rate / 1e9)))
        if early < samples.shape[1]:
            self.heard_s += (samples.shape[1] - early) / self.rate
            yield SoundBlock(samples[:, early:], start_ns + round(early * 1e9 / self.rate))


def _is_lossless(codec: Codec) -> bool:
    kinds = Properties(codec.properties)
    return Properties.LOSSLESS in kinds and Properties.LOSSY not in kinds


def _mixed(samples: F32, channels: int) -> F32:
    """f32 [1 or 2,N] -> f32 [channels,N], as loud as before."""
    if samples.shape[0] == channels:
        return samples
    return samples.mean(axis=0, keepdims=True) if channels == 1 else samples.repeat(2, axis=0)


def _file_ns(frame: AudioFrame) -> int | None:
    if frame.pts is None or frame.time_base is None:
        return None
    return round(frame.pts * frame.time_base * 1_000_000_000)


def _seconds(packet: Packet[AudioStream]) -> float:
    return float((packet.duration or 0) * packet.time_base)
