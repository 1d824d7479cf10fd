"""Where the upper teeth end in a photo of a mouth: the line between them and what lies below."""

from __future__ import annotations

import cv2
import numpy as np

from streamfx.frames import F32, I32
from streamfx.geometry import F64, Real
from streamfx.portrait.teeth.drawn import DENSITY, grid

_ABOVE, _BESIDE = 5, 5  # px over which brightness is compared above and below a line
_PLAIN_EDGE = 0.15  # of the teeth's brightness: a drop by this is an edge, and by more no better one
_NEXT_CM, _NEAR_CM = 0.20, 0.10  # an edge so far below another, or below one so near beside, is not the first
_SECOND = 0.7  # of such an edge's weight that is lost
_USUAL, _CURVE = 0.30, 0.05  # cm below the closed lips, on 42 smiles, and how much less per cm^2 to the sides
_SPREAD = 0.45  # cm about it
_PRIOR = 0.04  # weight of the usual place against a plain edge
_BAND_CM = 0.12  # about the line first found, in which its exact place is looked for
_STEEPEST = 2  # px down per px across
_STEP = 0.03  # cost of each


def bite_line(bright: F32, tooth: F32, opening: F32) -> I32:
    """i32 [w]: the lowest row of the upper teeth in each column.

    The path from side to side that best follows the first drops of brightness below teeth, near where upper
    teeth usually end (dynamic programming). Where there is no opening the path means nothing.

    Args:
        bright: f32 [h,w], 1 for teeth in full light.
        tooth: f32 [h,w] 0..1.
        opening: f32 [h,w] 0..1.
    """
    x, y = grid()
    edges = _edges(bright, tooth)
    usual = ((y - _USUAL + _CURVE * x**2) / _SPREAD) ** 2 * (opening.max(0) > 0)
    about = _best_path(_first(np.minimum(edges, _PLAIN_EDGE)) - _PRIOR * usual)
    distance = np.abs(np.arange(len(edges))[:, None] - about[None])
    return _best_path(np.where(distance <= _BAND_CM * DENSITY, edges, -1.0))


def _edges(bright: F32, tooth: F32) -> F32:
    """f32 [h,w]: by how much brightness drops below each px, where teeth are above."""
    above, below = (_mean(bright, _ABOVE, anchor) for anchor in (_ABOVE - 1, 0))
    drop = np.zeros_like(bright)
    drop[:-1] = np.maximum(above[:-1] - below[1:], 0)
    return np.asarray(drop * _mean(tooth, 2 * _ABOVE - 1, 2 * _ABOVE - 2), np.float32)


def _first(edges: F32) -> F32:
    """f32 [h,w]: edges, fainter where others lie above: below the upper teeth come the lower."""
    highest = np.maximum.accumulate(cv2.GaussianBlur(edges, (0, 0), _NEAR_CM * DENSITY), axis=0)
    down = round(_NEXT_CM * DENSITY)
    above = np.vstack([np.zeros_like(edges[:down]), highest[:-down]])
    return np.asarray(edges * (1 - _SECOND * np.minimum(above / _PLAIN_EDGE, 1)), np.float32)


def _mean(image: F32, rows: int, anchor: int) -> F32:
    """f32 [h,w]: over so many rows, of which each px is the one at `anchor`."""
    return np.asarray(cv2.boxFilter(image, -1, (_BESIDE, rows), anchor=(_BESIDE // 2, anchor)), np.float32)


def _best_path(score: Real) -> I32:
    """i32 [w]: the row in each column of [h,w], so that the path's score less its slope is greatest."""
    height, width = score.shape
    total: F64 = score[:, 0].astype(np.float64)
    came_from = np.zeros((height, width), np.int32)
    steps = range(-_STEEPEST, _STEEPEST + 1)
    for column in range(1, width):
        padded = np.pad(total, _STEEPEST, constant_values=-np.inf)
        options = np.stack([padded[_STEEPEST + s : _STEEPEST + s + height] - _STEP * abs(s) for s in steps])
        best = options.argmax(0)
        came_from[:, column] = np.arange(height) + best - _STEEPEST
        total = options[best, np.arange(height)] + score[:, column]
    return _traced(int(total.argmax()), came_from)


def _traced(end: int, came_from: I32) -> I32:
    path = np.empty(came_from.shape[1], np.int32)
    for column in range(len(path) - 1, -1, -1):
        path[column] = end
        end = int(came_from[end, column])
    return path
