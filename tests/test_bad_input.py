"""Bad input at the command line, end to end: one clear line, the right exit code, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import media
import numpy as np
import pytest
from bad_files import size_change, small_second_face, truncated
from bad_inputs import CASES, ODDITIES, Case, Oddity
from PIL import Image
from scenes import MOTION, photo, store

from streamfx.__main__ import main

OLD_FILM = b"an older film, which must survive"
SMALL = ("--size", "320x240")
SHORT = ("--duration", "0.1", "--size", "320x240")
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good photo, template and video and an older film; the process works in it."""
    work = tmp_path / "work"
    work.mkdir()
    fill(work)
    monkeypatch.chdir(work)
    return work


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account's models, but no rig that an earlier run has solved."""
    monkeypatch.setenv("STREAMFX_MODELS_DIR", str(store().root))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def fill(work: Path) -> None:
    (work / "me.png").write_bytes(photo().read_bytes())
    (work / "motion.sfxm").write_bytes(MOTION.read_bytes())
    (work / "film.mp4").write_bytes(OLD_FILM)
    media.write_video(work / "clip.mp4", 12, size=(160, 120))


def contents(work: Path) -> dict[str, object]:
    """Every name below the folder, what lies there, and when it was written."""
    return {
        path.relative_to(work).as_posix(): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns if not path.is_dir() else 0,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in work.rglob("*")
    }


def assert_one_clear_line(err: str, words: tuple[str, ...]) -> None:
    """One line that names cause and remedy, as sentences, and all of `words`."""
    assert err.startswith("streamfx: error: "), err
    assert err.count("\n") == 1, err
    assert err.endswith(".\n"), err
    assert "Traceback" not in err
    missing = [word for word in words if word not in err]
    assert not missing, f"{missing} not in: {err}"
    line = err.removeprefix("streamfx: error: ")
    assert ". " in line, f"no remedy: {line}"
    assert line.split(". ")[-1][0] in UPPER, f"the remedy does not begin as a sentence: {line}"


UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# -- the table -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_cannot_work_is_refused(case: Case, folder: Path, capfd: pytest.CaptureFixture[str]):
    if case.prepare:
        case.prepare(folder)
    before = contents(folder)
    capfd.readouterr()
    code = main(case.command)
    out, err = capfd.readouterr()
    assert_one_clear_line(err, case.words)
    assert (code, out) == (case.code, "")
    assert contents(folder) == before


def test_the_table_is_as_long_as_promised_and_names_no_case_twice():
    names = [case.what for case in CASES] + [oddity.what for oddity in ODDITIES]
    assert len(set(names)) == len(names) >= 60


# -- photos that are odd and good ----------------------------------------------------------------------------


def first_picture(work: Path, portrait: str) -> np.ndarray:
    """The first picture of the film that a photo makes."""
    assert main(["render", portrait, "motion.sfxm", "-o", "film.mp4", "--yes", *SHORT]) == 0
    return media.read_video(work / "film.mp4")[0].astype(float)


@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda oddity: oddity.what)
def test_odd_photos_are_read_as_they_look(oddity: Oddity, folder: Path, capfd: pytest.CaptureFixture[str]):
    oddity.maker(folder / oddity.name, Image.open("me.png").convert("RGB"))
    expected = first_picture(folder, "me.png")
    made = first_picture(folder, oddity.name)
    if oddity.grey:
        expected = np.repeat(expected @ [[0.299], [0.587], [0.114]], 3, 2)
    difference = np.abs(made - expected)[40:200, 80:240].mean()
    assert difference < 9, f"the film differs by {difference:.1f} from the plain photo's"
    assert capfd.readouterr().err == ""


def test_a_second_small_face_is_no_failure_but_is_told(folder: Path, capfd: pytest.CaptureFixture[str]):
    small_second_face(folder / "two.png", Image.open("me.png").convert("RGB"))
    assert main(["render", "two.png", "motion.sfxm", "-o", "film.mp4", "--yes", *SHORT]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "warning: 2 faces were found; the largest is animated" in out


# -- drivers that are odd and good ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "name", "least"),
    [(truncated, "cut.mkv", 20), (truncated, "cut.ts", 20), (size_change, "size.ts", 8)],
)
def test_what_a_driver_still_has_is_rendered(
    make: Callable[[Path], None], name: str, least: int, folder: Path, capfd: pytest.CaptureFixture[str]
):
    make(folder / name)
    assert main(["render", "me.png", name, "-o", "film.mp4", "--yes", "--allow-no-face", *SMALL]) == 0
    assert len(media.read_video(folder / "film.mp4")) >= least
    assert capfd.readouterr().err == ""


