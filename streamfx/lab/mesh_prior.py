"""What is known about a face before any data: its parts, its mesh cut open at lips and lids, a smooth prior.

The prior is a Gaussian process whose covariance is the heat kernel of the mesh. The heat kernel is positive
definite on any mesh, and on a mesh cut at the lips it lets the lower lip move without the upper one, which a
kernel of plain distance would not. (Gaussian process morphable models: Luethi et al. 2018, TPAMI 40(8).)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from streamfx.models.face_basis import Part
from streamfx.topology import EYES, FACE_VERTICES, INNER_MOUTH

F64 = npt.NDArray[np.float64]
Mesh = tuple[F64, npt.NDArray[np.int32]]
"""Vertices f64 [468,3] cm (x right, y down, z away) and triangles i32 [898,3] of the canonical face."""

CROP_SCALE = 11.5
"""px per cm in the 256 px crop (algorithm.md#crop)."""

SIGMA_PX = {
    Part.BROW: (1.6, 3.4),
    Part.EYE: (1.2, 1.7),
    Part.NOSE: (0.9, 0.9),
    Part.MOUTH: (3.8, 6.4),
    Part.JAW: (1.7, 4.2),
    Part.CHEEK: (1.7, 2.5),
    Part.FOREHEAD: (1.3, 2.0),
}
"""Standard deviation of expression in px of the 256 px crop, x and y, over 16 clips and 102 smiles."""

_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
_EYE = (
    246, 161, 160, 159, 158, 157, 173, 33, 7, 163, 144, 145, 153, 154, 155, 133,
    247, 30, 29, 27, 28, 56, 190, 130, 25, 110, 24, 23, 22, 26, 112, 243,
    113, 225, 224, 223, 222, 221, 189, 226, 31, 228, 229, 230, 231, 232, 233, 244,
)  # fmt: skip


def mirror_of(vertices: F64) -> npt.NDArray[np.int64]:
    """For each vertex, the one on the other side of the (exactly symmetric) canonical face: i64 [468]."""
    reflected = vertices * (-1.0, 1.0, 1.0)
    distance = np.linalg.norm(vertices[:, None] - reflected[None], axis=2)
    return np.asarray(distance.argmin(axis=1))


def reflected(fields: F64, vertices: F64) -> F64:
    """The mirror images of displacement fields [...,468,3] of the canonical face."""
    return np.asarray(fields[..., mirror_of(vertices), :] * (-1.0, 1.0, 1.0))


def face_parts(vertices: F64) -> npt.NDArray[np.int32]:
    """A `Part` per vertex, i32 [468]: brows and eyes by number, the rest by place (cm)."""
    x, y = np.abs(vertices[:, 0]), vertices[:, 1]
    parts = np.full(FACE_VERTICES, Part.CHEEK, np.int32)
    parts[y > 4.3] = Part.JAW
    parts[y < -3.6] = Part.FOREHEAD
    parts[(x < 2.1) & (y > -3.6) & (y < 2.4)] = Part.NOSE
    parts[(x < 3.7) & (y >= 2.4) & (y < 6.3)] = Part.MOUTH
    other = mirror_of(vertices)
    for group, part in ((_EYE, Part.EYE), (_BROW, Part.BROW)):
        parts[list(group)] = part
        parts[other[list(group)]] = part
    return parts


def edge_weights(mesh: Mesh) -> F64:
    """Symmetric f64 [468,468]: 1/length^2 for each edge of the mesh with mouth and eyes cut open, else 0."""
    vertices, triangles = mesh
    holes = [set(INNER_MOUTH), *(set(eye) for eye in EYES)]
    skin = [t for t in triangles.tolist() if not any(hole.issuperset(t) for hole in holes)]
    weights = np.zeros((FACE_VERTICES, FACE_VERTICES))
    for a, b, c in skin:
        for i, j in ((a, b), (b, c), (c, a)):
            weights[i, j] = weights[j, i] = 1.0 / float(((vertices[i] - vertices[j]) ** 2).sum())
    return weights


def laplacian(mesh: Mesh) -> F64:
    """Graph Laplacian of the cut mesh, f64 [468,468], positive semidefinite, rows sum to 0."""
    weights = edge_weights(mesh)
    return np.asarray(np.diag(weights.sum(axis=1)) - weights)


def smooth(values: F64, mesh: Mesh, steps: int) -> F64:
    """`values` [468,n] after `steps` steps of averaging each vertex half and half with its neighbours."""
    adjacency = (edge_weights(mesh) > 0).astype(np.float64)
    average = adjacency / adjacency.sum(axis=1, keepdims=True)
    for _ in range(steps):
        values = 0.5 * values + 0.5 * average @ values
    return values


def heat_correlation(operator: F64, reach_cm: float) -> F64:
    """Correlation f64 [468,468], falling off over `reach_cm` along the skin: the heat kernel, scaled."""
    eigenvalues, eigenvectors = np.linalg.eigh(operator)
    # Six neighbours at length l weigh 1/l^2 each: 3/2 of the plane's Laplacian, hence the 3 instead of 2.
    kernel = (eigenvectors * np.exp(-eigenvalues * reach_cm**2 / 3.0)) @ eigenvectors.T
    spread = np.sqrt(np.diag(kernel))
    return np.asarray(kernel / np.outer(spread, spread))


def part_sigma(mesh: Mesh, steps: int = 4) -> F64:
    """The table `SIGMA_PX` per vertex, f64 [468,2] px, smoothed so that no part border shows."""
    parts = face_parts(mesh[0])
    table = np.array([SIGMA_PX[Part(part)] for part in parts.tolist()])
    return smooth(table, mesh, steps)


def amplitude_cm(mesh: Mesh) -> F64:
    """Prior standard deviation of expression, f64 [468,3] cm; depth as the mean of the other axes."""
    plane = part_sigma(mesh) / CROP_SCALE
    return np.column_stack([plane, plane.mean(axis=1)])


def smooth_prior(mesh: Mesh, reaches_cm: Sequence[float]) -> F64:
    """Covariance f64 [1404,1404] cm^2 of smooth deformations: the mean of one heat kernel per reach."""
    operator = laplacian(mesh)
    correlation = np.mean([heat_correlation(operator, reach) for reach in reaches_cm], axis=0)
    scale = amplitude_cm(mesh)
    covariance = np.zeros((FACE_VERTICES, 3, FACE_VERTICES, 3))
    for axis in range(3):
        covariance[:, axis, :, axis] = correlation * np.outer(scale[:, axis], scale[:, axis])
    return covariance.reshape(FACE_VERTICES * 3, FACE_VERTICES * 3)


def interpolate(operator: F64, pins: Mapping[int, Sequence[float]]) -> F64:
    """The smoothest displacement field f64 [468,3] that takes the given values (cm) at the pinned vertices.

    Minimises the squared Laplacian, with enough tension that free regions do not overshoot the pinned ones.
    """
    energy = operator @ operator + 3.0 * operator + 1e-4 * np.eye(FACE_VERTICES)
    pinned = np.array(sorted(pins))
    stiffness = 1e4 * np.abs(np.diag(energy)).mean()
    target = np.zeros((FACE_VERTICES, 3))
    target[pinned] = [pins[vertex] for vertex in pinned.tolist()]
    hold = np.zeros(FACE_VERTICES)
    hold[pinned] = stiffness
    return np.asarray(np.linalg.solve(energy + np.diag(hold), hold[:, None] * target))
