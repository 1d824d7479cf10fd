"""Weighted similarity fits between the canonical face and landmarks, and rotation vectors.

Weak perspective is enough for MediaPipe's landmarks: their z has the scale of x (1.03 measured on 102 faces).
Conventions as in frames.py: px in pictures, cm in canonical space, x right, y down, z away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from streamfx.topology import FACE_VERTICES, INNER_MOUTH

F64 = npt.NDArray[np.float64]
Real = npt.NDArray[np.floating]

NOISE_FLOOR_CM: Final = 0.10
"""Landmark noise added to each vertex's expression spread, so that no vertex carries the fit alone."""

_PRIOR_STEADY: Final = (
    1, 2, 4, 5, 6, 8, 9, 19, 94, 122, 168, 193, 195, 197, 245, 351, 417, 465,
    33, 133, 263, 362, 98, 97, 326, 327,
)  # fmt: skip
"""Nose ridge, bridge and eye corners: what expressions move least."""
_PRIOR_LIPS: Final = (
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146, *INNER_MOUTH,
)  # fmt: skip
_PRIOR_CM: Final = (0.04, 0.6, 0.2)
"""Expression spread of steady parts, lips, and all others."""


@dataclass(frozen=True, slots=True)
class Pose:
    """A similarity from canonical space to a picture: image = scale * rotation @ canonical + translation."""

    scale: float
    """px per cm"""
    rotation: F64 = field(repr=False)
    """f64 [3,3], proper"""
    translation: F64
    """f64 [3] px: where the canonical origin lies"""

    def to_image(self, points: Real) -> F64:
        """Canonical [N,3] cm -> picture f64 [N,3] px."""
        out: F64 = self.scale * (points @ self.rotation.T) + self.translation
        return out

    def to_canonical(self, landmarks: Real) -> F64:
        """Picture [N,3] px -> canonical f64 [N,3] cm: the exact inverse of to_image."""
        out: F64 = ((landmarks - self.translation) @ self.rotation) / self.scale
        return out


def fit_pose(model: Real, landmarks: Real, weights: Real) -> Pose:
    """argmin over s, R, t of sum_i w_i |s R X_i + t - L_i|^2 (Umeyama 1991, weighted).

    Args:
        model: [N,3] cm, the person's neutral or the canonical face.
        landmarks: [N,3] px (rows beyond N are ignored).
        weights: [N] >= 0, not all zero.
    """
    w = np.asarray(weights, np.float64)
    w = w / w.sum()
    X = np.asarray(model, np.float64)
    L = np.asarray(landmarks[: len(X)], np.float64)
    x_mean, l_mean = w @ X, w @ L
    Xc = X - x_mean
    wX = w[:, None] * Xc
    U, D, Vt = np.linalg.svd((L - l_mean).T @ wX)
    flip = 1.0 if np.linalg.det(U @ Vt) > 0 else -1.0
    U[:, 2] *= flip  # a mirrored solution is no rotation
    R: F64 = U @ Vt
    scale = float((D[0] + D[1] + flip * D[2]) / max(float(np.vdot(wX, Xc)), 1e-12))
    return Pose(scale, R, l_mean - scale * (R @ x_mean))


def residual_cm(pose: Pose, model: Real, landmarks: Real, weights: Real) -> float:
    """Weighted root mean square distance, in cm, of the landmarks to the model, in the model's frame."""
    off = pose.to_canonical(landmarks[: len(model)]) - model
    return float(np.sqrt(np.average(np.einsum("ij,ij->i", off, off), weights=weights)))


def vertex_weights(rms: Real | None = None) -> F64:
    """f64 [468]: how much each vertex counts in a pose fit, w = 1 / (rms^2 + 0.10^2).

    Args:
        rms: [468] cm, how far expressions move each vertex (face_basis.npz); None takes priors.
    """
    spread = prior_rms() if rms is None else np.asarray(rms, np.float64)
    out: F64 = 1.0 / (spread**2 + NOISE_FLOOR_CM**2)
    return out


def prior_rms() -> F64:
    """f64 [468] cm: spread of each vertex under expression where no measured one is at hand."""
    steady, lips, others = _PRIOR_CM
    rms = np.full(FACE_VERTICES, others)
    rms[list(_PRIOR_LIPS)] = lips
    rms[list(_PRIOR_STEADY)] = steady
    return rms


def rotation_vector(rotation: Real) -> F64:
    """f64 [3] rad of a rotation matrix: axis times angle."""
    vector, _ = cv2.Rodrigues(np.asarray(rotation, np.float64))
    return np.asarray(vector, np.float64).reshape(3)


def rotation_matrix(vector: Real) -> F64:
    """f64 [3,3] of a rotation vector in rad."""
    matrix, _ = cv2.Rodrigues(np.asarray(vector, np.float64).reshape(3, 1))
    return np.asarray(matrix, np.float64)


def mean_rotation(rotations: Real, weights: Real | None = None) -> F64:
    """f64 [3,3]: the chordal mean of [N,3,3] rotations, weighted by [N]."""
    U, _, Vt = np.linalg.svd(np.average(rotations, axis=0, weights=weights))
    U[:, 2] *= np.sign(np.linalg.det(U @ Vt))
    out: F64 = U @ Vt
    return out


def yaw_pitch_roll(rotation: Real) -> tuple[float, float, float]:
    """Degrees, in the picture: yaw > 0 turns the nose right, pitch > 0 down, roll > 0 is clockwise."""
    R = rotation
    forward = -R[:, 2]  # the face looks along -z
    yaw = np.degrees(np.arctan2(forward[0], -forward[2]))
    pitch = np.degrees(np.arctan2(forward[1], np.hypot(forward[0], forward[2])))
    roll = np.degrees(np.arctan2(R[1, 0], R[0, 0]))
    return float(yaw), float(pitch), float(roll)
