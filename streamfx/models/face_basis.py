"""The expression basis: 48 smooth modes that span what a face does, what a smile is, and their statistics.

Learned by `streamfx/lab/basis.py` from openly licensed faces; shipped with the package, versioned and hashed,
because motion templates, the displacement map and the networks' checkpoints all refer to it.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from streamfx.errors import ModelCorrupt
from streamfx.frames import F32, I32
from streamfx.geometry import F64, Real
from streamfx.topology import FACE_VERTICES

MODES = 48
"""Number of modes, hence of coefficients in a motion template's frame."""

_RESOURCE = "face_basis.npz"
_REINSTALL = "Install streamfx again"
_SHAPES = {
    "modes": (MODES, FACE_VERTICES, 3),
    "std": (MODES,),
    "rms": (FACE_VERTICES,),
    "sigma": (FACE_VERTICES, 2),
    "parts": (FACE_VERTICES,),
    "smile": (FACE_VERTICES, 3),
    "smile_at_rest": (),
}

SMILE_REGION = (
    36, 50, 57, 61, 62, 76, 78, 92, 146, 185, 186, 187, 205, 206, 207, 212, 216,
    266, 280, 287, 291, 292, 306, 308, 322, 375, 409, 410, 411, 425, 426, 427, 432, 436,
)  # fmt: skip
"""The corners of the mouth and the cheeks, by which a smile is told from other expressions: over the whole
face, a jaw opened by 12 degrees would count as 0.6 of a smile, and here it counts as 0.04."""


class Part(IntEnum):
    """The part of the face that a vertex belongs to; the values are stored in the file."""

    BROW = 0
    EYE = 1
    NOSE = 2
    MOUTH = 3
    JAW = 4
    CHEEK = 5
    FOREHEAD = 6


@dataclass(frozen=True, slots=True, eq=False)
class FaceBasis:
    """A linear basis of pose-free expressions: E = sum over k of c_k modes_k, with mean zero (rest)."""

    modes: F32 = field(repr=False)
    """f32 [48,468,3] cm per unit of coefficient; close to orthonormal."""
    std: F32 = field(repr=False)
    """f32 [48] cm: standard deviation of each coefficient over what was learned from, largest first."""
    rms: F32 = field(repr=False)
    """f32 [468] cm: how far expression moves each vertex; weights the pose fit."""
    sigma: F32 = field(repr=False)
    """f32 [468,2] px in the 256 px crop: scale of the displacement map, x and y."""
    parts: I32 = field(repr=False)
    """i32 [468]: a `Part` per vertex."""
    smile: F32 = field(repr=False)
    """f32 [468,3] cm, symmetric: the mean smile, at the size that MediaPipe scores as mouthSmile = 1."""
    smile_at_rest: float
    """Mean score 0..1 of mouthSmile, both sides averaged, in photos of neutral faces."""
    version: str
    provenance: str = field(repr=False)
    """What it was learned from, with the licences and credits."""
    sha256: str
    """Of the file's bytes."""
    analysis: F32 = field(repr=False)
    """f32 [1404,48]: the pseudo-inverse of the modes."""

    def project(self, expression: F32) -> F32:
        """Coefficients of the nearest expression in the basis (least squares).

        Args:
            expression: f32 [...,468,3] cm.

        Returns:
            f32 [...,48] cm.
        """
        flat = expression.reshape(*expression.shape[:-2], FACE_VERTICES * 3)
        return np.asarray(flat @ self.analysis, np.float32)

    def expand(self, coefficients: F32) -> F32:
        """The expression that the coefficients stand for: f32 [...,48] cm -> f32 [...,468,3] cm."""
        flat = coefficients @ self.modes.reshape(MODES, -1)
        return np.asarray(flat.reshape(*coefficients.shape[:-1], FACE_VERTICES, 3), np.float32)

    def smile_of(self, expression: Real) -> float:
        """How much of `smile` is in an expression [468,3] cm: 0 at rest, 1 for `smile` itself.

        Negative for a pucker, above 1 for the broadest smiles; jaw, brows and lids hardly count.
        """
        return float(share_of(self.smile, expression))


def share_of(smile: Real, expressions: Real) -> F64:
    """The multiple of `smile` that is nearest within SMILE_REGION to each expression.

    Args:
        smile: [468,3] cm, or of any unit.
        expressions: [...,468,3], of the same unit.

    Returns:
        f64 [...]
    """
    region = list(SMILE_REGION)
    direction = np.asarray(smile[region], np.float64)
    along = np.einsum("...vi,vi->...", np.asarray(expressions, np.float64)[..., region, :], direction)
    return np.asarray(along / np.vdot(direction, direction), np.float64)


@cache
def load_face_basis() -> FaceBasis:
    """The basis that ships with the package.

    Raises:
        ModelCorrupt: the installed file is missing, damaged or of another shape.
    """
    try:
        data = files(__package__).joinpath(_RESOURCE).read_bytes()
    except OSError as error:
        raise ModelCorrupt(f"The expression basis {_RESOURCE} is not installed", _REINSTALL) from error
    return parse_face_basis(data)


def parse_face_basis(data: bytes) -> FaceBasis:
    """A basis from the bytes of its npz file.

    Raises:
        ModelCorrupt: not an npz file, an array is missing, mis-shaped, or not finite.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: _array(archive[name], name, shape) for name, shape in _SHAPES.items()}
            version, provenance = str(archive["version"]), str(archive["provenance"])
        analysis = _pseudo_inverse(arrays["modes"])
    except (ValueError, KeyError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ModelCorrupt(f"The expression basis cannot be read: {error}", _REINSTALL) from error
    return FaceBasis(
        modes=arrays["modes"],
        std=arrays["std"],
        rms=arrays["rms"],
        sigma=arrays["sigma"],
        parts=arrays["parts"].astype(np.int32),
        smile=arrays["smile"],
        smile_at_rest=float(arrays["smile_at_rest"]),
        version=version,
        provenance=provenance,
        sha256=hashlib.sha256(data).hexdigest(),
        analysis=analysis,
    )


def _array(raw: npt.NDArray[np.generic], name: str, shape: tuple[int, ...]) -> F32:
    """`raw` as read-only f32 of the expected shape."""
    if raw.shape != shape or raw.dtype.kind not in "fiu":
        raise ValueError(f"{name} is {raw.dtype}{list(raw.shape)}, expected numbers {list(shape)}")
    array = np.asarray(raw, np.float32, order="C")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    array.flags.writeable = False
    return array


def _pseudo_inverse(modes: F32) -> F32:
    """f32 [1404,48]: undoes the half-precision storage, which leaves the modes not quite orthonormal."""
    flat = modes.reshape(MODES, -1).astype(np.float64)
    inverse = np.linalg.solve(flat @ flat.T, flat).T.astype(np.float32)
    inverse.flags.writeable = False
    return np.ascontiguousarray(inverse)
