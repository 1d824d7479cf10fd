"""A remote driver's motion as it comes over the wire: numbers only, checked before they go to a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final

from streamfx.errors import SettingRefused
from streamfx.worker.remote import COEFFICIENTS, MOST_CM, MOST_COEFFICIENT, PARTS, VALUES, pack


@dataclass(frozen=True, slots=True)
class MotionNumbers:
    """As frames.Motion: an offset from the driver's neutral. Coefficients or expression, or neither."""

    coefficients: tuple[float, ...] = ()
    """48 of the shipped expression basis."""
    expression: tuple[float, ...] = ()
    """468 x 3 cm, vertex after vertex."""
    rotation: tuple[float, ...] = (0.0, 0.0, 0.0)
    """rad"""
    translation: tuple[float, ...] = (0.0, 0.0, 0.0)
    """cm"""
    scale: float = 1.0
    gaze: tuple[float, ...] = (0.0, 0.0)
    """eye widths"""
    lip_gaps: tuple[float, ...] = (0.0,) * 9
    """cm"""
    lid_closure: tuple[float, ...] = (0.0, 0.0)
    presence: float = 1.0
    captured_ns: int = 0
    """The sender's clock; only differences count."""


def check_motion(motion: MotionNumbers) -> None:
    """Refuse what is no motion.

    Raises:
        SettingRefused: a value is missing, not finite, or beyond its limits.
    """
    if motion.coefficients and motion.expression:
        raise SettingRefused("expression", "coefficients are given, too", "Give one of both")
    _check("coefficients", motion.coefficients, (0, COEFFICIENTS), MOST_COEFFICIENT)
    _check("expression", motion.expression, (0, VALUES), MOST_CM)
    for name, (count, low, high) in PARTS.items():
        value = getattr(motion, name)
        values = value if isinstance(value, tuple) else (value,)
        _check(name, values, (count,), high, low)


def packed(motion: MotionNumbers) -> bytes:
    """The bytes for the worker (worker/remote.py)."""
    tail: list[float] = []
    for name in PARTS:
        value = getattr(motion, name)
        tail += value if isinstance(value, tuple) else (value,)
    return pack(motion.expression or motion.coefficients or _AT_REST, tail)


_AT_REST: Final = (0.0,) * COEFFICIENTS


def _check(
    name: str, values: Sequence[float], counts: tuple[int, ...], most: float, least: float | None = None
) -> None:
    if len(values) not in counts:
        wanted = " or ".join(map(str, counts))
        raise SettingRefused(name, f"it has {len(values)} values", f"Give {wanted}")
    low = -most if least is None else least
    for value in values:
        if not isfinite(value) or not low <= value <= most:
            raise SettingRefused(name, f"it holds {value:g}", f"Keep within {low:g} to {most:g}")
