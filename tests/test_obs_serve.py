"""A real OBS before a real daemon: the portrait is seen, and every property and key is found in its state."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from live_stage import canary_clip, receive_ring, sings, until
from obs_stage import SOURCE, ObsStage, build_plugin, leaks, leaks_without_plugins, missing_for_obs
from scenes import photo, store

from streamfx.api.values import SourceState, State
from streamfx.client import Client, Session
from streamfx.client.errors import DaemonUnreachable
from streamfx.settings.framing import Framing, FramingKind
from streamfx.settings.session import BackgroundKind, Gains
from streamfx.sink.ring import RingReader

REASON = missing_for_obs()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(REASON), reason=REASON),
]
ROOT = Path(__file__).parents[1]
NAME = "Portrait"
PROGRAM = Path(sys.executable).with_name("streamfx")
LEVELS = 3
"""By which a colour may differ."""
BACK_S, RESTARTS = 2.0, 5
CONFIG = """[session]
autostart = false

[files]
roots = ["{clips}"]
"""


@dataclass
class Studio:
    """OBS with one source of ours, the daemon, and a client of it."""

    obs: ObsStage
    clip: Path
    backdrop: Path
    serve: subprocess.Popen[bytes]
    client: Client

    def set(self, **settings: object) -> None:
        """As the window of properties would."""
        self.obs.call("SetInputSettings", inputName=NAME, inputSettings=settings, overlay=True)

    def settings(self) -> dict[str, Any]:
        return self.obs.call("GetInputSettings", inputName=NAME)["inputSettings"]

    def press(self, key: str) -> None:
        self.obs.call("TriggerHotkeyByName", hotkeyName=f"StreamFX.{key}")

    def items(self, name: str) -> list[dict[str, str]]:
        """What a list in the window of properties offers."""
        call = self.obs.call("GetInputPropertiesListPropertyItems", inputName=NAME, propertyName=name)
        return call["propertyItems"]

    def portraits(self) -> list[dict[str, str]]:
        return self.items("portrait")

    def session(self) -> Session:
        return self.client.list_sessions()[0]

    def until_daemon(self, true: Callable[[Session], object], what: str = "") -> None:

        def is_true() -> object:
            try:
                return self.client.list_sessions() and true(self.session())
            except DaemonUnreachable:  # not yet, or no more
                return False

        until(is_true, 60, what + self.obs.log()[-1500:])


@contextmanager
def serving(obs: ObsStage) -> Iterator[subprocess.Popen[bytes]]:
    """`streamfx serve`, listening; killed at the end as a crash would."""
    socket = obs.runtime / "control.sock"
    socket.unlink(missing_ok=True)
    with (obs.folder / "serve.log").open("ab") as log:
        command = [sys.executable, "-m", "streamfx", "serve", "-v"]
        program = subprocess.Popen(command, env=obs.environment, stdout=log, stderr=log)
    try:
        until(socket.exists, 60, (obs.folder / "serve.log").read_text())
        yield program
    finally:
        program.kill()
        program.wait()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real face, and a canary on every picture."""
    return canary_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def studio(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    world = {"STREAMFX_MODELS_DIR": str(store().root), "PYTHONPATH": str(ROOT)}
    plugins = build_plugin(tmp_path_factory.mktemp("plugin"))
    backdrop = clip.with_name("backdrop.png")
    cv2.imwrite(str(backdrop), np.full((480, 640, 3), (0, 160, 40), np.uint8))
    with ObsStage(plugins, environment=world) as obs:
        folder = obs.folder / "config" / "streamfx"
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(CONFIG.format(clips=clip.parent))
        with serving(obs) as serve, Client.connect(obs.runtime / "control.sock") as client:
            client.create_portrait(photo().read_bytes(), name="Astronaut", id="astro")
            turned = cv2.imencode(".png", cv2.flip(cv2.imread(str(photo())), 1))[1].tobytes()
            client.create_portrait(turned, name="Turned <1>", id="turned")
            obs.add(SOURCE, NAME, {"driver": str(clip), "portrait": "astro"})
            yield Studio(obs, clip, backdrop, serve, client)


def test_the_session_is_begun_for_obs_and_its_portrait_is_seen(studio: Studio):
    studio.until_daemon(lambda session: session.status.state is State.LIVE)
    made = studio.session().settings
    assert (made.output.camera, made.on_demand, made.source) == ("none", True, str(studio.clip))
    assert made.portraits == ("astro", "turned")
    pictures: list[np.ndarray] = []
    with RingReader(receive_ring(studio.obs.runtime / f"{studio.session().id}.ring")) as ring:
        ends = threading.Event()

        def collect() -> None:
            while not ends.wait(0.003):
                if (seen := ring.newest()) is not None:
                    pictures.append(seen.rgb.copy())

        thread = threading.Thread(target=collect)
        thread.start()
        time.sleep(0.5)
        shot = studio.obs.shot(NAME)
        time.sleep(0.5)
        ends.set()
        thread.join()
    off = min(int(np.abs(shot[..., :3].astype(int) - picture).max()) for picture in pictures)
    sys.stdout.write(f"a real portrait in OBS: off by {off}\n")
    assert off <= LEVELS
    assert np.std(shot[..., :3]) > 20


# -- every property, and every key ---------------------------------------------------------------------------

PROPERTIES: list[tuple[dict[str, object], Callable[[Session], object]]] = [
    ({"portrait": "turned"}, lambda one: one.settings.shown() == "turned"),
    ({"portrait": "astro"}, lambda one: one.settings.shown() == "astro"),
    ({"driver": "none"}, lambda one: one.settings.source == "none"),
    ({"driver": "demo"}, lambda one: one.settings.source == "demo"),
    ({"driver": "auto"}, lambda one: one.settings.source == "auto"),
    ({"background": "blur"}, lambda one: one.settings.background.kind is BackgroundKind.BLUR),
    ({"background": "remove"}, lambda one: one.settings.background.kind is BackgroundKind.REMOVE),
    (
        {"background": "colour", "background_colour": 0xFF332211},
        lambda one: (one.settings.background.kind, one.settings.background.colour)
        == (BackgroundKind.COLOUR, "#112233"),
    ),
    ({"background_colour": 0xFF00FF00}, lambda one: one.settings.background.colour == "#00ff00"),
    ({"background": "keep"}, lambda one: one.settings.background.kind is BackgroundKind.KEEP),
    (
        {"framing": "close", "framing_zoom": 1.5, "framing_y": -0.25},
        lambda one: one.settings.framing == Framing(FramingKind.CLOSE, 1.5, y=-0.25),
    ),
    (
        {"framing": "auto", "framing_zoom": 1.0, "framing_y": 0.0},
        lambda one: one.settings.framing == Framing(),
    ),
    ({"mirror": True}, lambda one: one.settings.mirror),
    ({"mirror": False}, lambda one: not one.settings.mirror),
    ({"gain_expression": 1.25}, lambda one: one.settings.gains.expression == 1.25),
    ({"gain_head": 0.5}, lambda one: one.settings.gains.head == 0.5),
    ({"gain_gaze": 0.0}, lambda one: one.settings.gains.gaze == 0.0),
    (
        {"gain_expression": 1.0, "gain_head": 1.0, "gain_gaze": 1.0},
        lambda one: one.settings.gains == Gains(),
    ),
    ({"refine": "off"}, lambda one: one.settings.refine == "off"),
    ({"mouth": "procedural"}, lambda one: one.settings.mouth == "procedural"),
    (
        {"refine": "lite", "mouth": "lite"},
        lambda one: (one.settings.refine, one.settings.mouth) == ("lite", "lite"),
    ),
    ({"hidden": True}, lambda one: one.status.state is State.HIDDEN),
    ({"hidden": False}, lambda one: not one.settings.hidden),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "seen"), PROPERTIES, ids=[str(case[0]) for case in PROPERTIES])
