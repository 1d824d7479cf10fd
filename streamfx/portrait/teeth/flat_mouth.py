"""A photo's mouth laid flat: in the teeth's plane, upright, at the scale of their textures (teeth.py)."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

import cv2
import numpy as np

from streamfx.frames import F32, U8
from streamfx.geometry import F64, Pose
from streamfx.portrait.masks import polygon
from streamfx.portrait.teeth.drawn import DENSITY, DEPTH, SIZE
from streamfx.topology import INNER_MOUTH

_FINEST = 1.5  # photo px per texture px, from which they are averaged


@dataclass(frozen=True, slots=True)
class TeethPlane:
    """Where the portrait's teeth lie: the frontal plane of its head, a little behind the lips."""

    centre: F32
    """f32 [3] cm, canonical: midway between the portrait's lips."""
    rotation: F64
    """f64 [3,3]: the portrait's own; at it, textures lie where the photo's mouth is (render/mouth.py)."""

    def place(self, pose: Pose) -> F64:
        """f64 [2,3]: texture px -> px of a photo of the same person whose head has that pose."""
        turned, behind = pose.scale * pose.rotation[:2], np.array([0.0, 0.0, DEPTH])
        at_rest = pose.scale * self.rotation[:2] @ behind
        origin = turned @ (self.centre + behind) + pose.translation[:2] - at_rest
        linear = turned[:, :2] / DENSITY
        return np.column_stack([linear, origin - linear @ ((np.array(SIZE) - 1) / 2)])


@dataclass(frozen=True, slots=True)
class FlatMouth:
    """One photo's mouth in texture px."""

    rgb: F32 = field(repr=False)
    """f32 [h,w,3] 0..255"""
    opening: F32 = field(repr=False)
    """f32 [h,w] 0..1: what lies between the lips."""
    jaw_drop: float
    """cm that the lower teeth lie below their place in the portrait."""


def lay_flat(photo: U8, landmarks: F32, pose: Pose, plane: TeethPlane, jaw_drop: float) -> FlatMouth:
    """Lay a photo's mouth flat.

    Args:
        photo: u8 [H,W,3].
        landmarks: f32 [478,3] px of it.
        pose: of its head, fitted to the portrait's own shape.
        plane: the portrait's.
        jaw_drop: see FlatMouth.
    """
    place = plane.place(pose)
    finer = max(1, ceil(pose.scale / (_FINEST * DENSITY)))
    # A texture px's centre lies between the centres of the finer px that it is the mean of.
    fine = place @ np.array(
        [[1 / finer, 0, (1 - finer) / (2 * finer)], [0, 1 / finer, (1 - finer) / (2 * finer)], [0, 0, 1]]
    )
    size = (SIZE[0] * finer, SIZE[1] * finer)
    flat = cv2.warpAffine(photo, fine, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    rgb = cv2.resize(flat, SIZE, interpolation=cv2.INTER_AREA) if finer > 1 else flat
    back = cv2.invertAffineTransform(place)
    lips = landmarks[list(INNER_MOUTH), :2] @ back[:, :2].T + back[:, 2]
    opening = (polygon(lips, rgb.shape) / 255).astype(np.float32)
    return FlatMouth(rgb.astype(np.float32), opening, jaw_drop)
