"""Started from anywhere: nothing of the current folder is run or missed, by us or by our children."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scenes import face_clip, photo, store

from streamfx import config
from streamfx.cli import build_parser, unit
from streamfx.errors import OutputError, UsageError
from streamfx.ipc import spawn

ROOT = Path(__file__).parents[1]
PLANTED = (
    "numpy", "cv2", "av", "grpc", "mediapipe", "numba", "openvino", "PIL", "google", "rich", "pip",
    "trt_build", "argparse", "ctypes", "json", "logging", "queue", "random", "socket", "tempfile", "typing",
)  # fmt: skip
"""Modules of a hostile folder: what we import, and what Python does."""
SMALL = ("--size", "160x120", "--refine", "off", "--mouth", "procedural")
CAPABLE = "-dac_override,-dac_read_search"
WEAK = ("setpriv", f"--bounding-set={CAPABLE}", f"--inh-caps={CAPABLE}")
"""Root, but refused by modes as others are."""
SCRIPT = (str(Path(sys.executable).with_name("streamfx")),)
MODULE = (sys.executable, "-m", "streamfx")


@pytest.fixture
def world(short_folder: Path) -> dict[str, str]:
    """An account of its own; the models are this machine's."""
    folders = {
        name: str(short_folder / name.lower())
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    }
    return {
        **os.environ,
        **folders,
        "XDG_RUNTIME_DIR": str(short_folder),
        "STREAMFX_MODELS_DIR": str(store().root),
    }


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """The folder that holds the clone, as a home does, with modules that tell when they are run."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "streamfx").symlink_to(ROOT)
    for name in PLANTED:
        text = f"open({str(tmp_path / 'executed')!r}, 'a').write('{name} ')\nraise SystemExit('planted')\n"
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder that `WEAK` may not read."""
    if not shutil.which("setpriv") or os.geteuid() != 0:
        pytest.skip("needs root and setpriv")
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    folder.chmod(0)
    refused = subprocess.run([*WEAK, "ls"], cwd=folder, capture_output=True, text=True, check=False)
    assert "Permission denied" in refused.stderr
    return folder


def done(world: dict[str, str], folder: Path, *words: str, program: tuple[str, ...] = SCRIPT) -> str:
    """What a command that must succeed says."""
    ended = subprocess.run(
        [*program, *words], cwd=folder, env=world, capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@contextmanager
def running(
    world: dict[str, str], folder: Path, *words: str, program: tuple[str, ...] = SCRIPT
) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*program, *words], cwd=folder, env=world, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until(process: subprocess.Popen[str], wanted: str) -> str:
    """What it says until a line has `wanted` in it."""
    said = ""
    for line in process.stdout:
        said += line
        if wanted in line:
            return said
    raise AssertionError(f"no {wanted!r} in: {said}")


