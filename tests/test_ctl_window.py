"""`streamfx ctl preview --window` on a real X server."""

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
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from control_stage import staged
from PIL import Image, ImageGrab

from streamfx.cli.keys import Pressed
from streamfx.cli.window import show
from streamfx.errors import UsageError
from streamfx.frames import Quality, Rendered

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
