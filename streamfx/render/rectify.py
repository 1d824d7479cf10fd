"""The networks' exact input geometry: crops, masks and the displacement map (algorithm.md#crop).

Training depends on these figures: golden tests hold them.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, I32, Deformation
from streamfx.render.base import CLOSED_GAP
from streamfx.render.kernels import coverage, rasterise
from streamfx.topology import FACE_OVAL, FACE_VERTICES, INNER_MOUTH

CROP: Final = 256
"""px: side of the face crop."""
CROP_DENSITY: Final = 11.5
"""px per cm in the face crop: a face oval is about 178 px wide."""
CROP_ORIGIN: Final = (128.0, 110.0)
"""Where the canonical origin lies in the face crop."""
MOUTH_CM: Final = 7.0
"""Side of the mouth crop."""
LARGEST_DISPLACEMENT: Final = 6.0
"""sigmas: more is clipped."""

_LIGHT_STEP: Final = 4
"""px of the crop per cell of the light map, which is smooth."""
_LIGHT_BLUR: Final = 1.5
"""Cells by which it is smoothed."""

_MOUTH_POINTS = [INNER_MOUTH.index(i) for i in (78, 308, 13, 14)]
"""Rows of the inner lip line: corners and middles."""


def face_affine(deformation: Deformation) -> F32:
    """f32 [2,3]: frame px -> face crop px: roll undone, CROP_DENSITY px per cm, origin at CROP_ORIGIN."""
    return _upright(deformation, deformation.translation[:2], CROP_DENSITY, CROP_ORIGIN)


def mouth_affine(deformation: Deformation, size: int) -> F32:
    """f32 [2,3]: frame px -> mouth crop px: roll undone, a square of 7 cm centred on the mouth."""
    centre = deformation.inner_mouth[_MOUTH_POINTS].mean(0)
    return _upright(deformation, centre, size / MOUTH_CM, ((size - 1) / 2, (size - 1) / 2))


def _upright(deformation: Deformation, origin: F32, density: float, target: tuple[float, float]) -> F32:
    """Rotate by minus the roll about `origin`, scale to `density`, move `origin` to `target`."""
    axis = deformation.rotation[:2, 0]
    cos, sin = axis / np.linalg.norm(axis)
    k = density / deformation.scale
    matrix = k * np.array([[cos, sin], [-sin, cos]])
    return np.column_stack([matrix, np.asarray(target) - matrix @ origin]).astype(np.float32)


def move(points: F32, affine: F32) -> F32:
    """f32 [N,2] points through a [2,3] map."""
    return (points @ affine[:, :2].T + affine[:, 2]).astype(np.float32)


def box_of(points: F32, shape: tuple[int, ...], margin: int) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) of points' box inside a picture, or None when it is empty."""
    low = np.maximum(np.floor(points.min(0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(points.max(0)).astype(int) + margin + 1, (shape[1], shape[0]))
    width, height = (high - low).tolist()
    if width <= 0 or height <= 0:
        return None
    return int(low[0]), int(low[1]), int(width), int(height)


def polygon_mask(polygon: F32, shape: tuple[int, int]) -> F32:
    """f32 [h,w]: coverage of a polygon in px of the mask, without an outline."""
    out = np.empty(shape, np.float32)
    coverage(np.ascontiguousarray(polygon, np.float32), 0, 0, out)
    return out


def inner_mouth_mask(deformation: Deformation, affine: F32, size: int) -> F32:
    """f32 [size,size]: the opening between the lips in a crop; all 0 while the mouth counts as closed."""
    if deformation.mouth_gap < CLOSED_GAP:
        return np.zeros((size, size), np.float32)
    return polygon_mask(move(deformation.inner_mouth, affine), (size, size))


def eyes_mask(deformation: Deformation, affine: F32) -> F32:
    """f32 [256,256]: the openings between the lids in the face crop."""
    out = np.zeros((CROP, CROP), np.float32)
    for lids in deformation.lids:
        seen = np.ascontiguousarray(move(lids, affine))
        box = box_of(seen, out.shape, 1)
        if box is not None:
            left, top, width, height = box
            opening = np.empty((height, width), np.float32)
            coverage(seen, left, top, opening)
            out[top : top + height, left : left + width] += opening
    return out


def face_mask(deformation: Deformation, affine: F32) -> F32:
    """f32 [256,256] 0 or 1: hull of the face oval: where losses and discriminators look."""
    hull = cv2.convexHull(move(deformation.vertices[list(FACE_OVAL)], affine))[:, 0]
    _, mask = cv2.threshold(polygon_mask(hull, (CROP, CROP)), 0.5, 1.0, cv2.THRESH_BINARY)
    return np.asarray(mask, np.float32)


def displacement_map(
    deformation: Deformation, affine: F32, sigma: F32, face_triangles: I32, size: int = CROP
) -> F32:
    """M, f32 [size,size,2]: pose-free displacement of the vertices over their part's sigma, linear between.

    Rest is 0 and nothing is subtracted; 0 outside the face (paper section 4.1, normalised per part).

    Args:
        deformation: supplies E' (cm) and the vertices.
        affine: frame -> crop.
        sigma: f32 [468,2] px of the face crop, whatever the size of this one.
        face_triangles: i32 [898,3], painter's order.
        size: px of the crop's side.
    """
    out = np.zeros((size, size, 2), np.float32)
    corners = move(deformation.vertices[:FACE_VERTICES], affine)
    rasterise(corners, sigmas_moved(deformation, sigma), face_triangles, out)
    return out


def sigmas_moved(deformation: Deformation, sigma: F32) -> F32:
    """f32 [468,2]: the displacement map's values at the vertices; arguments as there."""
    moved = CROP_DENSITY * deformation.expression[:, :2] / sigma
    return np.asarray(np.clip(moved, -LARGEST_DISPLACEMENT, LARGEST_DISPLACEMENT), np.float32)


def light_map(deformation: Deformation, affine: F32, change: F32, face_triangles: I32) -> F32:
    """f32 [256,256]: the factor by which light on the skin changed; 1 off the face.

    Args:
        deformation: supplies the vertices.
        affine: frame -> crop.
        change: f32 [468]: its logarithm at the vertices.
        face_triangles: i32 [898,3], painter's order.
    """
    coarse = np.zeros((CROP // _LIGHT_STEP, CROP // _LIGHT_STEP, 2), np.float32)
    corners = move(deformation.vertices[:FACE_VERTICES], affine) * np.float32(1 / _LIGHT_STEP)
    rasterise(corners, np.repeat(change[:, None], 2, axis=1), face_triangles, coarse)
    smooth = cv2.GaussianBlur(np.ascontiguousarray(coarse[..., 0]), (0, 0), _LIGHT_BLUR)
    light: F32 = cv2.resize(np.exp(smooth), (CROP, CROP), interpolation=cv2.INTER_LINEAR)
    return light
