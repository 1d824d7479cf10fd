"""Lip gaps, lid closure and gaze of a face in canonical space: small signals, exact at their ends.

Source: algorithm.md#closure; measured on 706 closed-mouth frames of six drivers and 258 lid closures.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streamfx.frames import F32
from streamfx.geometry import F64, Real
from streamfx.topology import EYE_CORNERS, IRIS, LID_LOWER, LID_UPPER, LIP_LOWER, LIP_UPPER

LIPS_CLOSED_CM: Final = 0.04
"""Closed lips measure up to this much more than the same person's closed lips at rest."""
LIPS_PARTING_CM: Final = (0.02, 0.08)
"""Mean gap of all pairs over which lips part: below, a single pair's gap is noise."""
LIPS_BIAS_CM: Final = (0.12, 0.20)
"""A mean gap at rest up to the first is the landmarks' bias on closed lips (up to .11 on soft or dark
pictures) and is taken off; from the second on the mouth really rests open, and a usual bias is."""
USUAL_BIAS_CM: Final = 0.04
LIDS_CLOSED: Final = 0.05
"""Gap over eye width of a closed eye."""
LEAST_LID_RANGE: Final = 0.08
"""Least difference between rest and closed; narrow eyes at rest must not make noise into blinks."""
WIDEST_LIDS: Final = -0.6
COUPLED: Final = 0.25
"""Lids that differ by less move together: a real wink differs by more."""
GAZE_MOST: Final = (0.20, 0.08)
"""Eye widths, horizontal and vertical."""
GAZE_GAIN: Final = (1.0, 0.5)
"""Vertical gaze is noisy."""

_MIDDLE_UPPER: Final = tuple(list(lids[1:6]) for lids in LID_UPPER)
_MIDDLE_LOWER: Final = tuple(list(lids[1:6]) for lids in LID_LOWER)
"""The five middle lid pairs."""


def lip_gaps(face: Real, at_rest: Real) -> F32:
    """f32 [9] cm >= 0 between LIP_UPPER and LIP_LOWER; 0 is closed.

    Args:
        face, at_rest: [>=468,3] cm, canonical, now and at the driver's neutral.
    """
    gaps = raw_lip_gaps(face) - _bias(at_rest)
    shut, parted = LIPS_PARTING_CM
    parting = np.clip((gaps.mean() - shut) / (parted - shut), 0, 1)
    return np.asarray(np.maximum(gaps - LIPS_CLOSED_CM, 0) * parting, np.float32)


def raw_lip_gaps(face: Real) -> F64:
    """f64 [9] cm: the gaps as the landmarks show them, below 0 where they cross."""
    out: F64 = face[list(LIP_LOWER), 1] - face[list(LIP_UPPER), 1]
    return out


def _bias(at_rest: Real) -> F64:
    """f64 [9] cm: what the landmarks show between this driver's closed lips."""
    gaps = np.maximum(raw_lip_gaps(at_rest), 0)
    sure, never = LIPS_BIAS_CM
    known = np.clip((never - gaps.mean()) / (never - sure), 0, 1)
    out: F64 = gaps * known + USUAL_BIAS_CM * (1 - known)
    return out


def lid_openings(face: Real) -> F64:
    """f64 [2], right and left: mean lid gap over eye width of canonical [>=468,3]."""
    return np.array([_opening(face, side) for side in (0, 1)])


def _opening(face: Real, side: int) -> float:
    gap = face[_MIDDLE_LOWER[side], 1] - face[_MIDDLE_UPPER[side], 1]
    outer, inner = EYE_CORNERS[side]
    width = np.hypot(*(face[outer, :2] - face[inner, :2]))
    return float(np.mean(gap) / max(width, 1e-6))


def lid_closure(openings: F64, at_rest: F64) -> F32:
    """f32 [2]: 0 as at rest, 1 closed, down to -0.6 wider.

    Args:
        openings, at_rest: f64 [2] from lid_openings, now and at the driver's neutral.
    """
    closure = (at_rest - openings) / np.maximum(at_rest - LIDS_CLOSED, LEAST_LID_RANGE)
    closure = np.clip(closure, WIDEST_LIDS, 1)
    if abs(closure[0] - closure[1]) < COUPLED:
        closure[:] = closure.mean()
    return closure.astype(np.float32)


def iris_offset(face: Real) -> F64:
    """f64 [2], eye widths: the irises' mean distance from the middle of their eyes, canonical [478,3]."""
    out: F64 = np.mean([_iris_offset(face, side) for side in (0, 1)], axis=0)
    return out


def _iris_offset(face: Real, side: int) -> F64:
    outer, inner = (face[corner, :2] for corner in EYE_CORNERS[side])
    out: F64 = (face[IRIS[side][0], :2] - (outer + inner) / 2) / max(np.hypot(*(outer - inner)), 1e-6)
    return out


def gaze(turned: F64) -> F32:
    """f32 [2] eye widths, x right, y down: an iris offset against neutral f64 [2], damped and clamped."""
    return np.clip(turned * GAZE_GAIN, np.negative(GAZE_MOST), GAZE_MOST).astype(np.float32)
