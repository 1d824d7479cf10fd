"""Videos whose pictures flash while a tone sounds, in a rhythm that never repeats; how far apart both are.

Everything is made by PyAV, packet by packet, so that each fault of a container can be made on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import media
import numpy as np

from streamfx.driving.film import retime
from streamfx.frames import Motion
from streamfx.sink.film import FilmWriter
from streamfx.source import open_source

SIZE = (64, 48)
SLOT_S = 0.16
"""The shortest flash or pause."""
_RHYTHM = np.random.default_rng(7).integers(0, 2, 4000).astype(np.float64)
_STEP_S = 0.004


def bright(seconds: np.ndarray | float) -> np.ndarray:
    """1 while it flashes, 0 in between."""
    return _RHYTHM[np.clip(np.asarray(seconds) / SLOT_S, 0, len(_RHYTHM) - 1).astype(int)]


@dataclass
class Clip:
    """A piece of material, from and to which moments of the rhythm, and how it is encoded."""

    seconds: float = 4.0
    begin: float = 0.0
    fps: int = 25
    times: list[float] | None = None
    """Of the pictures, from the beginning; None: at `fps`."""
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "g": "25", "bf": "2"})
    pix_fmt: str = "yuv420p"
    size: tuple[int, int] = SIZE
    rotation: int = 0
    """Degrees, counter-clockwise, by which players turn the pictures."""
    sound: str | None = "aac"
    rate: int = 48_000
    layout: str = "mono"
    sound_from: float = 0.0
    sound_to: float | None = None
    ticks: int | None = None
    """Of the pictures' clock in a second; None: as many as there are pictures."""


Change = Callable[[av.Packet], bool]
"""Changes a packet's stamps before it is written; False leaves it out."""


def write(path: Path, clip: Clip, change: Change = lambda _: True, **container: object) -> Path:
    """Encode a clip and write it, packets in the order of decoding."""
    with av.open(str(path), "w", **container) as film:
        pictures = film.add_stream(clip.codec, rate=clip.fps, options=clip.options)
        pictures.width, pictures.height, pictures.pix_fmt = *clip.size, clip.pix_fmt
        pictures.codec_context.time_base = Fraction(1, clip.ticks or clip.fps)
        if clip.rotation:
            pictures.set_display_rotation(clip.rotation)
        packets = []
        if clip.sound:
            sound = film.add_stream(clip.sound, rate=clip.rate)
            sound.codec_context.layout = clip.layout
        film.start_encoding()
        packets += _encoded(pictures, _shown(clip, pictures.codec_context.time_base))
        if clip.sound:
            packets += _encoded(sound, _heard(clip))
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        for packet in packets:
            if change(packet):
                film.mux(packet)
    return path


def _encoded(stream: av.stream.Stream, frames: Iterable[av.frame.Frame]) -> list[av.Packet]:
    packets = [packet for frame in frames for packet in stream.encode(frame)]
    return packets + stream.encode(None)


def picture(clip: Clip, seconds: float) -> np.ndarray:
    """u8 [H,W,3]: grey, light or dark."""
    level = 40 + round(170 * float(bright(clip.begin + seconds)))
    return np.full((clip.size[1], clip.size[0], 3), level, np.uint8)


def _shown(clip: Clip, tick: Fraction) -> Iterable[av.VideoFrame]:
    times = (
        clip.times
        if clip.times is not None
        else [n / clip.fps for n in range(round(clip.seconds * clip.fps))]
    )
    for time in times:
        frame = av.VideoFrame.from_ndarray(picture(clip, time), "rgb24").reformat(format=clip.pix_fmt)
        frame.pts, frame.time_base = round(time / tick), tick
        yield frame


def _heard(clip: Clip) -> Iterable[av.AudioFrame]:
    end = clip.seconds if clip.sound_to is None else clip.sound_to
    seconds = np.arange(round(clip.sound_from * clip.rate), round(end * clip.rate)) / clip.rate
    tone = 0.5 * np.sin(2 * np.pi * 1000 * seconds) * bright(clip.begin + seconds)
    channels = av.AudioLayout(clip.layout).nb_channels
    for start in range(0, len(tone), 960):
        piece = np.repeat(tone[None, start : start + 960], channels, axis=0).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(piece, "fltp", clip.layout)
        frame.sample_rate, frame.time_base = clip.rate, Fraction(1, clip.rate)
        frame.pts = round(clip.sound_from * clip.rate) + start
        yield frame


def film_of(driver: Path, film: Path) -> tuple[float, int]:
    """The film that `render --audio` makes, of a portrait that only flashes; its rate and length."""
    with open_source(driver) as source:
        fps = min(source.info.fps, 120)
        motions = (
            replace(
                Motion.rest(),
                scale=1 + float(frame.rgb[::4, ::4].mean()) / 255,
                captured_ns=frame.captured_ns,
                epoch=frame.epoch,
            )
            for frame in source
        )
        sound = source.sound()
        with FilmWriter(film, SIZE, fps, sound=sound, preset="ultrafast") as writer:
            for motion in retime(motions, fps):
                level = np.uint8(np.clip(255 * (motion.scale - 1), 0, 255))
                writer.write(media.rendered(np.full((SIZE[1], SIZE[0], 3), level, np.uint8)))
        if sound:
            sound.close()
        return fps, writer.frames


def look(film: Path, begin: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """How light and how loud a film is, every _STEP_S from a time on, by PyAV's own means; 0 to 1."""
    with av.open(str(film)) as container:
        times, levels, pieces = [], [], []
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            times.append(frame.time)
            levels.append(float(frame.to_ndarray(format="gray").mean()))
    with av.open(str(film)) as container:
        if container.streams.audio:
            for frame in container.decode(container.streams.audio[0]):
                samples = frame.to_ndarray()
                samples = (
                    samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T
                )
                scale = {"s16": 32768.0, "s32": 2.0**31}.get(frame.format.packed.name, 1.0)
                pieces.append((frame.time - times[0], samples[0] / scale, frame.sample_rate))
    seconds = times[-1] - times[0] + (times[-1] - times[0]) / max(1, len(times) - 1)
    grid = np.arange(0, seconds, _STEP_S)
    shown = grid >= begin
    light = np.array(levels)[np.searchsorted(np.array(times) - times[0], grid + 1e-6, side="right") - 1]
    power, count = np.zeros(len(grid)), np.full(len(grid), 1e-9)
    for start, samples, rate in pieces:
        places = ((start + np.arange(len(samples)) / rate) / _STEP_S + 1e-6).astype(int)
        inside = (places >= 0) & (places < len(grid))
        np.add.at(power, places[inside], samples[inside] ** 2)
        np.add.at(count, places[inside], 1)
    tone = np.sqrt(power / count)[shown] / (0.5 / np.sqrt(2))
    return (light[shown] - 40) / 170, np.minimum(tone, 1)


def lag(
    one: np.ndarray, other: np.ndarray, most_s: float = 1.0, step_s: float = _STEP_S
) -> tuple[float, float]:
    """By how many seconds the other is later, and how alike they are there (correlation)."""
    size = min(len(one), len(other))
    one, other = one[:size], other[:size]
    most = min(round(most_s / step_s), size // 2)
    best = (0.0, -1.0)
    for shift in range(-most, most + 1):
        a, b = (one[: size - shift], other[shift:]) if shift >= 0 else (one[-shift:], other[: size + shift])
        if a.std() and b.std():
            alike = float(np.corrcoef(a, b)[0, 1])
            best = max(best, (shift * step_s, alike), key=lambda found: found[1])
    return best
