"""Who moves with whom: skinning weights of the exterior and the spread of lip and lid corrections.

Solved once per photo as screened Laplace problems on the mesh's edges: minimise
sum_edges |d_i - d_j|^2 + sum_i c_i |d_i - value_i|^2 (ALGORITHM b: confidence = segmentation x distance).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from streamfx.frames import F32, I32
from streamfx.portrait.mesh import Mesh
from streamfx.topology import (
    CHIN,
    FACE_OVAL,
    FACE_VERTICES,
    FOREHEAD,
    LID_LOWER,
    LID_UPPER,
    LIP_LOWER,
    LIP_UPPER,
)

_PINNED = 1e4
_HEAD_DILATION = 0.14  # face heights: hair must not be cut at the mask's edge
_HEAD_REACH = 1.25  # face heights above the chin
_NECK_LENGTH = 0.45  # face heights over which head motion fades into the torso


@dataclass(frozen=True, slots=True)
class Skin:
    """Weights per vertex (see frames.Rig)."""

    head: F32
    body: F32
    oval: F32


def solve_skin(mesh: Mesh, person: F32, landmarks: F32, pad: int, beyond: F32) -> Skin:
    """Solve the exterior's weights.

    Args:
        mesh: the joined mesh.
        person: f32 [H+2pad, W+2pad] 0..1: person mask at texture size.
        landmarks: f32 [478,3] px of the frame.
        pad: px of texture beyond the frame.
        beyond: bool-like f32 at texture size: 1 where the texture shows nothing of the photo.
    """
    count = len(mesh.vertices) - FACE_VERTICES
    chosen = np.concatenate([np.array(FACE_OVAL), FACE_VERTICES + np.arange(count)])
    local = np.full(len(mesh.vertices), -1)
    local[chosen] = np.arange(len(chosen))
    exterior = local[mesh.triangles[: len(mesh.triangles) - mesh.face_triangles]]
    laplacian = _laplacian(exterior, len(chosen))

    regions = _regions(mesh, person, landmarks, pad, beyond)
    sides = len(FACE_OVAL)
    pins = np.concatenate([np.full(sides, _PINNED), np.where(regions.fixed, _PINNED, 0.0)])

    def weights(confidence: F32, values: F32) -> F32:
        c = np.maximum(pins, np.concatenate([np.zeros(sides), confidence]))
        return np.linalg.solve(laplacian + np.diag(c), c[:, None] * values).astype(np.float32)

    fade = regions.fade
    head_values = np.concatenate([np.ones(sides), np.where(regions.fixed, 0, regions.head_value)])
    body_values = np.concatenate([np.zeros(sides), np.where(regions.fixed | ~regions.torso, 0, fade)])
    oval_values = np.concatenate([np.eye(sides), np.zeros((count, sides))])
    head = weights(regions.head_confidence, head_values[:, None])[:, 0]
    body_confidence = np.where(regions.head, 2.0, np.where(regions.torso, 0.5 * fade + 0.01, 0.01))
    body = weights(body_confidence.astype(np.float32), body_values[:, None])[:, 0]
    oval = weights(np.full(count, 0.02, np.float32), oval_values)

    ones, zeros = np.ones(FACE_VERTICES, np.float32), np.zeros(FACE_VERTICES, np.float32)
    return Skin(
        np.concatenate([ones, head[sides:]]).astype(np.float32),
        np.concatenate([zeros, body[sides:]]).astype(np.float32),
        oval[sides:],
    )


@dataclass(frozen=True, slots=True)
class _Regions:
    """Per exterior vertex."""

    head: np.ndarray[tuple[int], np.dtype[np.bool_]]
    torso: np.ndarray[tuple[int], np.dtype[np.bool_]]
    fixed: np.ndarray[tuple[int], np.dtype[np.bool_]]
    fade: F32
    head_value: F32
    head_confidence: F32


def _regions(mesh: Mesh, person: F32, landmarks: F32, pad: int, beyond: F32) -> _Regions:
    points = mesh.vertices[FACE_VERTICES:]
    chin, forehead = landmarks[CHIN, :2], landmarks[FOREHEAD, :2]
    face_height = float(np.linalg.norm(chin - forehead))
    below = (points - chin) @ ((chin - forehead) / face_height) / face_height  # face heights below the chin
    size = 2 * round(_HEAD_DILATION * face_height) + 1
    dilated = cv2.dilate(person, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    near = np.linalg.norm(points - (chin + forehead) / 2, axis=1) < _HEAD_REACH * face_height
    head = (_sample(dilated, points, pad) > 0.5) & (below < 0) & near
    torso = (_sample(person, points, pad) > 0.5) & (below >= 0)
    fade = np.clip(below / _NECK_LENGTH, 0, 1).astype(np.float32)
    fixed = _sample(beyond, points, pad) > 0.5
    fixed[mesh.border - FACE_VERTICES] = True
    value = np.where(head, 1.0, np.where(torso, 0.9 * (1 - fade), 0.0)).astype(np.float32)
    confidence = np.where(head, 2.0, np.where(torso, 0.02 + 0.5 * fade, 0.01)).astype(np.float32)
    return _Regions(head, torso, fixed, fade, value, confidence)


def _sample(mask: F32, points: F32, pad: int) -> F32:
    """Nearest values of a texture-sized mask at frame points f32 [N,2]."""
    x = np.clip(np.rint(points[:, 0] + pad), 0, mask.shape[1] - 1).astype(int)
    y = np.clip(np.rint(points[:, 1] + pad), 0, mask.shape[0] - 1).astype(int)
    out: F32 = mask[y, x]
    return out


def _laplacian(
    triangles: I32 | np.ndarray[tuple[int, ...], np.dtype[np.int64]], count: int
) -> npt.NDArray[np.float64]:
    """Dense graph Laplacian with unit edge weights."""
    matrix = np.zeros((count, count))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        matrix[triangles[:, a], triangles[:, b]] = -1.0
        matrix[triangles[:, b], triangles[:, a]] = -1.0
    np.fill_diagonal(matrix, -matrix.sum(1))
    return matrix


def spread_lips(face_triangles: I32) -> F32:
    """f32 [468,18]: influence of corrections at LIP_UPPER + LIP_LOWER; the two lips do not pull one another."""
    handles = np.array(LIP_UPPER + LIP_LOWER)
    still = np.array([78, 308])
    return _spread(face_triangles, handles, still, across=(set(LIP_UPPER), set(LIP_LOWER)), hold=0.35)


def spread_lids(face_triangles: I32) -> F32:
    """f32 [468,28]: influence of lid corrections: right upper, right lower, left upper, left lower."""
    handles = np.array(LID_UPPER[0] + LID_LOWER[0] + LID_UPPER[1] + LID_LOWER[1])
    uppers, lowers = set(LID_UPPER[0] + LID_UPPER[1]), set(LID_LOWER[0] + LID_LOWER[1])
    return _spread(face_triangles, handles, np.array([33, 133, 263, 362]), across=(uppers, lowers), hold=0.6)


def _spread(
    triangles: I32,
    handles: I32 | np.ndarray[tuple[int], np.dtype[np.int64]],
    still: np.ndarray[tuple[int], np.dtype[np.int64]],
    across: tuple[set[int], set[int]],
    hold: float,
) -> F32:
    """Screened harmonic weights: 1 at a handle, 0 at the others and at `still`, pulled to 0 elsewhere by `hold`."""
    matrix = _laplacian(triangles, FACE_VERTICES)
    for a in across[0]:
        for b in across[1]:
            if matrix[a, b]:
                matrix[a, a] += matrix[a, b]
                matrix[b, b] += matrix[b, a]
                matrix[a, b] = matrix[b, a] = 0.0
    confidence = np.full(FACE_VERTICES, hold)
    confidence[still] = confidence[handles] = _PINNED
    values = np.zeros((FACE_VERTICES, len(handles)))
    values[handles, np.arange(len(handles))] = _PINNED
    weights: F32 = np.linalg.solve(matrix + np.diag(confidence), values).astype(np.float32)
    weights[np.abs(weights) < 1e-3] = 0.0
    weights[handles] = np.eye(len(handles), dtype=np.float32)
    return weights
