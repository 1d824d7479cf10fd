"""The mouth that the photo hides, in the photo's own light, and the photo without the mouth that it shows.

Nothing here has seen the driver.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from streamfx.frames import F32, U8, MouthLayer
from streamfx.geometry import Pose
from streamfx.portrait.fill import push_pull, to_u8
from streamfx.portrait.masks import polygon
from streamfx.portrait.teeth.dentition import completed, drawn, toned
from streamfx.portrait.teeth.drawn import WIDTH, draw_tongue
from streamfx.portrait.teeth.flat_mouth import TeethPlane, lay_flat
from streamfx.portrait.teeth.opened import LIPS_MIDDLE
from streamfx.portrait.teeth.own import OwnTeeth, find_teeth, merged
from streamfx.portrait.tones import tones_of
from streamfx.topology import INNER_MOUTH

_THROAT = np.array([0.145, 0.042, 0.046])  # colour under white light
_SHADOW = 0.5  # of the lips' light that is missing in the crack of a mouth that has all but closed


def mouth_layer(
    photo: U8, landmarks: F32, closed: F32, pose: Pose, more: Sequence[OwnTeeth] = (), jaw_drop: float = 0.0
) -> MouthLayer:
    """Draw the mouth's textures, lit like the photo; the person's own teeth where a photo shows them.

    Args:
        photo: u8 [H,W,3].
        landmarks: f32 [478,3] px of it.
        closed: f32 [>=468,3] cm, canonical: the face with its mouth closed.
        pose: of the photo's head.
        more: teeth that other photos show, in this one's light.
        jaw_drop: cm by which the photo's lower teeth lie below their place in a closed mouth.
    """
    plane, tones = TeethPlane(mouth_centre(closed), pose.rotation), tones_of(photo, landmarks, pose.scale)
    seen = find_teeth(lay_flat(photo, landmarks, pose, plane, jaw_drop), tones)
    best_first = sorted(more, key=lambda teeth: -teeth.area)
    own = merged(best_first if seen is None else [seen, *best_first])
    teeth = drawn(tones) if own is None else completed(own, tones)
    return MouthLayer(
        upper=to_u8(teeth.upper),
        lower=to_u8(teeth.lower),
        tongue=to_u8(toned(draw_tongue(tones.white), tones)),
        own=to_u8(teeth.own),
        cavity=toned(tones.white * _THROAT, tones),
        centre=plane.centre,
        width=WIDTH,
    )


def mouth_centre(shape: F32) -> F32:
    """f32 [3] cm, canonical: midway between the lips of a face f32 [>=468,3]."""
    return np.asarray(shape[list(LIPS_MIDDLE)].mean(0), np.float32)


def without_mouth(texture: U8, landmarks: F32, pad: int) -> U8:
    """The texture (u8 [H,W,3 or 4]) with an open mouth filled from the lips, darker inside.

    The face's mesh stretches across the mouth: when lips that the photo shows open close, no sliver of teeth
    may stay between them. Teeth come back through the mouth layer.
    """
    outline = landmarks[list(INNER_MOUTH), :2] + pad
    width = float(np.ptp(outline[:, 0]))
    low = np.maximum(np.floor(outline.min(0) - 0.3 * width), 0).astype(int)
    high = np.ceil(outline.max(0) + 0.3 * width).astype(int)
    region = texture[low[1] : high[1], low[0] : high[0]]
    mask = polygon(outline - low, region.shape).astype(np.float32) / 255
    lips = 1 - np.ceil(cv2.dilate(mask, np.ones((5, 5), np.uint8)))
    shadow = 1 - _SHADOW * cv2.GaussianBlur(mask, (0, 0), max(1.0, 0.03 * width))[..., None]
    filled = shadow * push_pull(region[..., :3].astype(np.float32), lips)
    out = texture.copy()
    out[low[1] : high[1], low[0] : high[0], :3] = to_u8(
        region[..., :3] + mask[..., None] * (filled - region[..., :3])
    )
    return out
