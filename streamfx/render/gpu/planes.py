"""Where a finished picture's bytes lie as it comes down from a card: R G B by pixels, then alpha, if any."""

from __future__ import annotations

from streamfx.frames import U8
from streamfx.render.base import Mode, Picture

_COLOURS = 3


def picture_bytes(size: tuple[int, int], mode: Mode) -> int:
    """Of a picture.

    Args:
        size: (width, height) px.
        mode: with Mode.CUTOUT there is alpha.
    """
    return size[0] * size[1] * (_COLOURS + (mode is Mode.CUTOUT))


def picture_in(memory: U8, size: tuple[int, int], mode: Mode) -> Picture:
    """The picture that lies in u8 [picture_bytes]; views, no copies."""
    width, height = size
    colours = width * height * _COLOURS
    alpha = memory[colours:].reshape(height, width) if mode is Mode.CUTOUT else None
    return Picture(memory[:colours].reshape(height, width, _COLOURS), alpha)
