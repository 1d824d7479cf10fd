"""Stage timers: how long each stage of the pipeline took, as medians and percentiles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Final

import numpy as np

_KEPT: Final = 4096
"""Latest samples per stage: enough for a p95, and a film of any length takes no more memory."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """One stage's times over the latest frames."""

    stage: str
    median_ms: float
    p95_ms: float
    count: int
    """Frames timed in all."""


class StageTimer:
    """Collects stage times. Stages may run in different threads, each stage in one."""

    def __init__(self) -> None:
        self._samples: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
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

    def times(self) -> list[StageTime]:
        """One row per stage, in the order in which the stages first ran."""
        rows = []
        for stage, samples in self._samples.items():
            count = self._counts[stage]
            seen = samples[: min(count, _KEPT)]
            rows.append(StageTime(stage, float(np.median(seen)), float(np.percentile(seen, 95)), count))
        return rows
