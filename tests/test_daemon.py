"""The daemon's settings, metrics, ladder and camera on demand; test_serve has the whole as a process."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_stage import children_of, until
from scenes import photo, store

from streamfx.api.values import SourceState
from streamfx.daemon import metrics as daemon_metrics
from streamfx.daemon.metrics import Metrics
from streamfx.driving.live import TemplateLoop
from streamfx.driving.remote import unpack
from streamfx.errors import CameraUnavailable, MotionUnreadable, SettingRefused, UsageError
from streamfx.session import process
from streamfx.session.portraits import Portraits
from streamfx.session.sessions import Sessions
from streamfx.settings.daemon import load_config, parse_config
from streamfx.settings.framing import Framing, FramingKind
from streamfx.settings.motion import MotionNumbers, check_motion, packed
from streamfx.settings.session import Background, BackgroundKind, Output, SessionSettings
from streamfx.sink.stamp import read_stamp, stamp
from streamfx.worker.load_governor import LoadGovernor

SECOND = 1_000_000_000
ROOT = Path(__file__).parents[1]


class TestConfig:
    def test_all_of_it_is_understood(self):
        config = parse_config("""
[session]
portraits = ["me", "you"]
source = "/dev/video2"
camera = "none"
size = "1280x720"
fps = 25
background = "#102030"
framing = "close"
framing_zoom = 2
framing_y = -0.1
head = 0.5
on_demand = true
[control]
listen = "127.0.0.1:50515"
[files]
roots = ["/srv/pictures"]
[metrics]
address = "127.0.0.1:0"
[limits]
sessions = 2
""")
        made = config.session.settings
        assert made.output == Output("none", (1280, 720), 25.0)
        assert made.background.kind is BackgroundKind.COLOUR
        assert made.framing == Framing(FramingKind.CLOSE, 2.0, y=-0.1)
        assert (made.gains.head, made.on_demand, made.portraits) == (0.5, True, ("me", "you"))
        assert config.files.roots == ("/srv/pictures",)
        assert config.limits.sessions == 2

    @pytest.mark.parametrize("kind", ["keep", "blur", "remove"])
    def test_a_background_is_named_by_its_kind(self, kind: str):
        made = parse_config(f'[session]\nbackground = "{kind}"\n').session.settings
        assert made.background == Background(BackgroundKind(kind))

    def test_an_empty_file_is_the_defaults(self):
        assert parse_config("").session.settings == replace(SessionSettings(), on_demand=True)

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("[sesion]\n", "sesion"),
            ("[session]\nportrait = ['a']\n", "session.portrait"),
            ("[session]\nfps = '30'\n", "session.fps"),
            ("[session]\nfps = 300\n", "fps"),
            ("[session]\nmirror = 1\n", "session.mirror"),
            ("[session]\nsize = '640'\n", "size"),
            ("[session]\nsize = '641x480'\n", "width"),
            ("[session]\nportraits = 'me'\n", "session.portraits"),
            ("[session]\nhead = nan\n", "head"),
            ("[limits]\nsessions = 1000\n", "limits.sessions"),
            ("session = 3\n", "session"),
        ],
    )
    def test_what_is_wrong_is_named(self, text: str, names: str):
        with pytest.raises(SettingRefused, match=names):
            parse_config(text)

    def test_a_file_is_named_with_its_fault(self, tmp_path: Path):
        path = tmp_path / "config.toml"
        for text in ("[session\n", "[session]\nfps = 'x'\n", "\0"):
            path.write_text(text)
            with pytest.raises(UsageError, match=r"config\.toml"):
                load_config(path)
        with pytest.raises(UsageError, match="absent"):
            load_config(tmp_path / "absent.toml")


class TestLadder:
    def test_a_busy_machine_leaves_the_networks_out_and_tries_again(self):
        ladder, now = LoadGovernor(30), 0
        for _ in range(40):
            now += SECOND // 30
            ladder.note(0.032, now)
        assert not ladder.full
        changed_at = now
        while not ladder.full:
            now += SECOND // 30
            ladder.note(0.008, now)
        assert 2 * SECOND < now - changed_at < 6 * SECOND

    def test_an_easy_machine_keeps_them(self):
        ladder = LoadGovernor(30)
        for tick in range(1000):
            ladder.note(0.05 if tick % 20 == 0 else 0.012, tick * SECOND // 30)
            assert ladder.full

    def test_it_does_not_swing(self):
        """On a machine that bears the warp but not the networks, tries grow rare."""
        ladder, now, swings, was = LoadGovernor(30), 0, 0, True
        for _ in range(30 * 120):
            now += SECOND // 30
            ladder.note(0.031 if ladder.full else 0.010, now)
            swings += ladder.full and not was
            was = ladder.full
        assert swings <= 6


class TestStamp:
    @given(st.integers(0, 2**64 - 1))
    @settings(max_examples=50, deadline=None)
    def test_a_moment_is_read_back(self, moment: int):
        picture = np.full((120, 200, 3), 90, np.uint8)
        stamp(picture, moment)
        noisy = np.clip(
            picture.astype(int) + np.random.default_rng(0).integers(-40, 40, picture.shape), 0, 255
        )
        assert read_stamp(noisy.astype(np.uint8)) == moment

    def test_a_picture_without_one_has_none(self):
        assert read_stamp(np.random.default_rng(1).integers(0, 255, (120, 200, 3), np.uint8)) is None
        assert read_stamp(np.zeros((8, 8, 3), np.uint8)) is None


class TestRemote:
    def test_numbers_arrive_as_they_were_sent(self):
        numbers = MotionNumbers(
            expression=tuple(np.linspace(-0.5, 0.5, 1404).tolist()), rotation=(0.1, 0.2, -0.1), scale=1.1,
            gaze=(0.1, -0.1), lip_gaps=(0.5,) * 9, lid_closure=(1.0, 0.0), presence=0.5,
        )  # fmt: skip
        check_motion(numbers)
        motion = unpack(packed(numbers), 77, 3)
        assert motion.expression.shape == (468, 3)
        assert motion.expression.ravel() == pytest.approx(numbers.expression, abs=1e-6)
        assert motion.rotation.tolist() == pytest.approx([0.1, 0.2, -0.1])
        assert (motion.captured_ns, motion.seq, motion.held) == (77, 3, False)
        assert motion.presence == pytest.approx(0.5)

    def test_nothing_wild_gets_through(self):
        chance = np.random.default_rng(5)
        good = packed(MotionNumbers(coefficients=(0.1,) * 48))
        for _ in range(300):
            data = bytearray(good)
            for at in chance.integers(2, len(data), 20):
                data[at] = chance.integers(256)
            motion = unpack(bytes(data), 0, 0)
            for name in ("expression", "rotation", "translation", "gaze", "lip_gaps", "lid_closure"):
                assert np.isfinite(getattr(motion, name)).all()
            assert np.abs(motion.expression).max() <= 20
            assert 0.1 <= motion.scale <= 10
        for data in (b"", b"\0", good[:-1], good + b"\0", b"\xff\xff" + good[2:]):
            with pytest.raises(ValueError, match="no motion"):
                unpack(data, 0, 0)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"rotation": (0.0, float("nan"), 0.0)}, "rotation"),
            ({"rotation": (0.0, 0.0)}, "rotation"),
            ({"scale": 0.0}, "scale"),
            ({"scale": float("inf")}, "scale"),
            ({"lip_gaps": (0.0,) * 8}, "lip_gaps"),
            ({"coefficients": (0.0,) * 47}, "coefficients"),
            ({"coefficients": (0.0,) * 48, "expression": (0.0,) * 1404}, "expression"),
            ({"presence": 2.0}, "presence"),
        ],
    )
    def test_what_is_no_motion_is_refused_by_name(self, change: dict[str, object], field: str):
        with pytest.raises(SettingRefused) as refusal:
            check_motion(replace(MotionNumbers(), **change))
        assert refusal.value.field == f"motion.{field}"


class TestTemplateLoop:
    def test_it_goes_round_without_a_jump(self):
        from streamfx.config import demo_motion_file

        loop = TemplateLoop(demo_motion_file())
        turns = np.array([motion.rotation for motion in loop._motions])
        steps = np.abs(np.diff(np.concatenate([turns, turns[:1]]), axis=0)).max(1)
        assert steps[-1] <= 1.5 * np.percentile(steps, 99)

    def test_a_broken_one_is_refused(self, tmp_path: Path):
        (tmp_path / "a.sfxm").write_bytes(b"nothing")
        with pytest.raises(MotionUnreadable):
            TemplateLoop(tmp_path / "a.sfxm")


@pytest.fixture
def camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a made-up camera is to do: how many read it, or "gone"."""
    said = tmp_path / "camera"
    said.write_text("0")
    monkeypatch.setenv("STREAMFX_TEST_CAMERA", str(said))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(process, "PUBLISHER", (sys.executable, str(ROOT / "tests" / "read_camera.py")))
    return said


