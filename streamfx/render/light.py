"""Light on the face: where it comes from, and how it changes as the head turns and the skin folds.

A photo's shading is part of its texture and turns with the head, while real light stays in the room. The
light is told from the photo as second-order spherical harmonics over the skin's normals (Ramamoorthi &
Hanrahan 2001: nine figures hold nearly all of what matt surfaces show). The ratio of the light on the moved
surface to that on the surface at rest is what the refiner multiplies the warped face by.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, I32, Deformation, Rig
from streamfx.geometry import F64, Real
from streamfx.models.face_basis import Part, load_face_basis
from streamfx.render.kernels import normals
from streamfx.topology import FACE_VERTICES

COEFFICIENTS: Final = 9

_SKIN = (Part.NOSE, Part.JAW, Part.CHEEK, Part.FOREHEAD)
_FACING = 0.25  # of a normal's length towards the viewer: skin seen more askew is not trusted
_FLOOR = 8.0  # grey levels added before logarithms are taken
_BLUR = 2.0  # px at which skin is sampled
_CAUTION = 0.01  # keeps the light even where the photo does not tell
_ROBUST, _ROUNDS = 1.5, 8  # skin off the light's model (shadows, beards, moles) counts less
_STRENGTH = 0.55  # of the change that is shown: faces are not quite matt
_MOST = 0.35  # of the logarithm of the ratio
_SMOOTHINGS = 3


class Relighter:
    """The light of one rig's photo."""

    def __init__(self, rig: Rig) -> None:
        self._shape = rig.shape[:FACE_VERTICES]
        self._surface = _Surface(rig.triangles[-rig.face_triangles :])
        at_rest = self._surface.normals(self._shape) @ rig.rotation.T
        self._before = harmonics(at_rest)
        self._light = _fit(self._before, _luma(rig), _trusted(at_rest))

    def change(self, deformation: Deformation) -> F32:
        """f32 [468]: logarithm of how much more light falls on each vertex than at rest; 0 at rest."""
        normals = self._surface.normals(self._shape + deformation.expression) @ deformation.rotation.T
        change = _STRENGTH * ((harmonics(normals) - self._before) @ self._light)
        return self._surface.smoothed(np.clip(change, -_MOST, _MOST).astype(np.float32))


class _Surface:
    """Normals and averages on the face's mesh."""

    def __init__(self, triangles: I32) -> None:
        self._triangles = triangles
        near = np.eye(FACE_VERTICES, dtype=np.float32)
        near[triangles[:, [0, 1, 2]], triangles[:, [1, 2, 0]]] = 1
        near[triangles[:, [1, 2, 0]], triangles[:, [0, 1, 2]]] = 1
        once = near / near.sum(1, keepdims=True)
        self._smoothing = np.linalg.matrix_power(once, _SMOOTHINGS)

    def normals(self, vertices: F32) -> F32:
        """f32 [468,3], of length 1, out of the face: z is negative where it looks at the viewer."""
        out = np.empty_like(vertices)
        normals(vertices, self._triangles, out)
        return out

    def smoothed(self, values: F32) -> F32:
        """f32 [468], averaged with their neighbours."""
        return np.asarray(self._smoothing @ values, np.float32)


def harmonics(normals: Real) -> F32:
    """f32 [N,9]: real spherical harmonics to the second order, unnormalised, of unit vectors [N,3]."""
    x, y, z = np.asarray(normals, np.float32).T
    return np.stack([np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1], 1)


def _luma(rig: Rig) -> F64:
    """f64 [468]: logarithm of the photo's luma at each vertex."""
    grey = cv2.GaussianBlur(cv2.cvtColor(rig.photo, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), _BLUR)
    x, y = np.rint(rig.landmarks[:FACE_VERTICES, :2] + rig.pad).astype(int).T
    out: F64 = np.log(grey[np.clip(y, 0, grey.shape[0] - 1), np.clip(x, 0, grey.shape[1] - 1)] + _FLOOR)
    return out


def _trusted(normals: F32) -> F64:
    """f64 [468] 1 where the photo shows plain skin well, else 0."""
    skin = np.isin(load_face_basis().parts, _SKIN)
    return (skin & (normals[:, 2] < -_FACING)).astype(np.float64)


def _fit(basis: F32, seen: F64, trusted: F64) -> F32:
    """f32 [9]: robust ridge regression (Cauchy weights; the constant term is free)."""
    caution = np.diag([1e-6, *[_CAUTION] * (COEFFICIENTS - 1)])
    weight, light = trusted, np.zeros(COEFFICIENTS)
    for _ in range(_ROUNDS):
        normal = basis.T @ (weight[:, None] * basis) + caution * max(weight.sum(), 1.0)
        light = np.linalg.solve(normal, basis.T @ (weight * seen))
        off = seen - basis @ light
        scale = _ROBUST * float(np.median(np.abs(off[trusted > 0]))) + 1e-6 if trusted.any() else 1.0
        weight = trusted / (1 + np.square(off / scale))
    return light.astype(np.float32)
