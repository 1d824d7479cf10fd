"""Where films and templates go: never over a file unasked, and through a pipe."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from media import read_video
from scenes import MOTION, face_clip, photo

from streamfx.__main__ import main
from streamfx.cli.outputs import check_outputs
from streamfx.driving.template import MotionTemplate
from streamfx.errors import OutputError

FAST = ("--size", "160x120", "--refine", "off", "--mouth", "procedural", "--duration", "0.4")


class Person(io.StringIO):
    """At a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def present(tmp_path: Path) -> list[Path]:
    files = [tmp_path / "film.mp4", tmp_path / "film.png"]
    for file in files:
        file.write_text("mine")
    return files


def check(files: list[Path], *, replace: bool = False) -> None:
    check_outputs([(file, (".mp4", ".png")) for file in files], [], replace=replace)


def test_without_a_person_nothing_is_replaced(present: list[Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(OutputError, match=r"film\.mp4 and .*film\.png exist\. .*replace them with --yes"):
        check(present)
    check(present, replace=True)
    check([present[0].with_name("new.mp4")])
    assert [file.read_text() for file in present] == ["mine", "mine"]


@pytest.mark.parametrize(
    ("answer", "may"), [("y\n", True), ("Yes\n", True), ("\n", False), ("n\n", False), ("", False)]
)
def test_a_person_is_asked(present: list[Path], monkeypatch: pytest.MonkeyPatch, answer: str, may: bool):
    asked = Person()
    monkeypatch.setattr("sys.stdin", Person(answer))
    monkeypatch.setattr("sys.stderr", asked)
    if may:
        check(present[:1])
    else:
        with pytest.raises(OutputError, match=r"film\.mp4 stays as it is"):
            check(present[:1])
    assert asked.getvalue().endswith("film.mp4 exists. Replace it? [y/N] ")


@pytest.mark.parametrize("name", ["render", "record"])
def test_commands_keep_what_is_there(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]):
    render = ["render", str(photo()), str(MOTION), *FAST]
    command = render if name == "render" else ["record", str(face_clip()), "--duration", "0.4"]
    output = tmp_path / ("film.mp4" if name == "render" else "motion.sfxm")
    output.write_text("mine")
    assert main([*command, "-o", str(output)]) == 1
    assert f"{output} exists. Choose another name, or replace it with --yes" in capsys.readouterr().err
    assert output.read_text() == "mine"
    assert main([*command, "-o", str(output), "-y"]) == 0
    assert output.stat().st_size > 1000


@pytest.mark.parametrize(
    ("form", "begins"), [("mkv", b"\x1aE\xdf\xa3"), ("mp4", b"\0\0\0"), ("gif", b"GIF89a")]
)
def test_a_film_goes_through_a_pipe(
    tmp_path: Path, form: str, begins: bytes, capfdbinary: pytest.CaptureFixture[bytes]
):
    more = [] if form == "mkv" else ["--format", form]
    assert main(["render", str(photo()), str(MOTION), *FAST, "-o", "-", *more]) == 0
    sys.stdout.write("standard output is back\n")
    sys.stdout.flush()
    out, err = capfdbinary.readouterr()
    assert out.startswith(begins)
    assert out.endswith(b"standard output is back\n")
    assert b"made the file on standard output: " in err
    film = tmp_path / f"film.{form}"
    film.write_bytes(out.removesuffix(b"standard output is back\n"))
    assert len(read_video(film)) == (10 if form == "gif" else 12)


def test_a_template_goes_through_a_pipe(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]):
    assert main(["record", str(face_clip()), "--duration", "0.4", "-o", "-", "-q"]) == 0
    out, err = capfdbinary.readouterr()
    (tmp_path / "motion.sfxm").write_bytes(out)
    assert len(MotionTemplate.load(tmp_path / "motion.sfxm")) == 12
    assert err == b""


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["-o", "-", "--json"], "--json goes to standard output, as the file would"),
        (["-o", "film.mp4", "--format", "mkv"], "--format is for standard output"),
        (["-o", "film.gif", "--audio"], "A .gif film has no sound"),
    ],
)
def test_what_cannot_be_meant(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    assert main(["render", str(photo()), str(face_clip()), *more]) == 2
    assert says in capsys.readouterr().err


def test_a_terminal_gets_no_film(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(os, "isatty", lambda descriptor: descriptor == 1)
    assert main(["render", str(photo()), str(MOTION), "-o", "-"]) == 2
    assert "Standard output is a terminal" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_makes_no_noise():
    command = [sys.executable, "-m", "streamfx", "render", str(photo()), str(MOTION), "-o", "-", "-q"]
    with subprocess.Popen([*command, *FAST[:-2]], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"\x1aE\xdf\xa3"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 1
