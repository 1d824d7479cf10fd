"""The keys that steer a live session: what each does, a real `live` in a real terminal, and its window."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import pytest
from control_stage import staged
from live_stage import children_of, runs, until
from scenes import photo, store

from streamfx.api.values import (
    CameraStatus,
    Counters,
    SessionStatus,
    SourceState,
    SourceStatus,
    State,
)
from streamfx.cli import keys
from streamfx.cli.keyboard import parsed
from streamfx.cli.live_line import line
from streamfx.cli.standing import fitted
from streamfx.client import Client
from streamfx.errors import ResourceUnready
from streamfx.quality import Quality
from streamfx.settings.framing import FramingKind
from streamfx.settings.session import Background, BackgroundKind, Gains, SessionSettings

ROOT = Path(__file__).parents[1]
THREE = SessionSettings(portraits=("me", "boss", "cat"), background=Background(image=Path("/beach.png")))

# -- what a key means ----------------------------------------------------------------------------------------


class Held:
    """A session's settings without a session."""

    def __init__(self, settings: SessionSettings) -> None:
        self.now, self.fields, self.calibrated = settings, (), 0

    def settings(self) -> SessionSettings:
        return self.now

    def change(self, settings: SessionSettings, fields: Sequence[str]) -> None:
        self.now, self.fields = settings, tuple(fields)

    def calibrate(self) -> None:
        self.calibrated += 1


@pytest.mark.parametrize(
    ("pressed", "field", "get", "wanted", "said"),
    [
        ("2", "selected", lambda one: one.selected, "boss", "portrait 2 of 3: boss"),
        ("d", "selected", lambda one: one.selected, "boss", "portrait 2 of 3"),
        ("D", "selected", lambda one: one.selected, "boss", "portrait 2 of 3"),
        (keys.RIGHT, "selected", lambda one: one.selected, "boss", "portrait 2 of 3"),
        (keys.LEFT, "selected", lambda one: one.selected, "cat", "portrait 3 of 3"),
        ("m", "mirror", lambda one: one.mirror, True, "mirrored"),
        ("h", "hidden", lambda one: one.hidden, True, "H shows you again"),
        ("p", "paused", lambda one: one.paused, True, "P opens it again"),
        ("b", "background.kind", lambda one: one.background.kind, BackgroundKind.BLUR, "background: blur"),
        ("f", "framing.kind", lambda one: one.framing.kind, FramingKind.PHOTO, "framing: photo"),
        ("+", "gains", lambda one: one.gains, Gains(1.1, 1.1, 1.1), "head 1.1"),
        ("-", "gains", lambda one: one.gains, Gains(0.9, 0.9, 0.9), "head 0.9"),
    ],
)
def test_a_key_changes_one_setting_and_says_so(
    pressed: str, field: str, get: Callable[[SessionSettings], object], wanted: object, said: str
):
    held = Held(THREE)
    done = keys.press(pressed, held)
    assert (get(held.now), held.fields) == (wanted, (field,))
    assert said in done.said


def test_keys_that_go_round_come_back():
    held = Held(THREE)
    for kinds, key, kind_of in (
        (BackgroundKind, "b", lambda: held.now.background.kind),
        (FramingKind, "f", lambda: held.now.framing.kind),
    ):
        seen = []
        for _ in kinds:
            keys.press(key, held)
            seen.append(kind_of())
        assert sorted(seen) == sorted(kinds)
    without = Held(SessionSettings())  # no picture was chosen: there is none to show
    for _ in BackgroundKind:
        keys.press("b", without)
        assert without.now.background.kind is not BackgroundKind.IMAGE


def test_gains_stay_within_their_limits():
    held = Held(SessionSettings(gains=Gains(1.5, 1.0, 0.05)))
    keys.press("+", held)
    assert held.now.gains == Gains(1.5, 1.1, 0.15)
    for _ in range(20):
        keys.press("-", held)
    assert held.now.gains == Gains(0.0, 0.0, 0.0)