def test_a_property_is_found_in_the_daemon(
    studio: Studio, settings: dict[str, object], seen: Callable[[Session], object]
):
    studio.set(**settings)
    studio.until_daemon(seen, f"{settings} never came to the daemon: {studio.session()}\n")


def test_a_background_picture_is_asked_for_once_it_is_named(studio: Studio):
    studio.set(background="image")
    time.sleep(1.5)
    assert studio.session().settings.background.kind is BackgroundKind.KEEP
    assert studio.settings()["background"] == "image", "the choice is not taken back meanwhile"
    studio.set(background_image=str(studio.backdrop))
    studio.until_daemon(lambda one: one.settings.background.image == studio.backdrop)
    studio.set(background="keep")
    studio.until_daemon(lambda one: one.settings.background.kind is BackgroundKind.KEEP)


def test_what_the_daemon_refuses_is_told_and_taken_back(studio: Studio):
    studio.set(background="image", background_image="/dev/null")
    until(lambda: studio.settings()["background"] == "keep", 20, studio.obs.log()[-1500:])
    assert "no ordinary file in an allowed folder" in studio.obs.log()
    assert studio.session().settings.background.kind is BackgroundKind.KEEP


def test_a_photo_that_is_added_is_made_a_portrait_and_shown(studio: Studio, tmp_path: Path):
    sepia = (cv2.imread(str(photo())).mean(2, keepdims=True) * (0.7, 0.85, 1.0)).clip(0, 255)
    cv2.imwrite(str(tmp_path / "Sepia.jpg"), sepia.astype(np.uint8))
    studio.set(add_photo=str(tmp_path / "Sepia.jpg"))
    until(
        lambda: "Sepia" in {one.name for one in studio.client.list_portraits()}, 60, studio.obs.log()[-1500:]
    )
    made = next(one for one in studio.client.list_portraits() if one.name == "Sepia")
    studio.until_daemon(lambda one: one.settings.shown() == made.id)
    until(lambda: studio.settings().get("add_photo") == "", 20)
    studio.set(add_photo=str(studio.backdrop))  # there is no face in it
    until(lambda: studio.settings().get("add_photo") == "", 60)
    assert "face" in studio.obs.log().splitlines()[-1], studio.obs.log()[-500:]
    assert studio.session().settings.shown() == made.id
    session = studio.session()
    restored = replace(session.settings, portraits=("astro", "turned"), selected="astro")
    studio.client.update_session(session.id, restored, ["portraits", "selected"])
    studio.client.delete_portrait(made.id)
    until(lambda: studio.settings()["portrait"] == "astro", 20)


