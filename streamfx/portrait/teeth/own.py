"""The person's own teeth, where photos show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce

import cv2
import numpy as np
import numpy.typing as npt

from streamfx.frames import F32, Mask
from streamfx.portrait.teeth.bite import bite_line
from streamfx.portrait.teeth.drawn import DENSITY, SIZE, UPPER, grid, smooth_step
from streamfx.portrait.teeth.enamel import ToothMap, area, disc, map_teeth
from streamfx.portrait.teeth.flat_mouth import FlatMouth
from streamfx.portrait.tones import Tones

_THINNEST_CM = 0.14  # narrower ones are the upper teeth's edges
_GAP_CM = 0.16  # dark lines between teeth belong to them
_MIDDLE = 1.0  # cm about the midline, in which the incisors lie
_LEAST_SEEN = 0.3  # of the middle's width that tells where a row ends
_BEHIND_LIP = 0.12  # cm by which teeth go on behind the lip that hides their edges
_WHOLE_CROWN = 0.75  # cm of a tooth in sight, from which what is seen above it is gum
_INSIDE, _EDGE_CM = 0.40, 0.15  # of what is below a tooth's edge, averaged so far along the row: no lip
_OUTER_CM = 0.30  # of a row's end that tells how far down it reaches
_LIP_CM = 0.08  # of the lips may lie inside the line between them
_HALF = 0.5
_SOLID = 200  # alpha: teeth, not their edges
_SHADOW, _SHADOW_CM = 0.60, 0.20  # light on teeth right at the lips, and its reach: mean of 42 smiles
_LEVELS = (0.7, 1.4)  # believed between two photos of one person's teeth, in the same light


@dataclass(frozen=True, slots=True)
class OwnTeeth:
    """Teeth cut from photos, as textures in the frontal plane (see teeth.py), out of the lips' shadow."""

    upper: F32 = field(repr=False)
    """f32 [h,w,4] premultiplied 0..255"""
    lower: F32 = field(repr=False)
    """f32 [h,w,4] premultiplied 0..255, at their place in a closed mouth; all 0 where none are seen."""
    bare: F32 = field(repr=False)
    """f32 [h,w] 0..1: below upper teeth whose edges are seen, so that none can be there."""
    crown: float | None
    """cm: how tall the upper incisors are; None where the lip hides where they end."""

    @property
    def area(self) -> float:
        """cm^2 of teeth."""
        return area(self.upper[..., 3] / 255) + area(self.lower[..., 3] / 255)

    @property
    def edge(self) -> float | None:
        """cm below the closed lips to which the upper incisors reach, or more; None if they are not seen."""
        bottom = _end(self.upper[..., 3], np.max)
        if bottom is None:
            return None
        hidden = _end(255 * self.bare, np.max) is None
        return max(bottom + _BEHIND_LIP, UPPER.edge) if hidden else bottom

    @property
    def lower_edge(self) -> float | None:
        """cm below the closed lips from which the lower incisors go down, the mouth closed."""
        return _end(self.lower[..., 3], np.min)

    @property
    def enamel(self) -> F32:
        """f32 [3] RGB: colour of the incisors, without the dark between them."""
        x, _ = grid()
        alpha = self.upper[..., 3]
        solid = alpha > min(_SOLID, float(alpha.max()) / 2)
        seen = solid & (np.abs(x) < _MIDDLE)
        seen = seen if seen.any() else solid
        level = self.upper[..., :3].sum(2) / np.maximum(alpha, 1)
        lit = self.upper[seen & (level >= np.median(level[seen]))]
        return np.asarray(255 * lit[:, :3].sum(0) / lit[:, 3].sum(), np.float32)


def _end(alpha: F32, last: Callable[[npt.NDArray[np.intp]], np.intp]) -> float | None:
    """cm below the closed lips where a row of teeth ends in the middle; None where it is not seen there.

    Args:
        alpha: f32 [h,w] 0..255.
        last: picks of the rows that a column fills the one at the end.
    """
    incisors = np.flatnonzero(np.abs(grid()[0][0]) < _MIDDLE)
    filled = [np.flatnonzero(alpha[:, column] > 127) for column in incisors]
    ends = [int(last(rows)) for rows in filled if len(rows)]
    if len(ends) < _LEAST_SEEN * len(incisors):
        return None
    return (float(np.median(ends)) + 0.5) / DENSITY - SIZE[1] / (2 * DENSITY)


def find_teeth(mouth: FlatMouth, tones: Tones) -> OwnTeeth | None:
    """The teeth that a mouth shows, or None if none are seen.

    Args:
        mouth: laid flat; its colours are the photo's own.
        tones: of that photo.
    """
    found = map_teeth(mouth, tones)
    if found is None:
        return None
    line = bite_line(found.bright, found.tooth, mouth.opening)
    above = np.arange(SIZE[1])[:, None] <= line[None]
    lit = mouth.rgb / _lip_shadow(mouth.opening)[..., None]
    upper = _closed(found.tooth * above)
    crown = _crown(upper)
    if crown is not None:
        gum = cv2.erode(mouth.opening, disc(_LIP_CM)) * above * _columns(upper)
        upper = np.maximum(upper, gum)
    return OwnTeeth(
        upper=_layer(lit, _softened(np.maximum(upper, _corridor(found.dark, upper)))),
        lower=_risen(_layer(lit, _lower(found, above)), mouth.jaw_drop),
        bare=_bare(found, (mouth.opening * ~above * _columns(upper)).astype(np.float32)),
        crown=crown,
    )


