"""The networks' exact input, held by golden figures: training depends on them.

A change that is meant is recorded by `STREAMFX_GOLDEN=write python -m pytest tests/test_rectify_golden.py`,
and makes trained weights stale.
"""

from __future__ import annotations

import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
import synthetic

from streamfx.frames import Motion
from streamfx.portrait.deform import deform
from streamfx.render.base import CLOSED_GAP, Rectified
from streamfx.render.cpu import CpuRenderer
from streamfx.render.rectify import CROP, CROP_DENSITY, CROP_ORIGIN, face_affine, mouth_affine, move
from streamfx.topology import FACE_OVAL

FILE = synthetic.GOLDEN / "rectified.npz"
MOTIONS: dict[str, Motion] = {
    "rest": synthetic.motion(),
    "speaking": synthetic.motion(turn=(4, -8, 6), shift=(1.5, -0.5), scale=1.06, jaw=1.1, smile=0.35),
    "blinking": synthetic.motion(turn=(-6, 10, -3), blink=(1, 0.4), gaze=(0.1, 0.03), smile=-0.2),
}


def rectified(name: str) -> Rectified:
    rig = synthetic.rig()
    return CpuRenderer(rig).rectify(deform(rig, MOTIONS[name]))


def stored(name: str, face: Rectified) -> dict[str, np.ndarray]:
    """What is kept: pixels and masks as u8, every second one; displacement in thousandths, every fourth."""
    return {
        f"{name}.rgb": np.rint(face.rgb[::2, ::2] * 255).astype(np.uint8),
        f"{name}.inner_mouth": np.rint(face.inner_mouth[::2, ::2] * 255).astype(np.uint8),
        f"{name}.face": face.face.astype(np.uint8),
        f"{name}.displacement": np.rint(face.displacement[::4, ::4] * 1000).astype(np.int16),
        f"{name}.from_frame": face.from_frame,
    }


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    if os.environ.get("STREAMFX_GOLDEN") == "write":
        arrays: dict[str, np.ndarray] = {}
        for name in MOTIONS:
            arrays |= stored(name, rectified(name))
        np.savez_compressed(FILE, **arrays)
    with np.load(FILE, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", MOTIONS)
def test_the_crop_is_the_golden_one(name: str, golden: dict[str, np.ndarray]):
    now = stored(name, rectified(name))
    assert np.allclose(now[f"{name}.from_frame"], golden[f"{name}.from_frame"], atol=2e-3)
    difference = np.abs(now[f"{name}.rgb"].astype(int) - golden[f"{name}.rgb"])
    assert difference.mean() < 0.2
    assert np.percentile(difference, 99.9) <= 8


@pytest.mark.parametrize("name", MOTIONS)
def test_the_masks_are_the_golden_ones(name: str, golden: dict[str, np.ndarray]):
    now = stored(name, rectified(name))
    assert np.abs(now[f"{name}.inner_mouth"].astype(int) - golden[f"{name}.inner_mouth"]).max() <= 4
    assert (now[f"{name}.face"] != golden[f"{name}.face"]).sum() <= 8


@pytest.mark.parametrize("name", MOTIONS)
def test_the_displacement_map_is_the_golden_one(name: str, golden: dict[str, np.ndarray]):
    now = stored(name, rectified(name))[f"{name}.displacement"].astype(int)
    difference = np.abs(now - golden[f"{name}.displacement"])
    assert np.percentile(difference, 99.5) <= 3  # a pixel on the oval may fall to either side
    assert difference.mean() < 1


def test_at_rest_the_displacement_is_zero():
    assert np.abs(rectified("rest").displacement).max() < 1e-4


def test_values_lie_in_their_ranges():
    face = rectified("speaking")
    assert face.rgb.shape == (CROP, CROP, 3)
    assert (face.rgb.min(), face.rgb.max()) >= (0, 0)
    assert face.rgb.max() <= 1
    assert set(np.unique(face.face)) == {0, 1}
    assert np.abs(face.displacement).max() <= 6
    assert not face.displacement[face.face == 0].any() or _near_edge(face)
    assert {a.dtype for a in (face.rgb, face.inner_mouth, face.face, face.displacement)} == {
        np.dtype(np.float32)
    }


def _near_edge(face: Rectified) -> bool:
    outside = cv2.erode(1 - face.face, np.ones((5, 5), np.uint8)) > 0
    return not face.displacement[outside].any()


def test_the_inner_mouth_is_blanked():
    face = rectified("speaking")
    assert (face.inner_mouth > 0.99).sum() > 200
    assert face.rgb[face.inner_mouth > 0.999].max() <= 1e-3


@pytest.mark.parametrize(
    ("gap", "drawn"), [(0.0, False), (0.9 * CLOSED_GAP, False), (1.2 * CLOSED_GAP, True)]
)
def test_lips_count_as_closed_below_the_threshold(gap: float, drawn: bool):
    rig = synthetic.rig()
    motion = replace(synthetic.motion(), lip_gaps=np.full(9, gap, np.float32))
    deformation = deform(rig, motion)
    assert deformation.mouth_gap == pytest.approx(gap, abs=1e-4)
    face = CpuRenderer(rig).rectify(deformation)
    assert bool(face.inner_mouth.any()) is drawn


@pytest.mark.parametrize("roll", [-30, 0, 20])
def test_the_crop_undoes_roll_place_and_scale(roll: float):
    rig = synthetic.rig()
    still = deform(rig, synthetic.motion())
    moved = deform(rig, synthetic.motion(turn=(0, 0, roll), shift=(2, 1), scale=1.1))
    ovals = [move(d.vertices[list(FACE_OVAL)], face_affine(d)) for d in (still, moved)]
    assert np.abs(ovals[0] - ovals[1]).max() < 0.1
    assert np.ptp(ovals[0][:, 0]) == pytest.approx(178, abs=8)


def test_the_canonical_origin_lands_where_the_networks_expect_it():
    deformation = deform(synthetic.rig(), synthetic.motion(turn=(5, 5, 5), shift=(1, 1)))
    affine = face_affine(deformation)
    assert move(deformation.translation[None, :2], affine)[0] == pytest.approx(CROP_ORIGIN, abs=1e-2)
    assert np.sqrt(abs(np.linalg.det(affine[:, :2]))) * deformation.scale == pytest.approx(
        CROP_DENSITY, rel=1e-4
    )


@pytest.mark.parametrize("size", [64, 96])
def test_the_mouth_crop_is_seven_centimetres_about_the_mouth(size: int):
    deformation = deform(synthetic.rig(), synthetic.motion(jaw=0.8))
    affine = mouth_affine(deformation, size)
    corners = move(deformation.inner_mouth[[0, 10]], affine)
    wide = np.linalg.norm(deformation.inner_mouth[0] - deformation.inner_mouth[10]) / deformation.scale
    assert np.linalg.norm(corners[0] - corners[1]) == pytest.approx(wide * size / 7, rel=1e-3)
    assert corners.mean(0)[0] == pytest.approx((size - 1) / 2, abs=1)