def test_keys_are_found_in_the_daemon(studio: Studio):
    keys: list[tuple[str, Callable[[Session], object]]] = [
        ("Portrait2", lambda one: one.settings.shown() == "turned"),
        ("Portrait1", lambda one: one.settings.shown() == "astro"),
        ("Next", lambda one: one.settings.shown() == "turned"),
        ("Next", lambda one: one.settings.shown() == "astro"),
        ("Previous", lambda one: one.settings.shown() == "turned"),
        ("Portrait1", lambda one: one.settings.shown() == "astro"),
        ("Hide", lambda one: one.status.state is State.HIDDEN),
        ("Hide", lambda one: not one.settings.hidden),
    ]
    for key, seen in keys:
        studio.press(key)
        studio.until_daemon(seen, f"{key} did nothing: {studio.session()}\n")
    until(lambda: studio.settings()["portrait"] == "astro", 20)
    studio.press("Portrait9")  # there is none
    studio.press("Portrait2")
    studio.until_daemon(lambda one: one.settings.shown() == "turned")
    studio.press("Portrait1")
    studio.until_daemon(lambda one: one.settings.shown() == "astro")


def test_nine_portraits_have_nine_keys(studio: Studio):
    photo_ = photo().read_bytes()
    for number in range(3, 10):
        studio.client.create_portrait(photo_, name=f"Number {number}", id=f"number-{number}")
    names = tuple(one.id for one in studio.client.list_portraits())
    session = studio.session()
    wanted = ("astro", "turned", *(name for name in names if name.startswith("number")))
    studio.client.update_session(session.id, replace(session.settings, portraits=wanted), ["portraits"])
    until(lambda: len(studio.portraits()) == 9 and studio.portraits()[-1]["itemName"].startswith("9  "), 20)
    for place in range(1, 10):
        studio.press(f"Portrait{place}")
        studio.until_daemon(lambda one, place=place: one.settings.shown() == wanted[place - 1], str(place))
    studio.press("Next")
    studio.until_daemon(lambda one: one.settings.shown() == "astro", "round")
    studio.client.update_session(
        session.id,
        replace(session.settings, portraits=wanted[:2], selected="astro"),
        ["portraits", "selected"],
    )
    for name in wanted[2:]:
        studio.client.delete_portrait(name)
    until(lambda: len(studio.portraits()) == 2, 20)


