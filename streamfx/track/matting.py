"""A person's soft outline at photo resolution, from a net that sees 256x256 px.

The net looks twice: at the whole photo, for the torso and whatever else belongs to the person, and at a
window of head and shoulders, for the hair. A guided filter (He 2013) leads both along the photo's own edges.
"""

from __future__ import annotations

from math import ceil
from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, U8
from streamfx.track.crop import Square, fitted
from streamfx.track.engine import Segmenter

NET_PX: Final = 256
WINDOW_FACES: Final = 3.0
"""Side of the head window, in face sizes: as tightly as hair and shoulders fit."""
WINDOW_DOWN: Final = 0.1
WORK_PX: Final = 1024
"""Long side at which the outline is refined; finer than a hair's blur in a portrait."""
GUIDE_RADIUS: Final = 0.02
"""Radius of the guided filter, in window sides: about the net's uncertainty, 5 of its pixels."""
GUIDE_EPS: Final = 1e-4
"""Variance of [0,1] colour below which the photo shows no edge."""
SURE: Final = (0.1, 0.9)
"""The net's confidences that count as background and as person."""
_UNPAD: Final = np.array([[1.0, 0, -1], [0, 1, -1], [0, 0, 1]])
"""Undoes one pixel of padding, without which the picture's own border would fade."""


def person_alpha(segmenter: Segmenter, rgb: U8, landmarks: F32) -> F32:
    """f32 [H,W] 0..1 of u8 [H,W,3]: the person whose landmarks f32 [478,3] px are given."""
    small, factors = fitted(rgb, WORK_PX)
    face = landmarks / factors
    confidence = _confidence(segmenter, small, face)
    radius = max(2, round(GUIDE_RADIUS * _face_size(face) * WINDOW_FACES))
    alpha = _stretched(_guided(small, confidence, radius))
    alpha *= _connected(alpha, face)
    full = cv2.resize(alpha, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full, np.float32)


def _confidence(segmenter: Segmenter, rgb: U8, face: F32) -> F32:
    """f32 [H,W]: the whole picture's confidence, with the head window's in its place behind a soft seam.

    Where it reaches above the photo the head window is seen twice: with the photo's first row drawn out, in
    which hair that the border cuts passes for a dark wall, and mirrored, in which loose curls do.
    """
    height, width = rgb.shape[:2]
    side = max(width, height)
    whole = Square((width - side) / 2, (height - side) / 2, side)
    head = Square.around(face, WINDOW_FACES, WINDOW_DOWN)
    under, over = (segmenter.confidence(window.cut(rgb, NET_PX)) for window in (whole, head))
    if above := max(0, ceil(-head.y)):
        tall = cv2.copyMakeBorder(rgb, above, 0, 0, 0, cv2.BORDER_REFLECT)
        mirrored = Square(head.x, head.y + above, head.side).cut(tall, NET_PX)
        over = np.maximum(over, segmenter.confidence(mirrored))
    under, over = _spread(under, whole, rgb), _spread(over, head, rgb)
    out: F32 = under + (over - under) * _spread(_seam(), head, rgb)
    return out


def _spread(seen: F32, window: Square, rgb: U8) -> F32:
    """f32 [H,W]: what f32 [256,256] says of a window, at the picture's resolution; 0 outside the window."""
    height, width = rgb.shape[:2]
    scale = window.side / NET_PX
    shift = (scale - 1) / 2  # integer coordinates are pixel centres
    matrix = np.array([[scale, 0, window.x + shift], [0, scale, window.y + shift]])
    padded = np.pad(seen, 1, mode="edge")
    out = cv2.warpAffine(padded, matrix @ _UNPAD, (width, height), flags=cv2.INTER_CUBIC)
    return np.asarray(np.clip(out, 0, 1), np.float32)


def _seam() -> F32:
    """f32 [256,256]: 1 inside, falling to 0 over the outer twelfth."""
    ramp = np.clip(np.minimum(np.arange(NET_PX), np.arange(NET_PX)[::-1]) / (NET_PX / 12), 0, 1)
    return np.outer(ramp, ramp).astype(np.float32)


def _guided(rgb: U8, mask: F32, radius: int) -> F32:
    """f32 [H,W]: the mask as the locally linear function of the colours that fits it best.

    He, Sun, Tang, "Guided Image Filtering", TPAMI 2013, eq. 19-21, with box filters.
    """
    guide = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab).astype(np.float32) / 255
    mean = _box(guide, radius)
    mask_mean = _box(mask, radius)
    cross = _box(guide * mask[..., None], radius) - mean * mask_mean[..., None]
    slope = _slope(guide, mean, cross, radius)
    offset = mask_mean - np.einsum("hwc,hwc->hw", slope, mean)
    out = np.einsum("hwc,hwc->hw", _box(slope, radius), guide) + _box(offset, radius)
    return np.asarray(np.clip(out, 0, 1), np.float32)


def _slope(guide: F32, mean: F32, cross: F32, radius: int) -> F32:
    """f32 [H,W,3]: the inverse of the colours' covariance in each window, made invertible, times `cross`.

    By Cholesky's decomposition LDL' of all at once: NumPy's solver takes a call of LAPACK for each pixel.
    """
    (g0, g1, g2), (m0, m1, m2), (x0, x1, x2) = (np.moveaxis(one, 2, 0) for one in (guide, mean, cross))

    def covariance(a: F32, b: F32, mean_a: F32, mean_b: F32) -> F32:
        return np.asarray(_box(a * b, radius) - mean_a * mean_b, np.float32)

    c01, c02 = covariance(g0, g1, m0, m1), covariance(g0, g2, m0, m2)
    d0 = covariance(g0, g0, m0, m0) + np.float32(GUIDE_EPS)
    l1, l2 = c01 / d0, c02 / d0
    d1 = covariance(g1, g1, m1, m1) + np.float32(GUIDE_EPS) - l1 * c01
    rest = covariance(g1, g2, m1, m2) - l2 * c01
    l3 = rest / d1
    d2 = covariance(g2, g2, m2, m2) + np.float32(GUIDE_EPS) - l2 * c02 - l3 * rest
    y1 = x1 - l1 * x0
    z2 = (x2 - l2 * x0 - l3 * y1) / d2
    z1 = y1 / d1 - l3 * z2
    return np.stack([x0 / d0 - l1 * z1 - l2 * z2, z1, z2], axis=2)


def _box(image: F32, radius: int) -> F32:
    return np.asarray(
        cv2.blur(image, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT), np.float32
    )


def _stretched(alpha: F32) -> F32:
    """Confidence to coverage: sure background is 0, sure person 1."""
    low, high = SURE
    out: F32 = np.clip((alpha - low) / (high - low), 0, 1)
    return out


def _connected(alpha: F32, face: F32) -> F32:
    """f32 [H,W] 0 or 1: the part that hangs together with the face, so that others in the photo stay out."""
    core = (alpha > 0.3).astype(np.uint8)
    cv2.fillConvexPoly(core, cv2.convexHull(np.round(face[:, :2]).astype(np.int32)), (1,))
    _, labels = cv2.connectedComponents(core)
    height, width = alpha.shape
    x, y = np.clip(np.round(face[:, :2].mean(0)).astype(int), 0, (width - 1, height - 1))
    own = (labels == labels[y, x]).astype(np.uint8)
    grown = cv2.dilate(own, np.ones((9, 9), np.uint8))  # keeps the soft rim below the threshold
    return np.asarray(grown, np.float32)


def _face_size(face: F32) -> float:
    return float(np.ptp(face[:, :2], axis=0).max())