def test_on_demand_the_source_is_open_only_while_somebody_reads(
    tmp_path: Path, short_folder: Path, camera: Path, monkeypatch: pytest.MonkeyPatch
):
    """By the camera, or by the ring, to which a reader stays connected."""
    monkeypatch.setattr("streamfx.session.session._IDLE_AFTER_NS", SECOND // 2)
    store()
    portraits = Portraits(tmp_path / "portraits", (320, 240))
    portraits.add(photo(), id="astro")
    sessions = Sessions(portraits, runtime=short_folder)
    try:
        session = sessions.create(
            SessionSettings(Output("fake", (320, 240)), "demo", ("astro",), on_demand=True)
        )
        until(lambda: not session.status().readying)
        time.sleep(1.2)
        assert session.status().source.state is SourceState.CLOSED
        for _ in range(2):
            camera.write_text("1")
            until(lambda: session.status().source.state is SourceState.OPEN, 5)
            camera.write_text("0")
            until(lambda: session.status().source.state is SourceState.CLOSED, 5)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as reader:
                reader.connect(str(short_folder / f"{session.id}.ring"))
                until(lambda: session.status().source.state is SourceState.OPEN, 5)
            until(lambda: session.status().source.state is SourceState.CLOSED, 5)
    finally:
        sessions.close()


def test_a_camera_that_cannot_be_opened_is_told_and_leaves_nothing(
    tmp_path: Path, short_folder: Path, camera: Path
):
    sessions = Sessions(Portraits(tmp_path / "portraits", (320, 240)), runtime=short_folder)
    camera.write_text("gone")
    try:
        with pytest.raises(CameraUnavailable, match="There is no fake") as failure:
            sessions.create(SessionSettings(Output("fake", (320, 240)), "none"))
        assert failure.value.remedy == "Plug it in"
        assert sessions.list() == []
        assert list(short_folder.iterdir()) == []
        assert children_of(os.getpid()) == []
        camera.write_text("0")
        session = sessions.create(SessionSettings(Output("fake", (320, 240)), "none"))
        assert session.status().camera.device == "fake:0", "known as soon as it is made"
        camera.write_text("gone")
        until(lambda: "gone" in session.status().trouble)
        assert session.status().camera.device == ""
        publisher = session._publishing.pid
        os.kill(publisher, signal.SIGKILL)  # the one that takes its place finds no camera
        until(lambda: session._publishing.pid not in (0, publisher))
        until(lambda: session.status().counters.published > 0 and "no fake" in session.status().trouble)
        camera.write_text("3")
        until(lambda: session.status().camera.readers == 3)
        assert session.status().trouble == ""
    finally:
        sessions.close()
    assert children_of(os.getpid()) == []


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metrics]:
    """Served, of no session; requests have half a second."""
    monkeypatch.setattr(daemon_metrics, "_HEAD_S", 0.5)
    made = Metrics("127.0.0.1:0", Sessions(Portraits(tmp_path, (320, 240))), {})
    yield made
    made.close()


