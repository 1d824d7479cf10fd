"""The stream's timestamps as strictly increasing nanoseconds from the first picture on."""

from __future__ import annotations

from typing import Final

MIN_STEP_NS: Final = 1_000_000
"""Given to a picture whose timestamp does not increase: trackers count in milliseconds."""
MAX_BACK_NS: Final = 1_000_000_000
"""Running back farther than this is a new beginning (spliced recordings), not a slip."""
MAX_LEAP_NS: Final = 60_000_000_000
"""Leaping farther than this is a damaged timestamp or a splice, not a slow screen recording."""


class Timeline:
    """Repairs as little as possible: a good timestamp passes unchanged, relative to the first picture.

    Args:
        nominal_ns: the usual distance between pictures, used where a timestamp is missing.
    """

    def __init__(self, nominal_ns: int) -> None:
        self.repaired = 0
        self.jumps = 0
        """Discontinuities: the clock was re-based and filters should reset."""
        self._nominal_ns = max(MIN_STEP_NS, nominal_ns)
        self._last: int | None = None
        self._offset: int | None = None

    def stamp(self, raw_ns: int | None) -> int:
        """The time of the next picture in ns, 0 for the first, each greater than the one before."""
        expected = 0 if self._last is None else self._last + self._nominal_ns
        if raw_ns is None:
            self.repaired += 1
            time_ns = expected
        else:
            time_ns = self._place(raw_ns, expected)
        self._last = time_ns
        return time_ns

    def _place(self, raw_ns: int, expected: int) -> int:
        if self._offset is None:
            self._offset = expected - raw_ns
        time_ns = raw_ns + self._offset
        if self._last is None or self._last < time_ns <= self._last + MAX_LEAP_NS:
            return time_ns
        self.repaired += 1
        if self._last - MAX_BACK_NS < time_ns <= self._last:
            return self._last + MIN_STEP_NS
        self.jumps += 1
        self._offset = expected - raw_ns
        return expected
