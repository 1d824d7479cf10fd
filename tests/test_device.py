"""Rendering on a card as users ask for it: refused with figures where it cannot be, live where it can."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from live_stage import FROZEN_MS, Watcher, until
from scenes import photo, store

from streamfx.api.values import State
from streamfx.doctor.card import examine_card
from streamfx.errors import DeviceExhausted, DeviceLost, DeviceUnavailable, LimitReached, SettingRefused
from streamfx.frames import Deformation, Motion, Rig
from streamfx.models.engines import EngineManifest, Engines, Purpose
from streamfx.models.weights import NetworkName
from streamfx.portrait.deform import FAITHFUL
from streamfx.quality import Quality
from streamfx.render.base import Mode, Networks
from streamfx.render.cpu import CpuRenderer
from streamfx.session import cards, sharing
from streamfx.session.portraits import Portraits
from streamfx.session.sessions import Sessions
from streamfx.settings.session import Output, SessionSettings
from streamfx.worker.portrait_pool import PortraitPool
from streamfx.worker.protocol import Card, Loaded, PortraitFile, WorkerConfig
from streamfx.worker.sharing import wire

ROOT = Path(__file__).parents[1]
SIZE = (320, 240)
OUTPUT = Output("none", SIZE, 30.0)
ON_CARD = SessionSettings(OUTPUT, "demo", device="cuda")
HAS_CARD = torch.cuda.is_available()


@pytest.fixture
def sessions(tmp_path: Path, short_folder: Path) -> Iterator[Sessions]:
    portraits = Portraits(tmp_path, SIZE)
    store()
    portraits.add(photo(), id="astro")
    made = Sessions(portraits, runtime=short_folder)
    yield made
    made.close()


# -- refused -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(HAS_CARD, reason="there is a card")
def test_without_a_card_no_session_begins_and_the_remedy_is_named(tmp_path: Path):
    sessions = Sessions(Portraits(tmp_path, SIZE))
    with pytest.raises(DeviceUnavailable, match="CPU") as refused:
        sessions.create(ON_CARD)
    assert refused.value.remedy.endswith("or render on the CPU")
    assert sessions.list() == []


def test_a_full_card_refuses_with_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cards, "look", lambda _: Card("cuda: Acme", 700, 8192))
    sessions = Sessions(Portraits(tmp_path, SIZE))
    with pytest.raises(LimitReached, match="Acme has 700 of 8192 MiB free, and a session takes 1024"):
        sessions.create(ON_CARD)
    assert sessions.list() == []


@pytest.mark.parametrize(
    ("program", "cause"),
    [
        ("print('{')", "broke off"),
        ("print('{\"surprise\": 1}')", "broke off"),
        ("import os; os.abort()", "broke off"),
        ("import time; time.sleep(60)", "no answer in 1 s"),
    ],
)
def test_a_driver_that_fails_is_told_and_never_waited_for(
    program: str, cause: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cards, "_LOOK_S", 1.0)
    with pytest.raises(DeviceUnavailable, match=cause):
        cards.admit("one", command=(sys.executable, "-c", program))


def test_a_session_keeps_its_device(tmp_path: Path):
    sessions = Sessions(Portraits(tmp_path, SIZE))
    try:
        session = sessions.create(SessionSettings(OUTPUT, "none"))
        with pytest.raises(SettingRefused, match="device: it is fixed"):
            session.update(SessionSettings(OUTPUT, "none", device="cuda"))
    finally:
        sessions.close()


@pytest.mark.parametrize(
    ("card", "state", "finding"),
    [
        (
            DeviceUnavailable("No NVIDIA card can be used", "See nvidia-smi"),
            "warn",
            "--device cuda is refused",
        ),
        (Card("cuda: Acme", 700, 8192), "warn", "700 of 8192 MiB free; a session takes 1024"),
        (Card("cuda: Acme", 7000, 8192), "ok", "cuda: Acme, 7000 of 8192 MiB free"),
    ],
)
def test_the_doctor_says_what_a_card_can_do(
    card: Card | DeviceUnavailable, state: str, finding: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cards, "look", Mock(side_effect=[card]))
    found = examine_card()[0]
    assert found.state == state
    assert finding in found.finding
    assert bool(found.remedy) == (state == "warn")


def test_the_doctor_tells_of_engines_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cards, "look", lambda: Card("cuda: Acme", 7000, 8192))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert "networks run in torch" in examine_card()[1].finding
    purpose = Purpose(NetworkName.MOUTH_LITE, "a" * 64, "fp16", "tensorrt-rtx 1.0")
    engines = Engines.default()
    engines.keep(EngineManifest(purpose, ("sm_89",), "", 0.0), b"engine")
    assert examine_card()[1].finding == "mouth-lite.fp16.tensorrt-rtx for sm_89"
    manifest = engines.folder / f"{purpose.stem}.manifest"
    manifest.write_bytes(manifest.read_bytes().replace(b"sm_89", b"sm_86"))
    found = examine_card()[1]
    assert found.state == "warn"
    assert "trt_build build" in found.remedy


def test_without_torch_the_doctor_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("streamfx.doctor.card.find_spec", lambda _: None)
    (found,) = examine_card()
    assert found.state == "ok"
    assert "streamfx[gpu]" in found.finding


# -- faults of the card --------------------------------------------------------------------------------------


class Failing(CpuRenderer):
    """A card that has no room for the network, or breaks."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig)
        self.error: Exception | None = None
        self.everywhere = False

    refines = True

    def warp(self, deformation: Deformation) -> None:
        if self.error and self.everywhere:
            raise self.error
        super().warp(deformation)

    def refine(self, deformation: Deformation) -> None:
        if self.error:
            raise self.error


