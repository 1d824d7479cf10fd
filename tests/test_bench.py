"""`streamfx bench`, its baseline and the soak: what they measure is what they say."""

from __future__ import annotations

import json
import mmap
from pathlib import Path

import numpy as np
import pytest
from media import number_of, write_video
from scenes import face_clip, photo, store

from streamfx.__main__ import main
from streamfx.frames import Rendered
from streamfx.lab.baseline import POINTS, ThinPlateWarp, spline
from streamfx.lab.soak import Reading, growth_mb, soak
from streamfx.pipeline import load_portrait
from streamfx.source.looped import LoopedSource
from streamfx.telemetry import StageTimer, peak_bytes, resident_bytes, summary


def test_bench_prints_its_measurements_as_json(capsys: pytest.CaptureFixture[str]):
    clip = face_clip()
    capsys.readouterr()
    assert main(["bench", "--driver", str(clip), "--size", "320x240", "--frames", "20", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (speed,) = document["sizes"]
    assert speed["size"] == [320, 240]
    stages = {stage["stage"]: stage for stage in speed["stages"]}
    own = [stage for stage in stages if stage != "refine"]  # runs where its network ships
    assert own == ["decode", "track", "motion", "deform", "warp", "mouth"]
    assert [stage["stage"] for stage in speed["beside"]].count("warp") == 1
    assert {stage["count"] for stage in stages.values()} == {20}, "the warm-up must not count"
    assert speed["geometry"]["median_ms"] < speed["whole"]["median_ms"]
    assert speed["fps"] == pytest.approx(1000 / speed["interval"]["median_ms"])
    assert speed["baseline"]["median_ms"] > 0
    assert speed["peak_mb"] > 50
    assert speed["decoder"] == "software"
    assert document["machine"]["cores"] >= 1
    assert "thin-plate spline" in document["baseline"]


def test_bench_without_a_clip_makes_one_and_says_so(capsys: pytest.CaptureFixture[str]):
    assert main(["bench", "--size", "320x240", "--frames", "20"]) == 0
    out = capsys.readouterr().out
    assert "a clip made from the demo" in out
    assert all(row in out for row in ("geometry", "whole frame", "pipelined interval", "baseline warp"))


@pytest.mark.parametrize("more", [["--frames", "3"], ["--frames", "many"], ["--size", "0x0"]])
def test_bench_refuses_nonsense(more: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["bench", *more]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# -- the baseline ------------------------------------------------------------------------------------------


def test_a_spline_goes_through_its_points_and_keeps_straight_lines():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 500, (40, 2))
    targets = points + rng.normal(0, 5, (40, 2))
    missed = np.abs(spline(points, targets, points) - targets)
    assert missed.max() < 0.3, "close points may pull at each other a little: the spline is not quite stiff"
    assert missed.mean() < 0.05
    turn = np.array([[0.9, 0.2], [-0.1, 1.1]])
    places = rng.uniform(-100, 600, (200, 2))
    assert np.abs(spline(points, points @ turn + 7, places) - (places @ turn + 7)).max() < 1e-6


def test_the_baseline_leaves_a_face_at_rest_and_moves_one_that_moves():
    rig = load_portrait(photo(), (320, 240), store()).rig
    warp = ThinPlateWarp(rig)
    still = rig.photo[rig.pad : rig.pad + 240, rig.pad : rig.pad + 320]
    assert len(set(POINTS)) == 81
    assert np.abs(warp.warp(rig.vertices).astype(int) - still).mean() < 0.2
    moved = rig.vertices + np.float32([6, 0])
    nose = rig.vertices[1].astype(int)
    patch = np.s_[nose[1] - 4 : nose[1] + 5, nose[0] - 4 : nose[0] + 5]
    shifted = np.s_[nose[1] - 4 : nose[1] + 5, nose[0] + 2 : nose[0] + 11]
    assert np.abs(warp.warp(moved)[shifted].astype(int) - still[patch]).mean() < 4


# -- what measures -----------------------------------------------------------------------------------------


def test_a_looped_source_plays_in_rounds_at_rising_times(tmp_path: Path):
    with LoopedSource(write_video(tmp_path / "clip.mp4", 5), 12) as source:
        frames = list(source)
    assert [frame.seq for frame in frames] == list(range(12))
    assert [number_of(frame.rgb) for frame in frames] == [0, 1, 2, 3, 4] * 2 + [0, 1]
    assert (np.diff([frame.captured_ns for frame in frames]) > 0).all()


def test_stage_sums_are_per_frame():
    timer = StageTimer()
    timer.add("warm-up", 10**9)
    timer.clear()
    for a, b in ((1, 30), (2, 20), (3, 10)):
        timer.add("a", a * 1_000_000)
        timer.add("b", b * 1_000_000)
    assert [time.stage for time in timer.times()] == ["a", "b"]
    both = timer.together("both", ("a", "b"))
    assert (both.median_ms, both.count) == (22, 3)
    assert both.p95_ms == pytest.approx(summary("", np.array([31.0, 22, 13])).p95_ms)


def test_memory_is_read():
    before = resident_bytes()
    with mmap.mmap(-1, 40_000_000) as held:  # an array might fit into what was freed before
        held.write(bytes(40_000_000))
        assert resident_bytes() - before > 30_000_000
        assert peak_bytes() > 30_000_000


def test_growth_is_measured_after_warm_up():
    flat = [Reading(s, 400.0 if s > 20 else 10.0 * s, 0) for s in range(1, 101)]
    leaking = [Reading(s, 400.0 + s, 0) for s in range(1, 101)]
    assert growth_mb(flat) == 0
    assert 55 < growth_mb(leaking) < 75


@pytest.mark.slow
@pytest.mark.parametrize("leak_bytes", [0, 300_000])
def test_a_planted_leak_is_caught(leak_bytes: int):
    """A frame's third kept per frame is hundreds of MB in half a minute; without it memory stays level."""
    kept: list[bytes] = []

    def each(_: Rendered) -> None:
        if leak_bytes:
            kept.append(bytes(np.ones(leak_bytes, np.uint8)))

    readings = soak(photo(), face_clip(), 25, every_s=1.0, each=each)
    grown = growth_mb(readings)
    assert grown > 40 if leak_bytes else grown < 20, readings
