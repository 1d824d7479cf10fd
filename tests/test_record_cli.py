"""`streamfx record`: a real face becomes a small file of numbers, which drives as the face did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from media import write_video
from scenes import MOTION, face_clip

from streamfx.__main__ import main
from streamfx.driving.template import MotionTemplate


def record(driver: Path | str, output: Path, *more: str) -> int:
    return main(["record", str(driver), "-o", str(output), *more])


def test_a_face_becomes_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    motion = tmp_path / "motion.sfxm"
    clip = face_clip()
    capsys.readouterr()
    assert record(clip, motion, "--origin", "mine, CC0") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"made {motion}: 60 frames, 2.0 s, ")
    assert "a face in 60 of 60 pictures" in out
    template = MotionTemplate.load(motion)
    assert (len(template), template.fps) == (60, 30)
    assert (template.origin, template.source) == ("mine, CC0", "face.mp4")
    assert not template.held.any()
    assert motion.stat().st_size < 60 * 200


def test_the_motion_that_made_a_film_is_found_in_it(tmp_path: Path):
    """Portrait, camera, tracker and back: lips and head of the recording follow the template that drove."""
    motion = tmp_path / "motion.sfxm"
    assert record(face_clip(), motion) == 0
    found, drove = MotionTemplate.load(motion), MotionTemplate.load(MOTION)
    for name in ("lip_gaps", "rotation"):
        a = getattr(found, name)[:60].mean(axis=1) if name == "lip_gaps" else getattr(found, name)[:60, 1]
        b = getattr(drove, name)[:60].mean(axis=1) if name == "lip_gaps" else getattr(drove, name)[:60, 1]
        assert np.corrcoef(a, b)[0, 1] > 0.8, name


def test_rate_duration_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    motion = tmp_path / "motion.sfxm"
    clip = face_clip()
    capsys.readouterr()
    assert record(clip, motion, "--fps", "10", "--duration", "1", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["frames"] == len(MotionTemplate.load(motion)) == 10
    assert document["bytes"] == motion.stat().st_size
    assert document["tracked_share"] == 1


def test_no_face_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    driver = write_video(tmp_path / "grey.mp4", 8, size=(320, 240))
    assert record(driver, tmp_path / "motion.sfxm") == 1
    err = capsys.readouterr().err
    assert err.startswith("streamfx: error: No face was found in any of the 8 pictures of grey.mp4. ")
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["grey.mp4"]
    assert record(driver, tmp_path / "motion.sfxm", "--allow-no-face") == 0
    assert len(MotionTemplate.load(tmp_path / "motion.sfxm")) == 8


@pytest.mark.parametrize(
    ("driver", "output", "code", "words"),
    [
        (str(MOTION), "motion.sfxm", 2, "is a motion template already"),
        ("0", "motion.sfxm", 2, "Say how long with --duration"),
        ("clip.mp4", "motion.json", 2, "Use .sfxm"),
        ("clip.mp4", "nowhere/motion.sfxm", 1, "folder does not exist"),
        ("clip.mp4", "motion.sfxm", 1, "clip.mp4 does not exist"),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    driver: str,
    output: str,
    code: int,
    words: str,
):
    monkeypatch.chdir(tmp_path)
    assert record(driver, Path(output)) == code
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
