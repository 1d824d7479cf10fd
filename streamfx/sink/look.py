"""What is done to a finished picture for those who see it: mirroring, and a badge in the corner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from streamfx.frames import U8, Rendered

_TEXT_HEIGHT: Final = 0.045
"""Of the picture's height."""
_STRIP: Final = (16, 16, 20, 150)
_INK: Final = 255
_BADGES_KEPT: Final = 8
_PLANE: Final = 2
"""Dimensions of alpha."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture is shown."""

    mirror: bool = False
    badge: str = ""
    """One line of text; never mirrored."""

    def draw(self, width: int, height: int) -> None:
        """Have the badge ready for pictures of a size, px: letters that are new may need seconds."""
        if self.badge:
            _label(self.badge, round(_TEXT_HEIGHT * height), width)

    def dress(self, picture: Rendered) -> Rendered:
        """The picture as it is shown; the very same where nothing is to be done."""
        if not self.mirror and not self.badge:
            return picture
        alpha = None if picture.alpha is None else self._dressed(picture.alpha)
        return replace(picture, rgb=self._dressed(picture.rgb), alpha=alpha)

    def _dressed(self, plane: U8) -> U8:
        """Colours, or alpha."""
        shown: U8 = cv2.flip(plane, 1) if self.mirror else plane
        return _with_badge(shown, self.badge) if self.badge else shown


def _with_badge(plane: U8, text: str) -> U8:
    """A copy of colours u8 [H,W,3], or of their alpha u8 [H,W], with the badge in the lower left corner."""
    height, width = plane.shape[:2]
    label = _label(text, round(_TEXT_HEIGHT * height), width)
    h, w = label.shape[:2]
    margin = min(h // 2, height - h, width - w)
    out = plane.copy()
    region = out[height - h - margin : height - margin, margin : margin + w]
    ink, covers = label[..., :3], label[..., 3:].astype(np.float32) / 255
    if plane.ndim == _PLANE:
        ink, covers = np.full(region.shape, 255, np.uint8), covers[..., 0]
    region[:] = np.rint(region * (1 - covers) + ink * covers).astype(np.uint8)
    return out


@lru_cache(_BADGES_KEPT)
def _label(text: str, height: int, width: int) -> U8:
    """u8 [h,w,4], at most `width` wide: the text on a dark strip."""
    from streamfx.text import drawn  # with the first badge: most sessions have none

    pad = max(2, height // 3)
    letters, _ = drawn(text, height, width - 2 * pad)
    ink = np.pad(letters, pad)[..., None].astype(np.float32) / 255
    strip = np.array(_STRIP, np.float32)
    return np.rint(strip * (1 - ink) + _INK * ink).astype(np.uint8)
