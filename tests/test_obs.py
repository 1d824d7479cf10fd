"""The plugin in a real OBS: what it shows, how soon, what it does when the daemon dies, what it leaves."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from obs_stage import SCREEN, SOURCE, ObsStage, build_plugin, leaks, leaks_without_plugins, missing_for_obs
from obs_writer import BLOCK, looked, number_of

REASON = missing_for_obs()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(REASON), reason=REASON),
]
SIZE = (640, 480)
WRITER = Path(__file__).with_name("obs_writer.py")
LEVELS = 3
"""By which a colour may differ."""
BACK_S = 2.0
RESTARTS = 20
SOURCES = 200
RECORD_S, START_S = 5.0, 0.5
REPEATED, TRIES = 0.01, 5
LATENCY_S = 5.0


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_plugin(tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="module")
def obs(plugins: Path) -> Iterator[ObsStage]:
    """One OBS for all; the last test ends it."""
    with ObsStage(plugins, SIZE) as stage:
        yield stage


@contextmanager
def writer(obs: ObsStage, session: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon that publishes, killed at the end as a crash would."""
    program = subprocess.Popen([sys.executable, str(WRITER), str(obs.runtime / f"{session}.ring"), *options])
    try:
        yield program
    finally:
        program.kill()
        program.wait()


@contextmanager
def source(obs: ObsStage, name: str, scene: str = "Scene", **settings: object) -> Iterator[None]:
    obs.call("CreateInput", sceneName=scene, inputName=name, inputKind=SOURCE, inputSettings=settings)
    try:
        yield
    finally:
        obs.call("RemoveInput", inputName=name)


def seconds_until_shown(obs: ObsStage, name: str, first: int) -> float:
    """Until a source shows a picture with that number or a later one."""
    begin = time.monotonic()
    while time.monotonic() < begin + 10:
        shot = obs.shot(name)
        if shot.shape[:2] == SIZE[::-1] and number_of(shot[..., :3]) >= first and _is_portrait(shot):
            return time.monotonic() - begin
        time.sleep(0.02)
    raise AssertionError(f"{name} does not show picture {first}\n{obs.log()[-2000:]}")


def _is_portrait(shot: np.ndarray) -> bool:
    """Whether it shows the writer's columns, not a message."""
    expected, _ = looked("counter", *SIZE)
    return _worst(shot[BLOCK:, :, :3], expected[BLOCK:]) <= LEVELS


def _worst(shown: np.ndarray, expected: np.ndarray) -> int:
    return int(np.abs(shown.astype(int) - expected).max())


def until_logged(obs: ObsStage, text: str, times: int = 1) -> None:
    end = time.monotonic() + 5
    while obs.log().count(text) < times:
        assert time.monotonic() < end, f"not logged: {text}\n{obs.log()[-2000:]}"
        time.sleep(0.05)


def test_without_a_daemon_it_says_what_to_do_then_shows_the_picture_by_itself(obs: ObsStage):
    with source(obs, "Portrait"):
        until_logged(obs, "streamfx is not running.  Start it with: streamfx serve")
        time.sleep(0.2)
        notice = obs.shot("Portrait")
        assert notice.shape[:2] == (480, 640)
        ink = (notice[..., :3] > 200).all(2)
        assert 0.005 < ink.mean() < 0.2, "letters on a plain ground"
        with writer(obs, "first"):
            seconds_until_shown(obs, "Portrait", 1)
            shot = obs.shot("Portrait")
            expected, _ = looked("counter", *SIZE)
            worst = _worst(shot[BLOCK:, :, :3], expected[BLOCK:])
            assert worst <= LEVELS
            assert (shot[..., 3] == 255).all()
            in_scene = _worst(obs.shot("Scene")[BLOCK:, :, :3], expected[BLOCK:])
            assert in_scene <= LEVELS
    sys.stdout.write(f"colours: off by {worst} in the source, {in_scene} in the scene\n")