class Studio:
    def __init__(self) -> None:
        self.made: list[Failing] = []

    def renderer(self, rig: Rig, networks: Networks, mode: Mode = Mode.LAYER) -> Failing:
        del networks, mode
        self.made.append(Failing(rig))
        return self.made[-1]


def test_a_full_card_leaves_the_networks_out_and_takes_them_up_again(monkeypatch: pytest.MonkeyPatch):
    studio, said = Studio(), []
    monkeypatch.setattr("streamfx.worker.portrait_pool.open_device", lambda *_: studio)
    cast = PortraitPool(SIZE, store(), said.append, nullcontext())
    try:
        cast.prepare(
            WorkerConfig(
                SessionSettings(selected="astro", device="cuda"), (PortraitFile("astro", str(photo())),)
            )
        )
        until(lambda: any(isinstance(one, Loaded) for one in said))
        seen = []

        def shown() -> Quality | None:
            picture = cast.animate("astro", Motion.rest(), FAITHFUL, networks=True)
            return picture.quality if picture else None

        (renderer,) = studio.made
        for error, everywhere in (
            (None, False),
            (DeviceExhausted("full"), False),
            (DeviceExhausted("full"), True),
            (None, False),
        ):
            renderer.error, renderer.everywhere = error, everywhere
            seen.append(shown())
        assert seen[0] is seen[3] is not None
        assert seen[1] is not None, "a picture without networks"
        assert seen[2] is None, "no picture, and the next may find room"
        renderer.error = DeviceLost("an illegal memory access")
        with pytest.raises(DeviceLost):  # the worker ends, and another one is started
            shown()
    finally:
        cast.stop()


@pytest.mark.alone
@pytest.mark.skipif(HAS_CARD, reason="there is a card")
def test_a_card_that_is_gone_leaves_the_idle_portrait_and_a_reason(
    sessions: Sessions, short_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """It was there when the session began, and the worker finds none: no new workers, no CPU instead."""
    monkeypatch.setattr(cards, "look", lambda _: Card("cuda: Acme", 8192, 8192))
    session = sessions.create(SessionSettings(OUTPUT, "demo", ("astro",), device="cuda"))
    with Watcher(short_folder / f"{session.id}.ring") as watcher:
        until(lambda: re.search("CUDA|NVIDIA", session.status().trouble), 60)
        before = watcher.seen.pictures
        until(lambda: watcher.seen.pictures > before + 45)
    assert set(watcher.seen.qualities) == {Quality.IDLE}
    assert watcher.seen.worst_gap_ms < FROZEN_MS
    assert session.status().counters.restarts == 0


# -- live ----------------------------------------------------------------------------------------------------


@pytest.fixture
def on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The CPU in the card's place; the folder of the files `fails` and `hangs` (tensor_card.py)."""
    for what in ("fails", "hangs"):
        monkeypatch.setenv(f"STREAMFX_TEST_CARD_{what.upper()}", str(tmp_path / what))
    monkeypatch.setattr(cards, "look", lambda _: Card("cuda: the CPU", 8192, 8192))
    monkeypatch.setattr(sharing, "COMMAND", (sys.executable, str(ROOT / "tests" / "tensor_card.py")))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    return tmp_path


LIVE = SessionSettings(OUTPUT, "demo", ("astro",), refine="lite", mouth="lite", device="cuda")


def drawn(watcher: Watcher, more: int = 20) -> None:
    """Wait for so many more pictures of a driven face; a busy machine may leave the networks out."""

    def pictures() -> int:
        return sum(watcher.seen.qualities.get(one, 0) for one in (Quality.FULL, Quality.WARP_ONLY))

    shown = pictures()
    until(lambda: pictures() > shown + more, 60)


@pytest.mark.alone
@pytest.mark.parametrize("fault", ["fails", "hangs", "is killed"])
def test_a_session_is_drawn_by_torch_and_survives_the_cards_failure(
    sessions: Sessions, short_folder: Path, on_the_cpu: Path, fault: str, monkeypatch: pytest.MonkeyPatch
):
    """The whole way, with the CPU in the card's place."""
    monkeypatch.setattr(wire, "PATIENCE_S", 2.0)
    session = sessions.create(LIVE)
    process = sessions._card
    assert process is not None
    with Watcher(short_folder / f"{session.id}.ring") as watcher:
        until(lambda: session.status().state is State.LIVE, 60)
        drawn(watcher)
        assert not session.status().trouble
        pid = process.pid
        if fault == "is killed":
            os.kill(pid, signal.SIGKILL)
        else:
            (on_the_cpu / fault).touch()
        until(lambda: process.pid not in (0, pid), 30)
        drawn(watcher)
        assert process.restarts == 1
        assert session.status().counters.restarts >= 1
    assert watcher.seen.worst_gap_ms < FROZEN_MS
    assert watcher.seen.leaks == 0


def test_sessions_share_one_process_on_the_card_which_ends_with_the_last(
    sessions: Sessions, short_folder: Path, on_the_cpu: Path
):
    first, second = sessions.create(LIVE), sessions.create(LIVE)
    process = sessions._card
    assert process is not None
    with (
        Watcher(short_folder / f"{first.id}.ring") as one,
        Watcher(short_folder / f"{second.id}.ring") as other,
    ):
        drawn(one)
        drawn(other)
        pid = process.pid
        sessions.delete(first.id)
        drawn(other)
        assert process.pid == pid
    sessions.delete(second.id)
    assert sessions._card is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_worker_that_draws_on_the_card_needs_no_torch(on_the_cpu: Path):
    """It would take 200 MB of memory or more, and a second, in each of them."""
    program = (
        "import sys, streamfx.worker.loop, streamfx.worker.sharing.client; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
