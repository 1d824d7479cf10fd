"""Keeping frame time on a busy machine: the networks are left out while rendering takes too long."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Final

_WINDOW: Final = 15
"""Latest pictures that are judged."""
_BUSY, _EASY = 0.8, 0.55
"""Of a frame's time, for rendering: above, networks are left out; below, with them, they stay."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 3.0, 60.0


class LoadGovernor:
    """FULL while the machine keeps up, WARP_ONLY while it does not; tried again after a pause that grows."""

    def __init__(self, fps: float) -> None:
        self.full = True
        """Whether the networks take part in the next picture."""
        self._period_s = 1 / fps
        self._spent: deque[float] = deque(maxlen=_WINDOW)
        self._pause_s = _FIRST_PAUSE_S
        self._again_ns = 0

    def note(self, spent_s: float, now_ns: int) -> None:
        """Judge by the time that the last picture took to render.

        Args:
            spent_s: seconds.
            now_ns: monotonic clock.
        """
        self._spent.append(spent_s)
        if len(self._spent) < _WINDOW:
            return
        load = median(self._spent) / self._period_s
        if self.full and load > _BUSY:
            self._change(False)
            self._again_ns = now_ns + round(self._pause_s * 1e9)
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        elif not self.full and now_ns >= self._again_ns and load < _EASY:
            self._change(True)
        elif self.full and load < _EASY and now_ns - self._again_ns > 10e9 * self._pause_s:
            self._pause_s = _FIRST_PAUSE_S

    def _change(self, full: bool) -> None:
        self.full = full
        self._spent.clear()
