"""The true mouth in its own crop: where the lips are apart, and what is around."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, U8, Deformation, FaceTrack
from streamfx.lab.evaluation.metrics import Mask
from streamfx.lab.evaluation.stage import Stage
from streamfx.render.base import MouthCrop
from streamfx.render.rectify import CROP, mouth_affine, move, polygon_mask
from streamfx.topology import INNER_MOUTH
from streamfx.track.closure import raw_lip_gaps

PX: Final = MouthCrop.MOUTH.value
"""Side of the crop."""
_NEAR_PX: Final = 2
_BOX_PX: Final = 6


@dataclass(frozen=True, slots=True)
class Opening:
    """The opening between the lips, in the 96 px mouth crop."""

    lips: F32 = field(repr=False)
    """f32 [20,2] px of the frame: the inner lip line."""
    affine: F32 = field(repr=False)
    """f32 [2,3]: frame px -> crop px."""
    mask: Mask = field(repr=False)
    """bool [96,96]: inside the line."""
    gap: float
    """cm: mean gap of the lips, by the landmarks."""

    @staticmethod
    def of(stage: Stage, face: FaceTrack) -> Opening:
        """Of another picture's face, by the stage's camera."""
        landmarks = stage.landmarks(face)
        gap = float(raw_lip_gaps(stage.geometry.pose(landmarks).to_canonical(landmarks)).mean())
        return _opening(landmarks[list(INNER_MOUTH), :2], stage.matched(face), gap)

    @staticmethod
    def shown(deformation: Deformation) -> Opening:
        """Of what is rendered."""
        return _opening(deformation.inner_mouth, deformation, deformation.mouth_gap)

    def crop(self, picture: U8) -> U8:
        """u8 [96,96,3] of a picture in the frame."""
        out = cv2.warpAffine(picture, self.affine, (PX, PX), borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(out, np.uint8)

    def near(self) -> Mask:
        """bool [96,96]: the opening and two pixels around it, where teeth meet lips."""
        return _grown(self.mask, _NEAR_PX)

    def box(self) -> Mask:
        """bool [96,96]: the opening's upright box and a few pixels around it."""
        rows, columns = (np.flatnonzero(self.mask.any(axis)) for axis in (1, 0))
        out = np.zeros_like(self.mask)
        if rows.size:
            out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        return _grown(out, _BOX_PX)

    def in_face(self, affine: F32) -> Mask:
        """bool [256,256]: as `near`, in a face crop (f32 [2,3]: frame px -> crop px)."""
        inside = polygon_mask(move(self.lips, affine), (CROP, CROP)) > 0.5
        return _grown(inside, _NEAR_PX)


def _opening(lips: F32, deformation: Deformation, gap: float) -> Opening:
    affine = mouth_affine(deformation, PX)
    return Opening(lips, affine, polygon_mask(move(lips, affine), (PX, PX)) > 0.5, gap)


def _grown(mask: Mask, px: int) -> Mask:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * px + 1, 2 * px + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)
