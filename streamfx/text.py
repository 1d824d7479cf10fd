"""Text in pictures: the one place that draws it, with the font that ships or one of the system's.

Raqm (in Pillow's wheels, with the system's FriBidi) puts marks in place and writes from right to left, which
is refused without it.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

from streamfx import config
from streamfx.errors import UsageError
from streamfx.frames import U8
from streamfx.ipc.spawn import NOWHERE, run

JOINERS: Final = "\u200c\u200d"
"""Zero-width (non-)joiners: not printable, but Persian, Hindi and others are not written without them."""

_UNKNOWN: Final = "\U0010ffff"
"""No character, in no font: drawn as any that is missing."""
_LIST: Final = ("fc-match", "--sort", "--format", "%{file}|%{index}|%{charset}\n", "sans-serif")
_LIST_S: Final = 10
_LEAST: Final = 8
"""px: a smaller font cannot be read."""
_TESTED: Final = 16
"""px: the size at which glyphs are compared."""
_KEPT: Final = 64
"""Texts and fonts that are remembered."""
_TOLD: Final = 3
"""Missing characters that are named after the first."""


@dataclass(frozen=True, slots=True)
class _Face:
    """One font of a file."""

    file: str
    index: int = 0

    def has(self, character: str) -> bool:
        """Whether it draws a character."""
        return character.isspace() or _glyph(self, character) != _glyph(self, _UNKNOWN)


_OURS: Final = _Face(str(config.font_file()))


def check_text(text: str) -> None:
    """Refuse what cannot be drawn.

    Raises:
        UsageError: a character that no font at hand has, by its name; right to left without Raqm.
    """
    composed = _composed(text)
    if _face(composed) is None:
        first, *more = dict.fromkeys(f"{one} (U+{ord(one):04X})" for one in composed if not _OURS.has(one))
        cause = f"{first} is not in the font" + (f", nor is {' or '.join(more[:_TOLD])}" if more else "")
        raise UsageError(cause, f"Leave it out, or install a font that has all of {text!r}")
    if not features.check("raqm") and any(unicodedata.bidirectional(one) in ("R", "AL") for one in composed):
        cause = f"{text!r} is written from right to left, which needs FriBidi"
        raise UsageError(cause, "Install it (Debian, Ubuntu: apt install libfribidi0)")


def drawn(text: str, px: int, room: int) -> tuple[U8, int]:
    """How much of each pixel a line of text covers.

    Args:
        text: as `check_text` takes it; a character that is missing shows as a box.
        px: of the font; less where the text is too long for `room`, then it ends in an ellipsis.
        room: px, the most it may be wide.

    Returns:
        u8 [h,w], and the row of the baseline in it.
    """
    composed = _composed(text)
    face = _face(composed) or _OURS
    font = _font(face, max(_LEAST, px))
    if font.getlength(composed) > room:
        font = _font(face, max(_LEAST, int(px * room / font.getlength(composed))))
    while len(composed) > 1 and font.getlength(composed) > room:
        composed = composed[:-2] + "…"
    left, top, right, bottom = (int(side) for side in font.getbbox(composed, anchor="ls"))
    ascent, descent = font.getmetrics()
    top, bottom = min(top, -ascent), max(bottom, descent)
    image = Image.new("L", (max(1, right - min(0, left)), bottom - top))
    ImageDraw.Draw(image).text((-min(0, left), -top), composed, font=font, fill=255, anchor="ls")
    return np.asarray(image), -top


def write(picture: U8, text: str, at: tuple[int, int], px: int, colour: tuple[int, int, int]) -> None:
    """Draw a line of text into a picture, in place; what does not fit is left out.

    Args:
        picture: u8 [H,W,3].
        text: one line.
        at: px, where the line begins: left, baseline.
        px: of the font.
        colour: RGB.
    """
    left, baseline = at
    covers, rise = drawn(text, px, picture.shape[1] - left)
    top = max(0, baseline - rise)
    region = picture[top : top + covers.shape[0], left : left + covers.shape[1]]
    share = covers[: region.shape[0], : region.shape[1], None].astype(np.float32) / 255
    region[:] = np.rint(region * (1 - share) + np.array(colour, np.float32) * share).astype(np.uint8)


def _composed(text: str) -> str:
    """Accents joined to their letters, where there is a character for both: marks alone need Raqm.

    What is no character (in a file's name) is a question mark.
    """
    return "".join(
        one if one.isprintable() or one in JOINERS else "?" for one in unicodedata.normalize("NFC", text)
    )


@lru_cache(_KEPT)
def _face(text: str) -> _Face | None:
    """The font that draws all of a text; None without any."""
    if all(_OURS.has(one) for one in text):
        return _OURS
    wanted = {ord(one) for one in text if not one.isspace()}
    for face, known in _system_faces():
        if all(any(one in span for span in known) for one in wanted) and _opens(face):
            return face
    return None


@cache
def _system_faces() -> tuple[tuple[_Face, tuple[range, ...]], ...]:
    """The system's fonts, the likeliest first, and what each has; none where nothing tells (fontconfig)."""
    try:
        code, told, _ = run(_LIST, limit_s=_LIST_S, stderr=NOWHERE)
    except OSError:
        return ()
    listed = told.decode("utf-8", "replace").splitlines() if code == 0 else []
    lines = (line.rsplit("|", 2) for line in listed)
    return tuple((_Face(file, int(index)), _spans(known)) for file, index, known in lines)


def _spans(charset: str) -> tuple[range, ...]:
    """`20-7e a0` as fontconfig writes it."""
    pairs = (span.partition("-") for span in charset.split())
    return tuple(range(int(low, 16), int(high or low, 16) + 1) for low, _, high in pairs)


def _opens(face: _Face) -> bool:
    """Not of pictures alone, of fixed sizes; and as readable as fontconfig found it."""
    try:
        _font(face, _TESTED)
    except (OSError, ValueError):
        return False
    return os.path.isfile(face.file)


@lru_cache(_KEPT)
def _font(face: _Face, px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(face.file, px, face.index)


@cache
def _plain_font(face: _Face) -> ImageFont.FreeTypeFont:
    """One glyph for each character: nothing is shaped."""
    return ImageFont.truetype(face.file, _TESTED, face.index, layout_engine=ImageFont.Layout.BASIC)


def _glyph(face: _Face, character: str) -> tuple[tuple[int, int], bytes]:
    mask = _plain_font(face).getmask(character)
    return mask.size, bytes(mask)