# -- models --------------------------------------------------------------------------------------------------


def render_without_models(folder: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> int:
    monkeypatch.setenv("STREAMFX_MODELS_DIR", str(root))
    monkeypatch.setenv("STREAMFX_OFFLINE", "1")
    return main(["render", "me.png", "motion.sfxm", "-o", "film.mp4", "--yes"])


def test_missing_models_are_named_with_the_command_that_fetches_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    before = contents(folder)
    assert render_without_models(folder, monkeypatch, tmp_path / "none") == 1
    assert_one_clear_line(capfd.readouterr().err, ("face_landmarker", "streamfx models pull"))
    assert contents(folder) == before


@pytest.mark.parametrize("keep", [0, 1000, None])
def test_a_corrupt_model_is_called_corrupt(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    keep: int | None,
):
    """Emptied, cut short, or of the right size with one byte changed."""
    root = tmp_path / "models"
    root.mkdir()
    real = store().path("face_landmarker")
    data = bytearray(real.read_bytes())
    data[500] ^= 1
    (root / real.name).write_bytes(data[:keep])
    before = contents(folder)
    assert render_without_models(folder, monkeypatch, root) == 1
    assert_one_clear_line(capfd.readouterr().err, (real.name, "damaged", "streamfx models pull"))
    assert contents(folder) == before


# -- permissions and disks -----------------------------------------------------------------------------------


@contextmanager
def as_nobody() -> Iterator[Path]:
    """A folder of a user who is not root, for root may do anything."""
    import_module("streamfx.cli.film")  # with all it needs: nobody may not read this user's packages
    import_module("streamfx.sink.film")
    with TemporaryDirectory() as name:
        work = Path(name)
        fill(work)
        if os.geteuid() != 0:
            yield work
            return
        for path in (work, *work.iterdir()):
            os.chown(path, 65534, 65534)
        os.seteuid(65534)
        try:
            yield work
        finally:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("locked", "mode", "words"),
    [
        ("me.png", 0o000, ("me.png may not be read by this user", "permissions")),
        ("motion.sfxm", 0o000, ("motion.sfxm may not be read by this user", "permissions")),
        ("", 0o555, ("film.mp4 cannot be written: no permission", "folder")),
    ],
)
def test_no_permission(locked: str, mode: int, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]):
    with as_nobody() as work:
        (work / locked).chmod(mode)
        capfd.readouterr()
        code = main(
            [
                "render",
                *(f"{work}/{name}" for name in ("me.png", "motion.sfxm")),
                "-o",
                f"{work}/film.mp4",
                "--yes",
            ]
        )
        assert_one_clear_line(capfd.readouterr().err, words)
        (work / locked).chmod(0o755)
        assert code == 1
        assert (work / "film.mp4").read_bytes() == OLD_FILM
        assert len(list(work.iterdir())) == 4


@contextmanager
def disk(at: Path, options: str) -> Iterator[Path]:
    """A small disk of its own; the test is skipped where none can be mounted."""
    at.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(at)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root, outside a container without CAP_SYS_ADMIN, can mount a disk")
    try:
        (at / "film.mp4").write_bytes(OLD_FILM)
        subprocess.run(["mount", "-o", f"remount,{options}", str(at)], check=True)
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("rw", ("no space is left on the disk", "Free some space, or write to another disk")),
        ("ro", ("the file system is read-only", "Write to another folder")),
    ],
)
def test_a_full_disk_and_a_read_only_one(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: str, words: tuple[str, ...]
):
    with disk(tmp_path / "disk", options) as at:
        film = at / "film.mp4"
        code = main(["render", "me.png", "motion.sfxm", "-o", str(film), "--yes", "--duration", "3"])
        assert_one_clear_line(capfd.readouterr().err, (str(film), *words))
        assert code == 1
        assert film.read_bytes() == OLD_FILM
        assert len(list(at.iterdir())) == 1


