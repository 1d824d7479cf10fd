"""`streamfx ctl` as a person types it, against a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from control_stage import Stage, make_certificates, staged
from fake_sessions import photo
from PIL import Image

from streamfx.__main__ import main
from streamfx.api.values import CameraStatus
from streamfx.cli.ctl_streams import half_blocks
from streamfx.client import Preview
from streamfx.control.options import ControlOptions
from streamfx.control.tokens import make_token
from streamfx.ipc.handed import named
from streamfx.quality import Quality
from streamfx.settings.framing import Framing, FramingKind
from streamfx.settings.session import Background, BackgroundKind, Gains

ROOT = str(Path(__file__).parents[1])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as stage:
        yield stage


class Person:
    """Types commands and reads what is printed."""

    def __init__(self, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        self._address = str(stage.server.socket)
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        capsys = self._capsys
        capsys.readouterr()
        assert main(["ctl", *words, "--address", self._address]) == code, capsys.readouterr()
        out, err = capsys.readouterr()
        assert (err == "") == (code == 0)
        return out or err

    def json(self, *words: str) -> dict[str, object]:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def ctl(stage: Stage, capsys: pytest.CaptureFixture[str]) -> Person:
    return Person(stage, capsys)


def test_portraits(stage: Stage, ctl: Person, tmp_path: Path):
    assert ctl("portraits", "list").startswith("no portrait yet")
    (tmp_path / "me.png").write_bytes(photo())
    added = ctl(
        "portraits", "add", str(tmp_path / "me.png"), "--id", "me", "--reference", str(tmp_path / "me.png")
    )
    assert added == "portrait me is ready: me, 60x80 px\nnote: the mouth is open\n"
    assert ctl.json("portraits", "add", str(tmp_path / "me.png"), "--name", "I")["name"] == "I"
    assert "Myself" in ctl("portraits", "rename", "me", "Myself")
    heading, first, _, *notes = ctl("portraits", "list").splitlines()
    assert heading.split() == ["PORTRAIT", "SIZE", "REFERENCES", "NAME"]
    assert first.split() == ["me", "60x80", "1", "Myself"]
    assert "note: me: the mouth is open" in notes
    assert ctl("portraits", "remove", "me") == "portrait me is removed\n"
    assert len(ctl.json("portraits", "list")["portraits"]) == 1
    assert "There is no portrait me" in ctl("portraits", "remove", "me", code=1)
    assert "does not exist" in ctl("portraits", "add", str(tmp_path / "none.png"), code=1)


def test_sessions(stage: Stage, ctl: Person, tmp_path: Path):
    assert "There is no session" in ctl("status", code=1)
    assert ctl("sessions", "list").startswith("no session yet")
    stage.sessions.portraits.add(photo(), id="me")
    (stage.root / "film.mp4").write_bytes(b"film")
    words = ["--id", "main", "--portrait", "me", "--source", str(stage.root / "film.mp4"), "--camera", "none"]
    began = ctl("sessions", "create", *words, "--size", "320x240", "--fps", "25", "--on-demand")
    assert began.startswith("session main has begun\n")
    settings = stage.sessions.kept["main"].settings
    assert (settings.output.size, settings.output.fps, settings.on_demand) == ((320, 240), 25, True)
    assert named(settings.source) == str(stage.root / "film.mp4")
    assert ctl("sessions", "list").splitlines()[1].split()[:3] == ["main", "live", "me"]
    assert "320x240 px, 25 fps" in ctl("sessions", "show")
    assert ctl.json("sessions", "show")["settings"]["output"]["camera"] == "none"
    assert "live, FULL, portrait me, 30.0 fps, latency 30 ms (p95 41)" in ctl("status")
    assert ctl("sessions", "list").splitlines()[2] == "main: note: It hangs on its head"
    assert "face in 50%, upside down: turned" in ctl("status")
    assert "Webcam, open, 30.0 fps, 3 dropped, 4 damaged" in ctl("sessions", "show")
    assert "note: It hangs on its head\n" in ctl("status")
    assert ctl.json("status")["source"]["turned"] == 180
    assert ctl.json("status")["counters"]["published"] == 100
    stage.session("second")
    assert "Name the one to end: main or second" in ctl("sessions", "delete", code=2)
    assert "not allowed with" in ctl("sessions", "delete", "main", "--session", "second", code=2)
    assert ctl.json("sessions", "show", "second")["id"] == "second"
    assert ctl("sessions", "delete", "main") == "session main has ended\n"
    assert ctl("sessions", "delete", "--session", "second") == "session second has ended\n"
    assert not stage.sessions.kept


def test_of_several_sessions_the_shown_one_is_meant(
    stage: Stage, ctl: Person, capsys: pytest.CaptureFixture[str]
):
    """Read by a call's program before shown in OBS, that before a camera nobody reads, else the first."""
    first, second, third = (stage.session(name) for name in ("one", "two", "three"))
    nothing = CameraStatus("", "", None, "")
    unread = CameraStatus("streamfx", "/dev/video10", 0, "")
    for changes, meant in (
        ({}, "one"),
        ({second: {"camera": unread}}, "two"),
        ({second: {"camera": unread}, third: {"ring_readers": 1}}, "three"),
        ({second: {"camera": replace(unread, readers=1)}, third: {"ring_readers": 2}}, "two"),
        ({first: {"ring_readers": 1}, third: {"ring_readers": 2}}, "one"),
    ):
        for session in (first, second, third):
            session.shown = {"camera": nothing, **changes.get(session, {})}
        capsys.readouterr()
        assert main(["ctl", "status", "--json", "--address", str(stage.server.socket)]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["id"] == meant
        others = " or ".join(name for name in ("one", "two", "three") if name != meant)
        assert err == f"streamfx: session {meant} is meant; name another with --session {others}\n"
    assert ctl.json("status", "--session", "three")["id"] == "three"


def test_settings(stage: Stage, ctl: Person):
    session = stage.session()
    (stage.root / "room.png").write_bytes(photo())
    ctl("mirror", "on")
    assert (session.settings.mirror, session.settings.mirror_preview) == (True, False)
    ctl("mirror", "off")
    ctl("mirror", "on", "--preview")
    assert (session.settings.mirror, session.settings.mirror_preview) == (False, True)
    assert ctl("gains", "--head", "0.5", "--gaze", "0") == "gains of one: head 0.5, expression 1, gaze 0\n"
    assert session.settings.gains == Gains(0.5, 1.0, 0.0)
    assert "head 0.5" in ctl("gains")
    for written in (["colour", "#112233"], ["color", "#123"], ["rgb(17, 34, 51)"]):
        ctl("background", "keep")
        ctl("background", *written)
        assert session.settings.background == Background(BackgroundKind.COLOUR, "#112233")
    ctl("background", "image", str(stage.root / "room.png"))
    assert named(str(session.settings.background.image)) == str(stage.root / "room.png")
    ctl("background", "blur")
    assert session.settings.background.kind is BackgroundKind.BLUR
    ctl("background", "remove")
    assert session.settings.background == Background(BackgroundKind.REMOVE)
    assert ctl("framing", "close", "--x", "-0.1") == "framing of one: close, zoom 1, x -0.1, y 0\n"
    assert ctl("framing", "--zoom", "1.5") == "framing of one: close, zoom 1.5, x -0.1, y 0\n"
    assert session.settings.framing == Framing(FramingKind.CLOSE, 1.5, -0.1)
    ctl("badge", "Dr. ♥")
    assert session.settings.badge == "Dr. ♥"
    assert ctl.json("badge", "")["settings"]["badge"] == ""
    for word, field, value in (("hide", "hidden", True), ("show", "hidden", False), ("pause", "paused", True),
                               ("resume", "paused", False)):  # fmt: skip
        assert ctl(word).startswith("session one is ")
        assert getattr(session.settings, field) is value
    assert "neutral" in ctl("calibrate")
    assert session.calibrated == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["background", "colour"], 2),
        (["background", "colour", "redd"], 2),
        (["background", "blurr"], 2),
        (["background", "red", "red"], 2),
        (["background", "keep", "what"], 2),
        (["background", "remove", "what"], 2),
        (["background", "image", "/etc/nothing"], 1),
        (["background", "image", "/dev/zero"], 1),
        (["source", "/etc/nothing.mp4"], 1),
        (["gains", "--head", "2"], 2),
        (["framing", "far"], 2),
        (["framing", "--zoom", "9"], 2),
        (["badge", "x" * 50], 2),
        (["mirror", "sideways"], 2),
        (["select", "9"], 2),
        (["select", "9" * 20], 2),
        (["source", ""], 2),
        (["select", "nobody"], 1),
        (["preview"], 2),
        (["preview", "--to", "a.png"], 2),
        (["preview", "--terminal"], 2),
        (["record", "a.mkv"], 2),
        (["record", "/proc/a.mp4", "--duration", "1"], 1),
        (["status", "--session", "none"], 1),
    ],
)
def test_what_makes_no_sense_is_one_line(stage: Stage, ctl: Person, words: list[str], code: int):
    stage.session()
    said = ctl(*words, code=code)
    assert said.startswith("streamfx: error: ")
    assert said.count("\n") == 1


