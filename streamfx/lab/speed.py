"""What `streamfx bench` measures: one portrait and clip, frame by frame, pipelined, and beside a baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import Final

import numpy as np

from streamfx.driving.face import FaceDriver
from streamfx.frames import Motion, Rig
from streamfx.lab.baseline import ThinPlateWarp
from streamfx.models.store import Store
from streamfx.pipeline import Animator
from streamfx.portrait.deform import deform
from streamfx.render.base import Device, Networks, RenderDevice
from streamfx.source import Source
from streamfx.source.looped import LoopedSource
from streamfx.telemetry import StageTime, StageTimer, peak_bytes, summary

WARM_UP: Final = 30
"""Frames before anything counts: compiled functions are loaded, pools filled, the tracker has its face."""
GEOMETRY: Final = ("motion", "deform", "warp")
"""Motion filter; deformation; rasterising, remapping, eyes and layers."""
BASELINE_FRAMES: Final = 100


@dataclass(frozen=True, slots=True)
class Speed:
    """Times of one size, in ms."""

    device: str
    """`cpu` or `cuda`."""
    decoder: str
    """`software` or `cuda`: what decoded the clip; a card is asked where it renders."""
    size: tuple[int, int]
    stages: tuple[StageTime, ...]
    """Of the frame-by-frame pass."""
    beside: tuple[StageTime, ...]
    """Of the pipelined pass: the same stages while tracking goes on beside them."""
    geometry: StageTime
    """Per-frame sum of the stages GEOMETRY."""
    whole: StageTime
    """From asking for a picture to the finished frame, all stages in one thread: the frame's latency."""
    interval: StageTime
    """Between finished frames when tracking runs ahead of rendering, as in `render`."""
    baseline: StageTime
    """Thin-plate-spline warp of the same photo by the same motions."""
    peak_mb: float
    """The most memory of the process so far, this size and those before it."""

    @property
    def fps(self) -> float:
        """Frames per second, pipelined, by the median interval."""
        return 1e3 / self.interval.median_ms


@dataclass(frozen=True, slots=True)
class Drawn:
    """Whose pictures are made, and where."""

    rig: Rig
    networks: Networks
    studio: RenderDevice
    device: str
    """The studio's."""

    def animator(self, timer: StageTimer) -> Animator:
        """With a renderer of its own."""
        return Animator(self.rig, renderer=self.studio.renderer(self.rig, self.networks), timer=timer)


def measure(drawn: Drawn, clip: Path, store: Store, frames: int) -> Speed:
    """Time `frames` frames of `clip`, looped, on a rig, in each pass.

    Raises:
        SourceError: the clip cannot be opened.
        ModelError: a network is not shipped, or damaged.
    """
    timer, beside, motions = StageTimer(), StageTimer(), list[Motion]()
    animator = drawn.animator(timer)
    looped = partial(LoopedSource, clip, WARM_UP + frames, hardware=drawn.device == Device.CUDA)
    with looped() as source, _animation(animator, source, store, depth=0, seen=motions.append) as animated:
        whole = _intervals("whole frame", animated, after_warm_up=timer.clear)
    animator = drawn.animator(beside)
    with looped() as source, _animation(animator, source, store, depth=8) as animated:
        interval = _intervals("pipelined interval", animated, after_warm_up=beside.clear)
        decoder = source.statistics.decoder
    return Speed(
        device=drawn.device,
        decoder=decoder,
        size=drawn.rig.size,
        stages=tuple(timer.times()),
        beside=tuple(beside.times()),
        geometry=timer.together("geometry", GEOMETRY),
        whole=whole,
        interval=interval,
        baseline=_baseline(drawn.rig, motions[-BASELINE_FRAMES:]),
        peak_mb=round(peak_bytes() / 1e6, 1),
    )


@contextmanager
def _animation(
    animator: Animator,
    source: Source,
    store: Store,
    *,
    depth: int,
    seen: Callable[[Motion], None] = lambda _: None,
) -> Iterator[Iterator[object]]:
    """The pipeline as an iterator of finished frames. No lookahead: every frame pays for its own tracking."""
    driver = FaceDriver(source, store, animator.timer, lookahead=0, depth=depth)
    with closing(driver.motions()) as motions:

        def animated() -> Iterator[object]:
            for motion in motions:
                yield animator.animate(motion)
                seen(motion)

        yield animated()


def _intervals(
    name: str, values: Iterator[object], after_warm_up: Callable[[], None] = lambda: None
) -> StageTime:
    """The times between one value and the next, without those of the warm-up."""
    taken = []
    last = perf_counter_ns()
    for number, _ in enumerate(values, 1):
        now = perf_counter_ns()
        taken.append((now - last) / 1e6)
        if number == WARM_UP:
            after_warm_up()
        last = perf_counter_ns()
    return summary(name, np.array(taken[WARM_UP:]))


def _baseline(rig: Rig, motions: list[Motion]) -> StageTime:
    warp = ThinPlateWarp(rig)
    taken = []
    for motion in motions:
        vertices = deform(rig, motion).vertices
        start_ns = perf_counter_ns()
        warp.warp(vertices)
        taken.append((perf_counter_ns() - start_ns) / 1e6)
    return summary("baseline warp", np.array(taken))
