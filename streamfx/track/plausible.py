"""Whether landmarks are a face. MediaPipe reports no score of its own, so the geometry has to tell."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from streamfx.frames import F32
from streamfx.geometry import fit_pose, residual_cm, vertex_weights
from streamfx.models.face_model import load_face_model

SMALLEST_PX: Final = 24.0
"""Least face height; below, landmarks are guesses."""
WORST_FIT_CM: Final = 1.2
"""Largest residual of a rigid fit to the canonical face; real faces stay well below, mouth open or not."""


class FaceGate:
    """Judges landmarks by how well the canonical face of `task_path` fits them."""

    def __init__(self, task_path: Path) -> None:
        self._vertices = load_face_model(task_path).vertices.astype(np.float64)
        self._weights = vertex_weights()

    def confidence(self, landmarks: F32) -> float:
        """How face-like f32 [478,3] px are: 1 is the canonical face; 0 is no face, or one too small."""
        if not np.isfinite(landmarks).all() or np.ptp(landmarks[:, 1]) < SMALLEST_PX:
            return 0.0
        return max(0.0, 1.0 - self.residual_cm(landmarks) / WORST_FIT_CM)

    def residual_cm(self, landmarks: F32) -> float:
        """Weighted rms distance, in cm, to the canonical face."""
        pose = fit_pose(self._vertices, landmarks, self._weights)
        return residual_cm(pose, self._vertices, landmarks, self._weights)

    def roll(self, landmarks: F32) -> float:
        """Angle in rad, clockwise, by which the head leans in the picture."""
        across = fit_pose(self._vertices, landmarks, self._weights).rotation[:2, 0]
        return float(np.arctan2(across[1], across[0]))
