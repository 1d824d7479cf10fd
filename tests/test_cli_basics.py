"""The command line as a person meets it: exit codes, one-line errors, JSON, quiet when the reader leaves."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_stage import Stage

from streamfx import __version__, cli
from streamfx.__main__ import main
from streamfx.checks import Check
from streamfx.checks import State as CheckState
from streamfx.doctor import machine as doctor
from streamfx.errors import ModelMissing, StreamfxError, UsageError
from streamfx.models.manifest import own_manifest
from streamfx.models.store import Store
from streamfx.track.quiet import NOISE, quiet_mediapipe


def streamfx(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "streamfx", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **variables},
    )


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model folder, and no fetching."""
    monkeypatch.setenv("STREAMFX_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("STREAMFX_OFFLINE", "1")
    return tmp_path / "models"


@pytest.fixture
def full() -> Store:
    """The account's own store, filled if need be."""
    store = Store.default()
    store.pull()
    return store


# -- main --------------------------------------------------------------------------------------------------


NAMES = [module.replace("_", "-") for module in cli.COMMANDS]


def test_version_and_help_answer_in_a_process_of_their_own():
    for asked in (["--version"], ["-V"], ["ctl", "sessions", "list", "-V"]):
        assert streamfx(*asked).stdout.strip() == f"streamfx {__version__}"
    help_text = streamfx("--help").stdout
    assert all(name in help_text for name in NAMES)


@pytest.mark.parametrize(
    "arguments", [[], ["models"], ["models", "eat"], ["--nonsense"], ["models", "list", "nope"], ["fly"]]
)
def test_wrong_usage_is_one_line_and_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("streamfx: error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("rendr a b", "There is no command 'rendr'. Did you mean render? See `streamfx --help`"),
        (
            "ctl sessons list",
            "There is no action 'sessons'. Did you mean sessions? See `streamfx ctl --help`",
        ),
        ("ctl sessions lst", "Did you mean list? See `streamfx ctl sessions --help`"),
        ("render a b -o c.mp4 --durtion 3", "There is no option --durtion. Did you mean --duration?"),
        ("render a b --outptu=c.mp4", "There is no option --outptu. Did you mean --output?"),
        ("--versoin", "There is no option --versoin. Did you mean --version? See `streamfx --help`"),
        ("render a b -o c.mp4 --refine lit", "--refine: invalid choice: 'lit'. Did you mean lite?"),
        ("ctl mirror of", "invalid choice: 'of'. Did you mean off? See `streamfx ctl mirror --help`"),
        ("render a b c -o d.mp4", "There is one argument too many: 'c'"),
        ("render a b -o c.mp4 --gaze", "Argument --gaze: expected one argument. Write its value behind it"),
        ("render a b -o c.mp4 --size -1x1", "one that begins with - as --option=-1. See `streamfx render"),
        ("ctl --address /a/socket status", "The option --address stands before its action. Write it behind"),
        ("--camera none live me.jpg", "The option --camera stands before its command. Write it behind the"),
        ("cache", "No action is named. Choose from list, clear. See `streamfx cache --help`"),
        ("", "No command is named. Choose from demo, live, serve, ctl, render"),
        ("render film.mp4 me.JPG -o c.mp4", "Name the photo first: streamfx render PHOTO VIDEO"),
        ("render - demo -o c.mp4", "The photo cannot be read from standard input. Name a file"),
        ("serve --root nowhere", "--root nowhere is no folder that this user may read"),
    ],
)
def test_a_misspelling_is_told_what_it_is_near_to(words: str, says: str, capsys: pytest.CaptureFixture[str]):
    assert main(words.split()) in (1, 2)
    assert says in capsys.readouterr().err


