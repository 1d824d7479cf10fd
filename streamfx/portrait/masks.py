"""Outlines as masks."""

from __future__ import annotations

import cv2
import numpy as np

from streamfx.frames import U8
from streamfx.geometry import Real

_BITS = 4  # of a pixel's fraction that OpenCV draws with


def polygon(points: Real, shape: tuple[int, ...]) -> U8:
    """u8 [H,W] 0..255: a closed polygon ([N,2] px of the mask), soft at its edge; shape is (H, W, ...)."""
    mask = np.zeros(shape[:2], np.uint8)
    corners = np.rint(points * (1 << _BITS)).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, _BITS)
    return mask
