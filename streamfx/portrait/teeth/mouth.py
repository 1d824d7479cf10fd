"""The mouth that the photo hides, in the photo's own light, and the photo without the mouth that it shows.

Nothing here has seen the driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from streamfx.frames import F32, U8, MouthLayer
from streamfx.geometry import Pose, Real
from streamfx.portrait.fill import push_pull, to_u8
from streamfx.portrait.masks import polygon
from streamfx.portrait.teeth.drawn import DENSITY, ENAMEL, LOWER, UPPER, WIDTH, Row, draw_teeth, draw_tongue
from streamfx.portrait.teeth.flat_mouth import TeethPlane, lay_flat
from streamfx.portrait.teeth.opened import LIPS_MIDDLE
from streamfx.portrait.teeth.own import OwnTeeth, find_teeth, merged
from streamfx.portrait.tones import Tones, in_grey, tones_of
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


_LOWER_LIGHT = 0.80  # on the lower teeth, against the upper: the lip is in the way
_LEVELS, _CASTS = (0.85, 1.30), (0.95, 1.06)  # of enamel against what the light makes likely
_BESIDE_CM = 0.3  # over which drawn teeth take the light of own ones beside them
_GAINS = (0.25, 1.30)  # of that light


@dataclass(frozen=True, slots=True)
class Dentition:
    """Textures as in frames.MouthLayer, not yet rounded."""

    upper: F32 = field(repr=False)
    """f32 [h,w,4] premultiplied 0..255"""
    lower: F32 = field(repr=False)
    """f32 [h,w,4] premultiplied 0..255"""
    own: F32 = field(repr=False)
    """f32 [h,w,2] 0..255: where upper and lower teeth are the person's."""


def drawn(tones: Tones) -> Dentition:
    """Teeth that nobody has seen, in the light of a photo."""
    upper, lower = _drawn_rows((UPPER, LOWER), tones.white * ENAMEL, tones)
    return Dentition(upper, lower, np.zeros((*upper.shape[:2], 2), np.float32))


def completed(own: OwnTeeth, tones: Tones) -> Dentition:
    """The person's teeth, with drawn ones where no photo shows any: of their colour, light and edges."""
    believed = _believed(own, tones.white * ENAMEL)
    upper, lower = _drawn_rows(_as_seen(own), believed.enamel, tones)
    light = _light_beside(believed.upper, upper)
    return Dentition(
        upper=_over(believed.upper, light * upper * (1 - own.bare[..., None])),
        lower=_over(believed.lower, light * lower),
        own=np.dstack([own.upper[..., 3], own.lower[..., 3]]),
    )


def _believed(own: OwnTeeth, likely: Real) -> OwnTeeth:
    """Teeth whose colour is no farther from the likely than enamel's may be: shadow and lips redden it."""
    ratio = own.enamel / np.maximum(likely, 1)
    level = float(ratio.mean())
    wanted = np.clip(ratio / level, *_CASTS) * np.clip(level, *_LEVELS)
    gain = np.append(wanted / np.maximum(ratio, 1e-3), 1.0)
    upper, lower = (np.minimum(layer * gain, layer[..., 3:]) for layer in (own.upper, own.lower))
    return replace(own, upper=upper.astype(np.float32), lower=lower.astype(np.float32))


def _as_seen(own: OwnTeeth) -> tuple[Row, Row]:
    """The rows to draw: their edges, and the length of upper crowns, as the person's are seen."""
    upper, lower = UPPER, LOWER
    if own.edge is not None:
        upper = replace(upper, edge=own.edge)
    if own.crown is not None:
        upper = replace(upper, lengths=tuple(own.crown / UPPER.lengths[0] * cm for cm in UPPER.lengths))
    if own.lower_edge is not None:
        lower = replace(lower, edge=own.lower_edge)
    return upper, lower


def _drawn_rows(rows: tuple[Row, Row], enamel: Real, tones: Tones) -> tuple[F32, F32]:
    upper, lower = (
        draw_teeth(row, light * enamel, tones.white)
        for row, light in zip(rows, (1.0, _LOWER_LIGHT), strict=True)
    )
    return toned(upper, tones), toned(lower, tones)


def toned(colours: Real, tones: Tones) -> F32:
    """f32 [...,3 or 4]: drawn colours, grey where the photo is."""
    if not tones.are_grey:
        return np.asarray(colours, np.float32)
    grey = in_grey(np.asarray(colours[..., :3], np.float32))
    return np.concatenate([grey, colours[..., 3:]], -1).astype(np.float32)


def _light_beside(own: F32, row: F32) -> F32:
    """f32 [1,w,4]: how much brighter own teeth are than a drawn row, column by column, 1 for alpha.

    Beyond the outermost own teeth their light goes on: drawn ones there lie as deep in the cheek's shadow.
    """
    both = own[..., 3] * row[..., 3]
    own_sum, row_sum = (
        (layer[..., :3].sum(2) / np.maximum(layer[..., 3], 1) * both).sum(0) for layer in (own, row)
    )
    sigma = _BESIDE_CM * DENSITY
    own_mean, row_mean = (cv2.GaussianBlur(total[None], (0, 0), sigma)[0] for total in (own_sum, row_sum))
    known = np.flatnonzero(row_sum > 0)
    if not len(known):
        return np.ones((1, 1, 4), np.float32)
    gain = np.clip(own_mean / np.maximum(row_mean, 1e-3), *_GAINS)
    gain = np.interp(np.arange(len(gain)), known, gain[known])
    return np.dstack([gain, gain, gain, np.ones_like(gain)]).astype(np.float32)


def _over(front: F32, back: F32) -> F32:
    """f32 [h,w,4]: one premultiplied layer over another."""
    return np.asarray(front + back * (1 - front[..., 3:] / 255), np.float32)