def test_a_path_is_not_empty_and_a_file_no_option(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-me.jpg").touch()
    assert main(["live", "", "--camera", "none"]) == 2
    assert "Argument PHOTO is empty. Perhaps a variable is not set" in capsys.readouterr().err
    assert main(["live", "-me.jpg"]) == 2
    assert "There is no option -me.jpg. A file is named ./-me.jpg" in capsys.readouterr().err


def test_quiet_hides_what_was_done_and_not_what_was_asked_for(
    full: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def output(*words: str) -> str:
        assert main(words) == 0
        return capsys.readouterr().out

    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert "astronaut" in output("models", "pull")
    assert output("models", "pull", "-q") == output("-q", "models", "pull") == ""
    assert "astronaut" in output("models", "pull", "-q", "--json")
    assert "astronaut" in output("-q", "models", "list")
    assert "astronaut" in output("models", "pull"), "quiet ends with its command"


ASKED = [
    "serve --unit",
    "completion bash",
    "models list",
    "models verify face_landmarker --json",
    "cache list",
    "cache list --json",
    "devices list",
    "devices list --json",
    "doctor",
    "doctor --json",
    "ctl status",
    "ctl status --json",
    "ctl devices",
    "ctl portraits list",
    "ctl portraits list --json",
    "ctl sessions list",
    "ctl sessions show one",
    "ctl mirror on --json",
]


@pytest.mark.parametrize("words", ASKED)
def test_what_was_asked_for_is_printed_under_quiet(
    words: str,
    full: Store,
    stage: Stage,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("STREAMFX_MODELS_DIR", str(full.root))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # the account's changes while other tests run
    stage.session()
    monkeypatch.setattr("streamfx.doctor.examine", lambda *, fix: [Check("all", CheckState.OK, f"fix {fix}")])
    given = words.split() + (["--address", stage.address] if words.startswith("ctl ") else [])
    assert main(given) == 0
    wanted = capsys.readouterr().out
    assert main(["-q", *given]) == main([*given, "--quiet"]) == 0
    assert capsys.readouterr().out == 2 * wanted != ""


def test_verbose_tells_where_an_error_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["render", str(tmp_path / "no.jpg"), "b", "-o", str(tmp_path / "c.mp4")]
    assert main(words) == main(["-v", *words]) == main([*words, "--verbose"]) == 1
    plain, *verbose = capsys.readouterr().err.split("streamfx: error: ")[1:]
    assert "FileNotFoundError" not in plain
    assert all("FileNotFoundError" in text for text in verbose)


SHARED = (
    "--address",
    "--allow-no-face",
    "--background",
    "--badge",
    "--device",
    "--expression",
    "--framing",
    "--gaze",
    "--head",
    "--json",
    "--mirror",
    "--on-demand",
    "--quiet",
    "--reference",
    "--source",
    "--verbose",
    "--version",
    "--yes",
    "--zoom",
)


def options_of(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, str, argparse.Action]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from options_of(below, f"{name} {word}")
        else:
            yield from ((name, option, action) for option in action.option_strings)


def test_an_option_means_the_same_in_all_commands():
    found = [*options_of(cli.build_parser(), "streamfx")]
    takes = {(option, action.metavar, str(action.choices)) for _, option, action in found}
    meant = {(option, re.sub(r" \(\S+\)$", "", action.help or "")) for _, option, action in found}
    for option in SHARED:
        assert len([one for one, *_ in takes if one == option]) == 1, option
        assert len([one for one, *_ in meant if one == option]) == 1, option
    letters = {(option, action.dest) for _, option, action in found if len(option) == 2}
    assert len(letters) == len({letter for letter, _ in letters}), letters


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    assert f"usage: streamfx {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ModelMissing("No model", "Fetch it"), 1, "streamfx: error: No model. Fetch it.\n"),
        (UsageError("Two\nlines"), 2, "streamfx: error: Two lines.\n"),
        (StreamfxError("Ends with a stop."), 1, "streamfx: error: Ends with a stop.\n"),
        (KeyboardInterrupt(), 130, "streamfx: interrupted\n"),
    ],
)
def test_errors_become_a_line_and_a_code(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("streamfx.cli.models.list_models", fail)
    assert main(["models", "list"]) == code
    assert capsys.readouterr().err == line


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("streamfx.cli.models.list_models", fail)
    with pytest.raises(ZeroDivisionError):
        main(["models", "list"])


def test_a_reader_that_leaves_makes_no_noise():
    process = subprocess.Popen(
        [sys.executable, "-m", "streamfx", "models", "list", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert err == b""
    assert process.returncode == 1


PULL = """
import signal, sys
from streamfx.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.exit(main(["models", "pull", "astronaut"]))
"""


@pytest.mark.parametrize("stuck", ["address", "pip"])
def test_ctrl_c_in_a_real_pull_leaves_nothing(tmp_path: Path, stuck: str):
    """A place that never answers: Ctrl-C ends the command, pip included, and the folder is empty."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        silence = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = {
            "STREAMFX_MODELS_DIR": str(tmp_path / "models"),
            "STREAMFX_OFFLINE": "0",
            "https_proxy": silence if stuck == "address" else "http://127.0.0.1:9",
            "http_proxy": "",
            "no_proxy": "",
            "PIP_INDEX_URL": f"{silence}/simple",
        }
        process = subprocess.Popen(
            [sys.executable, "-c", PULL], stderr=subprocess.PIPE, env={**os.environ, **settings}
        )
        connection, _ = silent.accept()
        with connection:
            connection.settimeout(30)
            connection.recv(1)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            while connection.recv(4096):
                pass  # until whoever asked has gone
    assert (process.returncode, err) == (130, b"streamfx: interrupted\n")
    assert list((tmp_path / "models").iterdir()) == []


def test_light_commands_import_nothing_heavy():
    heavy = "{'av', 'mediapipe', 'numba', 'cv2', 'numpy', 'rich'}"
    code = (
        f"import sys; from streamfx.cli import build_parser; build_parser();print({heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# -- models ------------------------------------------------------------------------------------------------


def test_models_list_shows_what_is_missing(empty: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert out.count("missing") >= len(own_manifest())
    assert "streamfx models pull" in out


def test_models_verify_fails_when_something_is_wrong(empty: Path, capsys: pytest.CaptureFixture[str]):
    empty.mkdir()
    (empty / "astronaut.png").write_bytes(b"not it")
    assert main(["models", "verify", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert {one["name"]: one["state"] for one in document["models"]} == {
        "face_landmarker": "missing",
        "selfie_segmentation": "missing",
        "astronaut": "corrupt",
    }


def test_models_pull_refuses_when_offline(empty: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["models", "pull"]) == 1
    assert "STREAMFX_OFFLINE" in capsys.readouterr().err


def test_models_pull_and_verify_the_real_ones(full: Store, capsys: pytest.CaptureFixture[str]):
    assert main(["models", "pull", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["state"] for one in document["models"]] == ["ok"] * len(own_manifest())
    assert main(["models", "verify", "astronaut"]) == 0


# -- devices and doctor ------------------------------------------------------------------------------------


def test_devices_list_is_json_and_text(capsys: pytest.CaptureFixture[str]):
    assert main(["devices", "list", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out)["cameras"], list)
    assert main(["devices", "list"]) == 0
    assert capsys.readouterr().out


def test_doctor_finds_this_machine_healthy(full: Store, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["healthy"] is True
    assert {check["name"] for check in document["checks"]} > set(doctor.CHECKS)
    assert all(set(check) == {"name", "state", "finding", "remedy"} for check in document["checks"])
    assert all(check["remedy"] for check in document["checks"] if check["state"] != "ok")


def test_doctor_fails_without_models_and_says_the_remedy(empty: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "fail  models" in out
    assert "-> streamfx models pull" in out


def check(name: str) -> doctor.Check:
    return doctor.CHECKS[name](name)


def test_doctor_notices_an_absent_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no-such-package"))
    assert check("packages") == doctor.Check(
        "packages", doctor.State.FAIL, "not installed: no-such-package", "pip install no-such-package"
    )


def test_doctor_notices_an_absent_codec(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "ENCODERS", ("libx264", "no_such_codec"))
    found = check("codecs")
    assert (found.state, found.finding) == (doctor.State.FAIL, "missing: encoder no_such_codec")


def test_doctor_notices_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "below"))
    found = check("cache")
    assert (found.state, bool(found.remedy)) == (doctor.State.WARN, True)


def test_doctor_reads_the_kernels_files(tmp_path: Path):
    (tmp_path / "cpu").write_text("model name\t: X\nflags\t\t: fpu avx2 avx512_bf16\n")
    (tmp_path / "arm").write_text("Features\t: fp asimd\n")
    (tmp_path / "mem").write_text("MemTotal: 9 kB\nMemAvailable:  2048 kB\n")
    assert doctor.cpu_features(tmp_path / "cpu") == {"fpu", "avx2", "avx512_bf16"}
    assert doctor.cpu_features(tmp_path / "arm") == {"fp", "asimd"}
    assert doctor.cpu_features(tmp_path / "absent") == frozenset()
    assert doctor.memory_available(tmp_path / "mem") == 2 << 20
    assert doctor.memory_available(tmp_path / "absent") is None


def test_doctor_warns_of_little_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "memory_available", lambda: 100 << 20)
    assert check("memory").state is doctor.State.WARN


# -- quiet -------------------------------------------------------------------------------------------------

LOUD = """
import os, sys
from mediapipe.tasks.python import BaseOptions, vision
from streamfx.models.store import Store
from streamfx.track.quiet import quiet_mediapipe
options = vision.FaceLandmarkerOptions(
    base_options=BaseOptions(model_asset_path=str(Store.default().path("face_landmarker"))))
with quiet_mediapipe():
    print("from python", file=sys.stderr)
    os.write(2, b"from below\\n")
    task = vision.FaceLandmarker.create_from_options(options)
print("after", file=sys.stderr)
task.close()
"""


def loud(**variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LOUD],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, **variables},
    )
    return done.stderr


def test_mediapipe_is_quiet_and_nothing_else_is_lost(full: Store):
    assert loud() == "from python\nfrom below\nafter\n"


def test_native_logs_can_be_had(full: Store):
    """The negative control: without the diversion there is noise."""
    assert NOISE.search(loud(STREAMFX_NATIVE_LOGS="1").encode())


def test_errors_inside_the_diversion_come_out(capfd: pytest.CaptureFixture[str]):
    def broken() -> None:
        with quiet_mediapipe():
            os.write(2, b"E0000 00:00:1.5 12 graph.cc:9] broken\nW0000 00:00:1.5 12 graph.cc:9] noise\n")
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        broken()
    assert capfd.readouterr().err == "E0000 00:00:1.5 12 graph.cc:9] broken\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_that_a_destructor_swallows_is_heard_again(number: int, code: int):
    program = f"""
import os, sys, time
from streamfx import __main__, cli
class Deaf:
    def __del__(self):
        os.kill(os.getpid(), {int(number)})
        time.sleep(0.2)
def build_parser():
    deaf = Deaf()
    del deaf
    time.sleep(20)
__main__.build_parser = build_parser
sys.argv = ["streamfx", "doctor"]
sys.exit(__main__.main())
"""
    done = run_program(program)
    assert done.returncode == code, done.stderr
    assert "ignored" not in done.stderr


@pytest.mark.parametrize("call", [1, 2])
def test_an_interrupt_while_stderr_is_diverted_or_led_back_is_told_there(call: int):
    program = f"""
import os, signal, sys
from streamfx import __main__
from streamfx.track.quiet import quiet_mediapipe
divert, calls = os.dup2, []
def interrupted(*arguments):
    divert(*arguments)
    calls.append(arguments)
    if len(calls) == {call}:
        signal.raise_signal(signal.SIGINT)
def build_parser():
    with quiet_mediapipe():
        pass
    signal.pause()
os.dup2 = interrupted
__main__.build_parser = build_parser
sys.argv = ["streamfx", "doctor"]
sys.exit(__main__.main())
"""
    done = run_program(program)
    assert (done.returncode, done.stderr) == (130, "streamfx: interrupted\n")


def run_program(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True, text=True, timeout=15, check=False,
    )  # fmt: skip
