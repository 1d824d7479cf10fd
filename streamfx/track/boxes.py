"""Boxes around faces: f32 [4] px (x0, y0, x1, y1)."""

from __future__ import annotations

import numpy as np

from streamfx.frames import F32


def box_of(landmarks: F32) -> F32:
    """The box of landmarks f32 [N,>=2]."""
    points = landmarks[:, :2]
    return np.concatenate([points.min(0), points.max(0)]).astype(np.float32)


def area(box: F32) -> float:
    """px^2"""
    return float(max(box[2] - box[0], 0) * max(box[3] - box[1], 0))


def overlap(a: F32, b: F32) -> float:
    """Intersection over union, 0..1."""
    shared = np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])])
    common = area(shared)
    return common / max(area(a) + area(b) - common, 1e-9)


def covered(a: F32, b: F32) -> float:
    """How much of the smaller box lies in the other, 0..1 (a detector's box is not a landmark box)."""
    shared = np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])])
    return area(shared) / max(min(area(a), area(b)), 1e-9)


def grown(box: F32, factor: float) -> F32:
    """The box, `factor` times as large about its middle."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * np.float32(factor)
    return np.concatenate([middle - half, middle + half])
