"""Does memory grow? A film is rendered from a looped driver for minutes, and memory is read on the way.

python -m streamfx.lab.soak --minutes 10
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Final

import numpy as np

from streamfx.driving.face import FaceDriver
from streamfx.errors import StreamfxError
from streamfx.frames import Rendered
from streamfx.lab.demo_clip import demo_clip
from streamfx.models.store import Store
from streamfx.models.weights import Profile
from streamfx.pipeline import Animator, animate, load_portrait
from streamfx.render.base import Networks
from streamfx.rendering import open_device
from streamfx.sink.film import FilmWriter
from streamfx.source.looped import LoopedSource
from streamfx.telemetry import StageTimer, resident_bytes

SIZE: Final = (640, 480)
LITE: Final = Networks(Profile.LITE, Profile.LITE)
"""As people use it."""
ALLOWED_MB: Final = 20.0
"""Growth after warm-up that a ten-minute render may show."""
_WARM: Final = 0.2
"""Share of the run that fills caches and pools."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Memory at a moment."""

    seconds: float
    resident_mb: float
    frames: int


def soak(
    photo: Path,
    clip: Path,
    seconds: float,
    *,
    networks: Networks = LITE,
    every_s: float = 10.0,
    each: Callable[[Rendered], None] = lambda _: None,
    tell: Callable[[Reading], None] = lambda _: None,
) -> list[Reading]:
    """Render `clip` in rounds onto `photo`, into a film that is thrown away, for `seconds`.

    Args:
        networks: that take part.
        every_s: between readings of memory.
        each: called with every frame (tests plant their leak here).
        tell: called with every reading.
    """
    store = Store.default()
    store.pull()
    timer = StageTimer()
    portrait = load_portrait(photo, SIZE, store)
    rig = portrait.rig
    animator = Animator(rig, renderer=open_device().renderer(rig, networks), timer=timer)
    with (
        tempfile.TemporaryDirectory() as folder,
        LoopedSource(clip) as source,
        closing(FaceDriver(source, store, timer).motions()) as motions,
        FilmWriter(Path(folder) / "soak.mp4", SIZE, source.info.fps) as film,
    ):
        readings: list[Reading] = []
        start_ns = monotonic_ns()
        for rendered in animate(animator, motions):
            film.write(rendered)
            each(rendered)
            elapsed = (monotonic_ns() - start_ns) / 1e9
            if elapsed >= every_s * (len(readings) + 1):
                readings.append(Reading(elapsed, resident_bytes() / 1e6, film.frames))
                tell(readings[-1])
            if elapsed >= seconds:
                return readings
    return readings


def growth_mb(readings: Sequence[Reading]) -> float:
    """Growth of memory after warm-up: median of the last fifth less median of the fifth after warm-up."""
    warm = [r.resident_mb for r in readings if r.seconds >= _WARM * readings[-1].seconds]
    fifth = max(1, len(warm) // 5)
    return float(np.median(warm[-fifth:]) - np.median(warm[:fifth]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a soak from the command line; 1 if memory grew by more than is allowed."""
    parser = argparse.ArgumentParser(description="Render for minutes and watch the memory.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--portrait", type=Path, help="by default the demo's photo")
    parser.add_argument("--driver", type=Path, help="a video; by default one made from the demo's motion")
    arguments = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as folder:
            photo = arguments.portrait or Store.default().ensure("astronaut")
            clip = arguments.driver or demo_clip(Path(folder))
            readings = soak(photo, clip, 60 * arguments.minutes, tell=_print)
    except StreamfxError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    grown = growth_mb(readings) if readings else 0.0
    print(f"growth after warm-up: {grown:+.1f} MB (allowed: {ALLOWED_MB:g})")
    return int(grown > ALLOWED_MB)


def _print(reading: Reading) -> None:
    print(f"{reading.seconds:6.0f} s  {reading.resident_mb:7.1f} MB  {reading.frames:6d} frames", flush=True)


if __name__ == "__main__":
    sys.exit(main())
