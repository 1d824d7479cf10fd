"""A picture inside a panel of another shape."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from streamfx.frames import U8

_GREY: Final = 24
"""Of the bars beside a picture of another aspect."""


def fitted(rgb: U8, size: tuple[int, int]) -> U8:
    """u8 [H,W,3]: the whole picture, as large as fits into `size` (width, height), centred on grey."""
    width, height = size
    scale = min(width / rgb.shape[1], height / rgb.shape[0])
    inner = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    shown = cv2.resize(rgb, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    panel = np.full((height, width, 3), _GREY, np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    panel[top : top + inner[1], left : left + inner[0]] = shown
    return panel
