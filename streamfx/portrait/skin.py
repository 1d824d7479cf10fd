"""Who moves with whom: skinning weights of the exterior and the spread of lip and lid corrections.

Solved once per photo as screened Laplace problems on the mesh's edges: minimise
sum_edges |d_i - d_j|^2 + sum_i c_i |d_i - value_i|^2 (algorithm.md#skinning).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from streamfx.frames import F32, I32, Mask
from streamfx.geometry import F64, Real
from streamfx.portrait.masks import grown
from streamfx.portrait.mesh import Mesh
from streamfx.topology import (
    CHIN,
    EYE_CORNERS,
    FACE_OVAL,
    FACE_VERTICES,
    FOREHEAD,
    LID_LOWER,
    LID_UPPER,
    LIP_LOWER,
    LIP_UPPER,
    MOUTH_CORNERS,
)

_PINNED = 1e4
"""Confidence of what must not move from its value."""
_HEAD, _TORSO, _LOOSE = 2.0, 0.5, 0.01
"""Confidence in the head and hair, in the torso away from the neck, and in all else."""
_NECK = 0.02  # more confidence right below the chin, so that the neck is smooth
_TORSO_HEAD_SHARE = 0.9  # of the head's motion that the torso takes part in right below the chin
_OVAL_HOLD = 0.02  # how fast expression fades away from the face
_LIP_HOLD, _LID_HOLD = 0.35, 0.6  # how fast corrections fade away from lips and lids
_LEAST_WEIGHT = 1e-3  # smaller ones are dropped
_HEAD_DILATION = 0.14  # face heights: hair must not be cut at the mask's edge
_HEAD_REACH = 1.25  # face heights above the chin
_HELD = 1.6  # cells around a cut border that stay where they are: the triangles that it runs through
_EASE = 0.45  # face heights over which the person may move more and more, away from a cut border
_NECK_LENGTH = 0.45  # face heights over which head motion fades into the torso

Numbers = npt.NDArray[np.integer]
"""Vertex numbers."""


@dataclass(frozen=True, slots=True)
class Skin:
    """Weights per vertex: head_weight, body_weight and oval_weight of frames.Rig."""

    head: F32
    """f32 [V]"""
    body: F32
    """f32 [V]"""
    oval: F32
    """f32 [V-468,36]"""


def solve_skin(mesh: Mesh, person: F32, landmarks: F32, pad: int, cut: Mask) -> Skin:
    """Solve the exterior's weights.

    Args:
        mesh: the joined mesh.
        person: f32 [H+2pad, W+2pad] 0..1: person mask at texture size.
        landmarks: f32 [478,3] px of the frame.
        pad: px of texture beyond the frame.
        cut: bool [H+2pad, W+2pad]: where borders of the photo cut the torso.
    """
    regions = _regions(mesh, person, landmarks, pad, cut)
    laplacian = _exterior_laplacian(mesh)
    sides, count = len(FACE_OVAL), len(mesh.vertices) - FACE_VERTICES
    pins = np.concatenate([np.full(sides, _PINNED), np.where(regions.fixed, _PINNED, 0.0)])

    def weights(confidence: F32, on_oval: Real, outside: Real) -> F32:
        """f32 [count,C]: solved from values f32 [36,C] on the oval and [count,C] outside."""
        c = np.maximum(pins, np.concatenate([np.zeros(sides), confidence]))
        values = np.concatenate([on_oval, outside])
        system = laplacian.copy()
        np.einsum("ii->i", system)[:] += c
        _, solved = cv2.solve(system, c[:, None] * values, flags=cv2.DECOMP_CHOLESKY)
        return np.asarray(solved[sides:], np.float32)

    ones, zeros = np.ones((sides, 1)), np.zeros((sides, 1))
    head = weights(regions.head_confidence, ones, regions.head_value[:, None])
    body = weights(regions.body_confidence, zeros, regions.body_value[:, None])
    oval = weights(np.full(count, _OVAL_HOLD, np.float32), np.eye(sides), np.zeros((count, sides)))
    face = np.ones(FACE_VERTICES, np.float32)
    return Skin(np.concatenate([face, head[:, 0]]), np.concatenate([0 * face, body[:, 0]]), oval)


def _exterior_laplacian(mesh: Mesh) -> F64:
    """Laplacian over the oval's vertices, then the exterior's."""
    count = len(mesh.vertices) - FACE_VERTICES
    chosen = np.concatenate([np.array(FACE_OVAL), FACE_VERTICES + np.arange(count)])
    local = np.full(len(mesh.vertices), -1)
    local[chosen] = np.arange(len(chosen))
    exterior = mesh.triangles[: len(mesh.triangles) - mesh.face_triangles]
    return _laplacian(local[exterior], len(chosen))


@dataclass(frozen=True, slots=True)
class _Regions:
    """What each exterior vertex should do, and how surely: one value per vertex."""

    fixed: Mask
    """On the texture's border, or where a border of the photo cuts the person: stays where it is."""
    head_value: F32
    head_confidence: F32
    body_value: F32
    body_confidence: F32