def test_calibrate_is_asked_for_by_button_and_by_key(studio: Studio):
    """What a neutral face is changes what the portrait shows."""
    studio.set(driver=str(studio.clip))
    studio.until_daemon(lambda one: one.status.state is State.LIVE)
    before = calibrations(studio)
    studio.obs.call("PressInputPropertiesButton", inputName=NAME, propertyName="calibrate")
    until(lambda: calibrations(studio) == before + 1, 20)
    studio.press("Calibrate")
    until(lambda: calibrations(studio) == before + 2, 20)


def calibrations(studio: Studio) -> int:
    return (studio.obs.folder / "serve.log").read_text().count("calibrates")


def test_lists_offer_what_there_is(studio: Studio):
    assert {item["itemValue"]: item["itemName"] for item in studio.portraits()} == {
        "astro": "1  Astronaut", "turned": "2  Turned <1>",
    }  # fmt: skip
    drivers = studio.items("driver")
    assert {"auto", "obs", "demo", "none", str(studio.clip)} <= {item["itemValue"] for item in drivers}
    assert [item["itemValue"] for item in studio.items("background")] == [
        "keep", "remove", "blur", "colour", "image",
    ]  # fmt: skip


def test_what_others_change_comes_into_obs(studio: Studio):
    session = studio.session()
    changed = replace(session.settings, mirror=True, gains=Gains(0.7, 0.8, 0.9), selected="turned")
    studio.client.update_session(session.id, changed, ["mirror", "gains", "selected"])
    until(lambda: studio.settings().get("mirror"), 20)
    found = studio.settings()
    assert found["portrait"] == "turned"
    assert [round(found[f"gain_{name}"], 6) for name in ("head", "expression", "gaze")] == [0.7, 0.8, 0.9]


def test_a_source_of_obs_drives_the_portrait_and_its_pictures_go_to_the_worker_alone(studio: Studio):
    """A film of a real face, as a webcam would be: in no scene that is shown."""
    obs = studio.obs
    obs.call("CreateScene", sceneName="Elsewhere")
    film = {"local_file": str(studio.clip), "looping": True, "restart_on_activate": False}
    obs.call(
        "CreateInput",
        sceneName="Elsewhere",
        inputName="Webcam",
        inputKind="ffmpeg_source",
        inputSettings=film,
    )
    assert "Webcam" in {item["itemValue"] for item in studio.items("driver_source")}
    assert NAME not in {item["itemValue"] for item in studio.items("driver_source")}
    studio.set(driver="obs", driver_source="Webcam")
    studio.until_daemon(lambda one: one.settings.source.startswith("feed:obs-"))
    studio.until_daemon(lambda one: "feed:" in one.status.source.name and one.status.source.tracked > 0.8)
    status = studio.session().status
    feeds = [process for process in (studio.serve.pid, status.worker_pid) if holds_feed(process)]
    assert feeds == [status.worker_pid]
    assert not [item for item in studio.items("driver") if item["itemValue"].startswith("feed:")]
    assert sings(studio.obs.shot("Webcam")[..., :3]), "the source that drives has the canary"
    for _ in range(20):
        assert not sings(studio.obs.shot(NAME)[..., :3])
    sys.stdout.write(f"driven by OBS: {status.fps:.1f} pictures a second, {status.latency_ms}\n")
    studio.set(driver_source="")
    studio.until_daemon(lambda one: one.status.source.state is SourceState.LOST)
    studio.set(driver_source="Webcam")
    studio.until_daemon(lambda one: one.status.state is State.LIVE)
    obs.call("RemoveInput", inputName="Webcam")
    studio.until_daemon(lambda one: one.status.source.state is SourceState.LOST)
    studio.set(driver=str(studio.clip))
    studio.until_daemon(lambda one: one.status.state is State.LIVE)


