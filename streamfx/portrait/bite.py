"""Where the upper teeth end in a photo of a mouth: the line between them and what lies below."""

from __future__ import annotations

import cv2
import numpy as np

from streamfx.frames import F32, I32
from streamfx.geometry import F64
from streamfx.portrait.teeth import DENSITY, grid

_ABOVE, _BESIDE = 5, 5  # px: over these, brightness is compared above and below a line
_PLAIN_EDGE = 0.15  # of the teeth's brightness: a drop by this is an edge, and by more no better one
_NEXT_CM, _BESIDE_CM = (
    0.12,
    0.10,
)  # an edge so far below another, or below one so far beside, is not the first
_USUAL, _CURVE = 0.30, 0.05  # cm below the closed lips, on 42 smiles, and how much less per cm^2 to the sides
_SPREAD = 0.45  # cm about it
_PRIOR = 0.04  # weight of the usual place against a plain edge
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
    usual = ((y - _USUAL + _CURVE * x**2) / _SPREAD) ** 2
    open_columns = opening.max(0) > 0
    edges = _first(_edges(bright, tooth))
    return _best_path((edges - _PRIOR * usual * open_columns).astype(np.float64))


def _edges(bright: F32, tooth: F32) -> F32:
    """f32 [h,w]: how plainly teeth end below each px, 0..1 times _PLAIN_EDGE."""
    above, below = (_mean(bright, _ABOVE, anchor) for anchor in (_ABOVE - 1, 0))
    drop = np.zeros_like(bright)
    drop[:-1] = np.clip(above[:-1] - below[1:], 0, _PLAIN_EDGE)
    return np.asarray(drop * _mean(tooth, 2 * _ABOVE - 1, 2 * _ABOVE - 2), np.float32)


def _first(edges: F32) -> F32:
    """f32 [h,w]: edges, fainter where others lie above: below the upper teeth come the lower."""
    highest = np.maximum.accumulate(cv2.GaussianBlur(edges, (0, 0), _BESIDE_CM * DENSITY), axis=0)
    down = round(_NEXT_CM * DENSITY)
    above = np.vstack([np.zeros_like(edges[:down]), highest[:-down]])
    return np.asarray(edges * np.clip(1 - above / _PLAIN_EDGE, 0, 1), np.float32)


def _mean(image: F32, rows: int, anchor: int) -> F32:
    """f32 [h,w]: over so many rows, of which each px is the one at `anchor`."""
    return np.asarray(cv2.boxFilter(image, -1, (_BESIDE, rows), anchor=(_BESIDE // 2, anchor)), np.float32)


def _best_path(score: F64) -> I32:
    """i32 [w]: the row in each column of f64 [h,w], so that the path's score less its slope is greatest."""
    height, width = score.shape
    total, came_from = score[:, 0].copy(), np.zeros((height, width), np.int32)
    for column in range(1, width):
        padded = np.pad(total, _STEEPEST, constant_values=-np.inf)
        steps = range(-_STEEPEST, _STEEPEST + 1)
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