def test_selecting(stage: Stage, ctl: Person):
    session = stage.session()
    stage.sessions.portraits.add(photo(), id="dora")
    shown = []
    for target in ("next", "2", "previous", "cy", "dora"):
        ctl("select", target)
        shown.append(session.settings.selected)
    assert shown == ["bob", "bob", "ada", "cy", "dora"]
    assert session.settings.portraits == ("ada", "bob", "cy", "dora")
    assert ctl("portraits", "select", "1") == "session one shows portrait ada\n"


def test_devices(ctl: Person):
    out = ctl("devices")
    assert out.splitlines()[1].split() == ["/dev/video0", "driving", "ok", "Webcam"]
    assert "/dev/video10: no permission" in out
    assert [one["kind"] for one in ctl.json("devices")["devices"]] == ["driving", "virtual"]


def test_watching(stage: Stage, ctl: Person):
    stage.session()
    lines = ctl("watch", "--interval", "0.1", "--duration", "0.3").splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("live, FULL, portrait ada") for line in lines)
    lines = ctl("watch", "--interval", "0.1", "--duration", "0.3", "--json").splitlines()
    assert json.loads(lines[0])["state"] == "live"


def test_a_picture_is_kept(stage: Stage, ctl: Person, tmp_path: Path):
    session = stage.session()
    stop = threading.Event()

    def publish() -> None:
        while not stop.wait(0.02):
            session.publish()

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        assert "640x480 px, FULL" in ctl("preview", "--to", str(tmp_path / "now.jpg"))
    finally:
        stop.set()
        publisher.join()
    with Image.open(tmp_path / "now.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (640, 480))


def test_a_picture_as_half_blocks(tmp_path: Path):
    halves = Image.new("RGB", (32, 32), (255, 0, 0))
    halves.paste((0, 0, 255), (0, 16, 32, 32))
    halves.save(tmp_path / "a.jpg", quality=95)
    picture = Preview((tmp_path / "a.jpg").read_bytes(), (32, 32), 0, Quality.FULL, 0, 0, 0)
    text = half_blocks(picture, columns=8, rows=10)
    assert text.plain == ("▀" * 8 + "\n") * 4
    first, last = text.spans[0].style, text.spans[-1].style
    assert first.color.triplet.red > 230
    assert last.bgcolor.triplet.blue > 230


def test_recording(stage: Stage, ctl: Person, monkeypatch: pytest.MonkeyPatch):
    stage.session()
    monkeypatch.chdir(stage.root)
    assert ctl("record", "a.mp4", "--duration", "0.2").startswith("made a.mp4: 7 frames")
    assert (stage.root / "a.mp4").read_bytes() == b"complete"
    assert ctl.json("record", "b.mp4", "--duration", "0.2")["finished"] is True


def test_ctrl_c_completes_a_recording(stage: Stage):
    session = stage.session()
    command = [sys.executable, "-W", "error", "-m", "streamfx", "ctl", "record", str(stage.root / "a.mp4")]
    with subprocess.Popen(
        [*command, "--address", str(stage.server.socket)], stdout=subprocess.PIPE, text=True
    ) as child:
        end = time.monotonic() + 30
        while session.recording is None and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.3)  # its first progress has come
        child.send_signal(signal.SIGINT)
        assert child.stdout.read().startswith(f"made {stage.root}/a.mp4")
        assert child.wait(20) == 0
    while session.recording is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert (stage.root / "a.mp4").read_bytes() == b"complete"