def holds_feed(process: int) -> bool:
    """Whether the memory that OBS feeds is mapped there, or held by a descriptor."""
    opened = [os.readlink(entry) for entry in Path(f"/proc/{process}/fd").iterdir()]  # noqa: PTH115 - of no file
    return "streamfx-feed" in Path(f"/proc/{process}/maps").read_text() or any(
        "streamfx-feed" in one for one in opened
    )


# -- a daemon that dies, and one that is not there -----------------------------------------------------------


def test_a_new_daemon_is_told_what_was_chosen_and_shows_nothing_that_was_hidden(studio: Studio):
    studio.set(hidden=True, gain_head=0.6, portrait="turned")
    studio.until_daemon(lambda one: one.status.state is State.HIDDEN and one.settings.gains.head == 0.6)
    studio.serve.kill()
    studio.serve.wait()
    began = time.monotonic()
    with serving(studio.obs):
        studio.until_daemon(lambda one: one.settings.gains.head == 0.6)
        found = studio.session().settings
        assert (found.hidden, found.mirror, found.shown()) == (True, True, "turned")
        assert found.source == str(studio.clip)
        sys.stdout.write(f"agreed with a new daemon after {time.monotonic() - began:.1f} s\n")
        studio.set(hidden=False)
        studio.until_daemon(lambda one: one.status.state is State.LIVE)


def test_what_is_chosen_while_no_daemon_is_there_is_asked_of_the_next(studio: Studio):
    studio.serve.kill()
    studio.serve.wait()
    with serving(studio.obs):
        studio.until_daemon(lambda one: one.status.state is State.LIVE)
    studio.set(gain_head=0.9, portrait="astro")  # it has just been killed: nobody has noticed yet
    with serving(studio.obs):
        studio.until_daemon(lambda one: one.settings.gains.head == 0.9 and one.settings.shown() == "astro")
        until(lambda: studio.settings()["gain_head"] == 0.9, 10)


@pytest.mark.alone
def test_the_portrait_is_back_soon_after_the_daemon_is(studio: Studio):
    """From the moment at which the new daemon can be asked for pictures to the source's own pixels."""
    studio.serve.kill()  # in a process of its own no test before has
    studio.serve.wait()
    waited = []
    for _ in range(RESTARTS):
        (studio.obs.runtime / "control.sock").unlink(missing_ok=True)
        for ring in studio.obs.runtime.glob("*.ring"):
            ring.unlink()
        until(lambda: not is_portrait(studio), 10, "no message came")
        with serving(studio.obs):
            until(lambda: list(studio.obs.runtime.glob("*.ring")), 30)
            began = time.monotonic()
            until(lambda: is_portrait(studio), 10, studio.obs.log()[-1500:])
            waited.append(time.monotonic() - began)
    sys.stdout.write(f"back after {RESTARTS} deaths of a real daemon: at most {max(waited):.2f} s\n")
    assert max(waited) <= BACK_S