def _crown(upper: F32) -> float | None:
    """cm: how tall the incisors are; None where less is seen of them than a crown."""
    incisors = np.abs(grid()[0][0]) < _MIDDLE
    height = float(np.median((upper[:, incisors] > _HALF).sum(0))) / DENSITY
    return height if height >= _WHOLE_CROWN else None


def _corridor(dark: F32, upper: F32) -> F32:
    """f32 [h,w] 0..1: the dark between the outermost upper teeth and the corners of the mouth.

    It reaches down as far as those teeth: below is the open mouth.
    """
    columns = np.flatnonzero(_columns(upper)[0])
    if not len(columns):
        return np.zeros_like(dark)
    outer = round(_OUTER_CM * DENSITY)
    rows, x = np.arange(SIZE[1])[:, None], np.arange(SIZE[0])
    bottoms = [
        float(rows[(upper[:, side] > _HALF).any(1)].max()) for side in (columns[:outer], columns[-outer:])
    ]
    beside = (x < columns[0]) & (rows <= bottoms[0]) | (x > columns[-1]) & (rows <= bottoms[1])
    return np.asarray(dark * beside, np.float32)


def _bare(found: ToothMap, below: F32) -> F32:
    """f32 [h,w] 0..1: the part of what is `below` upper teeth where it is no lip that hides their edges."""
    inside = np.maximum(found.hollow, _solid(found.tooth * below)) * below
    seen, all_of_it = (
        cv2.GaussianBlur(mask.sum(0, keepdims=True), (0, 0), _EDGE_CM * DENSITY) for mask in (inside, below)
    )
    return np.asarray(below * smooth_step(seen / np.maximum(all_of_it, 1e-3) - _INSIDE, 0.15), np.float32)


def _lower(found: ToothMap, above: Mask) -> F32:
    """f32 [h,w] 0..1: the lower row; all 0 where its incisors are hardly seen."""
    teeth = _softened(_closed(_solid(found.tooth * ~above)))
    return np.asarray(teeth * (_end(255 * teeth, np.min) is not None), np.float32)


def _solid(teeth: F32) -> F32:
    """f32 [h,w] 0..1: teeth without what is too thin for one."""
    return np.asarray(cv2.morphologyEx(teeth, cv2.MORPH_OPEN, disc(_THINNEST_CM)), np.float32)


def _columns(teeth: F32) -> F32:
    """f32 [1,w] 0 or 1: columns in which there are teeth."""
    return np.asarray(teeth.max(0, keepdims=True) > _HALF, np.float32)


def _closed(teeth: F32) -> F32:
    """f32 [h,w] 0..1: teeth with the dark lines between them."""
    return np.asarray(cv2.morphologyEx(teeth, cv2.MORPH_CLOSE, disc(_GAP_CM)), np.float32)


def _softened(mask: F32) -> F32:
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.0), np.float32)


def _risen(lower: F32, jaw_drop: float) -> F32:
    """f32 [h,w,4]: the lower row as it lies in a closed mouth."""
    place = np.array([[1, 0, 0], [0, 1, jaw_drop * DENSITY]])
    moved = cv2.warpAffine(lower, place, SIZE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(moved, np.float32)


def _layer(rgb: F32, alpha: F32) -> F32:
    """f32 [h,w,4] premultiplied 0..255."""
    return np.dstack([np.clip(rgb, 0, 255) * alpha[..., None], 255 * alpha]).astype(np.float32)


def _lip_shadow(opening: F32) -> F32:
    """f32 [h,w]: the light that lips let onto teeth, which the renderer will take away anew."""
    inside = cv2.GaussianBlur(opening, (0, 0), _SHADOW_CM * DENSITY)
    return np.asarray(_SHADOW + (1 - _SHADOW) * inside, np.float32)


def merged(finds: Sequence[OwnTeeth]) -> OwnTeeth | None:
    """All that several photos show, the first before the others; None without any."""
    return reduce(_under, finds) if finds else None


def _under(front: OwnTeeth, back: OwnTeeth) -> OwnTeeth:
    """`back` where `front` shows nothing."""
    room = 1 - front.bare[..., None]
    free = 1 - front.upper[..., 3] / 255
    return OwnTeeth(
        upper=_laid(front.upper, back.upper * room),
        lower=_laid(front.lower, back.lower),
        bare=np.maximum(front.bare, back.bare * free).astype(np.float32),
        crown=front.crown or back.crown,
    )


def _laid(front: F32, back: F32) -> F32:
    """f32 [h,w,4]: a layer over another, whose brightness is matched where both show something."""
    both = front[..., 3] * back[..., 3]
    front_sum, back_sum = (
        float((layer[..., :3].sum(2) / np.maximum(layer[..., 3], 1) * both).sum()) for layer in (front, back)
    )
    gain = float(np.clip(front_sum / back_sum, *_LEVELS)) if back_sum > 0 else 1.0
    matched = np.minimum(back * np.array([gain, gain, gain, 1.0]), back[..., 3:])
    return np.asarray(front + matched * (1 - front[..., 3:] / 255), np.float32)
