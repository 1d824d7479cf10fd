"""`streamfx render` and `demo` from end to end: real models, a real photo, films decoded again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import number_of, pictures, read_sound, read_video, rendered, write_video
from scenes import MOTION, face_clip, photo, shared

from streamfx import __version__
from streamfx.__main__ import main
from streamfx.cli.render import PicturesByTime
from streamfx.errors import OutputError
from streamfx.frames import Frame
from streamfx.models.manifest import own_manifest
from streamfx.quality import Quality
from streamfx.sink.comparison import Comparison
from streamfx.sink.film import FilmWriter
from streamfx.sink.panel import fitted
from streamfx.source import open_source


def render(driver: Path | str, output: Path, *more: str) -> int:
    return main(["render", str(photo()), str(driver), "-o", str(output), *more])


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


# -- what is made ------------------------------------------------------------------------------------------


def test_a_template_becomes_a_film_without_tracking(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    film, report = tmp_path / "film.mp4", tmp_path / "report.json"
    assert render(MOTION, film, "--duration", "1.5", "--report", str(report)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"made {film}: 45 frames, 640x480, 30 fps, 1.5 s\n")

    shown = read_video(film)
    assert len(shown) == 45
    assert shown[0].shape == (480, 640, 3)
    assert max(difference(shown[0], picture) for picture in shown) > 1, "the portrait does not move"

    document = json.loads(report.read_text("utf-8"))
    stages = {stage["stage"] for stage in document["stages"]}
    assert stages - {"refine"} == {"deform", "warp", "mouth", "encode"}
    assert document["driver"]["kind"] == "template"
    assert document["driver"]["source"] is None


def test_a_video_drives_and_the_report_tells_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    film, report = tmp_path / "film.mp4", tmp_path / "report.json"
    capsys.readouterr()
    assert render(face_clip(), film, "--report", str(report), "--json", "--head", "0.5") == 0
    document = json.loads(report.read_text("utf-8"))
    assert json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""])) == document

    assert len(read_video(film)) == 60
    assert document["report"] == 1
    assert document["film"] == {"path": str(film), "size": [640, 480], "fps": 30.0, "seconds": 2.0}
    assert document["frames"] == {"in": 60, "out": 60}
    assert document["driver"]["tracked_share"] == 1
    assert document["driver"]["source"]["damaged_packets"] == 0
    refined = document["settings"]["refine"] != "off"  # by default, where its network ships
    best = "FULL" if refined else "WARP_ONLY"
    assert document["quality"] == {"FULL": 0, "WARP_ONLY": 0, "HELD": 0, "IDLE": 0} | {best: 60}
    stages = {stage["stage"]: stage for stage in document["stages"]}
    drawn = ["deform", "warp", *(["refine"] if refined else []), "mouth"]
    assert list(stages) == ["decode", "track", "motion", *drawn, "encode"]
    assert all(
        stage["count"] == 60 and 0 < stage["median_ms"] <= stage["p95_ms"] for stage in stages.values()
    )
    assert document["end_to_end_fps"] > 0
    assert document["settings"]["head"] == 0.5
    assert document["versions"]["streamfx"] == __version__
    hashes = {row.name: row.sha256 for row in own_manifest()}
    assert document["photo"]["sha256"] == hashes["astronaut"]
    assert {m["name"]: m["sha256"] for m in document["models"]}.items() <= hashes.items()
    assert document["machine"]["cpu"]


def test_the_sheet_shows_photo_and_frames(tmp_path: Path):
    sheet = tmp_path / "sheet.png"
    assert render(MOTION, tmp_path / "film.mp4", "--duration", "3", "--sheet", str(sheet)) == 0
    picture = cv2.imread(str(sheet))
    columns = [picture[60:280, 10 + 328 * i : 320 + 328 * i] for i in range(4)]
    assert all(column.std() > 20 for column in columns), "a blank tile"
    assert difference(columns[1], columns[3]) > 0.2, "the same frame twice"
    assert (picture[-30:, :200] < 128).any(), "no stage times"


def test_a_faceless_driver_is_refused_and_makes_a_film_at_rest_where_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    driver = write_video(tmp_path / "grey.mp4", 12, size=(320, 240))
    film, report = tmp_path / "film.mp4", tmp_path / "report.json"
    assert render(driver, film, "--report", str(report)) == 1
    err = capsys.readouterr().err
    assert "No face was found in any of the 12 pictures of grey.mp4" in err
    assert "--allow-no-face" in err
    assert [path.name for path in tmp_path.iterdir()] == ["grey.mp4"]
    assert render(driver, film, "--report", str(report), "--allow-no-face") == 0
    assert "a face in 0 of 12 pictures (0%); without a face the portrait rests" in capsys.readouterr().out
    document = json.loads(report.read_text("utf-8"))
    assert document["driver"]["tracked_share"] == 0
    assert document["quality"][Quality.IDLE] == 12
    shown = read_video(film)
    assert max(difference(shown[0], picture) for picture in shown) < 0.5


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_sound_stays_in_step_with_a_driver_of_uneven_rate(tmp_path: Path, suffix: str):
    """Pictures at 40 and 10 a second: at a constant rate the film still lasts as long as its sound."""
    times = [*range(0, 1000, 25), *range(1000, 2000, 100)]
    driver = write_video(tmp_path / "uneven.mp4", pts=times, sound_s=2.0, size=(128, 96))
    film = tmp_path / f"film{suffix}"
    assert render(driver, film, "--audio", "--fps", "20", "--size", "320x240", "--allow-no-face") == 0
    length = len(read_video(film)) / 20
    _, samples, rate = read_sound(film)
    assert length == pytest.approx(2.0, abs=0.06)
    assert len(samples) / rate == pytest.approx(length, abs=0.08)


def test_duration_and_rate(tmp_path: Path):
    film = tmp_path / "film.mkv"
    assert render(face_clip(), film, "--duration", "0.5", "--fps", "12", "--mode", "sheet") == 0
    assert len(read_video(film)) == 6


# -- comparison --------------------------------------------------------------------------------------------


def test_compare_puts_the_driver_left_at_its_own_time(tmp_path: Path):
    """Driver pictures carry their number as brightness; at 12.5 frames a second every second one is due."""
    driver = write_video(tmp_path / "numbered.mp4", 20, size=(320, 240), options={"crf": "1"})
    film = tmp_path / "film.mp4"
    assert render(driver, film, "--compare", "--fps", "12.5", "--size", "320x240", "--allow-no-face") == 0
    shown = read_video(film)
    assert shown[0].shape == (240, 640, 3)
    assert [number_of(picture[:, :320]) for picture in shown] == list(range(0, 20, 2))
    assert difference(shown[0][:, 320:], shown[-1][:, 320:]) < 0.5, "the right half must be the portrait"


def test_without_compare_no_driver_picture_is_in_the_film(tmp_path: Path):
    """Two drivers that differ in every pixel but show no face give the same film."""
    white = write_video(tmp_path / "w.mp4", 6, picture=np.full((96, 128, 3), 255, np.uint8), size=(128, 96))
    black = write_video(tmp_path / "b.mp4", 6, picture=np.zeros((96, 128, 3), np.uint8), size=(128, 96))
    films = []
    for driver in (white, black):
        assert render(driver, driver.with_suffix(".mkv"), "--size", "320x240", "--allow-no-face") == 0
        films.append(read_video(driver.with_suffix(".mkv")))
    assert np.array_equal(films[0], films[1])


def test_pictures_by_time_holds_each_until_the_next(tmp_path: Path):
    with open_source(write_video(tmp_path / "numbered.mp4", pts=[0, 100, 150, 400])) as source:
        shown = PicturesByTime(source)
        at = [number_of(shown.at(ms * 1_000_000).rgb) for ms in (0, 99, 100, 149, 399, 400, 9000)]
    assert at == [0, 0, 1, 1, 2, 3, 3]


def test_a_comparison_refuses_another_size(tmp_path: Path):
    frame = Frame(pictures(1)[0], 0, 0)
    with pytest.raises(OutputError, match="64x48 px beside 32x24"):  # noqa: SIM117
        with FilmWriter(tmp_path / "film.mp4", (64, 24), 25) as film:
            Comparison(film, (32, 24)).write_pair(rendered(pictures(1)[0]), frame)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(100, 50), (50, 100), (480, 640), (7, 900)])
def test_a_fitted_picture_is_whole_and_centred(shape: tuple[int, int]):
    panel = fitted(np.full((*shape, 3), 200, np.uint8), (64, 48))
    assert panel.shape == (48, 64, 3)
    lit = panel[..., 0] > 100
    assert lit.any(axis=0).sum() == 64 or lit.any(axis=1).sum() == 48
    assert abs(int(lit[:, :32].sum()) - int(lit[:, 32:].sum())) <= 48


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"output": "driver.sfxm"}, 2, "'.sfxm'. Use .mp4"),
        ({"output": "film.txt"}, 2, "cannot be written as '.txt'"),
        ({"output": "photo.png", "more": []}, 2, "cannot be written as '.png'"),
        ({"output": "missing/film.mp4"}, 1, "folder does not exist"),
        ({"more": ["--sheet", "s.jpg"]}, 2, "Use .png"),
        ({"more": ["--report", "film.mp4"]}, 2, "Use .json"),
        ({"more": ["--report", "nowhere/r.json"]}, 1, "folder does not exist"),
        ({"more": ["--audio"]}, 2, "--audio needs a video"),
        ({"more": ["--compare"]}, 2, "--compare needs a video"),
        ({"more": ["--size", "641x480"]}, 2, "odd side"),
        ({"more": ["--size", "big"]}, 2, "no size"),
        ({"more": ["--size", "8x8"]}, 2, "outside 64x64"),
        ({"more": ["--fps", "0"]}, 2, "outside 1 to 240"),
        ({"more": ["--fps", "nan"]}, 2, "outside 1 to 240"),
        ({"more": ["--gaze", "9"]}, 2, "outside 0 to 1.5"),
        ({"more": ["--mode", "raw"]}, 2, "invalid choice"),
        ({"driver": "0"}, 2, "has no end. Say how long with --duration"),
        ({"driver": "nothing.mp4"}, 1, "nothing.mp4 does not exist"),
        ({"driver": "nothing.sfxm"}, 1, "nothing.sfxm does not exist"),
        ({"photo": "nobody.jpg"}, 1, "nobody.jpg does not exist"),
        ({"photo": "driver.sfxm"}, 1, "not a photo"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, object],
    code: int,
    words: str,
):
    (tmp_path / "driver.sfxm").write_bytes(MOTION.read_bytes())
    (tmp_path / "photo.png").write_bytes(photo().read_bytes())
    monkeypatch.chdir(tmp_path)
    case = {"photo": "photo.png", "driver": "driver.sfxm", "output": "film.mp4", "more": []} | change
    assert main(["render", case["photo"], case["driver"], "-o", case["output"], *case["more"]]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("streamfx: error: ")
    assert err.count("\n") == 1
    assert words in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["driver.sfxm", "photo.png"]


def test_inputs_are_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    driver = write_video(tmp_path / "driver.mp4", 3)
    before = driver.read_bytes()
    (tmp_path / "link.mp4").symlink_to(driver)
    for output in ("driver.mp4", "link.mp4", "../" + tmp_path.name + "/driver.mp4"):
        assert render(driver, tmp_path / output) == 2
        assert "are the same file" in capsys.readouterr().err
    assert driver.read_bytes() == before


def test_a_damaged_driver_leaves_the_old_film(tmp_path: Path):
    film, driver = tmp_path / "film.mp4", tmp_path / "driver.mp4"
    film.write_bytes(b"the old film")
    driver.write_bytes(b"no video at all")
    assert render(driver, film) == 1
    assert film.read_bytes() == b"the old film"


@pytest.mark.parametrize("kind", ["template", "video"])
def test_ctrl_c_half_way_leaves_nothing(tmp_path: Path, kind: str):
    driver = MOTION if kind == "template" else face_clip()
    arguments = [str(photo()), str(driver), "-o", str(tmp_path / "film.mp4"), "--size", "1280x720"]
    command = [sys.executable, "-W", "error", "-m", "streamfx", "render", *arguments, "--fps", "240"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        _until(lambda: any(part.stat().st_size for part in tmp_path.glob(".film.mp4.*.part")), process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "streamfx: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def _until(condition, process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    pytest.fail("the film was never begun")


def test_a_terminal_sees_progress(tmp_path: Path):
    """On stderr only, and only where it is a terminal."""
    reader, terminal = os.openpty()
    arguments = [str(photo()), str(MOTION), "-o", str(tmp_path / "film.mp4"), "--duration", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "streamfx", "render", *arguments],
        stdout=subprocess.PIPE,
        stderr=terminal,
        check=True,
        timeout=60,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(terminal)
    drawn = os.read(reader, 1 << 16)
    os.close(reader)
    assert b"rendering" in drawn
    assert b"/60" in drawn
    assert b"rendering" not in done.stdout


# -- demo --------------------------------------------------------------------------------------------------


def test_demo_makes_film_and_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["demo", "-o", str(tmp_path / "new" / "out")]) == 0
    out = capsys.readouterr().out
    assert "frames a second" in out
    assert "warp" in out
    assert "streamfx render YOUR-PHOTO.jpg" in out
    with open_source(tmp_path / "new" / "out" / "demo.mp4") as film:
        info = film.info
        assert sum(1 for _ in film) >= 180
    assert (info.codec, info.width, info.height, info.fps) == ("h264", 640, 480, 30)
    assert cv2.imread(str(tmp_path / "new" / "out" / "demo.png")).std() > 20


def test_demo_needs_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").touch()
    assert main(["demo", "-o", str(tmp_path / "file" / "out")]) == 1
    assert "cannot be made" in capsys.readouterr().err


# -- real clips --------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(
    ("clip", "low", "high"),
    [
        ("lp_d0.mp4", 0.99, 1.0),
        ("clm_cap12.mp4", 0.9, 1.0),
        ("pyfeat_face_noface.mov", 0.2, 0.95),
        ("no_face_caminandes.mp4", 0.0, 0.0),
        ("asl_no_small_face.mkv", 0.5, 1.0),
    ],
)
def test_real_clips(tmp_path: Path, clip: str, low: float, high: float):
    """Good ones, and those that lose or never show a face: a film of full length, and an honest report."""
    film, report = tmp_path / "film.mp4", tmp_path / "report.json"
    more = ("--duration", "4", "--size", "320x240", "--report", str(report), "--allow-no-face")
    assert render(shared(f"driving/{clip}"), film, *more) == 0
    document = json.loads(report.read_text("utf-8"))
    assert low <= document["driver"]["tracked_share"] <= high
    shown = read_video(film)
    assert len(shown) == document["frames"]["out"] == sum(document["quality"].values())
    jumps = [difference(a, b) for a, b in pairwise(shown)]
    assert max(jumps, default=0) < 12, "a jump"
