"""Text in pictures: every script that a font has; what none has is refused by name wherever text is taken."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import features
from scenes import MOTION, photo

from streamfx import config, text
from streamfx.__main__ import main
from streamfx.errors import SettingRefused, UsageError
from streamfx.settings.daemon import parse_config
from streamfx.settings.session import SessionSettings, check
from streamfx.text import check_text, drawn, write

CHINESE = "en ligne 你好"
WIDE = 10_000


@pytest.fixture
def fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fontconfig that tells of no font; what it prints is in the file."""
    told = tmp_path / "fonts"
    told.touch()
    program = tmp_path / "bin" / "fc-match"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat {told}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    for cached in (text._face, text._system_faces):
        cached.cache_clear()
    yield told
    for cached in (text._face, text._system_faces):
        cached.cache_clear()


@pytest.mark.usefixtures("fonts")
@pytest.mark.parametrize(
    "word",
    ["Éloïse, en ligne", "Ελένη, Καλημέρα", "Ёлка, в эфире", "Việt Nam", "Հայաստան", "საქართველო", "♥ ✓ €"],
)
def test_each_letter_is_drawn_as_itself(word: str):
    check_text(word)
    letters = sorted(set(word) - {" ", ","})
    assert len({drawn(one, 40, WIDE)[0].tobytes() for one in letters}) == len(letters), "two look the same"
    assert np.array_equal(*(drawn(unicodedata.normalize(form, word), 20, WIDE)[0] for form in ("NFC", "NFD")))


@pytest.mark.skipif(not features.check("raqm"), reason="Pillow without Raqm or FriBidi")
def test_scripts_are_written_in_their_own_direction_and_marks_stand_on_their_letters():
    alef, both = drawn("א", 40, WIDE)[0], drawn("אi", 40, WIDE)[0]
    assert np.array_equal(both[:, -alef.shape[1] + 1 :].max(1), alef[:, 1:].max(1)), "alef is on the right"
    joined, apart = (drawn(letters, 40, WIDE)[0].shape[1] for letters in ("سلام", "س ل ا م"))
    assert joined < 0.8 * apart, "Arabic letters join"
    bare, marked = drawn("x", 40, WIDE)[0], drawn("x\u0302", 40, WIDE)[0]
    assert marked.sum() > bare.sum()
    assert abs(marked.shape[1] - bare.shape[1]) <= 2, "the mark takes no place of its own"


def test_without_raqm_right_to_left_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(features, "check", lambda _: False)
    check_text("Éloïse")
    with pytest.raises(UsageError, match="right to left, which needs FriBidi"):
        check_text("שלום")


@pytest.mark.usefixtures("fonts")
def test_a_missing_character_is_named_wherever_text_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    named = r"你 \(U\+4F60\) is not in the font, nor is 好 \(U\+597D\)"
    with pytest.raises(SettingRefused, match=f"badge: {named}"):
        check(SessionSettings(badge=CHINESE))
    with pytest.raises(SettingRefused, match=f"badge: {named}"):
        parse_config(f'[session]\nbadge = "{CHINESE}"')
    film, sheet = tmp_path / "film.mp4", tmp_path / "sheet.png"
    order = ["render", str(photo()), str(MOTION), "-o", str(film), "--sheet", str(sheet), "--title", CHINESE]
    assert main(order) == 2
    assert "你 (U+4F60) is not in the font" in capsys.readouterr().err
    assert not film.exists()
    assert not sheet.exists()
    assert main(["live", "--portrait", str(photo()), "--badge", CHINESE]) == 2
    assert "你 (U+4F60) is not in the font" in capsys.readouterr().err


def test_a_font_of_the_system_draws_what_ours_has_not(fonts: Path):
    fonts.write_text(f"/no/such.ttf|0|0-ffff\n{config.font_file()}|0|20-7e 4f60 597d\n")
    check_text(CHINESE)
    with pytest.raises(UsageError, match=r"ह \(U\+0939\)"):
        check_text("है")
    text._face.cache_clear()
    text._system_faces.cache_clear()
    fonts.write_text("/no/such.ttf|0|0-ffff\n")
    with pytest.raises(UsageError, match="U\\+4F60"):
        check_text(CHINESE)


def test_text_stays_inside_the_picture():
    picture = np.zeros((40, 100, 3), np.uint8)
    write(picture, "a line that is far too long for this" * 3, (90, 45), 30, (255, 255, 255))
    write(picture, "x" * 300, (0, 20), 12, (255, 255, 255))
    write(picture, "\udcff\x1b", (0, 5), 12, (255, 255, 255))
    assert picture.any()
    assert drawn("x" * 300, 20, 100)[0].shape[1] <= 100


def test_persian_may_keep_its_letters_apart():
    check(SessionSettings(badge="می\u200cخواهم"))
    with pytest.raises(SettingRefused, match="printable"):
        check(SessionSettings(badge="a\u202eb"))
