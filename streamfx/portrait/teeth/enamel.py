"""Which part of an open mouth is teeth: what is bright and hardly red, judged by the mouth's own enamel."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from streamfx.frames import F32, Mask
from streamfx.geometry import Real
from streamfx.portrait.teeth.drawn import DENSITY, smooth_step
from streamfx.portrait.teeth.flat_mouth import FlatMouth
from streamfx.portrait.tones import Tones

_LEAST_OPEN = 0.10  # cm^2 of open mouth that it takes to look for teeth
_LEAST_TEETH = 0.20  # cm^2 of teeth that make them worth taking
_PALEST, _REDNESS = 92, 2.0  # percentile that shows the enamel, and weight of redness against brightness
_DARKEST = 0.55  # of white: less is no enamel, even in the lips' shadow (teeth of 40 sitters: .74 and more)
_RED_AS_SKIN = 0.02  # log of red over green by which enamel is less red than skin
_PALE, _BRIGHT = 0.20, 0.50  # redder than the enamel by this log, or darker by this share: no tooth
_BACKMOST = 0.45  # of the front teeth's brightness that those farthest back have
_ROW_CM = 0.30  # over which brightness changes along the row
_THINNEST_CM = 0.10  # narrower bright spots are wet lips
_DARK = 0.40  # of the enamel's brightness
_HOLLOW, _LIP_CM = 0.60, 0.20  # of the lower lip's brightness, and how tall a strip of it tells that


@dataclass(frozen=True, slots=True)
class ToothMap:
    """A flat mouth (see flat_mouth.py), taken apart."""

    bright: F32 = field(repr=False)
    """f32 [h,w]: brightness over that of the enamel at that place of the row."""
    tooth: F32 = field(repr=False)
    """f32 [h,w] 0..1"""
    dark: F32 = field(repr=False)
    """f32 [h,w] 0..1: what is so dark that cheeks or lips must shade it."""
    hollow: F32 = field(repr=False)
    """f32 [h,w] 0..1: what is darker than the lips: the inside of the mouth, and no lip."""


def map_teeth(mouth: FlatMouth, tones: Tones) -> ToothMap | None:
    """Where a mouth shows teeth; None where it shows too few.

    Args:
        mouth: laid flat; its colours are the photo's own.
        tones: of that photo.
    """
    opening = cv2.erode(mouth.opening, np.ones((3, 3), np.uint8))
    if area(opening) < _LEAST_OPEN:
        return None
    bright, red = _soft(mouth.rgb.mean(2)), _redness(mouth.rgb)
    enamel = _Enamel.of(bright, red, opening > 0.5)
    # White judges, for beside dark skin wet lips would pass as bright.
    if enamel.level < _DARKEST * tones.white.mean() or enamel.is_skin(tones):
        return None
    pale = smooth_step(enamel.red + _PALE - red, 0.06) * opening
    relative = bright / _level_along(bright * pale, enamel.level)
    tooth = _without_specks(smooth_step(relative - _BRIGHT, 0.12) * pale)
    if area(tooth) < _LEAST_TEETH:
        return None
    dark = smooth_step(_DARK - bright / np.float32(enamel.level), 0.10) * opening
    lip = float(np.median(bright[_lower_lip(mouth.opening)]))
    return ToothMap(relative, tooth, dark, smooth_step(_HOLLOW - bright / max(lip, 1.0), 0.08) * opening)


@dataclass(frozen=True, slots=True)
class _Enamel:
    """How bright teeth are in a photo, 0..255, and the log of their red over green."""

    level: float
    red: float

    @staticmethod
    def of(bright: F32, red: F32, inside: Mask) -> _Enamel:
        """The part of what lies between the lips that is brightest for its redness."""
        paleness = np.log(bright[inside] + 1) - _REDNESS * red[inside]
        palest = paleness >= np.percentile(paleness, _PALEST)
        level, reddish = (float(np.median(image[inside][palest])) for image in (bright, red))
        return _Enamel(max(level, 1.0), reddish)

    def is_skin(self, tones: Tones) -> bool:
        """Whether it is as red as skin: lips and tongue, no teeth. Grey photos cannot tell."""
        return not tones.are_grey and self.red > tones.redness - _RED_AS_SKIN


def _level_along(bright: F32, level: float) -> F32:
    """f32 [1,w]: brightness of the enamel along the row: those farther back lie in the cheek's shadow."""
    brightest = np.clip(bright.max(0, keepdims=True), _BACKMOST * level, level)
    return np.asarray(cv2.GaussianBlur(brightest, (0, 0), _ROW_CM * DENSITY), np.float32)


def _without_specks(tooth: F32) -> F32:
    return np.asarray(cv2.morphologyEx(tooth, cv2.MORPH_OPEN, disc(_THINNEST_CM)), np.float32)


def _lower_lip(opening: F32) -> Mask:
    """bool [h,w]: a strip below an open mouth."""
    down = round(_LIP_CM * DENSITY)
    lowered = np.vstack([np.zeros_like(opening[:down]), opening[:-down]])
    return np.asarray((lowered > 0.5) & (opening < 0.5), np.bool_)


def area(mask: Real) -> float:
    """cm^2 that a mask [h,w] 0..1 covers."""
    return float(mask.sum()) / DENSITY**2


def disc(diameter: float) -> Real:
    """A disc so many cm wide, to grow or shrink masks with."""
    side = round(diameter * DENSITY) | 1
    element: Real = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return element


def _soft(image: Real) -> F32:
    return np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.8), np.float32)


def _redness(rgb: F32) -> F32:
    """f32 [h,w]: log of red over green; the noise of dark px is held down."""
    return _soft(np.log((rgb[..., 0] + 4) / (rgb[..., 1] + 4)))
