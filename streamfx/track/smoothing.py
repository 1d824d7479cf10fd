"""The One-Euro filter (Casiez et al. 2012) on arrays and true time steps."""

from __future__ import annotations

from typing import Final

import numpy as np

from streamfx.geometry import F64, Real

LONGEST_STEP_S: Final = 0.25
"""A longer gap starts the filter anew: what was before says nothing any more."""


class OneEuro:
    """Low-pass per coordinate, whose cutoff rises with speed: still when at rest, prompt when moving.

    Args:
        cutoff_hz: cutoff at rest.
        beta: Hz of cutoff per unit/s of speed.
        derivative_hz: cutoff of the speed's own low-pass.
    """

    def __init__(self, cutoff_hz: float, beta: float, derivative_hz: float = 1.0) -> None:
        self._cutoff, self._beta, self._derivative = cutoff_hz, beta, derivative_hz
        self.reset()

    def reset(self) -> None:
        """Take the next value as it is."""
        self._value: F64 | None = None
        self._speed: F64 | None = None

    def __call__(self, value: Real, step_s: float) -> F64:
        """The filtered value, of the same shape, `step_s` seconds after the one before."""
        new = np.asarray(value, np.float64)
        if self._value is None or self._speed is None or not 0 < step_s <= LONGEST_STEP_S:
            self._value, self._speed = new, np.zeros_like(new)
            return new
        change = (new - self._value) / step_s
        self._speed = self._speed + _share(self._derivative, step_s) * (change - self._speed)
        cutoff = self._cutoff + self._beta * np.abs(self._speed)
        self._value = self._value + _share(cutoff, step_s) * (new - self._value)
        return self._value


def _share(cutoff_hz: F64 | float, step_s: float) -> F64:
    """How much of the difference to the new value a step takes: 1 / (1 + tau / dt)."""
    omega = 2 * np.pi * np.asarray(cutoff_hz) * step_s
    out: F64 = omega / (1 + omega)
    return out
