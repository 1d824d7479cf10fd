"""The typed clients against a real server on a real socket: every method for good and for bad."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from control_stage import Stage, naming
from fake_sessions import photo

from streamfx.client import AsyncClient, CallTimedOut, Client, DaemonFailed, DaemonUnreachable
from streamfx.errors import (
    LimitReached,
    PhotoUnreadable,
    ResourceBusy,
    ResourceExists,
    ResourceMissing,
    ResourceUnready,
    SettingRefused,
    UsageError,
)
from streamfx.settings.framing import Framing, FramingKind
from streamfx.settings.motion import MotionNumbers
from streamfx.settings.session import (
    Background,
    BackgroundKind,
    Gains,
    Output,
    SessionSettings,
)

# -- portraits -----------------------------------------------------------------------------------------------


def test_a_portrait_comes_is_renamed_and_goes(stage: Stage, client: Client):
    made = client.create_portrait(photo(size=(400, 300)), name="Ada ♥", id="ada", references=[photo("blue")])
    assert (made.id, made.name, made.size, made.references) == ("ada", "Ada ♥", (400, 300), 1)
    assert made.findings == ("the mouth is open",)
    assert made.created_ns == 1_700_000_000_123_456_789
    assert client.get_portrait("ada") == made
    assert client.rename_portrait("ada", "Countess").name == "Countess"
    assert client.thumbnail("ada")[:2] == b"\xff\xd8"
    client.delete_portrait("ada")
    assert client.list_portraits() == []


def test_a_photo_by_its_path(stage: Stage, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (stage.root / "deep").mkdir()
    (stage.root / "deep" / "me.png").write_bytes(photo())
    with naming(stage.server.socket) as elsewhere:  # below the roots
        assert elsewhere.create_portrait("deep/me.png").size == (60, 80)
        assert elsewhere.create_portrait(str(stage.root / "deep" / "me.png"), id="abs").id == "abs"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(stage.root))
    (tmp_path / "mine.png").write_bytes(photo("blue"))
    for id, own in (("mine", "mine.png"), ("home", Path("~/deep/me.png"))):
        made = client.create_portrait(own, id=id, references=["mine.png"])
        assert (made.size, made.references) == ((60, 80), 1)


def test_portraits_refused(stage: Stage, client: Client, tmp_path: Path):
    client.create_portrait(photo(), id="ada")
    (tmp_path / "outside.png").write_bytes(photo())
    stage.sessions.portraits.used.add("ada")
    with pytest.raises(ResourceExists, match="There is a portrait ada already") as exists:
        client.create_portrait(photo(), id="ada")
    assert (exists.value.kind, exists.value.name) == ("portrait", "ada")
    with pytest.raises(PhotoUnreadable, match="not an image"):
        client.create_portrait(b"I am no photo")
    with pytest.raises(SettingRefused, match="photo: it is missing"):
        client.create_portrait(b"")
    with pytest.raises(SettingRefused, match="Use 1 to 40"):
        client.create_portrait(photo(), id="Ada Lovelace")
    with pytest.raises(SettingRefused, match="references"):
        client.create_portrait(photo(), references=[photo()] * 5)
    with pytest.raises(UsageError, match="no ordinary file in an allowed folder"):
        naming(stage.server.socket).create_portrait(str(tmp_path / "outside.png"))
    with pytest.raises(ResourceBusy, match="A session shows ada"):
        client.delete_portrait("ada")
    for call in (client.get_portrait, client.delete_portrait, client.thumbnail):
        with pytest.raises(ResourceMissing, match="no portrait nobody"):
            call("nobody")
    with pytest.raises(SettingRefused, match="display_name"):
        client.rename_portrait("ada", "\x1b[2J")
    for n in range(3):
        client.create_portrait(photo(), id=f"more-{n}")
    with pytest.raises(LimitReached, match=r"There are 4 portraits\. Remove one\."):
        client.create_portrait(photo())


def test_lists_come_by_pages(stage: Stage, client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fake_sessions.MOST", 30)
    monkeypatch.setattr("streamfx.client.calls._PAGE", 7)
    for n in range(23):
        stage.sessions.portraits.add(photo(), id=f"p{n}")
        stage.sessions.create(SessionSettings(), f"s{n}")
    assert [one.id for one in client.list_portraits()] == [f"p{n}" for n in range(23)]
    assert [one.id for one in client.list_sessions()] == [f"s{n}" for n in range(23)]


# -- sessions ------------------------------------------------------------------------------------------------

CHOSEN = SessionSettings(
    output=Output("none", (1280, 720), 25.0),
    source="demo",
    portraits=("ada", "bob"),
    selected="bob",
    gains=Gains(0.5, 1.25, 0.0),
    background=Background(BackgroundKind.COLOUR, "#102030"),
    framing=Framing(FramingKind.WIDE, 0.75, -0.25, 0.125),
    mirror=True,
    mirror_preview=True,
    badge="Guten Tag ☺",
    hidden=True,
    paused=True,
    on_demand=True,
    refine="off",
    mouth="procedural",
    device="cuda",
)


def test_a_session_with_every_setting(stage: Stage, client: Client):
    for id in ("ada", "bob"):
        client.create_portrait(photo(), id=id)
    made = client.create_session(CHOSEN, "main")
    assert stage.sessions.kept["main"].settings == CHOSEN
    assert made == client.get_session("main")
    assert made.settings == CHOSEN
    assert made.status == stage.sessions.kept["main"].status()
    client.delete_session("main")
    assert client.list_sessions() == []


def test_an_update_takes_what_its_mask_names(stage: Stage, client: Client):
    session = stage.session()
    client.update_session("one", SessionSettings(gains=Gains(0.25, 0.25, 0.25), badge="x"), ["gains.head"])
    assert session.settings.gains == Gains(0.25, 1.0, 1.0)
    assert session.settings.badge == ""
    client.update_session(
        "one", SessionSettings(gains=Gains(0.5, 0.5, 0.5), mirror=True), ["gains", "mirror"]
    )
    assert (session.settings.gains, session.settings.mirror) == (Gains(0.5, 0.5, 0.5), True)
    client.update_session("one", SessionSettings(framing=CHOSEN.framing), ["framing.kind", "framing.y"])
    assert session.settings.framing == Framing(FramingKind.WIDE, y=0.125)
    (stage.root / "room.png").write_bytes(photo())
    image = Background(BackgroundKind.IMAGE, image=Path("room.png"))
    naming(stage.server.socket).update_session("one", SessionSettings(background=image), ["background"])
    assert session.settings.background.image == stage.root / "room.png"
    client.update_session("one", SessionSettings(), ["badge"])
    assert session.settings.background.image == stage.root / "room.png"
    for kind in (BackgroundKind.REMOVE, BackgroundKind.BLUR, BackgroundKind.KEEP):
        client.update_session("one", SessionSettings(background=Background(kind)), ["background"])
        assert session.settings.background == Background(kind)


def test_an_update_names_its_fields(stage: Stage, client: Client):
    one = stage.session()
    before = one.settings
    assert client.update(one.id, mirror=True, gains=Gains(head=0.5)).settings.gains == Gains(head=0.5)
    assert one.settings == replace(before, mirror=True, gains=Gains(head=0.5))
    with pytest.raises(TypeError, match="mirrored"):
        client.update(one.id, mirrored=True)


def test_updates_at_once_lose_nothing(stage: Stage, client: Client):
    session = stage.session()
    slow = session.update

    def update(settings: SessionSettings) -> None:
        time.sleep(0.01)
        slow(settings)

    session.update = update
    fields = ["mirror", "mirror_preview", "hidden", "paused", "on_demand"]
    wanted = SessionSettings(mirror=True, mirror_preview=True, hidden=True, paused=True, on_demand=True)
    threads = [
        threading.Thread(target=client.update_session, args=("one", wanted, [field])) for field in fields
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(getattr(session.settings, field) for field in fields)


@pytest.mark.parametrize(
    ("settings", "fields", "field"),
    [
        (SessionSettings(gains=Gains(head=9.0)), ["gains"], "gains.head"),
        (SessionSettings(gains=Gains(gaze=float("nan"))), ["gains.gaze"], "gains.gaze"),
        (SessionSettings(badge="x" * 41), ["badge"], "badge"),
        (SessionSettings(source="http://example.org/a.mp4"), ["source"], "source"),
        (SessionSettings(source="/etc/passwd"), ["source"], "source"),
        (SessionSettings(source="camera:/etc/passwd"), ["source"], "source"),
        (SessionSettings(source="concat:a|b"), ["source"], "source"),
        (SessionSettings(background=Background(BackgroundKind.IMAGE)), ["background"], "background.image"),
        (SessionSettings(framing=Framing(zoom=0.4)), ["framing"], "framing.zoom"),
        (SessionSettings(framing=Framing(x=float("nan"))), ["framing"], "framing.x"),
        (
            SessionSettings(background=Background(BackgroundKind.IMAGE, image=Path("/etc/passwd"))),
            ["background"],
            "background.image",
        ),
        (SessionSettings(portraits=("Not an id",)), ["portraits", "selected"], "portraits[0]"),
        (SessionSettings(output=Output(camera="/dev/sda")), ["output"], "output.camera"),
        (SessionSettings(output=Output(size=(800, 600))), ["output"], "output"),
        (SessionSettings(), ["nonsense"], "update_mask"),
        (SessionSettings(refine="huge"), ["refine"], "refine"),
    ],
)
def test_an_update_refused_names_its_field(stage: Stage, settings, fields, field):
    before = stage.session().settings
    with pytest.raises(SettingRefused) as refused:
        naming(stage.server.socket).update_session("one", settings, fields)
    assert refused.value.field == field
    assert str(refused.value).count(field) == 1
    assert stage.sessions.kept["one"].settings == before


def test_portraits_are_selected_in_rounds(stage: Stage, client: Client):
    session = stage.session()
    shown = []
    for target in ("next", "next", "next", "previous", 2, "ada"):
        assert client.select_portrait("one", target).settings.selected == session.settings.selected
        shown.append(session.settings.selected)
    assert shown == ["bob", "cy", "ada", "cy", "bob", "ada"]
    for target, field in ((0, "index"), (4, "index"), ("dora", "portrait_id"), ("", "portrait_id")):
        with pytest.raises(SettingRefused) as refused:
            client.select_portrait("one", target)
        assert refused.value.field == field
    stage.sessions.create(SessionSettings(), "empty")
    with pytest.raises(SettingRefused, match="has no portraits"):
        client.select_portrait("empty", "next")


def test_a_session_is_hidden_paused_and_calibrated(stage: Stage, client: Client):
    session = stage.session()
    assert client.hide("one").settings.hidden
    assert not client.hide("one", False).settings.hidden
    assert client.pause("one").settings.paused
    assert not client.pause("one", False).settings.paused
    client.calibrate("one")
    assert session.calibrated == 1
    client.update_session("one", SessionSettings(source="none"), ["source"])
    with pytest.raises(ResourceUnready, match="Nothing drives"):
        client.calibrate("one")


def test_a_missing_session_is_missing_everywhere(stage: Stage, client: Client):
    calls = [
        lambda: client.get_session("none"),
        lambda: client.update_session("none", SessionSettings(), ["badge"]),
        lambda: client.delete_session("none"),
        lambda: client.select_portrait("none", 1),
        lambda: client.calibrate("none"),
        lambda: client.hide("none"),
        lambda: client.pause("none"),
        lambda: next(client.watch("none")),
        lambda: next(client.preview("none")),
        lambda: client.drive("none", [MotionNumbers()]),
        lambda: next(client.record("none", "a.mp4")),
    ]
    for call in calls:
        with pytest.raises(ResourceMissing, match=r"There is no session none\. List them\.") as missing:
            call()
        assert (missing.value.kind, missing.value.name) == ("session", "none")
    with pytest.raises(ResourceMissing, match="no portrait dora"):
        client.create_session(SessionSettings(portraits=("dora",)))
    stage.session("one")
    with pytest.raises(ResourceExists):
        client.create_session(SessionSettings(), "one")


def test_devices(client: Client):
    webcam, virtual = client.list_devices()
    assert (webcam.spec, webcam.kind, webcam.permitted) == ("/dev/video0", "driving", True)
    assert (virtual.kind, virtual.permitted, virtual.trouble) == ("virtual", False, "no permission")


# -- the way to it -----------------------------------------------------------------------------------------


def test_nobody_there(tmp_path: Path):
    with Client.connect(tmp_path / "none.sock") as client:
        with pytest.raises(DaemonUnreachable, match=r"none\.sock\. Start one: streamfx serve\."):
            client.list_sessions()
        with pytest.raises(DaemonUnreachable):
            next(client.watch("one"))


def test_a_slow_daemon_times_out(stage: Stage):
    stage.sessions.delay_s = 1.0
    with (
        Client.connect(stage.server.socket, timeout_s=0.2) as client,
        pytest.raises(CallTimedOut, match="in time"),
    ):
        client.create_session(SessionSettings())


def test_what_nobody_foresaw_tells_nothing(stage: Stage, client: Client, caplog: pytest.LogCaptureFixture):
    stage.session().fault = ZeroDivisionError("secret particulars")
    with pytest.raises(DaemonFailed) as failed:
        client.get_session("one")
    assert "secret" not in repr(failed.value.__cause__)
    assert "secret particulars" in caplog.text
    assert client.list_devices()


@pytest.mark.parametrize("address", ["nowhere", "host:", ":", "host:port"])
def test_no_address(address: str):
    with pytest.raises(UsageError, match="no address"):
        Client.connect(address)


def test_a_socket_takes_no_token(stage: Stage):
    with pytest.raises(UsageError, match="takes no token"):
        Client.connect(stage.server.socket, token="x" * 40)


# -- asyncio -------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_same_by_asyncio(stage: Stage):
    (stage.root / "me.png").write_bytes(photo())

    async def use() -> None:
        async with AsyncClient.connect(stage.server.socket) as client:
            await _portraits(client, stage)
            await _sessions(client, stage)
            await _streams(client, stage)

    asyncio.run(use())


async def _portraits(client: AsyncClient, stage: Stage) -> None:
    assert (await client.create_portrait(stage.root / "me.png", id="ada")).id == "ada"
    assert (await client.rename_portrait("ada", "Ada")).name == "Ada"
    assert await client.get_portrait("ada") == (await client.list_portraits())[0]
    assert (await client.thumbnail("ada"))[:2] == b"\xff\xd8"
    with pytest.raises(ResourceMissing):
        await client.delete_portrait("bob")
    assert len(await client.list_devices()) == 2


async def _sessions(client: AsyncClient, stage: Stage) -> None:
    await client.create_session(SessionSettings(source="remote", portraits=("ada",)), "one")
    assert (await client.select_portrait("one", "next")).settings.selected == "ada"
    assert (await client.hide("one")).settings.hidden
    assert (await client.pause("one", False)).settings.paused is False
    await client.update_session("one", SessionSettings(badge="hi"), ["badge"])
    await client.calibrate("one")
    assert (await client.get_session("one")).settings.badge == "hi"
    assert [one.id for one in await client.list_sessions()] == ["one"]
    assert stage.sessions.kept["one"].calibrated == 1


async def _streams(client: AsyncClient, stage: Stage) -> None:
    session = stage.sessions.kept["one"]
    async for status in client.watch("one"):
        assert status == session.status()
        break

    async def motions():
        yield MotionNumbers()
        yield MotionNumbers(scale=2)

    assert await client.drive("one", motions()) == 2
    progress = [one async for one in client.record("one", stage.root / "a.mp4", 0.2)]
    assert progress[-1].finished
    pictures = client.preview("one")
    picture = asyncio.ensure_future(anext(pictures))
    while not session.previews:
        await asyncio.sleep(0.01)
    session.publish()
    assert (await picture).seq == 0
    await pictures.aclose()
    await client.delete_session("one")
    with pytest.raises(ResourceMissing):
        await client.get_session("one")


BARE = """
import json, os, sys
variables, before = dict(os.environ), set(sys.modules)
import streamfx.client
imported = sorted({one.partition(".")[0] for one in {*sys.modules} - before})
print(json.dumps([imported, variables == dict(os.environ)]))
"""


def test_a_client_imports_nothing_heavy_and_leaves_its_program_alone():
    done = subprocess.run([sys.executable, "-I", "-c", BARE], capture_output=True, check=True)
    imported, is_untouched = json.loads(done.stdout)
    heavy = {"numpy", "cv2", "numba", "mediapipe", "openvino", "torch", "av", "PIL", "openvino_telemetry"}
    assert {"grpc", "streamfx"} <= set(imported)
    assert heavy.isdisjoint(imported)
    assert is_untouched
