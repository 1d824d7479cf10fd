"""The open mouth that a photo shows: by how much jaw, lips and cheeks are away from the same mouth, closed.

The driver's lips are absolute (algorithm.md#closure), so an open-mouthed photo must close: with its jaw, as a
person does, for lips that were drawn together alone would be stretched over the gap.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from streamfx.frames import F32, FaceTrack
from streamfx.geometry import F64
from streamfx.models.face_basis import MODES, SMILE_REGION, load_face_basis
from streamfx.topology import CHIN, FACE_VERTICES, LIP_LOWER, LIP_UPPER

CHIN_POINTS: Final = (CHIN, 148, 377, 175, 199)
"""They move with the jaw."""
LIPS_MIDDLE: Final = (13, 14)
"""The lips' inner edges, in the middle."""

_SMILE_SCORES = [44, 45]  # mouthSmileLeft, mouthSmileRight in MediaPipe's order
_CLOSED_CM, _OPEN_CM = 0.06, 0.20  # mean gap up to which lips count as closed, and from which on as open
_CHIN, _MIDDLE = (
    (0.77, -0.58),
    (0.54, -0.46),
)  # cm that chin and lips' middle sink per cm of gap; less in a smile
_NOISE = (
    *[0.05] * len(LIP_LOWER),
    0.10,
    0.10,
    0.05,
)  # of what is observed: gaps, share of smile, chin, middle


def mean_gap(shape: F32) -> float:
    """cm between the lips of a canonical face f32 [>=468,3]."""
    return float(np.mean(_gaps(shape)))


def smile_score(face: FaceTrack) -> float:
    """Mean of both sides' mouthSmile, 0..1."""
    return float(face.blendshapes[_SMILE_SCORES].mean())


def shown_opening(shape: F32, face: FaceTrack) -> F32:
    """What opening the mouth did to a face: f32 [468,3] cm, to be taken off to close it.

    The most likely expression of the basis with these gaps, with chin and lips where a mouth so wide has
    them, and without any smile: the photo keeps its own. On 59 open mouths of people whose closed mouths were
    known, it leaves .21 cm of the .50 cm by which lips and chin had moved.

    Args:
        shape: f32 [>=468,3] cm, canonical.
        face: its blendshapes tell how much of a smile it is, which bares teeth with little jaw.
    """
    gaps = np.maximum(_gaps(shape), 0)
    gap = float(gaps.mean())
    share = np.clip((gap - _CLOSED_CM) / (_OPEN_CM - _CLOSED_CM), 0, 1)
    smile = smile_score(face)
    chin, middle = (gap * (plain + smiling * smile) for plain, smiling in (_CHIN, _MIDDLE))
    opening = _likely() @ np.concatenate([gaps, [0.0, chin, middle]])
    return np.asarray(share * opening.reshape(FACE_VERTICES, 3), np.float32)


def _gaps(shape: F32) -> F32:
    return shape[list(LIP_LOWER), 1] - shape[list(LIP_UPPER), 1]


@cache
def _likely() -> F64:
    """f64 [1404,12]: the mean of the basis's expressions, given gaps, share of smile, chin and lips' middle.

    Of Gaussian coefficients (Bishop, Pattern Recognition and Machine Learning, 2006, eq. 3.53 f.).
    """
    basis = load_face_basis()
    modes = basis.modes.reshape(MODES, -1).astype(np.float64)
    observed = _observed(basis.smile) @ modes.T
    spread = np.diag(basis.std.astype(np.float64) ** 2)
    noise = np.diag(np.square(_NOISE))
    gain = spread @ observed.T @ np.linalg.inv(observed @ spread @ observed.T + noise)
    out: F64 = modes.T @ gain
    return out


def _observed(smile: F32) -> F64:
    """f64 [12,1404]: reads gaps, share of smile, chin and the lips' middle off an expression."""
    rows = np.zeros((len(_NOISE), FACE_VERTICES, 3))
    for row, (upper, lower) in enumerate(zip(LIP_UPPER, LIP_LOWER, strict=True)):
        rows[row, lower, 1], rows[row, upper, 1] = 1, -1
    region = list(SMILE_REGION)
    rows[-3, region] = smile[region] / np.vdot(smile[region], smile[region])
    rows[-2, list(CHIN_POINTS), 1] = 1 / len(CHIN_POINTS)
    rows[-1, list(LIPS_MIDDLE), 1] = 1 / len(LIPS_MIDDLE)
    return rows.reshape(len(rows), -1)
