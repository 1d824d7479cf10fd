"""What is seen behind the person: the photo's own background, blurred, a colour, or another picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from streamfx.frames import U8, Rig
from streamfx.portrait.photo import load_photo
from streamfx.settings.session import Background, BackgroundKind

_BLUR: Final = 0.02
"""Of the frame's height: sigma."""


def on_background(rig: Rig, background: Background) -> Rig:
    """A rig with another background; its own for KEEP, and for REMOVE, which is cut out when it is drawn.

    Args:
        rig: of its photo's background.
        background: what is to be seen.

    Raises:
        PhotoUnreadable: the picture is none.
    """
    match background.kind:
        case BackgroundKind.BLUR:
            return replace(rig, plate=cv2.GaussianBlur(rig.plate, (0, 0), _BLUR * rig.size[1]))
        case BackgroundKind.COLOUR:
            plate = np.empty_like(rig.plate)
            plate[:] = tuple(bytes.fromhex(background.colour.removeprefix("#")))
            return replace(rig, plate=plate)
        case BackgroundKind.IMAGE if background.image is not None:
            return replace(rig, plate=_filling(load_photo(background.image).rgb, rig.size))
    return rig


def _filling(rgb: U8, size: tuple[int, int]) -> U8:
    """u8 [height,width,3]: the middle of a picture, scaled so that nothing of the frame stays empty."""
    width, height = size
    scale = max(width / rgb.shape[1], height / rgb.shape[0])
    w, h = max(width, round(rgb.shape[1] * scale)), max(height, round(rgb.shape[0] * scale))
    scaled = cv2.resize(rgb, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (w - width) // 2, (h - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])