def test_alpha_lets_the_background_shine_through(obs: ObsStage):
    obs.call("CreateScene", sceneName="Alpha")
    ground = {"color": 0xFF40A020, "width": SIZE[0], "height": SIZE[1]}  # alpha, blue, green, red
    obs.call(
        "CreateInput",
        sceneName="Alpha",
        inputName="Ground",
        inputKind="color_source_v3",
        inputSettings=ground,
    )
    rgb, alpha = looked("alpha", *SIZE)
    assert alpha is not None
    expected = rgb + np.array((0x20, 0xA0, 0x40)) * (1 - alpha[..., None] / 255)
    with writer(obs, "alpha", "--look", "alpha"), source(obs, "Alphaed", "Alpha", session="alpha"):
        until_logged(obs, "reading pictures", 2)
        for _ in range(
            2
        ):  # in a scene that is not shown it is drawn for these alone: its texture is made first
            time.sleep(0.3)
            obs.shot("Alpha")
        shown, alone = obs.shot("Alpha"), obs.shot("Alphaed")
    worst = _worst(shown[..., :3], expected)
    sys.stdout.write(f"alpha over green: off by {worst}\n")
    assert worst <= LEVELS
    assert _worst(alone[..., 3], alpha) <= 1


def test_a_recording_has_each_picture_once(obs: ObsStage, tmp_path: Path):
    """But for its first frames: there OBS itself stumbles while the encoder starts.

    As often as this machine held the writer or OBS up, by their own words, one picture may be shown twice and
    one left out. Each try has a writer of its own: one whose pictures come when OBS takes them stays so.
    """
    shares: list[float] = []
    while len(shares) < TRIES and not (shares and shares[-1] <= REPEATED):
        name, log = f"Film {len(shares)}", tmp_path / f"writer-{len(shares)}.log"
        with writer(obs, "film", "--log", str(log)), source(obs, name, session="film"):
            seconds_until_shown(obs, name, 1)
            before = obs.call("GetStats")["renderSkippedFrames"]
            numbers = recorded(obs)
            skipped = obs.call("GetStats")["renderSkippedFrames"] - before
        steps = np.diff(numbers)
        assert (steps >= 0).all()
        late, repeated = late_pictures(log, numbers), int((steps == 0).sum())
        is_whole = len(numbers) >= 30 * RECORD_S * 0.9
        shares.append((repeated - late - skipped) / len(numbers) if is_whole else 1.0)
        told = f"{repeated} repeated, {late} written late, {skipped} skipped"
        sys.stdout.write(f"recording: {len(numbers)} frames, {told}\n")
    assert shares[-1] <= REPEATED


def late_pictures(log: Path, numbers: list[int]) -> int:
    """How many of these pictures the writer wrote a tenth of their time late, or later."""
    written = {int(number): int(ns) for number, ns in (line.split() for line in log.read_text().splitlines())}
    times = np.array([written[number] for number in range(numbers[0], numbers[-1] + 1)])
    return int((np.diff(times) > 1.1e9 / 30).sum())


def recorded(obs: ObsStage) -> list[int]:
    """The numbers of the pictures in a new recording."""
    obs.call("StartRecord")
    time.sleep(RECORD_S + START_S + 0.5)
    path = obs.call("StopRecord")["outputPath"]
    time.sleep(1.0)
    with av.open(path) as film:
        numbers = [number_of(frame.to_ndarray(format="rgb24")) for frame in film.decode(video=0)]
    return numbers[round(30 * START_S) :]


def test_the_picture_is_back_soon_after_the_daemon_died(obs: ObsStage):
    waited = []
    with source(obs, "Back", session="back"):
        for time_ in range(RESTARTS):
            with writer(obs, "back", "--first", str(1000 * time_ + 1)):
                while not (obs.runtime / "back.ring").exists():
                    time.sleep(0.01)
                waited.append(seconds_until_shown(obs, "Back", 1000 * time_ + 1))
            if time_ % 4 == 1:
                time.sleep(1.7)  # longer than the source waits for pictures: the message is shown
                assert not _is_portrait(np.resize(obs.shot("Back"), (*SIZE[::-1], 4)))
    # Includes the start of the writer's Python when the socket of the one before is still there.
    sys.stdout.write(
        f"back after {RESTARTS} deaths: {np.median(waited):.2f} s, at most {max(waited):.2f} s\n"
    )
    assert max(waited) <= BACK_S


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--version", "1"), "streamfx sends pictures of version 1"),
        (("--header", "3"), "streamfx sends pictures of version 3"),
        (("--row", "1919"), "their header is inconsistent"),
    ],
)
def test_what_it_cannot_read_it_refuses_and_says_so_once(obs: ObsStage, options: tuple[str, ...], said: str):
    name = said.rpartition(" ")[2]
    with writer(obs, name, *options), source(obs, name, session=name):
        until_logged(obs, said)
        time.sleep(1.5)
        shot = obs.shot(name)
    assert obs.log().count(said) == 1
    assert shot.shape[:2] == (480, 640)


