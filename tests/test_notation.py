"""Colours and sizes as people write them, and where they are taken: one reading everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamfx.cli import build_parser
from streamfx.errors import SettingRefused, UsageError
from streamfx.settings.daemon import parse_config
from streamfx.settings.framing import Framing, FramingKind
from streamfx.settings.notation import colour, frame_size
from streamfx.settings.session import (
    Background,
    BackgroundKind,
    Gains,
    Output,
    SessionSettings,
    background_named,
    changed,
    flat,
)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("#00b140", "#00b140"),
        ("#0B4", "#00bb44"),
        ("green", "#008000"),
        ("GREEN", "#008000"),
        ("rgb(0, 177, 64)", "#00b140"),
        ("hsl(120, 100%, 50%)", "#00ff00"),
        ("#00b140ff", "#00b140"),
    ],
)
def test_colours(written: str, read: str):
    assert colour(written) == read


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("gren", "Did you mean green?"),
        ("#12345", "#00b140"),
        ("#00b14080", "transparen"),
        ("rgb(300, 0, 0)", "300 is beyond 255"),
        ("", "no colour"),
    ],
)
def test_no_colours(written: str, says: str):
    with pytest.raises(UsageError) as refused:
        colour(written)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("640x480", (640, 480)),
        ("1280X720", (1280, 720)),
        ("1280 × 720", (1280, 720)),
        ("480p", (854, 480)),
        ("720p", (1280, 720)),
        ("1080P", (1920, 1080)),
    ],
)
def test_sizes(written: str, read: tuple[int, int]):
    assert frame_size(written) == read
    assert build_parser().parse_args(["render", "a", "b", "-o", "c", "--size", written]).size == read
    assert parse_config(f'[session]\nsize = "{written}"').session.settings.output.size == read


@pytest.mark.parametrize(
    "written", ["", "x", "640", "640x", "-2x4", "6e2x480", "٦٤٠x480", "700p", "640x480x3"]
)
def test_no_sizes(written: str):
    with pytest.raises(UsageError, match="720p"):
        frame_size(written)


def test_a_background_is_a_word_a_colour_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("green", "beach"):
        Path(name).touch()
    assert background_named("blur").kind is BackgroundKind.BLUR
    assert background_named("green").colour == "#008000", "a colour, whatever files there are"
    assert background_named("./green").image == tmp_path / "green"
    assert background_named("beach").image == tmp_path / "beach"
    assert background_named("no-such.png").image == tmp_path / "no-such.png"
    with pytest.raises(SettingRefused, match=r"no colour and no file. Did you mean blur\?"):
        background_named("blurr")


def test_settings_go_through_json_whole_and_each_value_has_its_type():
    """As they go to a worker: by their dotted names, which are those of the API's field masks."""
    settings = SessionSettings(
        output=Output("none", (1280, 720), 25.0),
        source="feed:obs",
        portraits=("me", "you"),
        gains=Gains(0.5, 1.0, 1.5),
        background=Background(BackgroundKind.IMAGE, image=Path("/a/beach.png")),
        framing=Framing(FramingKind.CLOSE, 2.0, 0.1, -0.1),
        badge="me",
        on_demand=True,
    )
    assert changed(SessionSettings(), json.loads(json.dumps(flat(settings)))) == settings
    assert changed(settings, {"background.image": "", "gains.head": 1}).gains.head == 1.0
    for name, value in {
        "mirror": 1,
        "gains.head": "1",
        "framing.kind": "near",
        "portraits": "me",
        "x": 0,
    }.items():
        with pytest.raises(SettingRefused, match=name):
            changed(settings, {name: value})