def ask(metrics: Metrics, *lines: str, body: bytes = b"") -> bytes:
    """What a request of these lines is answered, whole; nothing where it is hung up on."""
    with socket.create_connection(("127.0.0.1", metrics.port), 10) as client:
        with suppress(OSError):
            client.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        answer = b""
        with suppress(ConnectionResetError):
            while piece := client.recv(1 << 16):
                answer += piece
        return answer


def test_metrics_are_told_to_who_names_their_address_and_to_no_web_page(metrics: Metrics):
    own = f"127.0.0.1:{metrics.port}"

    def status(host: str, *more: str, first: str = "GET /metrics HTTP/1.1") -> int:
        return int(ask(metrics, first, f"Host: {host}", *more).split(b" ", 2)[1])

    for host in (own, f"localhost:{metrics.port}", f"LOCALHOST:{metrics.port}", f"[::1]:{metrics.port}"):
        assert status(host) == 200
    for host in (
        "evil.example", f"evil.example:{metrics.port}", "127.0.0.1", "localhost",
        f"127.0.0.1:{metrics.port + 1}",
        f"127.0.0.1.evil.example:{metrics.port}", f"0.0.0.0:{metrics.port}", f"127.0.0.1:{metrics.port}@evil",
        f"[::]:{metrics.port}", f"2130706433:{metrics.port}", "",
    ):  # fmt: skip
        assert status(host) == 421, host
    assert status(own, f"Host: {own}") == 400, "two of them"
    assert status(own, f"Host : {own}", first="GET /metrics HTTP/1.1") in (200, 400)
    assert ask(metrics, "GET /metrics HTTP/1.0").startswith(b"HTTP/1.0 400"), "none"
    assert status(own, "Origin: https://evil.example") == 403
    assert status(own, "Origin: null") == 403
    assert status(own, "Sec-Fetch-Site: cross-site") == 403
    assert status(own, "Sec-Fetch-Site: same-site") == 403
    assert status(own, "Sec-Fetch-Site: none") == 200, "typed into a browser"
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert status(own, "Content-Length: 5", first=f"{method} /metrics HTTP/1.1") == 405
    assert status(own, first="BREW /metrics HTTP/1.1") == 501
    assert status(own, first="GET /secret HTTP/1.1") == 404
    assert status(own, first="GET http://evil.example/metrics HTTP/1.1") == 404
    head = ask(metrics, "HEAD /metrics HTTP/1.1", f"Host: {own}")
    assert head.endswith(b"\r\n\r\n")
    assert b"200 OK" in head