def readers(obs: ObsStage) -> int:
    """Threads of the plugin that run."""
    tasks = Path(f"/proc/{obs.obs.pid}/task").glob("*/comm")
    return sum(task.read_text().strip() == "streamfx-reader" for task in tasks)


def test_sources_come_and_go(obs: ObsStage):
    with writer(obs, "many"):
        for number in range(20):  # what OBS itself keeps is kept by then
            with source(obs, f"Warm {number}", session="many"):
                pass
        before, running = obs.memory_mb(), readers(obs)  # scenes that are not shown keep what was removed
        for number in range(SOURCES):
            with source(obs, f"Brief {number}", session="many"):
                if number % 20 == 0:
                    seconds_until_shown(obs, f"Brief {number}", 1)
        end = time.monotonic() + 5
        while readers(obs) > running:
            assert time.monotonic() < end, "threads are left"
            time.sleep(0.1)
        after = obs.memory_mb()
    sys.stdout.write(f"{SOURCES} sources: memory {before:.0f} to {after:.0f} MB\n")


def test_pictures_reach_the_screen_soon(obs: ObsStage, tmp_path: Path):
    """From the end of publishing to the display's memory, by a projector that fills the screen."""
    scale = min(SCREEN[0] / SIZE[0], SCREEN[1] / SIZE[1])
    left, top = (SCREEN[0] - scale * SIZE[0]) / 2, (SCREEN[1] - scale * SIZE[1]) / 2
    log, seen = tmp_path / "log", {}
    program = "OBS_WEBSOCKET_VIDEO_MIX_TYPE_PROGRAM"
    with writer(obs, "soon", "--log", str(log)), source(obs, "Soon", session="soon"):
        seconds_until_shown(obs, "Soon", 1)
        obs.call("OpenVideoMixProjector", videoMixType=program, monitorIndex=0)
        time.sleep(2.0)
        screen, end = obs.screen(), time.monotonic() + LATENCY_S
        while time.monotonic() < end:
            seen.setdefault(number_of(screen, scale, left, top), time.monotonic_ns())
            time.sleep(0.002)
    published = {int(number): int(at) for number, at in map(str.split, log.read_text().splitlines())}
    first = min(seen)
    took = [
        (at - published[number]) / 1e6
        for number, at in seen.items()
        if number in published and number > first
    ]
    took = [ms for ms in took if 0 < ms < 1000]  # a counter read while it changed is another number
    assert len(took) > 25 * LATENCY_S / 2
    p50, p95 = np.percentile(took, (50, 95))
    sys.stdout.write(f"publish to screen: p50 {p50:.0f} ms, p95 {p95:.0f} ms of {len(took)} pictures\n")


def test_at_its_end_nothing_is_left(obs: ObsStage, tmp_path: Path):
    """No memory beyond what this OBS loses without the plugin; and how long OBS's thread was held."""
    log = obs.quit()
    lost_anyway = leaks_without_plugins(tmp_path / "none")
    sys.stdout.write(f"memory leaks: {leaks(log)}, without the plugin {lost_anyway}\n")
    assert leaks(log) == lost_anyway
    for what in ("video_tick", "video_render"):
        times = r"first ([\d.]+) ms, longest after it ([\d.]+) ms, .*, 99 of 100 within ([\d.]+) ms"
        found = re.findall(rf"(\d+) calls of {what}, {times}", log)
        assert len(found) > SOURCES
        first, longest, within = (max(float(each[column]) for each in found) for column in (1, 2, 3))
        calls = sum(int(each[0]) for each in found)
        sys.stdout.write(
            f"{what}: {calls} calls, first {first:.2f} ms, longest after it {longest:.2f} ms, "
            f"in the source with the slowest 99 of 100 within {within:.2f} ms\n"
        )
    assert "[streamfx-portrait]" in log
