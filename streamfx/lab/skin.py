"""Skin tone of a portrait: the individual typology angle of its cheeks (Chardon et al. 1991)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from streamfx.frames import F32, U8
from streamfx.topology import INTEROCULAR

Integers = npt.NDArray[np.int_]

LIGHT_FROM: Final = 41.0
"""Degrees: Chardon's very light and light."""
DARK_BELOW: Final = 10.0
"""Degrees: Chardon's brown and dark; between are his intermediate and tan."""
_CHEEKS: Final = (50, 280)
_REACH: Final = 0.06
"""Half the side of a patch, of the distance between the outer eye corners."""
_CROP_CHEEKS: Final = np.array([(0.286, 0.461), (0.714, 0.461)])
"""The same vertices of the neutral face in the networks' crop, of whose side these are shares."""
_CROP_REACH: Final = 0.024


class SkinGroup(StrEnum):
    """By ITA of both cheeks in the photo, so by how the photo shows the skin, light and exposure included."""

    LIGHT = "light"
    MEDIUM = "medium"
    DARK = "dark"


def typology_angle(photo: U8, landmarks: F32) -> float:
    """Degrees: atan((L* - 50) / b*) of the cheeks' median colour, light skin high, dark skin low.

    Args:
        photo: u8 [H,W,3] sRGB.
        landmarks: f32 [>=468,2] px.
    """
    return _angle(cheek_colour(photo, landmarks))


def crop_typology_angle(crop: U8) -> float:
    """The same of a face crop u8 [n,n,3] (render/rectify.py), where cheeks are always in the same places."""
    side = len(crop)
    places = np.rint(_CROP_CHEEKS * side).astype(int)
    return _angle(_median(crop, places, max(1, round(_CROP_REACH * side))))


def cheek_colour(photo: U8, landmarks: F32) -> U8:
    """u8 [3] RGB: median over a patch of each cheek; arguments as for `typology_angle`."""
    eyes = np.linalg.norm(landmarks[INTEROCULAR[0], :2] - landmarks[INTEROCULAR[1], :2])
    return _median(
        photo, np.rint(landmarks[list(_CHEEKS), :2]).astype(int), max(1, round(_REACH * float(eyes)))
    )


def _median(photo: U8, places: Integers, reach: int) -> U8:
    patches = []
    for x, y in places:
        patch = photo[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        patches.append(patch.reshape(-1, 3))
    return np.asarray(np.median(np.concatenate(patches), axis=0), np.uint8)


def _angle(rgb: U8) -> float:
    colour = rgb.astype(np.float32) / 255
    lightness, _, yellow = cv2.cvtColor(colour.reshape(1, 1, 3), cv2.COLOR_RGB2Lab)[0, 0]
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def skin_group(angle: float) -> SkinGroup:
    """The group of a typology angle."""
    if angle > LIGHT_FROM:
        return SkinGroup.LIGHT
    return SkinGroup.MEDIUM if angle >= DARK_BELOW else SkinGroup.DARK
