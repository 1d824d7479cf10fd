"""Judging mouths that speak: a film's flicker is told from the motion that optical flow cannot follow."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import synthetic

from streamfx.frames import U8, Deformation, Rig
from streamfx.lab.evaluation.methods import Method, Show
from streamfx.lab.evaluation.mouth import PROCEDURAL
from streamfx.lab.evaluation.openings import Opening
from streamfx.lab.evaluation.speech import RIGID, Box, RigidMouth, SpeechRow, rows
from streamfx.portrait.deform import deform
from streamfx.render.base import MouthView
from streamfx.render.cpu import CpuRenderer
from streamfx.render.mouth import ProceduralMouth

JAW = (0.9, 1.3, 0.9, 1.3, 1.0, 0.7, 1.1)
"""Picture by picture: speech at 25 pictures a second is as fast."""


class Flickering(ProceduralMouth):
    """In every other picture a third darker."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig)
        self._dark = False

    def paint(self, view: MouthView, deformation: Deformation) -> U8:
        self._dark = not self._dark
        return (super().paint(view, deformation) * (0.67 if self._dark else 1.0)).astype(np.uint8)


def spoken(*methods: Method) -> list[SpeechRow]:
    """Films of a fast mouth, beside a clip whose speaker hides the teeth in the dark."""
    rig = synthetic.rig()
    places = [deform(rig, synthetic.motion(jaw=jaw)) for jaw in JAW]
    return list(rows("fast", methods, rig, places, [hidden(rig, place) for place in places]))


def hidden(rig: Rig, place: Deformation) -> Box:
    """The mouth without teeth, and soft as a small face in a film is."""
    opening = Opening.shown(place)
    face, _ = Show(rig, PROCEDURAL).layers(place)
    crop = opening.crop(face)
    crop[opening.mask] = (40, 15, 15)
    return Box(np.asarray(cv2.GaussianBlur(crop, (0, 0), 2.0), np.uint8), opening)


def test_a_mouth_with_teeth_is_not_blamed_for_a_clip_that_hides_them():
    (row,) = spoken(PROCEDURAL)
    assert row.ratio > 2
    assert row.over_rigid < 1.25


def test_flicker_is_blamed_in_any_motion():
    steady, flickering = spoken(PROCEDURAL, Method("flickering", painter=Flickering))
    assert flickering.over_rigid > 1.25 * steady.over_rigid
    assert flickering.rigid == steady.rigid


def test_a_rigid_mouth_measures_itself():
    (row,) = spoken(RIGID)
    assert row.over_rigid == pytest.approx(1.0)


def test_the_rigid_mouth_is_lit_alike_however_wide_it_is():
    rig, lights = synthetic.rig(), []
    renderer, painter = CpuRenderer(rig), RIGID.painter(rig)
    assert isinstance(painter, RigidMouth)
    for jaw in (0.4, 1.8):
        place = deform(rig, synthetic.motion(jaw=jaw))
        view = renderer.mouth_view(renderer.warp(place), place, painter.crop)
        lights.append([np.unique(light).tolist() for light in painter.light(view)])
    assert lights[0] == lights[1]
    assert all(len(values) == 1 for values in lights[0])
