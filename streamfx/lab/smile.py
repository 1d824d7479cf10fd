"""What a smile is: its direction, how large MediaPipe's blendshape makes it, and how neutral faces score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamfx.frames import FaceTrack
from streamfx.lab.actions import Actions
from streamfx.lab.expressions import Person, offsets
from streamfx.lab.mesh_prior import F64, Mesh, reflected
from streamfx.models.face_basis import share_of

TIER = "london"
"""The photos whose moving pictures are smiles, every one."""
LEAST_RISE = 0.05
"""Rise of the score (rms over the smiles) below which it cannot size them."""
_MOUTH_SMILE = slice(44, 46)
"""mouthSmileLeft and mouthSmileRight in MediaPipe's order."""


def learn_smile(people: Sequence[Person], mesh: Mesh, weights: F64) -> tuple[F64, float]:
    """The smile f64 [468,3] cm of score 1, and the mean score of faces at rest.

    The direction is the mean smile, made symmetric. Its size: over people, the share of the mean smile in a
    smile is regressed on how far the score rises above the person's own rest (measured: 1.91 mean smiles per
    1.0 of score, standard error 0.05, over 78 people; 12 clips of others give 2 % more).

    Args:
        weights: f64 [468] of the pose fit, as the modes are measured.
    """
    smilers = [person for person in people if person.tier == TIER]
    if not smilers:
        return _authored(mesh), 0.0
    smiles = offsets(smilers, mesh[0], weights)[TIER]
    mean = smiles.mean(axis=0)
    mean = (mean + reflected(mean, mesh[0])) / 2
    rest = np.array([score(person.rest) for person in smilers])
    rises = np.array([score([f]) - r for p, r in zip(smilers, rest, strict=True) for f in p.moving])
    return size_at_one(mean, smiles, rises) * mean, float(rest.mean())


def score(faces: Sequence[FaceTrack]) -> float:
    """Mean score 0..1 of mouthSmile, both sides averaged."""
    return float(np.mean([face.blendshapes[_MOUTH_SMILE] for face in faces]))


def size_at_one(mean: F64, smiles: F64, rises: F64) -> float:
    """How many times `mean` [468,3] a rise of the score by 1 is: least squares through rest.

    Args:
        smiles: f64 [N,468,3] cm.
        rises: f64 [N], of each smile's score above rest; without any to speak of, the mean is taken for 1.
    """
    if np.sqrt((rises**2).mean()) < LEAST_RISE:
        return 1.0
    return float(rises @ share_of(mean, smiles) / (rises @ rises))


def _authored(mesh: Mesh) -> F64:
    right = Actions(mesh).smile()
    return right + reflected(right, mesh[0])
