"""`streamfx eval`: its tools on a tiny synthetic clip, and the product's figures on the shared data."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import media
import numpy as np
import pytest
import synthetic

from streamfx.errors import ModelMissing, SourceMissing, SourceUnreadable
from streamfx.frames import FaceTrack
from streamfx.lab.evaluation import clips
from streamfx.lab.evaluation.clips import Clip, Driver, Look, data_folder
from streamfx.lab.evaluation.closure import Measured, closure, expected, measure, overall
from streamfx.lab.evaluation.likeness import Gain, Judge, Likeness
from streamfx.lab.evaluation.methods import COPY, WARP, WARP_ONLY, Placing, Show
from streamfx.lab.evaluation.perceptual import LandmarkFeatures
from streamfx.lab.evaluation.reenact import (
    CLIPS,
    Figures,
    ReenactRow,
    chosen_looks,
    reenact,
    rest_look,
    run_up,
    summary,
    tracked_clips,
)
from streamfx.lab.evaluation.rest import rest, rest_row
from streamfx.lab.evaluation.stage import open_studio
from streamfx.models.face_basis import load_face_basis
from streamfx.models.store import Store
from streamfx.pipeline import Animator
from streamfx.portrait.deform import deform
from streamfx.topology import LID_LOWER, LID_UPPER, LIP_LOWER

TUNED = CLIPS[:7]
"""The clips on which the warp's figures were first stated."""


def driver() -> Driver:
    return Driver(synthetic.geometry().vertices, load_face_basis().rms)


def clip(count: int = 60) -> Clip:
    """A painted driver: still, then speaking, then with shut eyes; one picture without a face."""
    looks = []
    for seq in range(count):
        points = synthetic.landmarks()
        if 20 <= seq < 40:
            points[list(LIP_LOWER), 1] += 8
        if seq >= 40:
            for uppers, lowers in zip(LID_UPPER, LID_LOWER, strict=True):
                points[list(uppers), :2] = points[list(lowers), :2]
        ns = seq * 40_000_000
        track = FaceTrack(points, np.zeros(52, np.float32), 1.0, ns)
        looks.append(Look(ns, seq, 0, None if seq == 30 else track))
    return Clip(Path("painted.mp4"), tuple(looks))


def test_what_the_driver_really_does_is_read_off_each_picture():
    painted = clip()
    neutral = driver().neutral(painted)
    assert neutral is not None
    truth = expected(painted, driver(), neutral)
    assert len(truth.at) == 59
    closed = dict(zip(truth.at.tolist(), truth.closed.tolist(), strict=True))
    shut = dict(zip(truth.at.tolist(), truth.shut.tolist(), strict=True))
    assert closed[5]
    assert not closed[25]
    assert shut[50] == [True, True]
    assert shut[5] == [False, False]


def test_closure_is_measured_on_the_portrait():
    painted = clip()
    neutral = driver().neutral(painted)
    assert neutral is not None
    measured = measure(painted, driver(), neutral, [synthetic.rig()])
    row = measured.row()
    assert row.lips.count > 9 * 30
    assert row.lips.p99 < 0.05
    assert row.lids.count > 10 * 14
    assert row.lids.p99 < 0.1
    assert row.jitter < 0.02
    assert row.lids_seen.count >= row.lids.count


def test_a_portrait_that_leaves_the_lips_open_would_be_noticed(monkeypatch: pytest.MonkeyPatch):
    rig = synthetic.rig()
    broken = replace(rig, lip_spread=np.zeros_like(rig.lip_spread), lid_spread=np.zeros_like(rig.lid_spread))
    painted = clip()
    monkeypatch.setattr(Driver, "motions", lambda self, clip: [synthetic.motion(smile=0.1)] * len(clip.looks))
    neutral = driver().neutral(painted)
    assert neutral is not None
    broken = replace(broken, vertices=_parted(broken.vertices))
    assert measure(painted, driver(), neutral, [broken]).row().lips.p99 > 3


def _parted(vertices: np.ndarray) -> np.ndarray:
    out = vertices.copy()
    out[list(LIP_LOWER), 1] += 5
    return out


def test_all_drivers_are_pooled():
    none = np.zeros(0, np.float32)
    one = Measured("a", (np.ones(3, np.float32), none, none, none), 40, np.array([0.02]), 0.1)
    two = Measured("b", (np.full(1, 5, np.float32), none, none, none), 2, np.array([np.nan]), math.nan)
    row = overall([one, two])
    assert (row.clip, row.lips.count, row.lips.largest, row.still_pictures, row.jitter) == (
        "all",
        4,
        5,
        42,
        0.02,
    )


def test_pictures_are_chosen_evenly_among_those_with_a_face():
    chosen = chosen_looks(clip(), 9)
    assert [look.seq for look in chosen] == [3, 9, 16, 22, 29, 37, 43, 50, 56]
    assert len(chosen_looks(clip(4), 9)) == 4


def test_the_rest_frame_is_a_restful_one():
    look = rest_look(clip(), driver())
    assert look.seq < 20


def test_a_known_rest_frame_is_the_neutral():
    painted = clip()
    motions = driver().motions(painted, painted.looks[3].track)
    assert np.abs(motions[3].expression).max() < 1e-3
    unfiltered = driver().unfiltered(painted.looks[25], painted.looks[3].track)
    assert unfiltered.lip_gaps.max() > 0.3
    assert len(motions) == 60


