"""How much a face looks like its owner: dlib's ResNet embedding. The only door to dlib.

dlib calls two faces one person's below a distance of 0.6; that is too lax for Black and East Asian faces, so
distances are only ever read beside that between two real photos of the same person.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from streamfx.errors import ModelCorrupt, ModelMissing
from streamfx.frames import F32, U8
from streamfx.topology import EYE_CORNERS

if TYPE_CHECKING:
    import dlib

FILE: Final = "dlib_face_recognition_resnet_model_v1.dat"
_SUBNASALE: Final = 2
_FIVE: Final = (*EYE_CORNERS[1], *EYE_CORNERS[0], _SUBNASALE)
"""dlib's five landmarks: outer and inner corner of the eye on the right, of that on the left; subnasale."""
_REMEDY: Final = "It is part of the evaluation data; see its README"


class Identity:
    """Embeds faces."""

    def __init__(self, models: Path) -> None:
        """Load the network.

        Args:
            models: the folder with FILE inside.

        Raises:
            ModelMissing: it is not there, or dlib is not installed.
            ModelCorrupt: dlib cannot read it.
        """
        self._dlib = _dlib()
        path = models / FILE
        if not os.path.isfile(path):
            raise ModelMissing(f"There is no {FILE} in {models}", _REMEDY)
        try:
            self._network = self._dlib.face_recognition_model_v1(str(path))
        except RuntimeError as error:
            raise ModelCorrupt(f"{path} cannot be read as dlib's network", _REMEDY) from error

    def embed(self, picture: U8, landmarks: F32) -> F32:
        """f32 [128]: the face of u8 [H,W,3] at landmarks f32 [>=468,2] px, which also turn it upright."""
        points = [self._dlib.point(*np.rint(landmarks[i, :2]).astype(int).tolist()) for i in _FIVE]
        xs, ys = [one.x for one in points], [one.y for one in points]
        box = self._dlib.rectangle(min(xs), min(ys), max(xs), max(ys))
        shape = self._dlib.full_object_detection(box, points)
        return np.array(
            self._network.compute_face_descriptor(np.ascontiguousarray(picture), shape), np.float32
        )


def apart(a: F32, b: F32) -> float:
    """Distance of two embeddings."""
    return float(np.linalg.norm(a - b))


def _dlib() -> dlib:
    try:
        import dlib
    except ImportError as error:
        raise ModelMissing("dlib is not installed", "Install it: pip install 'streamfx[train]'") from error
    return dlib