def test_metrics_bound_what_a_client_may_take(metrics: Metrics):
    own = f"Host: 127.0.0.1:{metrics.port}"
    assert ask(metrics, "GET /metrics HTTP/1.1", own, f"X: {'y' * 20_000}") == b"", "too long"
    assert ask(metrics, "GET /" + "a" * 20_000 + " HTTP/1.1", own) == b""
    start, idle = time.monotonic(), []
    try:
        for _ in range(100):  # they say nothing, or begin and stop
            one = socket.create_connection(("127.0.0.1", metrics.port), 10)
            with suppress(OSError):
                one.sendall(b"GET /metrics HT")
            idle.append(one)
        threads = [one for one in threading.enumerate() if "process_request_thread" in one.name]
        assert len(threads) <= 8
        assert idle[50].recv(10) == b"", "there are enough already"
        assert idle[0].recv(10) == b"", "it had its time"
        assert time.monotonic() - start < 10
    finally:
        for one in idle:
            one.close()
    until(lambda: b"200 OK" in ask(metrics, "GET /metrics HTTP/1.1", own), 5)


def test_metrics_tell_of_every_session_on_loopback_only(tmp_path: Path):
    sessions = Sessions(Portraits(tmp_path, (320, 240)))
    sessions.create(SessionSettings(Output("none", (320, 240)), "none"))
    metrics = Metrics("127.0.0.1:0", sessions, {"NOT_FOUND": 3})
    try:
        until(lambda: sessions.get("session-1").status().counters.published > 5)
        request = urllib.request.Request(
            f"http://127.0.0.1:{metrics.port}/metrics",
            headers={"Accept": "application/openmetrics-text; version=1.0.0"},
        )
        text = urllib.request.urlopen(request, timeout=5).read().decode()
    finally:
        metrics.close()
        sessions.close()
    assert 'streamfx_published_total{session="session-1"}' in text
    assert 'streamfx_source_damaged_total{session="session-1"} 0.0' in text
    assert 'streamfx_calls_refused_total{status="NOT_FOUND"} 3.0' in text
    assert 'streamfx_state{session="session-1",state="waiting"} 1.0' in text
    assert text.endswith("# EOF\n")
    for address in ("0.0.0.0:9464", "192.168.1.2:9464", "localhost", "127.0.0.1:99999"):
        with pytest.raises(UsageError):
            Metrics(address, sessions, {})


def test_settings_that_cannot_be_read_are_no_defaults_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    from streamfx.settings.daemon import DaemonConfig, usual_config

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert usual_config() == DaemonConfig()
    assert not caplog.messages
    (tmp_path / "streamfx" / "config.toml").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"config\.toml"):
        usual_config()
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "loop"))
    assert usual_config() == DaemonConfig()
    assert "loop/streamfx/config.toml cannot be looked for" in caplog.text


def test_the_light_parser_offers_what_the_heavy_modules_take():
    from streamfx import priority
    from streamfx.cli import options
    from streamfx.settings import session as settings

    assert options.PRIORITIES == priority.CHOICES
    assert options.LIVE_RATES == settings.RATES