def test_keys_that_change_no_setting():
    held = Held(THREE)
    assert keys.press("x", held).said.startswith("calibrated")
    assert held.calibrated == 1
    assert keys.press("q", held).quits
    assert "there is no portrait 4" in keys.press("4", held).said
    assert keys.press("z", held).said == "? shows the keys"
    told = keys.press("?", held).said
    assert all(
        f"\n{name}" in f"\n{told}" for name in ("1-9", "A D", "X", "M", "H", "P", "B", "F", "+ -", "Q")
    )
    assert held.now == THREE

    class Refusing(Held):
        def calibrate(self) -> None:
            raise ResourceUnready("session", "s", "Nothing drives the portrait now", "Start the camera first")

    assert keys.press("x", Refusing(THREE)).said == "Nothing drives the portrait now. Start the camera first."


def test_what_a_terminal_sends_becomes_keys():
    sent = "a\x1b[C\x1bOD\x1b[3~\x1b[1;5C\x1bQ\x00\x7f?\x1b"
    assert parsed(sent) == ["a", keys.RIGHT, keys.LEFT, "Q", "?"]


# -- the line ------------------------------------------------------------------------------------------------


def status(state: State, quality: Quality = Quality.FULL, **other: object) -> SessionStatus:
    values = {"fps": 30.0, "latency_ms": None, "source": SourceStatus(SourceState.OPEN, "cam", 30.0),
              "camera": CameraStatus(), "counters": Counters(), "portrait": "me", **other}  # fmt: skip
    return SessionStatus(id="s", state=state, quality=quality, **values)


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (status(State.LIVE), "live: full quality"),
        (status(State.LIVE, Quality.WARP_ONLY), "close programs, or choose a smaller --size"),
        (status(State.WAITING), "at rest: no face is seen; look at the camera"),
        (status(State.WAITING, source=SourceStatus(SourceState.OPEN, "cam", 0.0)), "cam gives no pictures"),
        (status(State.WAITING, trouble="No camera was found. Plug one in."), "trouble: No camera was found"),
        (status(State.PAUSED, trouble="It ended."), "paused: the webcam is closed, P opens it again"),
        (status(State.HIDDEN), "H shows you again"),
        (
            status(State.LIVE, source=SourceStatus(SourceState.OPEN, "cam", 30.0, turned=180)),
            "live: full quality, the camera is upside down: turned, face in",
        ),
    ],
)
def test_the_line_says_what_is_shown_and_what_helps(seen: SessionStatus, wanted: str):
    assert wanted in line(seen, THREE)


@pytest.mark.parametrize("columns", [1, 2, 20, 80, 400])
def test_the_line_fits_the_terminal(columns: int):
    from rich.cells import cell_len

    text = line(status(State.LIVE, source=SourceStatus(SourceState.OPEN, "摄像头\x1b[2J", 30.0)), THREE)
    shown = fitted(text, columns)
    assert cell_len(shown) <= max(columns - 1, 1)
    assert shown.isprintable()
    assert (columns < 60) == shown.endswith("…")


# -- a real terminal -----------------------------------------------------------------------------------------


class Terminal:
    """A shell with job control in a terminal of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.screen = ""
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            shell = ["bash", "--norc", "--noprofile", "-i"]
            os.execvpe("bash", shell, {**environment, "PS1": "ready> "})  # noqa: S606

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def shows(self, text: str, seconds: float = 60.0) -> str:
        """Wait until something is on the screen that was not there at the last look; what came before it."""
        end = time.monotonic() + seconds
        while text not in self.screen:
            assert time.monotonic() < end, f"{text!r} is not in {self.screen!r}"
            if select.select([self._descriptor], [], [], 0.1)[0]:
                self.screen += os.read(self._descriptor, 65536).decode(errors="replace")
        before, _, self.screen = self.screen.partition(text)
        return before

    def modes(self) -> str:
        """The terminal's modes, asked by the shell."""
        self.type("stty -a | tr '\\n' ' '; echo asked''so\n")
        modes = self.shows("askedso")
        # The shell sets its own modes while a line is typed, and these before a program runs.
        return " ".join(one for one in ("icanon", "echo") if re.search(rf"[ ;]{one}\b", modes))

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.close(self._descriptor)
        os.waitpid(self.pid, 0)


