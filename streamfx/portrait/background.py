"""What is seen behind the person: the photo's own background, blurred, a colour, or another picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from streamfx.frames import U8, Rig
from streamfx.portrait.photo import load_photo

_BLUR: Final = 0.02
"""Of the frame's height: sigma."""


def blurred(rig: Rig) -> Rig:
    """The photo's own background, out of focus."""
    return replace(rig, plate=cv2.GaussianBlur(rig.plate, (0, 0), _BLUR * rig.size[1]))


def coloured(rig: Rig, colour: str) -> Rig:
    """One colour.

    Args:
        rig: of any background.
        colour: #rrggbb.
    """
    plate = np.empty_like(rig.plate)
    plate[:] = tuple(bytes.fromhex(colour.removeprefix("#")))
    return replace(rig, plate=plate)


def pictured(rig: Rig, image: Path) -> Rig:
    """Another picture, cut to fill the frame.

    Raises:
        PhotoUnreadable: it is none.
    """
    return replace(rig, plate=_filling(load_photo(image).rgb, rig.size))


def _filling(rgb: U8, size: tuple[int, int]) -> U8:
    """u8 [height,width,3]: the middle of a picture, scaled so that nothing of the frame stays empty."""
    width, height = size
    scale = max(width / rgb.shape[1], height / rgb.shape[0])
    w, h = max(width, round(rgb.shape[1] * scale)), max(height, round(rgb.shape[0] * scale))
    scaled = cv2.resize(rgb, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (w - width) // 2, (h - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])
