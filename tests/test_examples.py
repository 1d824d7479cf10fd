"""The programs in examples/ run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from control_stage import Stage, staged
from fake_sessions import photo as drawn_photo
from PIL import Image
from scenes import store

from streamfx.config import demo_motion_file
from streamfx.driving.template import MotionTemplate
from streamfx.source import open_source

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: object, **variables: str) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def photo() -> Path:
    return store().path("astronaut")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of the demo's motions."""
    short = tmp_path_factory.mktemp("driver") / "second.sfxm"
    whole = MotionTemplate.load(demo_motion_file())
    MotionTemplate.from_motions(list(whole.frames())[:30], whole.fps).save(short)
    return short


def test_film(photo: Path, template: Path, tmp_path: Path):
    said = run("film.py", photo, template, tmp_path / "film.mp4")
    with open_source(tmp_path / "film.mp4") as film:
        assert f"{sum(1 for _ in film)} pictures" in said


def test_frame_by_frame(photo: Path, template: Path):
    said = run("frame_by_frame.py", photo, template).splitlines()
    changes = [float(line.split(": ")[1].split()[0]) for line in said if "grey levels" in line]
    assert len(changes) > 20
    assert 0 < max(changes) < 20


def test_overlay(photo: Path, template: Path, tmp_path: Path):
    slide, out = tmp_path / "slide.png", tmp_path / "out.png"
    Image.new("RGB", (320, 240), (0, 0, 200)).save(slide)
    run("overlay.py", photo, template, slide, out)
    seen = np.asarray(Image.open(out))
    assert seen.shape == (480, 640, 3)
    assert tuple(seen[2, 2]) == (0, 0, 200), "the slide, beside the person"
    assert np.abs(seen[240, 320].astype(int) - (0, 0, 200)).max() > 40, "the person"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Stage]:
    """A control server where the client looks for it by default; its sessions are made up."""
    with staged(tmp_path) as stage:
        (tmp_path / "streamfx").symlink_to(tmp_path / "run")
        yield stage


def test_live_camera(daemon: Stage, tmp_path: Path):
    picture = tmp_path / "me.jpg"
    picture.write_bytes(drawn_photo())
    assert "pictures a second" in run("live_camera.py", picture, 0, XDG_RUNTIME_DIR=str(tmp_path))
    assert daemon.sessions.list() == []


def test_remote(daemon: Stage, tmp_path: Path):
    daemon.session()
    said = run("remote.py", "ada", 0.5, XDG_RUNTIME_DIR=str(tmp_path))
    assert int(said.split()[0]) > 5