def test_no_folder_for_temporary_files_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """As in a container whose file systems are all read-only but one."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert main(["render", "me.png", "motion.sfxm", "-o", "film.mp4", "--yes", *SHORT]) == 0
    assert len(media.read_video(folder / "film.mp4")) == 3


# -- real processes ------------------------------------------------------------------------------------------


def shell(line: str, work: Path, **more: object) -> subprocess.CompletedProcess[str]:
    """A line of the shell in a process of its own; `$STREAMFX` is the command."""
    variables = {**os.environ, "STREAMFX": f"{sys.executable} -W error -m streamfx", "PYTHONPATH": PACKAGE}
    command = ["sh", "-c", line]
    return subprocess.run(
        command, cwd=work, env=variables, capture_output=True, text=True, timeout=60, check=False, **more
    )


PACKAGE = str(Path(sys.modules["streamfx"].__file__).parents[1])
RENDER = f"$STREAMFX render me.png motion.sfxm -o film.mp4 --yes {' '.join(SHORT)}"


@pytest.mark.parametrize(
    "command",
    ["ulimit -f 20; trap '' XFSZ; {}", "ulimit -f 20; {}"],
    ids=["signal ignored", "signal as it is"],
)
def test_a_file_beyond_the_size_limit(folder: Path, command: str):
    before = contents(folder)
    done = shell(command.format("$STREAMFX render me.png motion.sfxm -o film.mp4 --yes --duration 3"), folder)
    assert_one_clear_line(done.stderr, ("film.mp4 cannot be written", "size limit"))
    assert (done.returncode, done.stdout) == (1, "")
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("redirection", "code"),
    [(">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0), ("| true", 0), (">/dev/full", 1)],
)
def test_a_closed_or_full_standard_output_harms_no_film(folder: Path, redirection: str, code: int):
    done = shell(f"{RENDER} {redirection}", folder)
    assert done.returncode == code, done.stderr
    if code:
        assert_one_clear_line(done.stderr, ("standard output", "No space left", "is complete"))
    else:
        assert done.stderr == ""
    assert len(media.read_video(folder / "film.mp4")) == 3
    assert not list(folder.glob(".*"))


def test_an_error_with_all_standard_streams_closed_still_has_its_exit_code(folder: Path):
    before = contents(folder)
    done = shell("$STREAMFX render nobody.jpg motion.sfxm -o film.mp4 <&- >&- 2>&-", folder)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert contents(folder) == before


def test_a_film_of_a_name_that_is_not_utf8_is_made_and_reported(folder: Path):
    name = "caf\udce9"
    line = f"{RENDER.replace('film.mp4', name + '.mp4')} --report {name}.json --sheet {name}.png"
    done = shell(line, folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(media.read_video(folder / f"{name}.mp4")) == 3
    assert json.loads((folder / f"{name}.json").read_text("utf-8"))["film"]["path"] == f"{name}.mp4"


@pytest.mark.parametrize("moment", ["numpy", "av.libs", "mediapipe", ".part"])
def test_ctrl_c_at_any_moment(folder: Path, moment: str):
    """Pressed once a library is loaded, and once the film is being written."""
    assert stopped(folder, moment, signal.SIGINT) == (130, "", "streamfx: interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_render_told_to_stop_leaves_nothing(folder: Path, number: signal.Signals):
    """By another program, or because its terminal was closed."""
    assert stopped(folder, ".part", number) == (128 + number, "", f"streamfx: stopped by {number.name}\n")


def stopped(folder: Path, moment: str, number: signal.Signals) -> tuple[int, str, str]:
    """Exit code, output and messages of a render that gets a signal; its folder must be unchanged."""
    before = contents(folder)
    arguments = ["me.png", "motion.sfxm", "-o", "film.mp4", "--yes", "--size", "1280x720", "--fps", "240"]
    # What is opened in the moment of the signal is closed by its destructor: that is no leak.
    strict = ["-W", "error", "-W", "ignore::ResourceWarning"]
    command = [sys.executable, *strict, "-m", "streamfx", "render", *arguments]
    environment = {**os.environ, "PYTHONPATH": PACKAGE, "XDG_CACHE_HOME": str(folder.parent / "fresh")}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True
    ) as process:
        wait_for(moment, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert contents(folder) == before
    return process.returncode, out, err


def wait_for(moment: str, process: subprocess.Popen[str]) -> None:
    """Until the process has mapped a library, or opened a file, of such a name."""
    proc = Path("/proc", str(process.pid))
    for _ in range(6000):
        assert process.poll() is None, process.communicate()
        try:
            opened = [str(file.readlink()) for file in (proc / "fd").iterdir()]
            if moment in (proc / "maps").read_text() or any(name.endswith(moment) for name in opened):
                return
        except OSError:  # it has just ended, or a file has just been closed
            pass
        time.sleep(0.005)
    pytest.fail(f"{moment} was never seen")