@pytest.fixture
def environment(short_folder: Path) -> dict[str, str]:
    folders = {"XDG_RUNTIME_DIR": str(short_folder), "XDG_DATA_HOME": str(short_folder / "data")}
    return {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **folders}


def live_command(*options: str) -> str:
    size = ("--source", "demo", "--camera", "none", "--size", "320x240")
    return " ".join((sys.executable, "-m", "streamfx", "live", str(photo()), *size, *options))


@pytest.mark.timeout(240)
@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_keys_in_a_real_terminal_which_is_left_as_it_was(short_folder: Path, environment: dict[str, str]):
    store()
    turned = short_folder / "turned.png"
    cv2.imwrite(str(turned), cv2.flip(cv2.imread(str(photo())), 1))
    terminal = Terminal(environment)
    try:
        terminal.type(live_command(str(turned)) + " &\n")
        terminal.shows("live: ")  # in the background: it runs, and stops for no terminal
        socket = short_folder / "streamfx" / "control.sock"
        with Client.connect(socket) as client:
            (session,) = client.list_sessions()

            def now() -> SessionSettings:
                return client.get_session(session.id).settings

            until(lambda: len(now().portraits) == 2, 60)
            terminal.type("m\n")
            terminal.shows("not found")  # the shell's key, not ours
            assert not now().mirror
            terminal.type("fg\n")
            terminal.shows("full quality")
            terminal.type("m\x1b[C+")
            terminal.shows("mirrored")
            terminal.shows("portrait 2 of 2: turned")
            terminal.shows("gains: head 1.1")
            assert (now().mirror, now().shown(), now().gains.head) == (True, "turned", 1.1)
            terminal.type("\x1a")  # Ctrl-Z
            terminal.shows("Stopped")
            assert terminal.modes() == "icanon echo"
            terminal.type("fg\n")
            terminal.shows("turned.png")
            terminal.type("h")
            terminal.shows("hidden")
            until(lambda: now().hidden)
            assert client.get_session(session.id).status.state is State.HIDDEN
        terminal.type("q")
        terminal.shows("ended")
        assert terminal.modes() == "icanon echo"
        terminal.type(live_command() + "; echo code $?\n")
        terminal.shows("? shows the keys")
        (program,) = until_some(lambda: children_of(terminal.pid))
        os.kill(program, signal.SIGTERM)
        terminal.shows("code 0")
        assert terminal.modes() == "icanon echo"
    finally:
        terminal.close()


def until_some(find: Callable[[], list[int]]) -> list[int]:
    until(find)
    return find()


@pytest.mark.timeout(120)
def test_without_a_terminal_nothing_is_taken_for_a_key(environment: dict[str, str]):
    store()
    with subprocess.Popen(
        live_command("--duration", "4").split(), env=environment, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as program:  # fmt: skip
        said, _ = program.communicate("q\nq\n", timeout=90)
    assert program.returncode == 0, said
    assert "Ctrl-C ends it" in said
    assert "\x1b" not in said
    assert "ended" in said
    assert not runs(program.pid)


def test_keys_steer_a_session_of_a_daemon(tmp_path: Path):
    with staged(tmp_path) as stage, Client.connect(stage.server.socket) as client:
        session = stage.session()
        steering = keys.ClientSteering(client, session.id)
        for key in "mbf+":
            assert keys.press(key, steering).said
        now = session.settings
        assert (now.mirror, now.background.kind, now.framing.kind) == (
            True,
            BackgroundKind.BLUR,
            FramingKind.PHOTO,
        )
        assert now.gains == Gains(1.1, 1.1, 1.1)
        assert keys.press("x", steering).said.startswith("calibrated")
