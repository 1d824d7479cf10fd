"""What a run costs: stage times as medians and percentiles, and memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Final

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]
"""Milliseconds, one per frame."""

_KEPT: Final = 4096
"""Latest samples per stage: enough for a p95, and a film of any length takes no more memory."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """One stage's times over the latest frames."""

    stage: str
    median_ms: float
    p95_ms: float
    p99_ms: float
    count: int
    """Frames timed in all."""


class StageTimer:
    """Collects stage times. Stages may run in different threads, each stage in one."""

    def __init__(self) -> None:
        self._samples: dict[str, Samples] = {}
        self._counts: dict[str, int] = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Time the block as one run of `stage`."""
        start = perf_counter_ns()
        try:
            yield
        finally:
            self.add(stage, perf_counter_ns() - start)

    def add(self, stage: str, elapsed_ns: int) -> None:
        """Count one run of `stage` that took `elapsed_ns`."""
        samples = self._samples.setdefault(stage, np.zeros(_KEPT))
        count = self._counts.get(stage, 0)
        samples[count % _KEPT] = elapsed_ns / 1e6
        self._counts[stage] = count + 1

    def clear(self) -> None:
        """Forget what was timed so far (a warm-up)."""
        self._samples.clear()
        self._counts.clear()

    def times(self) -> list[StageTime]:
        """One row per stage, in the order in which the stages first ran."""
        ran = list(self._counts.items())  # a copy: another thread may just add a stage
        return [summary(stage, self._seen(stage), count) for stage, count in ran]

    def together(self, name: str, stages: Iterable[str]) -> StageTime:
        """The sums of stages that each ran once in every frame."""
        seen = [self._seen(stage) for stage in stages]
        count = min(map(len, seen))
        return summary(name, np.sum([samples[:count] for samples in seen], axis=0), count)

    def _seen(self, stage: str) -> Samples:
        return self._samples[stage][: min(self._counts[stage], _KEPT)]


def summary(stage: str, milliseconds: Samples, count: int | None = None) -> StageTime:
    """Median, 95th and 99th percentile of some times, one of them or more."""
    median, p95, p99 = np.percentile(milliseconds, (50, 95, 99)).tolist()
    return StageTime(stage, median, p95, p99, len(milliseconds) if count is None else count)


def resident_bytes() -> int:
    """Memory of this process that lies in RAM now; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """The most memory of this process that ever lay in RAM; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