def reenacted(clip: str, method: str, psnr: float, gain: float) -> ReenactRow:
    likeness = Likeness(psnr, 0.8, 1.0, 3.0, 0.1, 4.0, math.nan)
    return ReenactRow(
        clip, Placing.SHOWN.value, method, Gain(gain, 0.0), likeness, Figures(1.0, math.nan, 1.0, 1.0)
    )


def test_means_are_over_clips_and_the_worst_clip_is_named():
    rows = [
        reenacted("a", WARP, 20.0, 0.0),
        reenacted("a", "net", 20.5, 0.5),
        reenacted("b", WARP, 30.0, 0.0),
        reenacted("b", "net", 29.8, -0.2),
    ]
    warp, net, worst = summary(rows)
    assert (warp.clip, warp.method, warp.likeness.psnr) == ("all", WARP, 25.0)
    assert net.gain.psnr_gain == pytest.approx(0.15)
    assert math.isnan(net.figures.akd)
    assert (worst.clip, worst.method, worst.gain.psnr_gain) == ("worst: b", "net", -0.2)


def test_runs_end_at_the_judged_picture_and_start_after_a_lost_face():
    painted = clip()
    assert [look.seq for look in run_up(painted, painted.looks[20])] == [16, 17, 18, 19, 20]
    assert [look.seq for look in run_up(painted, painted.looks[32])] == [31, 32]
    assert [look.seq for look in run_up(painted, painted.looks[1])] == [0, 1]


def test_what_is_judged_is_what_the_pipeline_shows():
    """Show repeats what Animator does, so that vertices can lie where the truth has them."""
    rig = synthetic.rig()
    motions = [synthetic.motion(smile=share, jaw=0.8) for share in (0.2, 0.6)]
    animator, show = Animator(rig), Show(rig, WARP_ONLY)
    for motion in motions:
        np.testing.assert_array_equal(show.picture(deform(rig, motion)), animator.animate(motion).rgb)


def test_pictures_are_fetched_by_number_and_missing_ones_named(tmp_path: Path):
    film = media.write_video(tmp_path / "ten.mp4", 10)
    found = clips.pictures(film, {2, 7})
    assert {seq: media.number_of(rgb) for seq, rgb in found.items()} == {2: 2, 7: 7}
    with pytest.raises(SourceUnreadable, match="lacks 1 of its pictures"):
        clips.pictures(film, {2, 70})


def test_a_painted_portrait_rests():
    row = rest_row("painted", synthetic.rig())
    assert row.layer <= 1
    assert row.sheet <= 1


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streamfx", "eval", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_names_missing_data(tmp_path: Path):
    done = _run("reenact", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "no evaluation data" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_help_names_the_measures():
    done = _run("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("reenact", "closure", "rest"))


# -- the product's figures -----------------------------------------------------------------------------------


def _shared() -> tuple[Path, Store]:
    try:
        data, store = data_folder(), Store.default()
        store.path("face_landmarker")
        store.path("selfie_segmentation")
    except (SourceMissing, ModelMissing) as error:
        pytest.skip(f"{error}")
    return data, store


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_reenactment_reaches_its_figures():
    data, store = _shared()
    paths = [data / "driving" / f"{name}.mp4" for name in TUNED]
    with open_studio(store) as studio:
        driver = Driver(studio.geometry.vertices, studio.geometry.rms)
        found = tracked_clips(paths, store, clips.track_clip)
        rows = list(
            reenact(found, driver, studio, [], Judge(LandmarkFeatures(store.path("face_landmarker"))))
        )
    means = {(row.placing, row.method): row for row in summary(rows)}
    warp, copy = means[Placing.SHOWN.value, WARP], means[Placing.SHOWN.value, COPY]
    assert warp.likeness.psnr >= 27.3
    assert warp.likeness.ssim >= 0.85
    assert warp.likeness.psnr > copy.likeness.psnr + 2
    assert warp.figures.akd < 1.5
    assert warp.figures.temporal < 1
    assert means[Placing.EXACT.value, WARP].likeness.psnr >= warp.likeness.psnr


@pytest.mark.shared
def test_lips_and_lids_close_on_real_faces():
    data, store = _shared()
    names = ("lp_d0", "lp_d18", "clm_cap12")
    measured = closure(data, store, clips.track_clip, names, ("london_006_neutral.jpg", "astronaut.png"))
    row = overall(measured)
    assert row.lips.count > 5000
    assert row.lips.p99 <= 0.5
    assert row.lips_seen.p99 <= 0.5
    assert row.lids.count > 100
    assert row.lids.p99 <= 0.3
    assert row.jitter <= 0.08


@pytest.mark.shared
@pytest.mark.slow
def test_every_portrait_at_rest_is_the_photo():
    data, store = _shared()
    rows = rest(data, store)
    assert len(rows) >= 20
    assert [row for row in rows if row.layer > 1 or row.sheet > 1] == []


@pytest.mark.shared
def test_the_table_is_json_too(tmp_path: Path):
    data, _ = _shared()
    (tmp_path / "driving").mkdir()
    (tmp_path / "portraits").mkdir()
    shutil.copy(data / "portraits" / "astronaut.png", tmp_path / "portraits")
    done = _run("rest", "--json", "--data", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["portrait"] == "astronaut"
    assert 0 <= row["sheet"] <= 1
