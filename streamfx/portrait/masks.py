"""Outlines as masks, and masks that grow."""

from __future__ import annotations

import cv2
import numpy as np

from streamfx.frames import F32, U8, Mask
from streamfx.geometry import Real

_BITS = 4  # of a pixel's fraction that OpenCV draws with


def polygon(points: Real, shape: tuple[int, ...]) -> U8:
    """u8 [H,W] 0..255: a closed polygon ([N,2] px of the mask), soft at its edge; shape is (H, W, ...)."""
    mask = np.zeros(shape[:2], np.uint8)
    corners = np.rint(points * (1 << _BITS)).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, _BITS)
    return mask


def grown(mask: F32, level: float, reach: float) -> Mask:
    """bool [H,W]: within `reach` px of where a mask (f32 [H,W]) exceeds `level`; the reach costs nothing."""
    away = (mask <= level).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_5) <= reach, np.bool_)


def holding(mask: Mask, point: Real) -> Mask:
    """bool [H,W]: the part of a mask that hangs together with the one nearest to a point (x, y) px."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    if count < 2:
        return mask
    rows, columns = np.nonzero(mask)
    nearest = np.argmin((columns - point[0]) ** 2 + (rows - point[1]) ** 2)
    return np.asarray(labels == labels[rows[nearest], columns[nearest]], np.bool_)
