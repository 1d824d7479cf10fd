"""The mesh over the whole texture: the 468-point face, joined to a grid over all else (algorithm.md#mesh)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from streamfx.errors import RigUnsolvable
from streamfx.frames import F32, I32, Mask
from streamfx.topology import FACE_OVAL, FACE_VERTICES

_ROWS = 30  # grid rows in a frame's height: 16 px cells at 480
_LEAST_CELL = 8.0  # px
_CLEARANCE = 0.55  # cells between the oval and the nearest grid vertex
_BEYOND = 8  # px around the texture within which OpenCV's subdivision may work


@dataclass(frozen=True, slots=True)
class Mesh:
    """Vertices (the face first) and triangles (exterior first, then the face); winding as in frames.Rig."""

    vertices: F32
    """f32 [V,2] px of the frame."""
    triangles: I32
    """i32 [T,3]"""
    face_triangles: int
    border: I32
    """Indices of the vertices on the texture's border."""
    cell: float
    """px between neighbours on the grid."""


def build_mesh(face: F32, face_triangles: I32, size: tuple[int, int], pad: int) -> Mesh:
    """Triangulate the texture's area around the face and join it to the face mesh along the oval.

    Args:
        face: f32 [468,2] px of the frame.
        face_triangles: i32 [898,3].
        size: (width, height) of the frame.
        pad: px of texture beyond the frame.

    Raises:
        RigUnsolvable: the oval crosses itself or leaves the texture.
    """
    oval = face[list(FACE_OVAL)]
    grid, on_border = _exterior_grid(oval, size, pad)
    points = np.concatenate([oval, grid])
    exterior = _delaunay(points, pad, size)
    centroids = points[exterior].mean(1)
    exterior = exterior[~_inside_polygon(centroids, oval)]
    _require_oval_edges(exterior)
    numbers = np.concatenate([np.array(FACE_OVAL), FACE_VERTICES + np.arange(len(grid))])
    vertices = np.concatenate([face, grid]).astype(np.float32)
    joined = [_wind_each(vertices, numbers[exterior].astype(np.int32)), _wind_all(vertices, face_triangles)]
    return Mesh(
        vertices,
        np.concatenate(joined),
        len(face_triangles),
        (FACE_VERTICES + np.flatnonzero(on_border)).astype(np.int32),
        _cell(size),
    )


def _exterior_grid(oval: F32, size: tuple[int, int], pad: int) -> tuple[F32, Mask]:
    """Grid vertices f32 [N,2] px around the oval, and which of them lie on the texture's border."""
    step = _cell(size)
    x = np.linspace(-pad, size[0] - 1 + pad, round((size[0] + 2 * pad) / step) + 1)
    y = np.linspace(-pad, size[1] - 1 + pad, round((size[1] + 2 * pad) / step) + 1)
    gx, gy = np.meshgrid(x, y)
    border = np.zeros(gx.shape, bool)
    border[[0, -1], :] = border[:, [0, -1]] = True
    grid = np.stack([gx, gy], -1).reshape(-1, 2).astype(np.float32)
    keep = _clear_of_oval(grid, oval, _CLEARANCE * step)
    if not keep.reshape(gx.shape)[border].all():
        raise RigUnsolvable(
            "the face reaches beyond the frame's margins",
            "use a photo that shows the whole head with some room",
        )
    return grid[keep], border.reshape(-1)[keep]


def _cell(size: tuple[int, int]) -> float:
    """px between neighbours on the grid over a frame (width, height)."""
    return max(_LEAST_CELL, size[1] / _ROWS)


def _clear_of_oval(grid: F32, oval: F32, margin: float) -> Mask:
    """Which points are outside the oval, not too near it, and outside the circle over each of its edges.

    Delaunay keeps an edge whose circle holds no point.
    """
    following = np.roll(oval, -1, 0)
    centres, radii = (oval + following) / 2, np.linalg.norm(following - oval, axis=1) / 2
    distance = np.linalg.norm(grid[:, None] - centres[None], axis=2)
    free = np.all(distance > radii + 0.5 * margin, axis=1)
    contour = oval.astype(np.float32).reshape(-1, 1, 2)
    outside = np.array([cv2.pointPolygonTest(contour, (float(x), float(y)), True) < -margin for x, y in grid])
    clear: Mask = free & outside
    return clear


def _delaunay(points: F32, pad: int, size: tuple[int, int]) -> I32:
    """i32 [T,3] Delaunay triangles of f32 [N,2] points."""
    margin = pad + _BEYOND
    bounds = (-margin, -margin, size[0] + 2 * margin, size[1] + 2 * margin)
    subdivision = cv2.Subdiv2D(bounds)
    for x, y in points:
        subdivision.insert((float(x), float(y)))
    corners = np.asarray(subdivision.getTriangleList(), np.float32).reshape(-1, 3, 2)
    number = {(round(float(x), 2), round(float(y), 2)): i for i, (x, y) in enumerate(points)}
    found = [
        [number.get((round(float(x), 2), round(float(y), 2)), -1) for x, y in triangle]
        for triangle in corners
    ]
    triangles = np.array(found, np.int32)
    return triangles[(triangles >= 0).all(1)]


def _inside_polygon(points: F32, polygon: F32) -> Mask:
    contour = polygon.astype(np.float32).reshape(-1, 1, 2)
    return np.array([cv2.pointPolygonTest(contour, (float(x), float(y)), False) > 0 for x, y in points])


def _require_oval_edges(exterior: I32) -> None:
    edges = {
        frozenset(edge) for t in exterior.tolist() for edge in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))
    }
    count = len(FACE_OVAL)
    missing = [i for i in range(count) if frozenset((i, (i + 1) % count)) not in edges]
    if missing:
        raise RigUnsolvable(
            f"{len(missing)} of {count} edges of the face oval could not be joined to the background mesh",
            "use a photo with the face turned to the camera",
        )


def _areas(vertices: F32, triangles: I32) -> F32:
    """Twice the signed area of each triangle; positive = clockwise on the screen."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    areas: F32 = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return areas


def _wind_each(vertices: F32, triangles: I32) -> I32:
    """Give every triangle of a flat mesh positive winding."""
    out = triangles.copy()
    turned = _areas(vertices, triangles) < 0
    out[turned] = out[turned][:, ::-1]
    return out


def _wind_all(vertices: F32, triangles: I32) -> I32:
    """Turn a surface's triangles together, so that the whole faces the viewer.

    Those that the photo shows from behind must stay negative, or the sheet would no longer cover each pixel
    by at least one positive triangle.
    """
    out = triangles if _areas(vertices, triangles).sum() > 0 else triangles[:, ::-1]
    return np.ascontiguousarray(out, np.int32)
