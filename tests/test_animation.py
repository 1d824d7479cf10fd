"""GIF and WebP, judged by another library that reads them."""

from __future__ import annotations

from pathlib import Path

import media
import numpy as np
import pytest
from PIL import Image, ImageSequence

from streamfx.errors import OutputError
from streamfx.sink.animation import animation, shown_rate

SIZE = (128, 96)


def moving(count: int) -> list[np.ndarray]:
    """Skin tones that run across a still, finely graded background."""
    across, down = np.meshgrid(np.linspace(0, 1, SIZE[0]), np.linspace(0, 1, SIZE[1]))
    still = np.stack([200 - 90 * across, 190 - 60 * down, 170 + 40 * across * down], -1).astype(np.uint8)
    shown = []
    for number in range(count):
        picture = still.copy()
        picture[30:60, 4 * number : 4 * number + 30] = np.linspace((225, 172, 145), (120, 60, 50), 30)
        shown.append(picture)
    return shown


def write(path: Path, shown: list[np.ndarray], fps: float) -> Path:
    with animation(path, SIZE, fps) as film:
        for number, rgb in enumerate(shown):
            film.write(media.rendered(rgb, number))
    return path


@pytest.mark.parametrize(
    ("suffix", "fps", "ms"), [(".gif", 25, 40), (".gif", 100 / 7, 70), (".webp", 25, 40)]
)
def test_an_animation_comes_back_as_it_was_written(tmp_path: Path, suffix: str, fps: float, ms: int):
    shown = moving(20)
    path = write(tmp_path / f"o{suffix}", shown, fps)
    with Image.open(path) as opened:
        assert opened.info["loop"] == 0, "it is played once only"
        frames = [(frame.convert("RGB"), frame.info["duration"]) for frame in ImageSequence.Iterator(opened)]
    assert [duration for _, duration in frames] == [ms] * 20
    for rgb, (frame, _) in zip(shown, frames, strict=True):
        seen = np.asarray(frame).astype(int)
        assert np.abs(seen - rgb).mean() < 3
        assert np.abs(seen.mean((0, 1)) - rgb.mean((0, 1))).max() < 1.5, "colours have shifted"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_what_stands_still_is_written_once(tmp_path: Path):
    once, often = (write(tmp_path / f"{n}.gif", moving(1) * n, 25).stat().st_size for n in (1, 30))
    assert often < once + 30 * 60


@pytest.mark.parametrize(
    ("suffix", "wanted", "rate"),
    [
        (".gif", 25, 25),
        (".gif", 30, 25),
        (".GIF", 29.97, 25),
        (".gif", 24, 20),
        (".gif", 60, 50),
        (".gif", 240, 50),
        (".gif", 15, 100 / 7),
        (".gif", 1, 1),
        (".webp", 30, 30),
        (".mp4", 29.97, 29.97),
    ],
)
def test_rates_that_can_be_shown(suffix: str, wanted: float, rate: float):
    assert shown_rate(suffix, wanted) == pytest.approx(rate)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_after_a_failure_there_is_no_file(tmp_path: Path, suffix: str):
    with pytest.raises(OutputError, match="not one picture"):
        write(tmp_path / f"o{suffix}", [], 25)
    with pytest.raises(OutputError, match="64x48 px in a film of 128x96"):
        write(tmp_path / f"o{suffix}", [*moving(2), media.pictures(1)[0]], 25)
    assert list(tmp_path.iterdir()) == []
