"""What counts as teeth between the lips, in faces of every skin tone."""

from __future__ import annotations

import numpy as np
import pytest

from streamfx.portrait.teeth.drawn import SIZE, grid
from streamfx.portrait.teeth.enamel import map_teeth
from streamfx.portrait.teeth.flat_mouth import FlatMouth
from streamfx.portrait.tones import Tones

WHITE = (186.0, 175.0, 167.0)
SKINS = {"dark": (90.0, 71.0, 62.0), "medium": (150.0, 120.0, 100.0), "light": (200.0, 165.0, 150.0)}
PALE_LIP = 1.23, 0.19
"""Of the darkest skin: brightness of the wet lower lip over the skin's, log of its red over green."""


def tones(skin: str) -> Tones:
    return Tones(np.tile(np.float32(SKINS[skin]), (4, 1)), np.float32(WHITE))


def mouth(inside: np.ndarray) -> FlatMouth:
    """Lips that are a little apart, with one colour between them."""
    x, y = grid()
    opening = ((x / 2.2) ** 2 + (y / 0.3) ** 2 < 1).astype(np.float32)
    rgb = np.full((*opening.shape, 3), 60.0, np.float32)
    rgb[opening > 0] = inside
    assert rgb.shape[1::-1] == SIZE
    return FlatMouth(rgb, opening, 0.0)


def test_the_lower_lip_of_a_dark_face_is_no_tooth():
    """Closed lips whose line was found too low: the lower lip shines, and is less red than the skin."""
    bright, red = PALE_LIP
    colour = np.array([np.exp(red), 1.0, 0.93])
    lip = bright * np.mean(SKINS["dark"]) * colour / colour.mean()
    assert map_teeth(mouth(lip), tones("dark")) is None


@pytest.mark.parametrize("skin", SKINS)
@pytest.mark.parametrize("light", [1.0, 0.75])
def test_teeth_are_teeth_beside_any_skin_and_in_the_lips_shadow(skin: str, light: float):
    teeth = map_teeth(mouth(light * np.array([0.99, 0.985, 0.965]) * WHITE), tones(skin))
    assert teeth is not None
    assert (teeth.tooth[mouth(np.zeros(3)).opening > 0] > 0.5).mean() > 0.7
