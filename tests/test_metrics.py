"""The figures of merit, against values that can be worked out by hand, and the clip tools that feed them."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import synthetic

from streamfx.errors import SourceMissing
from streamfx.lab.evaluation.clips import data_folder
from streamfx.lab.evaluation.closure import Spread, jitter, still
from streamfx.lab.evaluation.metrics import (
    gmsd,
    hull,
    laplacian_energy,
    luma,
    mean_difference,
    polygon,
    psnr,
    ssim,
)
from streamfx.lab.evaluation.temporal import flicker, temporal_error
from streamfx.lab.skin import (
    SkinGroup,
    cheek_colour,
    crop_typology_angle,
    skin_group,
    typology_angle,
)

RNG = np.random.default_rng(3)
NOISE = RNG.integers(0, 256, (64, 80, 3), dtype=np.uint8)
FLAT = np.full((64, 80, 3), 100, np.uint8)
ALL = np.ones((64, 80), bool)


def test_psnr_of_a_known_offset():
    assert psnr(FLAT + np.uint8(10), FLAT, ALL) == pytest.approx(20 * math.log10(255 / 10))


def test_psnr_of_equal_pictures_is_infinite():
    assert psnr(NOISE, NOISE, ALL) == math.inf


def test_only_the_mask_counts():
    damaged, left = NOISE.copy(), ALL.copy()
    damaged[:, 40:] = 0
    left[:, 40:] = False
    assert psnr(damaged, NOISE, left) == math.inf
    assert mean_difference(damaged, NOISE, left) == 0
    assert psnr(damaged, NOISE, ALL) < 15


def test_ssim_of_equal_pictures_is_one():
    assert ssim(NOISE, NOISE, ALL) == pytest.approx(1.0)


def test_ssim_of_flat_pictures_follows_the_formula():
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ssim(FLAT + np.uint8(20), FLAT, ALL) == pytest.approx(expected, abs=1e-6)


def test_ssim_sees_lost_structure_that_psnr_forgives():
    texture = np.repeat(RNG.integers(90, 111, (64, 80, 1), dtype=np.uint8), 3, axis=2)
    assert psnr(FLAT, texture, ALL) > 30
    assert ssim(FLAT, texture, ALL) < 0.7


def test_blur_lowers_the_laplacian_energy():
    blurred = cv2.GaussianBlur(NOISE, (0, 0), 2)
    assert laplacian_energy(blurred, ALL) < 0.01 * laplacian_energy(NOISE, ALL)
    assert laplacian_energy(FLAT, ALL) == pytest.approx(0)


def test_gmsd_sees_moved_edges_but_no_offset():
    smooth = cv2.GaussianBlur(NOISE, (0, 0), 2)
    moved = np.roll(smooth, 2, axis=1)
    assert gmsd(smooth, smooth, ALL) == 0
    assert gmsd(np.clip(smooth, 0, 200) + np.uint8(5), np.clip(smooth, 0, 200), ALL) < 0.01
    assert gmsd(moved, smooth, ALL) > 0.05


def test_motion_is_no_temporal_error_but_flicker_is():
    texture = cv2.GaussianBlur(RNG.integers(0, 256, (96, 96, 3), dtype=np.uint8), (0, 0), 4)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    inside = np.zeros((96, 96), bool)
    inside[20:-20, 20:-20] = True
    moved = np.roll(texture, 2, axis=1)
    lit = np.clip(moved.astype(int) + 12, 0, 255).astype(np.uint8)
    assert temporal_error(texture, moved, inside) < 3
    assert temporal_error(texture, lit, inside) > temporal_error(texture, moved, inside) + 5


def test_an_even_rise_does_not_flicker():
    assert flicker(np.linspace(0, 90, 30)) == pytest.approx(0, abs=1e-9)
    assert flicker(np.array([0.0, 10.0] * 8)) == pytest.approx(20)
    assert math.isnan(flicker(np.array([1.0, 2.0, math.nan, 3.0, 4.0])))


@pytest.mark.parametrize(
    ("rgb", "group"),
    [((240, 215, 200), SkinGroup.LIGHT), ((200, 150, 120), SkinGroup.MEDIUM), ((90, 60, 45), SkinGroup.DARK)],
)
def test_skin_is_grouped_by_the_cheeks(rgb: tuple[int, int, int], group: SkinGroup):
    points = synthetic.landmarks()
    photo = np.full((synthetic.FRAME[1], synthetic.FRAME[0], 3), rgb, np.uint8)
    assert skin_group(typology_angle(photo, points)) is group
    assert cheek_colour(photo, points).tolist() == list(rgb)
    crop = np.full((256, 256, 3), rgb, np.uint8)
    assert crop_typology_angle(crop) == typology_angle(photo, points)


def test_what_the_mask_shuts_out_lends_no_edges():
    holed, around = FLAT.copy(), ALL.copy()
    holed[20:40, 20:40] = 0
    around[20:40, 20:40] = False
    assert laplacian_energy(holed, around) == pytest.approx(0)
    assert laplacian_energy(holed, ALL) > 10


def test_luma_weighs_the_channels():
    assert luma(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8))[0] == pytest.approx(
        [76.245, 149.685, 29.07]
    )


def test_a_polygon_covers_its_pixels_and_a_hull_fills_its_dents():
    dented = np.array([[10, 10], [30, 10], [20, 20], [30, 30], [10, 30]], np.float32)
    assert not polygon(dented, (40, 40))[20, 27]
    assert hull(dented, (40, 40))[20, 27]
    assert polygon(dented, (40, 40))[20, 12]


@pytest.mark.parametrize("measure", [psnr, ssim, gmsd, mean_difference])
def test_foreign_shapes_and_empty_masks_are_refused(measure):
    with pytest.raises(ValueError, match="shapes differ"):
        measure(NOISE[:-1], NOISE, ALL)
    with pytest.raises(ValueError, match="mask is empty"):
        measure(NOISE, NOISE, ~ALL)


def test_a_spread_names_count_mean_p99_and_largest():
    spread = Spread.of(np.arange(101))
    assert (spread.count, spread.mean, spread.p99, spread.largest) == (101, 50.0, 99.0, 100.0)
    assert Spread.of(np.zeros(0)) == Spread(0, 0.0, 0.0, 0.0)


def test_jitter_of_white_noise_is_its_second_difference():
    noise = RNG.normal(0, 0.1, (4000, 3, 2))
    assert jitter(noise, np.ones(4000, bool)) == pytest.approx(0.1 * math.sqrt(6), rel=0.05)
    assert math.isnan(jitter(noise, np.zeros(4000, bool)))


def test_steady_drift_is_no_jitter():
    drift = np.linspace(0, 50, 200)[:, None, None] * np.ones((1, 4, 2))
    assert jitter(drift, np.ones(200, bool)) == pytest.approx(0, abs=1e-9)


def test_still_stretches_are_told_from_moving_ones():
    where = np.concatenate([np.zeros(60), np.linspace(0, 60, 60), np.full(60, 60.0)])
    points = (where[:, None, None] + RNG.normal(0, 0.05, (180, 20, 2))).astype(np.float32)
    found = still(points)
    assert found[10:50].all()
    assert not found[65:115].any()
    assert found[130:170].all()


def test_missing_evaluation_data_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SourceMissing, match=r"no evaluation data in .*nowhere"):
        data_folder(tmp_path / "nowhere")
    (tmp_path / "data" / "driving").mkdir(parents=True)
    monkeypatch.setenv("STREAMFX_SHARED", str(tmp_path))
    assert data_folder() == tmp_path / "data"