LEFT = (
    "import os, sys, tempfile; os.chdir(tempfile.mkdtemp()); os.rmdir(os.getcwd()); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Runs what follows from a folder that is gone."""
LIVE = ("live", "--source", "demo", "--camera", "none", *SMALL)


@pytest.mark.slow
def test_nothing_in_the_current_folder_is_run(hostile: Path, tmp_path: Path, world: dict[str, str]):
    """Whatever starts children: each a command, from the folder above the clone."""
    shutil.copy(photo(), hostile / "me.png")
    world["PYTHONPATH"] = os.pathsep  # as `PYTHONPATH=$PYTHONPATH:` makes it: the current folder
    with running(world, hostile, *LIVE, "--portrait", "me.png") as live:
        lines_until(live, "live: ")
    with running(world, hostile, "serve", "--root", ".") as daemon:
        lines_until(daemon, "listening")
        done(world, hostile, "ctl", "portraits", "add", "me.png", "--id", "second")
        daemon.send_signal(signal.SIGTERM)
        assert "replaced" not in daemon.communicate()[0]
    commands(world, hostile, SCRIPT)
    assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()


def test_nothing_there_is_run_by_python_m_either(hostile: Path, tmp_path: Path, world: dict[str, str]):
    commands(world, hostile, MODULE)
    assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()


def commands(world: dict[str, str], folder: Path, program: tuple[str, ...]) -> None:
    films = ("render", str(photo()), str(face_clip()), "-o", "film.mp4", "--duration", "0.2", *SMALL)
    done(world, folder, *films, program=program)
    assert (folder / "film.mp4").stat().st_size > 1000
    said = subprocess.run(
        [*program, "doctor"], cwd=folder, env=world, stdout=subprocess.PIPE, check=False, text=True
    ).stdout
    assert "cameras" in said
    assert "Traceback" not in said


DEAF = ("--data", "nothing-here")
WORDS: dict[str, tuple[str, ...]] = {
    "demo": ("--out", "/proc/nowhere"), "live": ("nobody.png",), "serve": ("-c", "nothing.toml"),
    "render": ("nobody.png", "demo", "-o", "film.mp4"), "record": ("nothing.mp4", "-o", "a.sfxm"),
    "devices list": (), "doctor": (), "models list": (), "models pull": (), "models verify": (),
    "cache list": (), "cache clear": (), "latency-test": ("--camera", "none"),
    "completion": ("bash",),
    "bench": ("--portrait", "nobody.png"), "train": ("refine", *DEAF, "--out", "out"),
    "eval refine": DEAF, "eval reenact": DEAF, "eval mouth": DEAF, "eval sheet": DEAF, "eval closure": DEAF,
    "eval rest": DEAF, "eval ablation": (*DEAF, "--weights", "w.safetensors"),
    "ctl portraits add": ("me.png",), "ctl portraits list": (), "ctl portraits select": ("a",),
    "ctl portraits remove": ("a",), "ctl portraits rename": ("a", "b"), "ctl sessions list": (),
    "ctl sessions show": (), "ctl sessions create": ("--portrait", "a"), "ctl sessions delete": ("a",),
    "ctl select": ("1",), "ctl calibrate": (), "ctl mirror": ("on",), "ctl gains": ("--head", "1"),
    "ctl source": ("demo",), "ctl background": ("blur",), "ctl framing": ("wide",), "ctl badge": ("on air",),
    "ctl hide": (), "ctl show": (), "ctl pause": (), "ctl resume": (), "ctl status": (), "ctl watch": (),
    "ctl preview": ("--to", "a.jpg"), "ctl record": ("a.mp4",), "ctl devices": (),
}  # fmt: skip
"""Of every command: what lets it come as far as it can in a second, and fail at the latest there."""


def leaves(parser: argparse.ArgumentParser, *path: str) -> Iterator[str]:
    """Every command that can be given."""
    below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not below:
        yield " ".join(path)
    for name, child in below[0].choices.items() if below else ():
        yield from leaves(child, *path, name)


def test_every_command_is_tried_below():
    assert set(leaves(build_parser())) == set(WORDS)


MANY = """
import os, sys
from streamfx import script  # first, as in the program's own
import io, json, tempfile
from contextlib import redirect_stderr, redirect_stdout
from streamfx.__main__ import main
if sys.argv[1] == "gone":
    os.chdir(tempfile.mkdtemp())
    os.rmdir(os.getcwd())
said = {}
told = json.load(sys.stdin)
for place, variables in told["places"].items():
    os.environ.pop("STREAMFX_CACHE_TOLD", None)
    os.environ.update(variables)
    for name, words in told["words"].items():
        errors = io.StringIO()
        with redirect_stderr(errors), redirect_stdout(io.StringIO()):
            code = main([*name.split(), *words])
        said[place + ": " + name] = code, errors.getvalue()
json.dump(said, sys.stdout)
"""
"""Runs commands one after another: what they import is imported once, and what they lack they lack all."""


@pytest.mark.skipif(sys.platform != "linux", reason="only there can a current folder be deleted")
@pytest.mark.parametrize("place", ["hostile", "gone"])
def test_every_command_says_in_a_line_what_it_lacks(
    place: str, hostile: Path, tmp_path: Path, world: dict[str, str]
):
    """From a folder full of modules, and from one that is gone."""
    all_tell_what_they_lack(hostile, {place: {}}, tmp_path, world)


def test_every_command_says_which_folder_cannot_be_used(
    hostile: Path, theirs: Path, full: Path, tmp_path: Path, world: dict[str, str]
):
    """With folders for its files that cannot be made, read or filled."""
    (full / "streamfx").mkdir(mode=0o700)  # a daemon was there before
    folders = [*(name for name in world if name.startswith("XDG_")), "HOME"]
    at = {"made": "/proc/nowhere", "read": str(theirs), "filled": str(full)}
    places = {place: dict.fromkeys(folders, folder) for place, folder in at.items()}
    told = all_tell_what_they_lack(hostile, places, tmp_path, world, by=WEAK)
    for command in ("cache list", "cache clear"):
        assert [told[f"{place}: {command}"][0] for place in at] == [0, 1, 0]
        assert f"The folder {theirs}/streamfx" in told[f"read: {command}"][1]


def all_tell_what_they_lack(
    folder: Path,
    places: dict[str, dict[str, str]],
    tmp_path: Path,
    world: dict[str, str],
    by: tuple[str, ...] = (),
) -> dict[str, tuple[int, str]]:
    program = tmp_path / "bin" / "many"
    program.parent.mkdir()
    program.write_text(MANY)
    world["PYTHONPATH"] = os.pathsep
    ended = subprocess.run(
        [*by, sys.executable, str(program), *places], input=json.dumps({"places": places, "words": WORDS}),
        cwd=folder, env=world, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()
    told: dict[str, tuple[int, str]] = json.loads(ended.stdout)
    assert len(told) == len(places) * len(WORDS)
    for name, (code, said) in told.items():
        assert code in (0, 1, 2), name
        is_told = code == 0 or name.endswith(("doctor", "models verify")) or "streamfx: error: " in said
        assert is_told, f"{name}: {said}"
        assert "Traceback" not in said, f"{name}: {said}"
    return told


def test_a_folder_that_is_deleted_meanwhile_is_not_missed(tmp_path: Path, world: dict[str, str]):
    folder = tmp_path / "gone"
    folder.mkdir()
    shutil.copy(photo(), folder / "me.png")
    with running(world, folder, *LIVE, "--portrait", "me.png") as live:
        said = lines_until(live, "looking at me.png")
        shutil.rmtree(folder)  # before a worker is started, or reads its models
        said += lines_until(live, "live: ")
        assert "trouble" not in said


@pytest.mark.skipif(sys.platform != "linux", reason="only there can a current folder be deleted")
@pytest.mark.parametrize(
    "words",
    [
        ("render", "me.png", "demo", "-o", "film.mp4"),
        ("render", str(photo()), "demo", "-o", "film.mp4"),
        ("record", "demo", "-o", "a.sfxm"),
        ("live", "--portrait", "me.png"),
        ("live", "--portrait", str(photo()), "--background", "room.png"),
        ("serve", "-c", "settings.toml"),
        ("serve", "--root", "films", "--socket", "s"),
        ("serve", "--make-token", "t"),
    ],
    ids=" ".join,
)
def test_from_a_folder_that_is_gone_a_command_works_or_says_why(
    world: dict[str, str], words: tuple[str, ...]
):
    command = [sys.executable, "-c", LEFT, *SCRIPT, *words]
    ended = subprocess.run(command, env=world, capture_output=True, text=True, timeout=60, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode in (0, 1, 2), said
    assert "Traceback" not in said
    assert ended.returncode == 0 or ended.stderr.startswith("streamfx: error: "), said
    assert ended.returncode == 0 or "folder" in ended.stderr, "the spelling is not to blame"


def test_from_a_folder_that_may_not_be_read(theirs: Path, world: dict[str, str]):
    with running(world, theirs, *LIVE, "--portrait", str(photo()), program=(*WEAK, *SCRIPT)) as live:
        assert "trouble" not in lines_until(live, "live: ")


class TestChildren:
    def test_they_import_what_we_do_and_nothing_else(
        self, hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        beside = tmp_path / "beside"
        beside.mkdir()
        told = (
            "import os, queue, sys; print(os.getcwd(), queue.__file__, sys.argv[1:], sys.dont_write_bytecode)"
        )
        (beside / "teller.py").write_text(told)
        monkeypatch.chdir(hostile)
        monkeypatch.setattr(sys, "path", ["", ".", str(hostile), *sys.path, str(beside)])
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        monkeypatch.setenv("PYTHONPATH", str(hostile))
        monkeypatch.setenv("PYTHONHOME", str(hostile))
        code, said, _ = spawn.run(spawn.own("teller", "a word"))
        assert code == 0
        folder, _, rest = said.decode().partition(" ")
        assert folder == "/"
        assert str(hostile) not in rest
        assert rest.split(" ", 1)[1] == "['a word'] True\n"

    def test_one_that_takes_too_long_is_ended(self):
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            spawn.run([sys.executable, "-c", "import time; time.sleep(30)"], limit_s=0.2)
        assert time.monotonic() - start < 10

    def test_folders_named_relative_to_ours_are_the_same_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("STREAMFX_MODELS_DIR", "models")
        asked = "import os; print(os.environ['STREAMFX_MODELS_DIR'], end='')"
        _, said, _ = spawn.run([sys.executable, "-c", asked])
        assert said.decode() == str(tmp_path / "models") == str(config.models_folder())


FOLDERS = {
    "XDG_CACHE_HOME": (config.cache_folder, ".cache/streamfx"),
    "XDG_DATA_HOME": (config.data_folder, ".local/share/streamfx"),
    "XDG_CONFIG_HOME": (config.config_file, ".config/streamfx/config.toml"),
    "XDG_RUNTIME_DIR": (config.runtime_folder, ".cache/streamfx/run"),
}


@pytest.mark.parametrize("variable", FOLDERS)
def test_folders_are_those_of_the_specification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
):
    folder, usual = FOLDERS[variable]
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in FOLDERS:
        monkeypatch.delenv(name, raising=False)
    for ignored in ("", "relative", "./here"):
        monkeypatch.setenv(variable, ignored)
        assert folder() == tmp_path / usual
    monkeypatch.setenv(variable, "/named")
    assert folder().is_relative_to("/named/streamfx")
    monkeypatch.setenv(variable, "relative")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
    with pytest.raises(UsageError, match="no home folder"):
        folder()


class TestUnit:
    @pytest.fixture
    def systemctl(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """What is asked of systemd, which does not run here."""
        asked, program = tmp_path / "asked", tmp_path / "bin" / "systemctl"
        program.parent.mkdir()
        program.write_text(
            f'#!/bin/sh\necho "$@" >> {asked}\n'
            f'[ ! -e {tmp_path}/fails ] || {{ echo "no bus" >&2; exit 1; }}\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "a config"))
        return asked

    def test_it_lies_where_the_specification_says_and_starts_this_program(
        self, systemctl: Path, hostile: Path, tmp_path: Path, world: dict[str, str]
    ):
        world |= {"XDG_CONFIG_HOME": str(tmp_path / "a config"), "PATH": os.environ["PATH"]}
        done(world, hostile, "serve", "--install-unit")
        path = tmp_path / "a config" / "systemd" / "user" / "streamfx.service"
        assert (
            systemctl.read_text()
            == f"--user daemon-reload\n--user enable {path}\n--user restart streamfx.service\n"
        )
        text = path.read_text()
        assert f"ExecStart={SCRIPT[0]} serve\n" in text
        assert f'Environment="XDG_CONFIG_HOME={tmp_path}/a config"\n' in text
        assert f"Environment=XDG_DATA_HOME={world['XDG_DATA_HOME']}\n" in text

    @pytest.mark.parametrize("program", [SCRIPT, MODULE], ids=["script", "module"])
    def test_what_it_starts_runs_from_a_home_that_holds_the_clone(
        self, hostile: Path, world: dict[str, str], program: tuple[str, ...]
    ):
        """systemd starts a user's services in the home folder."""
        text = done(world, hostile, "serve", "--unit", program=program)
        command = (
            next(line for line in text.splitlines() if line.startswith("ExecStart=")).split("=")[1].split()
        )
        ended = subprocess.run([*command, "--help"], cwd=hostile, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        assert "usage: streamfx serve" in ended.stdout

    def test_nothing_in_it_is_expanded(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(sys, "argv", ["/usr/bin/streamfx-not-there"])
        monkeypatch.setenv("XDG_DATA_HOME", '/a "b" %h')
        text = unit.unit_text(Path("/of $USER/50%.toml"))
        assert ' serve -c "/of $$USER/50%%.toml"\n' in text
        assert 'Environment="XDG_DATA_HOME=/a \\"b\\" %%h"\n' in text

    def test_a_systemd_that_refuses_is_told(self, systemctl: Path, tmp_path: Path):
        (tmp_path / "fails").touch()
        with pytest.raises(OutputError, match="is written, but systemd refuses it: no bus"):
            unit.install_unit("[Unit]\n")
