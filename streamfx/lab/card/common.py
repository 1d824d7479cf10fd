"""What is drawn in all measurements, and how a piece of work is timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import cycle
from time import perf_counter_ns
from typing import Final

import numpy as np
import torch

from streamfx import config
from streamfx.driving.template import MotionTemplate
from streamfx.frames import Motion, Rig
from streamfx.models.store import Store
from streamfx.pipeline import load_portrait
from streamfx.telemetry import StageTime, summary

SIZES: Final = ((640, 480), (1280, 720), (1920, 1080))
WARM_UP: Final = 60
"""Frames before anything counts, at most."""
_PLAIN_RUNS: Final = 3


@cache
def rig_of(size: tuple[int, int]) -> Rig:
    """The demo's portrait in a frame of (width, height) px."""
    store = Store.default()
    store.pull()
    return load_portrait(store.path("astronaut"), size, store).rig


def motions() -> Iterator[Motion]:
    """The demo's, for ever."""
    return cycle(list(MotionTemplate.load(config.demo_motion_file()).frames()))


def warm_up(frames: int) -> int:
    """How many of so many frames do not count."""
    return min(WARM_UP, frames // 2)


def recorded(operations: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Operations on fixed tensors, as the product runs them: on a card as a CUDA graph."""
    if device.type != "cuda":
        return operations
    for _ in range(_PLAIN_RUNS):
        operations()
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        operations()
    return graph.replay


def timed(name: str, run: Callable[[int], None], frames: int, device: torch.device) -> StageTime:
    """How long `run(number)` takes until the card is done, in ms."""
    taken = []
    for number in range(frames):
        start = perf_counter_ns()
        run(number)
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()
        taken.append((perf_counter_ns() - start) / 1e6)
    return summary(name, np.array(taken[warm_up(frames) :]))


def told(time: StageTime) -> str:
    """A time in words."""
    return f"{time.stage} {time.median_ms:.2f} ms (95 %: {time.p95_ms:.2f})"
