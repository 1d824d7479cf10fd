"""What skin and white look like in a photo, and how colours of one photo look in another's light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, U8
from streamfx.geometry import Real
from streamfx.portrait.masks import polygon
from streamfx.topology import EYES, IRIS

LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
"""Shares of R, G and B in a grey picture (ITU-R BT.601)."""

_PLAIN_SKIN = (50, 280, 151, 199)  # vertices on cheeks, forehead and chin
_PATCH_CM = 0.25  # half a patch of skin
_LEAST_PATCH = 3  # px
_LEAST_SCLERA = 8  # px: fewer do not tell white's colour
_LIGHT_RANGE = (60, 235)  # grey levels between which white is believed
_WHITE_OVER_SCLERA = 1.22  # white over the bright quarter of the eye's white, by the teeth of 42 sitters
_WHITE_OVER_SKIN = 1.3  # where no sclera is seen
_GREYEST = 0.03  # mean chroma over brightness of skin, below which a photo counts as grey
_EVERY, _NEARLY_ALL = 3, 99.5  # px looked at, and their percentile
_COLOURLESS = 6  # grey levels of chroma
_FAINT = 0.05  # of the light: grey photos up to .04, others from .15 on
_LEVEL_RANGE, _CAST_RANGE = (0.4, 2.5), (0.8, 1.25)  # believed between two photos of one skin


@dataclass(frozen=True, slots=True)
class Tones:
    """How a photo shows skin and white."""

    skin: F32
    """f32 [4,3] RGB: patches of plain skin."""
    white: F32
    """f32 [3] RGB: what is white."""

    @property
    def are_grey(self) -> bool:
        """Whether the photo has no colours."""
        chroma = float(np.ptp(self.skin, axis=1).mean())
        return chroma < _GREYEST * max(float(self.skin.mean()), 1.0)

    @property
    def redness(self) -> float:
        """Of the skin: log of red over green."""
        red, green = np.maximum(self.skin.mean(0)[:2], 1)
        return float(np.log(red / green))


def is_grey(photo: U8) -> bool:
    """Whether a photo u8 [H,W,3] has no colours anywhere, but for those of a scan or a lossy format."""
    light = float(np.percentile(photo[::_EVERY, ::_EVERY].max(2), _NEARLY_ALL))
    return colourfulness(photo) <= max(_COLOURLESS, _FAINT * light)


def colourfulness(photo: U8) -> float:
    """0..255: how far apart R, G and B of nearly all pixels of a photo u8 [H,W,3] are at most."""
    some = photo[::_EVERY, ::_EVERY]
    return float(np.percentile(some.max(2).astype(np.int16) - some.min(2), _NEARLY_ALL))


def tones_of(photo: U8, landmarks: F32, scale: float) -> Tones:
    """The tones of a photo.

    Args:
        photo: u8 [H,W,3].
        landmarks: f32 [478,3] px of it.
        scale: px per cm.
    """
    half = max(_LEAST_PATCH, round(_PATCH_CM * scale))
    skin = np.array([_patch(photo, landmarks[i, :2], half) for i in _PLAIN_SKIN], np.float32)
    return Tones(skin, _white(_sclera(photo, landmarks), skin))


def _patch(photo: U8, at: F32, half: int) -> F32:
    """Mean colour of a square about a point of the photo, f32 [3]."""
    height, width = photo.shape[:2]
    x, y = np.clip(np.rint(at).astype(int), 0, (width - 1, height - 1))
    square = photo[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1]
    mean: F32 = square.reshape(-1, 3).mean(0).astype(np.float32)
    return mean


def _sclera(photo: U8, landmarks: F32) -> list[F32]:
    """f32 [3] of each eye whose white can be seen: the mean of its brightest quarter."""
    colours = []
    for outline, iris in zip(EYES, IRIS, strict=True):
        points = landmarks[list(outline), :2]
        corner = np.maximum(np.floor(points.min(0)).astype(int), 0)
        far = np.maximum(np.ceil(points.max(0)).astype(int) + 1, corner + 1)
        region = photo[corner[1] : far[1], corner[0] : far[0]]
        mask = polygon(points - corner, region.shape)
        x, y = np.rint(landmarks[iris[0], :2] - corner).astype(int)
        radius = np.linalg.norm(landmarks[iris[1], :2] - landmarks[iris[0], :2])
        cv2.circle(mask, (int(x), int(y)), int(1.25 * radius) + 1, 0, -1)
        picked = region[mask > 127]
        if len(picked) >= _LEAST_SCLERA:
            level = picked.mean(1)
            colours.append(picked[level >= np.percentile(level, 75)].mean(0).astype(np.float32))
    return colours


def _white(sclera: list[F32], skin: F32) -> F32:
    """f32 [3]: by the sclera, whose cast is tempered; by the skin where none is seen.

    Skin does not help where sclera is seen: it predicts the brightness of teeth to 23 %, sclera to 11 %
    (42 sitters), and would make those of dark-skinned people too dark by a third.
    """
    if not sclera:
        level = float(np.clip(_WHITE_OVER_SKIN * skin.mean(), *_LIGHT_RANGE))
        return np.full(3, level, np.float32)
    colour = np.mean(sclera, axis=0)
    level = float(np.clip(_WHITE_OVER_SCLERA * colour.mean(), *_LIGHT_RANGE))
    cast = 0.6 * colour / max(float(colour.mean()), 1.0) + 0.4
    return np.asarray(level * cast / cast.mean(), np.float32)


def carried(rgb: F32, source: Tones, target: Tones) -> F32:
    """Colours f32 [...,3] of one photo as another shows them, judged by the skin of the same person.

    Grey stays grey; where only the source is grey, it takes the cast of the target's white.
    """
    if source.are_grey or target.are_grey:
        tint = np.ones(3) if target.are_grey else target.white / target.white.mean()
        level = np.median((target.skin @ LUMA) / np.maximum(source.skin @ LUMA, 1))
        return np.asarray(in_grey(rgb) * np.clip(level, *_LEVEL_RANGE) * tint, np.float32)
    return np.asarray(rgb * _gain(source.skin, target.skin), np.float32)


def _gain(source: F32, target: F32) -> Real:
    """[3]: what brings patches of skin f32 [N,3] nearest to others of the same places."""
    gain = np.median(np.maximum(target, 1) / np.maximum(source, 1), axis=0)
    level = float(gain.mean())
    out: Real = np.clip(gain / level, *_CAST_RANGE) * np.clip(level, *_LEVEL_RANGE)
    return out


def in_grey(rgb: F32) -> F32:
    """f32 [...,3]: the same without colour."""
    return np.asarray((rgb @ LUMA)[..., None] * np.ones(3), np.float32)
