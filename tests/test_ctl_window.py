"""`streamfx ctl preview --window`, and the window of `live --preview`, on a real X server."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from control_stage import staged
from live_stage import canary_clip, paint_canary, sings, until
from PIL import Image, ImageGrab
from scenes import photo, store

from streamfx.api.values import State
from streamfx.cli.keys import Pressed
from streamfx.cli.window import show
from streamfx.client import Client
from streamfx.errors import UsageError
from streamfx.frames import Rendered
from streamfx.ipc import spawn
from streamfx.quality import Quality

RED, BLUE = (200, 30, 30), (30, 30, 200)
SIZE = (320, 240)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    if not shutil.which("Xvfb"):
        pytest.skip("Xvfb is not installed (apt install xvfb)")
    if importlib.util.find_spec("_tkinter") is None:
        pytest.skip("this Python has no tkinter")
    read, write = os.pipe()
    options = ("-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp")
    with subprocess.Popen(["Xvfb", *options], pass_fds=[write], stderr=subprocess.DEVNULL) as server:
        os.close(write)
        with os.fdopen(read) as number:
            yield f":{number.readline().strip()}"
        server.terminate()


def halves() -> np.ndarray:
    rgb = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
    rgb[:, : SIZE[0] // 2], rgb[:, SIZE[0] // 2 :] = RED, BLUE
    return rgb


def seen(display: str, colour: tuple[int, int, int]) -> int:
    """Pixels of the screen that have a colour, but for what JPEG does to it."""
    screen = np.asarray(ImageGrab.grab(xdisplay=display).convert("RGB")).astype(int)
    return int((np.abs(screen - colour).max(-1) < 12).sum())


def test_it_shows_what_the_session_shows(display: str, tmp_path: Path):
    with staged(tmp_path) as stage:
        session, stop = stage.session(), threading.Event()

        def publish() -> None:
            while not stop.wait(0.03):
                for preview in list(session.previews):
                    preview.put(Rendered(halves(), 1, 2, session.seq, Quality.FULL))
                session.seq += 1

        publisher = threading.Thread(target=publish)
        publisher.start()
        command = [sys.executable, "-m", "streamfx", "ctl", "preview", "--window"]
        process = subprocess.Popen(
            [*command, "--address", str(stage.server.socket)],
            env={**os.environ, "DISPLAY": display}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            half = SIZE[0] * SIZE[1] // 2
            deadline = time.monotonic() + 20
            while not (seen(display, RED) > 0.9 * half and seen(display, BLUE) > 0.9 * half):
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline, "the pictures never showed"
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=10)[1] == "streamfx: interrupted\n"
            assert process.returncode == 130
        finally:
            process.kill()
            stop.set()
            publisher.join()


def test_escape_closes_it(display: str, monkeypatch: pytest.MonkeyPatch):
    import tkinter as tk

    monkeypatch.setenv("DISPLAY", display)
    jpeg, shown = io.BytesIO(), []
    Image.fromarray(halves()).save(jpeg, "JPEG")

    def pictures() -> Iterator[bytes]:
        for number in range(10):
            shown.append(number)
            if number == 3:
                window = tk._default_root
                window.focus_force()
                window.event_generate("<Escape>", when="tail")
            yield jpeg.getvalue()

    show(pictures(), "streamfx")
    assert shown == [0, 1, 2, 3]
    assert tk._default_root is None


def test_keys_in_it_are_heard_and_answered(display: str, monkeypatch: pytest.MonkeyPatch):
    import tkinter as tk

    monkeypatch.setenv("DISPLAY", display)
    jpeg, heard, texts = io.BytesIO(), [], []
    Image.fromarray(halves()).save(jpeg, "JPEG")

    def hear(key: str) -> Pressed:
        heard.append(key)
        return Pressed(f"heard {key}", quits=key == "q")

    def pictures() -> Iterator[bytes]:
        yield jpeg.getvalue()  # before that it has no focus
        for keysym in ("m", "Right", "plus", "Shift_L", "q", "m"):
            window = tk._default_root
            window.focus_force()
            window.event_generate("<Key>", keysym=keysym, when="tail")
            yield jpeg.getvalue()
            texts.append(window.winfo_children()[1].cget("text"))

    assert show(pictures(), "streamfx", hear)
    assert heard == ["m", "right", "+", "q"]
    assert texts == ["heard m", "heard right", "heard +", "heard +"]


def test_without_a_display_it_says_so(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("_tkinter")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(UsageError, match="No window can be opened") as refused:
        show(iter(()), "streamfx")
    assert "--terminal" in refused.value.remedy


def test_without_tkinter_it_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(UsageError, match="no tkinter") as refused:
        show(iter(()), "streamfx")
    assert "python3-tk" in refused.value.remedy


def windows(display: str) -> list[str]:
    """Those of previews, in the order in which they were opened."""
    return xdo(display, "search", "--onlyvisible", "--name", "^streamfx: session-1").split()


def xdo(display: str, *words: str) -> str:
    """Do as a person does, by the XTest extension."""
    variables = {**os.environ, "DISPLAY": display}
    done = subprocess.run(["xdotool", *words], env=variables, capture_output=True, text=True, check=False)
    return done.stdout


def type_into(display: str, window: str, key: str) -> None:
    xdo(display, "windowraise", window, "windowfocus", "--sync", window, "key", key)


@pytest.mark.timeout(240)
@pytest.mark.skipif(not shutil.which("xdotool"), reason="xdotool is not installed")
def test_lives_own_window_shows_what_is_published_and_its_keys_steer(
    display: str, tmp_path: Path, short_folder: Path
):
    with lives_window(display, tmp_path, short_folder, str(canary_clip(tmp_path))) as (live, said, socket):
        with Client.connect(socket) as client:
            until(lambda: client.get_session("session-1").status.state is State.LIVE, 90, "live")
            (own,) = windows(display)
            until(lambda: seen_portrait(display, client), 20, "the published picture in the window")
            type_into(display, own, "m")
            until(lambda: client.get_session("session-1").settings.mirror, 20, "mirrored")
            type_into(display, own, "h")
            until(lambda: client.get_session("session-1").status.state is State.HIDDEN, 20, "hidden")
            for _ in range(10):
                screen = grabbed(display)
                assert not sings(screen)
                assert sings(paint_canary(screen[:240, :320]))
                time.sleep(0.05)
            further = open_window_at(display, socket)
            until(lambda: len(windows(display)) == 2, 20, "another window")
            (other,) = (one for one in windows(display) if one != own)
            type_into(display, other, "Escape")
            assert further.wait(20) == 0
            assert client.get_session("session-1").status.state is State.HIDDEN
            type_into(display, own, "q")
        assert live.wait(20) == 0, said()
        assert "ended" in said()


@pytest.mark.skipif(not shutil.which("xdotool"), reason="xdotool is not installed")
def test_escape_in_lives_own_window_closes_it_and_live_goes_on(
    display: str, tmp_path: Path, short_folder: Path
):
    with lives_window(display, tmp_path, short_folder, "none") as (live, said, socket):
        type_into(display, *windows(display), "Escape")
        until(lambda: "the preview's window is closed; another: streamfx ctl" in said(), 20, "said")
        assert not windows(display)
        with Client.connect(socket) as client:
            seq = next(client.preview("session-1")).seq
            until(lambda: next(client.preview("session-1")).seq > seq, 10, "further pictures")
        live.send_signal(signal.SIGINT)
        assert live.wait(20) == 0, said()
        assert said().endswith("ended\n")


@contextmanager
def lives_window(
    display: str, folder: Path, runtime: Path, source: str
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], str], Path]]:
    """A `live` whose window stands; what it has said, and its socket."""
    store()
    size = ("--camera", "none", "--size", "320x240", "--preview")
    command = [sys.executable, "-m", "streamfx", "live", str(photo()), "--source", source, *size]
    folders = {"XDG_RUNTIME_DIR": str(runtime), "XDG_DATA_HOME": str(runtime / "data"), "DISPLAY": display}
    log = folder / "log"
    with (
        log.open("w") as out,
        subprocess.Popen(command, env={**os.environ, **folders}, stdout=out, stderr=out) as live,
    ):
        try:
            until(lambda: windows(display) or live.poll() is not None, 60, "a window")
            yield live, log.read_text, runtime / "streamfx" / "control.sock"
        finally:
            live.kill()


def grabbed(display: str) -> np.ndarray:
    return np.asarray(ImageGrab.grab(xdisplay=display).convert("RGB"))


def seen_portrait(display: str, client: Client) -> bool:
    """Whether what stands in the window, without a window manager in the corner, is the published picture."""
    with closing(client.preview("session-1")) as pictures:
        published = np.asarray(Image.open(io.BytesIO(next(pictures).jpeg)).convert("RGB")).astype(int)
    shown = grabbed(display)[: published.shape[0], : published.shape[1]]
    assert not sings(shown)
    return float(np.abs(shown - published).mean()) < 10


def open_window_at(display: str, socket: Path) -> subprocess.Popen[bytes]:
    command = spawn.own("streamfx.cli.window", str(socket), "session-1")
    return spawn.start(command, variables={"DISPLAY": display})
