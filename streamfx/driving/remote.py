"""A remote driver's motion: its bytes (settings.motion.packed) as a Motion, bounded before it is rendered."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from streamfx.frames import F32, Motion
from streamfx.models.face_basis import load_face_basis
from streamfx.settings.motion import BASIS, PACKED, RANGES, VERTICES

_COUNT: Final = struct.Struct("<H")
_TAIL: Final = sum(RANGES[name].counts[0] for name in PACKED)


def unpack(data: bytes, captured_ns: int, seq: int) -> Motion:
    """The motion in bytes, every number finite and within its limits.

    Args:
        data: of `packed`.
        captured_ns: monotonic clock: when it arrived.
        seq: running number.

    Raises:
        ValueError: it has another length. Numbers out of range are clipped, for they came checked.
    """
    count = _COUNT.unpack_from(data)[0] if len(data) >= _COUNT.size else 0
    if count not in (BASIS, VERTICES) or len(data) != _COUNT.size + 4 * (count + _TAIL):
        raise ValueError(f"{len(data)} bytes are no motion")
    values = np.nan_to_num(np.frombuffer(data, "<f4", offset=_COUNT.size).astype(np.float32))
    if count == BASIS:
        expression = load_face_basis().expand(_clipped("coefficients", values[:count]))
    else:
        expression = values[:count].reshape(468, 3)
    parts, start = {}, count
    for name in PACKED:
        end = start + RANGES[name].counts[0]
        parts[name] = _clipped(name, values[start:end])
        start = end
    return Motion(
        expression=_clipped("expression", expression),
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


def _clipped(name: str, values: F32) -> F32:
    allowed = RANGES[name]
    return np.clip(values, allowed.low, allowed.high).astype(np.float32)
