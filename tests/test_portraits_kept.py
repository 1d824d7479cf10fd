"""The portraits that the daemon keeps on disk, each looked at by a process of its own."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_stage import children_of, until
from scenes import photo, store

from streamfx.errors import GivenUp, PhotoUnreadable, PhotoUnsuitable, ResourceMissing, SettingRefused
from streamfx.session.portraits import Portraits
from streamfx.session.sessions import Sessions
from streamfx.settings.session import Output, SessionSettings

SIZE = (320, 240)
OUTPUT = Output("none", SIZE, 30.0)


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Portraits:
    store()
    known = Portraits(tmp_path_factory.mktemp("portraits") / "kept", SIZE)
    known.add(photo(), id="astro", name="Astronaut")
    return known


def test_they_are_kept_and_found_again(portraits: Portraits, tmp_path: Path):
    again = Portraits(portraits._folder, SIZE)
    assert [one.id for one in again.list()] == ["astro"]
    info = again.get("astro")
    assert (info.name, info.size) == ("Astronaut", (512, 512))
    assert any("small" in finding or "px tall" in finding for finding in info.findings)
    jpeg = cv2.imdecode(np.frombuffer(again.thumbnail("astro"), np.uint8), cv2.IMREAD_COLOR)
    assert max(jpeg.shape) == 256


def test_a_session_with_nothing_to_show_takes_the_first_that_is_added(tmp_path: Path):
    own = Portraits(tmp_path / "own", SIZE)
    made = Sessions(own)
    try:
        empty = made.create(SessionSettings(OUTPUT, "none"))
        own.add(photo(), id="first")
        assert empty.settings.shown() == "first"
        until(lambda: not empty.status().readying)
        own.add(photo(), id="second")
        assert empty.settings.portraits == ("first",)
    finally:
        made.close()


def test_what_is_no_portrait_is_refused_and_leaves_nothing(tmp_path: Path):
    portraits = Portraits(tmp_path / "own", SIZE)
    noise = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8))[1]
    with pytest.raises(PhotoUnsuitable, match="face"):
        portraits.add(noise.tobytes(), name="noise")
    for data in (b"no photo", b"", b"\x89PNG\r\n\x1a\n" + b"\0" * 100):
        with pytest.raises(PhotoUnreadable):
            portraits.add(data, name="broken")
    with pytest.raises(SettingRefused):
        portraits.add(photo(), id="Not An Id")
    assert list((tmp_path / "own").iterdir()) == []


def test_a_photo_that_was_given_up_keeps_nobody_waiting_and_leaves_nothing(tmp_path: Path):
    """Neither the one that is looked at, nor another that waits for its turn."""
    portraits, given_up = Portraits(tmp_path / "own", SIZE), threading.Event()
    with ThreadPoolExecutor() as pool:
        adding = [pool.submit(portraits.add, photo(), given_up=given_up) for _ in range(2)]
        until(lambda: len(children_of(os.getpid())) == 1)
        given_up.set()
        for one in adding:
            with pytest.raises(GivenUp):
                one.result()
    assert children_of(os.getpid()) == []
    assert list((tmp_path / "own").iterdir()) == []


def test_they_are_renamed_and_removed(tmp_path: Path):
    portraits = Portraits(tmp_path / "own", SIZE)
    info = portraits.add(photo().read_bytes(), name="Zoë")
    assert portraits.rename(info.id, "Anna").name == "Anna"
    with pytest.raises(SettingRefused):
        portraits.rename(info.id, "a\nb")
    assert Portraits(tmp_path / "own", SIZE).get(info.id).name == "Anna"
    portraits.remove(info.id)
    assert list((tmp_path / "own").iterdir()) == []
    with pytest.raises(ResourceMissing):
        portraits.get(info.id)