def test_nobody_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["ctl", "status", "--address", str(tmp_path / "none.sock")]) == 1
    assert capsys.readouterr().err.endswith("Start one: streamfx serve.\n")


@pytest.mark.parametrize("address", ["localhost", "https://localhost:50515", "localhost:99999", "::"])
def test_what_is_no_address(address: str, capsys: pytest.CaptureFixture[str]):
    assert main(["ctl", "status", "--address", address]) == 2
    assert f"{address!r} is no address. Write a socket's path, or HOST:PORT" in capsys.readouterr().err


def test_by_tls_from_elsewhere(tmp_path: Path):
    """In processes of their own: what gRPC's C core would print is no line of ours."""
    make_certificates(tmp_path)
    make_token(tmp_path / "token")
    (tmp_path / "garbage.pem").write_text("no PEM")
    (tmp_path / "picture.png").write_bytes(bytes(range(256)) * 99)
    options = ControlOptions(
        listen="127.0.0.1:0",
        tls_certificate=tmp_path / "daemon.pem",
        tls_key=tmp_path / "daemon.key",
        token_file=tmp_path / "token",
    )
    with staged(tmp_path, options) as stage:
        address = f"127.0.0.1:{stage.server.ports[0]}"
        known = ["--address", address, "--ca", "ca.pem", "--token-file", "token"]
        for words, said in (
            (known, ""),
            (["--address", address, "--ca", "ca.pem"], "The daemon does not know this caller. Give --token-"),
            (["--address", address], "signed by nobody who is trusted here. Name who signed it with --ca"),
            (["--address", address, "--ca", "client.pem"], "Name who signed it with --ca FILE"),
            (["--address", address, "--ca", "garbage.pem"], "garbage.pem holds no certificate"),
            (["--address", address, "--ca", "picture.png"], "picture.png holds no certificate"),
            (["--address", address, "--token-file", "picture.png"], "larger than the limit of "),
            ([*known, "--cert", "client.pem"], "A certificate and its key go together"),
            ([*known, "--cert", "client.pem", "--key", "daemon.key"], "are no certificate and its key"),
            (["--address", "127.0.0.1:1"], "No daemon answers at 127.0.0.1:1"),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "streamfx", "ctl", "devices", *words],
                cwd=tmp_path, env={**os.environ, "PYTHONPATH": ROOT}, capture_output=True, text=True,
                check=False, timeout=60,
            )  # fmt: skip
            assert said in done.stderr, done
            assert done.stderr.count("\n") == (1 if said else 0), done
            assert (done.returncode == 0) == (not said)


def test_help_needs_no_grpc():
    code = "import sys; from streamfx.cli import build_parser; build_parser(); print('grpc' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ},
        timeout=60,
    )
    assert done.stdout.strip() == "False"
