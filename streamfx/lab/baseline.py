"""The warp that everybody knows, for comparison of speed: one thin-plate spline through the landmarks.

What it is: 81 face landmarks and 8 pinned points of the frame's border give one backward spline
(picture -> photo) a frame; it is evaluated on an 8 px grid, enlarged bilinearly to every pixel, and the photo
is fetched through it once (algorithm.md#layers: 27.1 dB). Whole picture, no layers, no eyes, no mouth:
less work than the product's warp, and less of a result.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from streamfx.frames import F32, U8, Rig
from streamfx.topology import EYES, FACE_OVAL

DESCRIPTION: Final = (
    "baseline warp is a thin-plate spline through 81 landmarks, evaluated on an 8 px grid, "
    "of the whole photo: no layers, eyes or mouth"
)

GRID: Final = 8
"""px between the places where the spline is evaluated."""

BROWS: Final = (70, 63, 105, 66, 107, 300, 293, 334, 296, 336)
NOSE: Final = (168, 6, 195, 1, 2, 98, 327)
LIPS: Final = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)
"""Outer lip line."""
POINTS: Final = (*FACE_OVAL, *BROWS, *EYES[0][::2], *EYES[1][::2], *NOSE, *LIPS)
"""The 81 vertices through which the spline goes."""

_STIFF: Final = 1e-3
"""Added to the diagonal: two landmarks may fall upon each other when lips or lids close."""

F64 = npt.NDArray[np.float64]


class ThinPlateWarp:
    """Warps a rig's photo by where its landmarks go.

    Args:
        rig: whose photo; framed as the product frames it.
    """

    def __init__(self, rig: Rig) -> None:
        width, height = rig.size
        self._photo = rig.photo
        self._size, self._pad = rig.size, rig.pad
        self._border = _border(width, height)
        self._targets = np.vstack([rig.vertices[list(POINTS)], self._border]).astype(np.float64)
        columns, rows = -(-width // GRID) + 1, -(-height // GRID) + 1
        x, y = np.meshgrid(np.arange(columns) * float(GRID), np.arange(rows) * float(GRID))
        self._places = np.stack([x.ravel(), y.ravel()], axis=1)
        self._shape = rows, columns

    def warp(self, vertices: F32) -> U8:
        """u8 [H,W,3]: the photo, its landmarks moved.

        Args:
            vertices: f32 [V,2] px, as of a Deformation.
        """
        points = np.vstack([vertices[list(POINTS)], self._border]).astype(np.float64)
        coarse = spline(points, self._targets, self._places).reshape(*self._shape, 2)
        width, height = self._size
        # Grid places are pixel centres: sample at px / GRID, not by cv2.resize's half-pixel rule.
        scale = np.array([[1 / GRID, 0, 0], [0, 1 / GRID, 0]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        dense = cv2.warpAffine((coarse + self._pad).astype(np.float32), scale, (width, height), flags=flags)
        out: U8 = cv2.remap(self._photo, dense, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return out


def spline(points: F64, targets: F64, places: F64) -> F64:
    """f64 [M,2]: where the thin-plate spline that takes `points` to `targets` [N,2] takes `places` [M,2]."""
    count = len(points)
    affine = np.column_stack([np.ones(count), points])
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _bending(points, points) + _STIFF * np.eye(count)
    system[:count, count:], system[count:, :count] = affine, affine.T
    solved = np.linalg.solve(system, np.vstack([targets, np.zeros((3, 2))]))
    linear = np.column_stack([np.ones(len(places)), places])
    out: F64 = _bending(places, points) @ solved[:count] + linear @ solved[count:]
    return out


def _bending(a: F64, b: F64) -> F64:
    """f64 [len(a), len(b)]: r^2 log r, of coordinates in hundreds of px (well conditioned)."""
    difference = (a[:, None] - b[None]) / 100.0
    squared = np.einsum("ijk,ijk->ij", difference, difference)
    out: F64 = 0.5 * squared * np.log(np.maximum(squared, 1e-12))
    return out


def _border(width: int, height: int) -> F64:
    """f64 [8,2]: the frame's corners and the middles of its sides, which stay."""
    x, y = (width - 1) / 2, (height - 1) / 2
    return np.array([(i * x, j * y) for i in (0, 1, 2) for j in (0, 1, 2) if (i, j) != (1, 1)])
