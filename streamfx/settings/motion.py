"""A motion as it comes from elsewhere: numbers only, each within what a head can do."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streamfx.errors import SettingRefused

BASIS: Final = 48
"""Coefficients of the shipped expression basis."""
VERTICES: Final = 3 * 468
"""Numbers of a whole expression."""
LATEST_NS: Final = 2**62
"""ns: no clock that counts from its machine's start comes near."""


@dataclass(frozen=True, slots=True)
class MotionNumbers:
    """What a driver does, as `frames.Motion`: an offset from the driver's neutral. The default is rest."""

    coefficients: tuple[float, ...] = ()
    """48 of the shipped expression basis, or none."""
    expression: tuple[float, ...] = ()
    """1404 cm (x, y, z of 468 vertices), or none."""
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """rad: rotation vector, in camera axes."""
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """cm, in camera axes."""
    scale: float = 1.0
    gaze: tuple[float, float] = (0.0, 0.0)
    """Eye widths: x right, y down."""
    lip_gaps: tuple[float, ...] = (0.0,) * 9
    """cm"""
    lid_closure: tuple[float, float] = (0.0, 0.0)
    """Right, left: 0 as at rest, 1 closed."""
    presence: float = 1.0
    captured_ns: int = 0
    """The sender's monotonic clock; only differences count."""


@dataclass(frozen=True, slots=True)
class _Range:
    """How many numbers a quantity may have, and from where to where each may lie."""

    counts: tuple[int, ...]
    low: float
    high: float


RANGES: Final = {
    "coefficients": _Range((0, BASIS), -100, 100),
    "expression": _Range((0, VERTICES), -20, 20),
    "rotation": _Range((3,), -3.2, 3.2),
    "translation": _Range((3,), -100, 100),
    "scale": _Range((1,), 0.1, 10),
    "gaze": _Range((2,), -2, 2),
    "lip_gaps": _Range((9,), 0, 20),
    "lid_closure": _Range((2,), -1, 1.5),
    "presence": _Range((1,), 0, 1),
    "captured_ns": _Range((1,), 0, LATEST_NS),
}
"""What a head can do: for the API, motion templates and the renderer alike."""
PACKED: Final = ("rotation", "translation", "scale", "gaze", "lip_gaps", "lid_closure", "presence")
"""What `packed` writes after the expression."""
_SLACK: Final = 1e-6
"""What single precision adds to a number at its limit."""


def check_motion(motion: MotionNumbers) -> None:
    """Refuse numbers that no tracker gives.

    Raises:
        SettingRefused: with the quantity (`motion.rotation`), what it holds and what it may hold.
    """
    for name, allowed in RANGES.items():
        value = getattr(motion, name)
        _check(f"motion.{name}", value if isinstance(value, tuple) else (value,), allowed)
    if motion.coefficients and motion.expression:
        raise SettingRefused("motion.expression", "coefficients are given as well", "give one of the two")


def packed(motion: MotionNumbers) -> bytes:
    """The bytes in which a worker takes a motion that was checked (driving/remote.py), little-endian.

    u16: how many values the expression has (48 coefficients, or 468 x 3 cm); then f32 each, the expression,
    and those of PACKED.
    """
    expression = motion.expression or motion.coefficients or (0.0,) * BASIS
    rest = [getattr(motion, name) for name in PACKED]
    tail = [number for value in rest for number in (value if isinstance(value, tuple) else (value,))]
    return struct.pack(f"<H{len(expression) + len(tail)}f", len(expression), *expression, *tail)


def _check(name: str, values: Sequence[float], allowed: _Range) -> None:
    if len(values) not in allowed.counts:
        counts = " or ".join(map(str, allowed.counts))
        raise SettingRefused(name, f"it has {len(values)} numbers", f"give {counts}")
    low, high = allowed.low, allowed.high
    # Written so that a number that is not one fails too.
    for value in values:
        if not low - _SLACK <= value <= high + _SLACK:
            raise SettingRefused(name, f"it holds {value:g}", f"each must be from {low:g} to {high:g}")
