"""The figures of scripts/check-cuda, rehearsed on the CPU: each row is told, or why it cannot be had."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from shutil import which

import cv2
import numpy as np
import pytest
import torch
from scenes import store

from streamfx.errors import ModelMissing
from streamfx.lab.card.__main__ import main
from streamfx.lab.card.common import timed
from streamfx.lab.card.frames import Way, compiled, engine, tell_frames, ways
from streamfx.lab.card.parts import YUV, Down, FromCpu, OnCard, apart, nv12, posed
from streamfx.lab.card.sessions import tell_growth
from streamfx.models.weights import Profile
from streamfx.nets import build
from streamfx.render.gpu.gpu_device import GpuDevice
from streamfx.render.gpu.networks import TensorNetwork, untrained_network

CPU = torch.device("cpu")
SIZE = (320, 240)


@pytest.fixture(autouse=True)
def models():
    store()


def nothing_to_say(*_: object) -> None:
    """No check of what the studio makes."""


def test_parts_are_told_with_their_figures(capsys: pytest.CaptureFixture[str]):
    asked = ["--device", "cpu", "--frames", "4", "--size", "320x240", "--size", "640x480"]
    assert main([*asked, "--only", "raster", "--only", "down"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("rehearsal on the CPU, torch ")
    for size in ("320x240", "640x480"):
        assert re.search(
            rf"^{size} map of the mesh: by the card \d+\.\d\d ms .*; by the CPU, .* ms", out, re.M
        )
        assert re.search(
            rf"^{size} picture down: as RGB \(\S+ MB\) \S+ ms .*; as NV12 \(\S+ MB\) ", out, re.M
        )
    assert len(re.findall(r"sent as (?:offsets|positions): 0\.0\d+ px off on average", out)) == 4


def test_every_way_is_in_the_table_in_this_order():
    names = [way.name for way in ways(CPU)]
    kinds = ["torch, graphs", "torch, eager", "inductor, graphs", "TensorRT, graphs"]
    both = [f"{networks}, {kind}" for kind in kinds for networks in ("lite", "paper (untrained)")]
    assert names == [*both, "lite, cpu"]


def test_frames_are_measured_after_the_warm_up(capsys: pytest.CaptureFixture[str]):
    way = Way("paper", GpuDevice(nothing_to_say, CPU, load=untrained_network), Profile.PAPER)
    tell_frames(way, SIZE, 2)
    out = capsys.readouterr().out
    assert re.match(
        r"320x240 paper: frame p50 / p95 / p99 \S+ / \S+ / \S+ ms; deform \S+, warp \S+, refine", out
    )


def test_what_cannot_be_had_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]):
    def breaks(name: str, device: torch.device) -> TensorNetwork:
        raise RuntimeError(f"backend='inductor' raised:\nInvalidCxxCompiler: none for {name}\n\nmore")

    for load, profile in ((breaks, Profile.LITE), (engine, Profile.LITE), (engine, Profile.PAPER)):
        tell_frames(Way("way", GpuDevice(nothing_to_say, CPU, load=load), profile), SIZE, 2)
    broken, unbuilt, unshipped = capsys.readouterr().out.splitlines()
    assert broken.endswith("way: not to be had: InvalidCxxCompiler: none for refine-lite")
    assert "There is no engine of refine-lite for cpu" in unbuilt
    assert "trt_build build" in unbuilt
    assert "refine-paper does not ship" in unshipped
    with pytest.raises(ModelMissing):
        engine("mouth-lite", CPU)


def test_without_a_compiler_the_row_says_so():
    """Where torch finds no C++ compiler: in a process of its own, which has compiled nothing before."""
    script = (
        "from streamfx.lab.card.frames import *\n"
        "studio = GpuDevice(lambda *_: None, torch.device('cpu'), load=compiled(untrained_network))\n"
        "tell_frames(Way('inductor', studio, Profile.LITE), (320, 240), 2)\n"
    )
    env = {"CXX": "/nonexistent/compiler", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert "inductor: not to be had: " in done.stdout, done.stderr
    assert "ompiler" in done.stdout


@pytest.mark.skipif(which("g++") is None, reason="torch's compiler needs a C++ compiler")
@pytest.mark.filterwarnings("default")
def test_a_compiled_network_answers_as_torch_does():
    shape = (1, build("mouth-lite").INPUTS, 96, 96)
    seen = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    there, here = (load("mouth-lite", CPU) for load in (compiled(untrained_network), untrained_network))
    with torch.no_grad():
        assert (there(seen) - here(seen)).abs().max() < 1e-4


# -- parts ---------------------------------------------------------------------------------------------------


def test_both_ways_to_a_map_agree_and_a_slip_is_seen():
    size = (640, 480)
    meshes = list(posed(size, 3))
    card, offsets = OnCard(size, meshes, CPU), FromCpu(size, CPU)
    positions = FromCpu(size, CPU, offsets=False)
    found = apart(card, offsets, meshes)
    assert found.mean < 0.05
    assert found.nearly_all < 0.1
    assert found.uncovered < 0.001
    assert found.mean < apart(card, positions, meshes).mean < 0.1, (
        "half precision has fewer places for large figures"
    )

    def slipped(mesh):
        offsets(replace(mesh, sources=mesh.sources + np.float32([1, 0])))

    slipped.map = offsets.map
    assert apart(card, slipped, meshes).mean == pytest.approx(1, abs=0.05)


def test_nv12_is_opencvs_at_half_the_bytes():
    noise = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8), (0, 0), 4)
    picture = torch.from_numpy(noise).permute(2, 0, 1).float()
    planar = cv2.cvtColor(noise, cv2.COLOR_RGB2YUV_I420)
    u, v = planar[48:].reshape(2, 24, 32)
    there = nv12(picture, YUV).numpy()
    assert np.abs(there[:48].astype(int) - planar[:48]).max() <= 1
    off = np.abs(there[48:].astype(int) - np.dstack([u, v]).reshape(24, 64))
    assert off.mean() < 3, "OpenCV takes one pixel of four for a colour, we their mean"
    down, half = Down(picture, as_nv12=False), Down(picture, as_nv12=True)
    down()
    half()
    assert np.array_equal(down.picture(), noise)
    assert np.array_equal(half.picture(), there)
    assert half.bytes * 2 == down.bytes


def test_the_warm_up_does_not_count():
    assert timed("x", lambda _: None, 4, CPU).count == 2
    assert timed("x", lambda _: None, 200, CPU).count == 140


def test_growth_is_asked_of_a_card_only(capsys: pytest.CaptureFixture[str]):
    tell_growth(GpuDevice(nothing_to_say, CPU, load=untrained_network), 1)
    assert "a card's allocator only" in capsys.readouterr().out