def is_portrait(studio: Studio) -> bool:
    """A message is letters on a plain ground; the photo is light nearly everywhere."""
    return float(np.median(studio.obs.shot(NAME)[..., :3])) > 60


def test_the_daemon_is_started_if_asked(studio: Studio):
    socket = studio.obs.runtime / "control.sock"
    socket.unlink(missing_ok=True)
    time.sleep(2.0)
    assert not socket.exists()
    studio.set(start_daemon=True, program=str(PROGRAM))
    try:
        studio.until_daemon(lambda one: one.status.state is State.LIVE)
        shot = studio.obs.shot(NAME)
        assert np.std(shot[..., :3]) > 20
    finally:
        studio.set(start_daemon=False)
        subprocess.run(["pkill", "-f", f"{PROGRAM} serve"], check=False)
        until(lambda: not socket.exists(), 20, "the daemon does not end")


def test_obs_keeps_what_was_chosen(studio: Studio):
    """OBS ends and is started again, before a daemon that knows nothing of it."""
    kept = {"gain_gaze": 0.4, "mirror": False, "background": "blur", "portrait": "turned"}
    with serving(studio.obs):
        studio.set(**kept)
        studio.until_daemon(lambda one: one.settings.gains.gaze == 0.4 and one.settings.shown() == "turned")
        until(lambda: studio.settings()["background"] == "blur", 10)
        feed = studio.settings()["feed_name"]
        studio.obs.quit()
    studio.obs.start_again()
    with serving(studio.obs):
        studio.until_daemon(lambda one: one.settings.gains.gaze == 0.4)
        found = studio.session().settings
        assert (found.shown(), found.mirror, found.background.kind) == ("turned", False, BackgroundKind.BLUR)
        assert studio.settings()["feed_name"] == feed


def test_a_session_that_is_there_is_used_as_it_is_and_outlives_the_source(studio: Studio):
    """serve begins one; two sources of OBS, in which nobody chose anything, show it and begin none."""
    names = (NAME, "Second")
    studio.obs.call("RemoveInput", inputName=NAME)
    config = studio.obs.folder / "config" / "streamfx" / "config.toml"
    before = config.read_text()
    config.write_text('[session]\ncamera = "none"\nmirror = true\nsource = "demo"\nportraits = ["turned"]\n')
    with serving(studio.obs):
        studio.until_daemon(lambda one: one.settings.mirror)
        (begun,) = studio.client.list_sessions()
        for name in names:
            studio.obs.add(SOURCE, name)
        studio.until_daemon(lambda one: one.status.ring_readers == len(names))
        until(lambda: is_portrait(studio), 20)
        time.sleep(2.5)
        (found,) = studio.client.list_sessions()
        assert (found.id, found.settings) == (begun.id, begun.settings)
        assert not {"mirror", "portrait", "driver"} & studio.settings().keys(), (
            "of the session, not of the user"
        )
        assert [item["itemValue"] for item in studio.portraits()] == ["astro", "turned"]
        studio.set(gain_head=0.5)
        studio.until_daemon(lambda one: one.settings.gains.head == 0.5)
        changed = studio.session().settings
        assert replace(changed, gains=begun.settings.gains) == begun.settings
        for name in names:
            studio.obs.call("RemoveInput", inputName=name)
        studio.until_daemon(lambda one: one.status.ring_readers == 0)
        assert [one.settings for one in studio.client.list_sessions()] == [changed]
    config.write_text(before)
    with serving(studio.obs):
        for name in names:
            studio.obs.add(SOURCE, name, {"driver": "none"})
        studio.until_daemon(lambda one: one.status.ring_readers == len(names))
        assert [one.id for one in studio.client.list_sessions()] == ["obs"]


def test_obs_loses_no_more_than_without_the_plugin(studio: Studio, tmp_path: Path):
    lost = leaks(studio.obs.quit())
    assert lost == leaks_without_plugins(tmp_path / "none")
