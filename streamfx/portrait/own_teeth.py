"""The person's own teeth, where photos show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import cv2
import numpy as np

from streamfx.frames import F32, Mask
from streamfx.portrait.bite import bite_line
from streamfx.portrait.enamel import ToothMap, area, disc, map_teeth
from streamfx.portrait.flat_mouth import FlatMouth
from streamfx.portrait.teeth import DENSITY, SIZE, grid
from streamfx.portrait.tones import Tones

_LEAST_LOWER = 0.10  # cm^2 of lower teeth that make them worth taking
_THINNEST_CM = 0.14  # narrower ones are the upper teeth's edges
_GAP_CM = 0.16  # dark lines between teeth belong to them
_MIDDLE = 1.0  # cm about the midline, in which the incisors lie
_WHOLE_CROWN = 0.75  # cm of a tooth in sight, from which what is seen above it is gum
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
    """f32 [h,w] 0..1: below upper teeth that are seen, so that none can be there."""

    @property
    def area(self) -> float:
        """cm^2 of teeth."""
        return area(self.upper[..., 3] / 255) + area(self.lower[..., 3] / 255)

    @property
    def edge(self) -> float | None:
        """cm below the closed lips to which the upper incisors reach; None where they are not seen."""
        rows = _middle_rows(self.upper)
        return None if not len(rows) else float(rows.max() + 1) / DENSITY - SIZE[1] / (2 * DENSITY)

    @property
    def lower_edge(self) -> float | None:
        """cm below the closed lips from which the lower incisors go down, the mouth closed."""
        rows = _middle_rows(self.lower)
        return None if not len(rows) else float(rows.min()) / DENSITY - SIZE[1] / (2 * DENSITY)

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


def _middle_rows(layer: F32) -> F32:
    """Rows of a texture f32 [h,w,4] that the incisors fill, f32 [K]."""
    half = round(_MIDDLE / 2 * DENSITY)
    middle = layer[:, SIZE[0] // 2 - half : SIZE[0] // 2 + half, 3] > 127
    return np.flatnonzero(middle.mean(1) > 0.5).astype(np.float32)


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
    return OwnTeeth(
        upper=_layer(lit, _upper(found, mouth.opening, above)),
        lower=_risen(_layer(lit, _lower(found, above)), mouth.jaw_drop),
        bare=(mouth.opening * ~above * _columns(found.tooth * above)).astype(np.float32),
    )


def _upper(found: ToothMap, opening: F32, above: Mask) -> F32:
    """f32 [h,w] 0..1: the upper row, with its gum where it is seen, and with the dark beside it."""
    teeth = _closed(found.tooth * above)
    columns = np.abs(grid()[0][0]) < _MIDDLE
    heights = (teeth > 0.5).sum(0)[columns] / DENSITY
    if np.median(heights) >= _WHOLE_CROWN:
        teeth = np.maximum(teeth, cv2.erode(opening, disc(_GAP_CM / 2)) * above * _columns(teeth))
    return _softened(np.maximum(teeth, found.corridor))


def _lower(found: ToothMap, above: Mask) -> F32:
    """f32 [h,w] 0..1: the lower row; all 0 where hardly any is seen."""
    solid = cv2.morphologyEx(found.tooth * ~above, cv2.MORPH_OPEN, disc(_THINNEST_CM))
    teeth = _softened(_closed(np.asarray(solid, np.float32)))
    enough = np.float32(area(teeth) >= _LEAST_LOWER)
    return np.asarray(enough * teeth, np.float32)


def _columns(teeth: F32) -> F32:
    """f32 [1,w] 0 or 1: columns in which there are teeth."""
    return np.asarray(teeth.max(0, keepdims=True) > 0.5, np.float32)


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
