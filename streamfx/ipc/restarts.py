"""How often a process that fails is started anew before it is left alone for a while."""

from __future__ import annotations

from collections import deque
from time import monotonic

MOST_FAILURES = 5
WITHIN_S = 60.0
"""So many failures in that time, and it is left alone."""
PAUSE_S = 60.0


class RestartBudget:
    """The latest failures of one process. Its owner's thread alone calls."""

    def __init__(self) -> None:
        self._failures: deque[float] = deque(maxlen=MOST_FAILURES)

    def spend(self) -> float:
        """Note a failure just now; the seconds to wait before the next start, 0 while the budget lasts."""
        now = monotonic()
        self._failures.append(now)
        if len(self._failures) < MOST_FAILURES or now - self._failures[0] >= WITHIN_S:
            return 0.0
        self._failures.clear()
        return PAUSE_S
