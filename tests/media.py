"""Makers of media files for tests, encoded on the fly; every fixture is named by its fault."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from streamfx.frames import Rendered
from streamfx.quality import Quality

SIZE = (64, 48)


def pictures(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Grey pictures whose number can be read from their brightness (`number_of`), white corner top left."""
    width, height = size
    made = []
    for number in range(count):
        picture = np.full((height, width, 3), 20 + 6 * (number % 35), np.uint8)
        picture[: height // 3, : width // 3] = 255
        made.append(picture)
    return made


def number_of(rgb: np.ndarray) -> int:
    """The number of a picture made by `pictures`, read at its centre."""
    height, width = rgb.shape[:2]
    return round((float(rgb[height // 2, width // 2].mean()) - 20) / 6)


def write_video(
    path: Path,
    count: int = 10,
    *,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: int = 25,
    pts: Iterable[int] | None = None,
    rotation: int = 0,
    hflip: bool = False,
    sound_s: float = 0,
    sound_codec: str = "aac",
    options: dict[str, str] | None = None,
    picture: np.ndarray | None = None,
    aspect: Fraction | None = None,
) -> Path:
    """A video; `pts` in milliseconds overrides the constant rate; `rotation` is counter-clockwise."""
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000) if pts else Fraction(1, fps)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation or hflip:
            stream.set_display_rotation(rotation, hflip=hflip)
        track = film.add_stream(sound_codec, rate=48_000) if sound_s else None
        if track is not None:
            track.codec_context.layout = "mono"
        times = list(pts) if pts else range(count)
        shown = [picture] * len(times) if picture is not None else pictures(len(times), size)
        for time, rgb in zip(times, shown, strict=True):
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = time, stream.codec_context.time_base
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
        if track is not None:
            _write_tone(film, track, sound_s)
    return path


def write_pictures(path: Path, pictures: Iterable[np.ndarray], fps: int = 30) -> Path:
    """A video of these pictures, nearly lossless."""
    shown = list(pictures)
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=fps, options={"crf": "10", "preset": "veryfast"})
        stream.height, stream.width = shown[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for rgb in shown:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        film.mux(stream.encode(None))
    return path


def write_sound(path: Path, seconds: float = 0.5, codec: str = "aac") -> Path:
    """A file that holds a tone and no picture."""
    with av.open(str(path), "w") as film:
        track = film.add_stream(codec, rate=48_000)
        track.codec_context.layout = "mono"
        _write_tone(film, track, seconds)
    return path


def _write_tone(film: av.container.OutputContainer, track: av.AudioStream, seconds: float) -> None:
    samples = np.arange(int(48_000 * seconds))
    tone = (8000 * np.sin(samples * 2 * np.pi * 440 / 48_000)).astype(np.int16)
    for start in range(0, len(tone), 960):
        frame = av.AudioFrame.from_ndarray(tone[None, start : start + 960], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        film.mux(track.encode(frame))
    film.mux(track.encode(None))


def write_size_change(path: Path) -> Path:
    """MPEG-TS in which five pictures of 64x48 are followed by five of 96x64."""
    parts = []
    for index, size in enumerate(((64, 48), (96, 64))):
        part = path.with_name(f"{index}-{path.name}")
        times = range(index * 200, index * 200 + 200, 40)
        write_video(part, pts=[t + 1 for t in times], size=size, options={"tune": "zerolatency"})
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    return path


def write_damaged(path: Path, intact: Path, zeroed: slice) -> Path:
    """A copy of a video with some of its bytes overwritten by zeros."""
    data = bytearray(intact.read_bytes())
    data[zeroed] = bytes(len(data[zeroed]))
    path.write_bytes(bytes(data))
    return path


def rendered(rgb: np.ndarray, seq: int = 0) -> Rendered:
    """A finished picture, as a sink takes it."""
    return Rendered(rgb, captured_ns=seq, rendered_ns=0, seq=seq, quality=Quality.FULL)


def read_video(path: Path) -> list[np.ndarray]:
    """All pictures of a video by PyAV's own means, independent of the code under test."""
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def pictures_at(path: Path, *seconds: float) -> list[np.ndarray]:
    """Those pictures of a video that are shown at these times, which rise."""
    with av.open(str(path)) as film:
        decoded = film.decode(video=0)
        return [next(f for f in decoded if f.time >= s - 1e-3).to_ndarray(format="rgb24") for s in seconds]


def read_sound(path: Path) -> tuple[str, np.ndarray, int]:
    """Codec, samples f32 [N] of the first channel, and sample rate of a file's sound."""
    with av.open(str(path)) as film:
        track = film.streams.audio[0]
        resample = av.AudioResampler("fltp", "mono", track.rate)
        chunks = [out.to_ndarray()[0] for frame in film.decode(track) for out in resample.resample(frame)]
        return track.codec_context.name, np.concatenate(chunks or [np.zeros(0, np.float32)]), track.rate
