"""Stand-ins for the lite networks that see and answer whole pictures, not cells (nets.lite.OnCells)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streamfx.frames import F32
from streamfx.render.network_kernels import FACE_ACROSS, FACE_CELL, FACE_DOWN, MOUTH_CELL

Answer = Callable[[F32], F32]


_DOWN, _ACROSS = FACE_DOWN * FACE_CELL, FACE_ACROSS * FACE_CELL
MIDDLE = np.s_[_DOWN:-_DOWN, _ACROSS:-_ACROSS]
"""What of a face crop the lite refiner looks at."""


def face_cells(answer: Answer) -> Answer:
    """A refiner's network, from a function of f32 [256,256,9] to f32 [256,256,3]."""
    return lambda cells: packed(answer(face_pictures(cells))[MIDDLE], FACE_CELL)


def face_pictures(cells: F32) -> F32:
    """f32 [256,256,9] of [60,48,54]: 0 around; what was averaged is the same all over its cell."""
    colours = 3 * FACE_CELL**2
    smooth = cells[..., colours:].repeat(FACE_CELL, 0).repeat(FACE_CELL, 1)
    seen = np.concatenate([unpacked(cells[..., :colours], FACE_CELL), smooth], -1)
    return np.pad(seen, ((_DOWN, _DOWN), (_ACROSS, _ACROSS), (0, 0)))


def mouth_cells(answer: Answer) -> Answer:
    """A mouth network, from a function of f32 [96,96,10] to f32 [96,96,3]."""
    return lambda cells: packed(answer(unpacked(cells, MOUTH_CELL)), MOUTH_CELL)


def packed(picture: F32, side: int) -> F32:
    """f32 [h,w,C side^2] of [H,W,C], plane by plane, each row by row."""
    height, width, channels = picture.shape
    split = picture.reshape(height // side, side, width // side, side, channels)
    return np.ascontiguousarray(split.transpose(0, 2, 4, 1, 3)).reshape(height // side, width // side, -1)


def unpacked(cells: F32, side: int) -> F32:
    """f32 [H,W,C] of [h,w,C side^2]."""
    height, width, _ = cells.shape
    split = cells.reshape(height, width, -1, side, side)
    return np.ascontiguousarray(split.transpose(0, 3, 1, 4, 2)).reshape(height * side, width * side, -1)


def averaged(picture: F32, side: int = FACE_CELL) -> F32:
    """The picture with every cell's mean all over the cell."""
    height, width = picture.shape[:2]
    cells = picture.reshape(height // side, side, width // side, side, *picture.shape[2:]).mean((1, 3))
    return cells.repeat(side, 0).repeat(side, 1)
