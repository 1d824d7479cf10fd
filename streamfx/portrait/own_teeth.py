"""The person's own upper teeth, where the photo shows them."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from streamfx.frames import F32, U8
from streamfx.geometry import Pose
from streamfx.portrait.masks import polygon
from streamfx.portrait.teeth import DENSITY, SIZE, smooth_step
from streamfx.topology import INNER_MOUTH

_SEEN_GAP = 0.22  # cm: a mouth at least this open at rest may show teeth
_UPPER_LIP, _LOWER_LIP = (13, 82, 312), (14, 87, 317)  # the middle of the inner lip line
_LEAST_INSIDE = 200  # texture px of open mouth that it takes to look for teeth
_DARKEST_TEETH = 70  # grey level of the mouth's brightest tenth, below which there are none
_LEAST_SHARE = 0.25  # of the open mouth that teeth must fill
_LEAST_COLOUR = 50  # px of teeth that it takes to tell their colour


@dataclass(frozen=True, slots=True)
class OwnTeeth:
    """Teeth cut from the photo, as a texture in the frontal plane (see teeth.py)."""

    texture: F32 = field(repr=False)
    """f32 [h,w,4] premultiplied 0..255"""

    @property
    def edge(self) -> float:
        """cm below the closed lips to which the incisors reach."""
        middle = self.texture[:, SIZE[0] // 2 - DENSITY : SIZE[0] // 2 + DENSITY, 3] > 127
        rows = np.flatnonzero(middle.mean(1) > 0.5)
        lowest = rows.max() if len(rows) else SIZE[1] // 2
        return float((lowest + 0.5) / DENSITY - SIZE[1] / (2 * DENSITY))

    @property
    def colour(self) -> F32 | None:
        """f32 [3] RGB: mean colour, for the teeth that the photo hides; None if too little is seen."""
        total = float((self.texture[..., 3] / 255).sum())
        if total < _LEAST_COLOUR:
            return None
        mean: F32 = (self.texture[..., :3].sum((0, 1)) / total * 1.03).astype(np.float32)
        return mean


def find_own_teeth(photo: U8, landmarks: F32, shape: F32, pose: Pose, pad: int) -> OwnTeeth | None:
    """The photo's own upper teeth, or None if none are seen; arguments as in mouth.mouth_layer."""
    gap = float((shape[list(_LOWER_LIP), 1] - shape[list(_UPPER_LIP), 1]).mean())
    if gap < _SEEN_GAP:
        return None
    place = pose.scale * pose.rotation[:2, :2] / DENSITY
    origin = landmarks[[13, 14], :2].mean(0) + pad
    half = (np.array(SIZE) - 1) / 2
    matrix = np.column_stack([place, origin - place @ half])
    flat = cv2.warpAffine(photo, matrix, SIZE, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    opening = polygon(landmarks[list(INNER_MOUTH), :2] + pad, photo.shape).astype(np.float32) / 255
    inside = cv2.warpAffine(opening, matrix, SIZE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8))
    return _select(flat.astype(np.float32), inside.astype(np.float32))


def _select(flat: F32, inside: F32) -> OwnTeeth | None:
    """Keep what is bright and hardly red among the inside of the mouth."""
    bright, red = flat.mean(2), flat[..., 0] / np.maximum(flat.mean(2), 1)
    picked = bright[inside > 0.5]
    if len(picked) < _LEAST_INSIDE:
        return None
    level = float(np.percentile(picked, 90))
    teeth = smooth_step(bright / max(level, 1) - 0.58, 0.10) * smooth_step(1.30 - red, 0.06) * inside
    if level < _DARKEST_TEETH or float((teeth > 0.5).sum()) < _LEAST_SHARE * float((inside > 0.5).sum()):
        return None
    alpha = cv2.GaussianBlur(teeth.astype(np.float32), (0, 0), 1.2) * inside
    return OwnTeeth(np.dstack([flat * alpha[..., None], 255 * alpha]).astype(np.float32))
