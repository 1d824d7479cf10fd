"""A remote driver's motion in bytes: numbers only, bounded before they reach the renderer.

count u16 of expression values (48 coefficients, or 468 x 3 cm), then f32 each:
expression, rotation 3, translation 3, scale, gaze 2, lip gaps 9, lid closure 2, presence
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from streamfx.frames import Motion
from streamfx.models.face_basis import load_face_basis

COEFFICIENTS: Final = 48
VALUES: Final = 468 * 3
_COUNT: Final = struct.Struct("<H")
PARTS: Final = {
    "rotation": (3, -3.2, 3.2),
    "translation": (3, -100.0, 100.0),
    "scale": (1, 0.1, 10.0),
    "gaze": (2, -2.0, 2.0),
    "lip_gaps": (9, 0.0, 20.0),
    "lid_closure": (2, -1.0, 1.5),
    "presence": (1, 0.0, 1.0),
}
"""Values and their limits, as in a motion template."""
_TAIL: Final = sum(count for count, _, _ in PARTS.values())
MOST_CM: Final = 20.0
MOST_COEFFICIENT: Final = 100.0


def pack(expression: Sequence[float], tail: Sequence[float]) -> bytes:
    """The bytes of a motion.

    Args:
        expression: 48 coefficients or 1404 cm.
        tail: rotation, translation, scale, gaze, lip gaps, lid closure, presence: 21 values.
    """
    return _COUNT.pack(len(expression)) + np.array([*expression, *tail], "<f4").tobytes()


def unpack(data: bytes, captured_ns: int, seq: int) -> Motion:
    """The motion in bytes, every number finite and within its limits.

    Args:
        data: see above.
        captured_ns: monotonic clock: when it arrived.
        seq: running number.

    Raises:
        ValueError: it has another length. Numbers out of range are clipped, for they came checked.
    """
    count = _COUNT.unpack_from(data)[0] if len(data) >= _COUNT.size else 0
    if count not in (COEFFICIENTS, VALUES) or len(data) != _COUNT.size + 4 * (count + _TAIL):
        raise ValueError(f"{len(data)} bytes are no motion")
    values = np.nan_to_num(np.frombuffer(data, "<f4", offset=_COUNT.size).astype(np.float32))
    expression, tail = values[:count], values[count:]
    if count == COEFFICIENTS:
        limited = np.clip(expression, -MOST_COEFFICIENT, MOST_COEFFICIENT)
        moved = load_face_basis().expand(limited)
    else:
        moved = expression.reshape(468, 3)
    parts = {}
    start = 0
    for name, (length, low, high) in PARTS.items():
        parts[name] = np.clip(tail[start : start + length], low, high)
        start += length
    return Motion(
        expression=np.clip(moved, -MOST_CM, MOST_CM).astype(np.float32),
        rotation=parts["rotation"],
        translation=parts["translation"],
        scale=float(parts["scale"][0]),
        gaze=parts["gaze"],
        lip_gaps=parts["lip_gaps"],
        lid_closure=parts["lid_closure"],
        captured_ns=captured_ns,
        seq=seq,
        presence=float(parts["presence"][0]),
        held=parts["presence"][0] <= 0,
    )
