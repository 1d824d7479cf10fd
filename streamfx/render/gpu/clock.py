"""How long a card works on each step: by its own events, which cost the frame nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from streamfx.telemetry import StageTimer


class Clock:
    """Takes a frame's times on a card; on the CPU, whose times the pipeline takes itself, nothing."""

    def __init__(self, device: torch.device, timer: StageTimer | None = None) -> None:
        """Take times for a timer; without one, none."""
        self._timer = timer if device.type == "cuda" else None
        self._taken: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Time what is sent to the card in this block."""
        if self._timer is None:
            yield
            return
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        yield
        end.record()
        self._taken.append((step, start, end))

    def note(self) -> None:
        """Hand over a frame's times, once the card is done with it."""
        if self._timer is None:
            return
        total = 0.0
        for step, start, end in self._taken:
            elapsed = start.elapsed_time(end)
            total += elapsed
            self._timer.add(f"gpu {step}", round(elapsed * 1e6))
        self._timer.add("gpu frame", round(total * 1e6))
        self._taken.clear()