def _regions(mesh: Mesh, person: F32, landmarks: F32, pad: int, cut: Mask) -> _Regions:
    points = mesh.vertices[FACE_VERTICES:]
    chin, forehead = landmarks[CHIN, :2], landmarks[FOREHEAD, :2]
    face_height = float(np.linalg.norm(chin - forehead))
    below = (points - chin) @ ((chin - forehead) / face_height) / face_height  # face heights below the chin
    dilated = grown(person, 0.5, _HEAD_DILATION * face_height)
    near = np.linalg.norm(points - (chin + forehead) / 2, axis=1) < _HEAD_REACH * face_height
    head = _sample(dilated.astype(np.float32), points, pad).astype(bool) & (below < 0) & near
    torso = (_sample(person, points, pad) > 0.5) & (below >= 0)
    fade = np.clip(below / _NECK_LENGTH, 0, 1).astype(np.float32)
    away = _sample(_distance(cut), points, pad)
    fixed = away < _HELD * mesh.cell
    fixed[mesh.border - FACE_VERTICES] = True
    loose = np.clip(away / (_EASE * face_height), 0, 1).astype(np.float32) ** 2
    with_head = np.where(head, 1.0, np.where(torso, _TORSO_HEAD_SHARE * (1 - fade), 0.0))
    head_sure = np.where(head, _HEAD, np.where(torso, _NECK + _TORSO * fade, _LOOSE))
    body_sure = np.where(head, _HEAD, np.where(torso, _TORSO * fade + _LOOSE, _LOOSE))
    return _Regions(
        fixed,
        head_value=np.where(fixed, 0, with_head).astype(np.float32),
        head_confidence=(head_sure * loose).astype(np.float32),
        body_value=np.where(fixed | ~torso, 0, fade).astype(np.float32),
        body_confidence=(body_sure * loose).astype(np.float32),
    )


def _distance(cut: Mask) -> F32:
    """f32 [H,W] px to the nearest place that is cut; far where none is."""
    if not cut.any():
        return np.full(cut.shape, np.inf, np.float32)
    away = (~cut).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)


def _sample(mask: F32, points: F32, pad: int) -> F32:
    """Nearest values of a texture-sized mask at frame points f32 [N,2]."""
    x = np.clip(np.rint(points[:, 0] + pad), 0, mask.shape[1] - 1).astype(int)
    y = np.clip(np.rint(points[:, 1] + pad), 0, mask.shape[0] - 1).astype(int)
    out: F32 = mask[y, x]
    return out


def _laplacian(triangles: Numbers, count: int) -> F64:
    """f64 [count,count]: dense graph Laplacian with unit edge weights."""
    matrix = np.zeros((count, count))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        matrix[triangles[:, a], triangles[:, b]] = -1.0
        matrix[triangles[:, b], triangles[:, a]] = -1.0
    np.fill_diagonal(matrix, -matrix.sum(1))
    return matrix


def spread_lips(face_triangles: I32) -> F32:
    """f32 [468,18]: influence of corrections at LIP_UPPER + LIP_LOWER; no lip pulls the other."""
    handles, still = np.array(LIP_UPPER + LIP_LOWER), np.array(MOUTH_CORNERS)
    return _spread(face_triangles, handles, still, across=(set(LIP_UPPER), set(LIP_LOWER)), hold=_LIP_HOLD)


def spread_lids(face_triangles: I32) -> F32:
    """f32 [468,28]: influence of lid corrections: right upper, right lower, left upper, left lower."""
    handles = np.array(LID_UPPER[0] + LID_LOWER[0] + LID_UPPER[1] + LID_LOWER[1])
    uppers, lowers = set(LID_UPPER[0] + LID_UPPER[1]), set(LID_LOWER[0] + LID_LOWER[1])
    still = np.array(EYE_CORNERS).ravel()
    return _spread(face_triangles, handles, still, across=(uppers, lowers), hold=_LID_HOLD)


def _spread(
    triangles: I32, handles: Numbers, still: Numbers, across: tuple[set[int], set[int]], hold: float
) -> F32:
    """Screened harmonic weights f32 [468,len(handles)]: 1 at a handle, 0 at the others and at `still`.

    Elsewhere `hold` pulls them to 0. Edges between the two sets `across` are cut.
    """
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
    weights[np.abs(weights) < _LEAST_WEIGHT] = 0.0
    weights[handles] = np.eye(len(handles), dtype=np.float32)
    return weights
