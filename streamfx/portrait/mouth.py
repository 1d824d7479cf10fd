"""The mouth that the photo hides, in the photo's own light, and the photo without the mouth that it shows.

Nothing here has seen the driver.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from streamfx.frames import F32, U8, MouthLayer
from streamfx.geometry import Pose, Real
from streamfx.portrait.fill import push_pull, to_u8
from streamfx.portrait.masks import polygon
from streamfx.portrait.own_teeth import find_own_teeth
from streamfx.portrait.teeth import ENAMEL, LOWER, UPPER, WIDTH, draw_teeth, draw_tongue
from streamfx.topology import EYES, INNER_MOUTH, IRIS

_THROAT = np.array([0.155, 0.045, 0.05])  # colour under white light
_LOWER_LIGHT = 0.80  # on the lower teeth, against the upper: the lip is in the way
_CHEEKS_AND_CHIN = (50, 280, 151, 199)  # vertices on plain skin
_LEAST_SCLERA = 8  # px: fewer do not tell white's colour
_LIGHT_RANGE = (60, 225)  # grey levels between which white is believed
_SHADOW = 0.5  # of the lips' light that is missing in the crack of a mouth that has all but closed


def mouth_layer(photo: U8, landmarks: F32, shape: F32, pose: Pose, pad: int) -> MouthLayer:
    """Draw the mouth's textures, lit like the photo; the person's own teeth where the photo shows them.

    Args:
        photo: u8 [H+2pad, W+2pad, 3].
        landmarks: f32 [478,3] px of the frame.
        shape: f32 [478,3] cm, canonical.
        pose: of the photo's head in the frame.
        pad: px of texture beyond the frame.
    """
    white = _white(photo, landmarks, pad)
    upper, enamel, seen = _upper_teeth(photo, landmarks, shape, pose, pad, white)
    own = np.dstack([to_u8(seen), np.zeros(seen.shape, np.uint8)])
    return MouthLayer(
        upper=to_u8(upper),
        lower=to_u8(draw_teeth(LOWER, _LOWER_LIGHT * enamel, white)),
        tongue=to_u8(draw_tongue(white)),
        own=own,
        cavity=(white * _THROAT).astype(np.float32),
        centre=shape[[13, 14]].mean(0).astype(np.float32),
        width=WIDTH,
    )


def _upper_teeth(
    photo: U8, landmarks: F32, shape: F32, pose: Pose, pad: int, white: F32
) -> tuple[Real, Real, Real]:
    """Own teeth over drawn ones: the upper row [h,w,4], its enamel's colour [3], what is own [h,w]."""
    own = find_own_teeth(photo, landmarks, shape, pose, pad)
    if own is None:
        drawn = draw_teeth(UPPER, white * ENAMEL, white)
        return drawn, white * ENAMEL, np.zeros(drawn.shape[:2])
    colour = own.colour
    enamel: Real = white * ENAMEL if colour is None else colour
    drawn = draw_teeth(replace(UPPER, edge=own.edge), enamel, white)
    return own.texture + drawn * (1 - own.texture[..., 3:] / 255), enamel, own.texture[..., 3]


def _white(photo: U8, landmarks: F32, pad: int) -> F32:
    """What white looks like in the photo's light, f32 [3]: bright sclera, tempered by the cheeks."""
    colours = []
    for outline, iris in zip(EYES, IRIS, strict=True):
        mask = polygon(landmarks[list(outline), :2] + pad, photo.shape)
        x, y = np.rint(landmarks[iris[0], :2] + pad).astype(int)
        radius = np.linalg.norm(landmarks[iris[1], :2] - landmarks[iris[0], :2])
        cv2.circle(mask, (int(x), int(y)), int(1.25 * radius) + 1, 0, -1)
        picked = photo[mask > 127]
        if len(picked) >= _LEAST_SCLERA:
            bright = picked[picked.mean(1) >= np.percentile(picked.mean(1), 75)]
            colours.append(bright.mean(0))
    skin = np.mean([_patch(photo, landmarks[i, :2] + pad) for i in _CHEEKS_AND_CHIN], axis=0)
    sclera = np.mean(colours, axis=0) if colours else 1.25 * skin
    light = np.clip(0.55 * sclera.mean() + 0.45 * 1.2 * skin.mean(), *_LIGHT_RANGE)
    cast = 0.6 * sclera / max(sclera.mean(), 1) + 0.4
    white: F32 = (light * cast / cast.mean()).astype(np.float32)
    return white


def _patch(photo: U8, at: F32) -> F32:
    """Mean colour of 7 x 7 px, f32 [3]."""
    x, y = np.rint(at).astype(int)
    patch: F32 = photo[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4].reshape(-1, 3).mean(0).astype(np.float32)
    return patch


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
