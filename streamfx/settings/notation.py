"""How people write colours, sizes and paths: one reading for command line, settings file and API."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from streamfx.errors import UsageError

LINES: Final = {
    "360p": (640, 360),
    "480p": (854, 480),
    "540p": (960, 540),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "2160p": (3840, 2160),
}
"""Sizes by their lines, 16:9, as players name them: (width, height) px."""

_LONGEST: Final = 60
_SIZE: Final = re.compile(r"([0-9]{1,5})\s*[x×]\s*([0-9]{1,5})", re.IGNORECASE)
_WRITE_SIZE: Final = "Write it as 640x480, or as 720p"
_WRITE_COLOUR: Final = "Write it as #00b140, or by its CSS name, as green"


def frame_size(text: str) -> tuple[int, int]:
    """(width, height) px of `640x480`, `640×480` or `720p`.

    Raises:
        UsageError: it is none of these.
    """
    plain = text.strip().lower()
    if found := _SIZE.fullmatch(plain):
        return int(found[1]), int(found[2])
    if plain in LINES:
        return LINES[plain]
    known = f"; known are {', '.join(LINES)}" if plain.removesuffix("p").isdecimal() else ""
    raise UsageError(f"{text[:40]!r} is no size", _WRITE_SIZE + known)


def shown(text: str) -> str:
    """What a person wrote, inside a message of one line."""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return short if short.isprintable() else repr(short)


def path_of(text: str) -> Path:
    """The path, from `~` too, whatever lies there.

    Raises:
        UsageError: it names the home of no account, or holds what no path can.
    """
    try:
        path = Path(text).expanduser()
        path.resolve()
    except FileNotFoundError as error:
        cause = f"{text[:40]!r} is named from the current folder, which is gone"
        raise UsageError(cause, "Write the whole path") from error
    except (OSError, ValueError, RuntimeError) as error:  # a NUL; a loop of links; no such account
        raise UsageError(f"{text[:40]!r} is no path: {error}", "Write the whole path") from error
    return path


def colour(text: str) -> str:
    """`#rrggbb` of a colour as CSS writes it: `#00b140`, `#0b4`, `green`, `rgb(0, 177, 64)`.

    Raises:
        UsageError: it is none, or one that is partly transparent.
    """
    from PIL import ImageColor  # Pillow is not needed to say what a command takes

    try:
        red, green, blue, *alpha = ImageColor.getrgb(text.strip())
    except ValueError as error:
        near = nearest(text.strip().lower(), ImageColor.colormap)
        raise UsageError(f"{text[:40]!r} is no colour", near or _WRITE_COLOUR) from error
    if max(red, green, blue) > _MOST:
        raise UsageError(f"{text[:40]!r} is no colour: {max(red, green, blue)} is beyond 255", _WRITE_COLOUR)
    if alpha and alpha[0] != _MOST:
        raise UsageError(f"{text[:40]!r} is partly transparent", "Name a colour without transparency")
    return f"#{red:02x}{green:02x}{blue:02x}"


def nearest(word: str, known: Iterable[str]) -> str:
    """`Did you mean green?`; empty where no known word is near."""
    found = get_close_matches(word, list(known), n=1, cutoff=_NEAR)
    return f"Did you mean {found[0]}?" if found else ""


_MOST: Final = 255
_NEAR: Final = 0.7
"""difflib's ratio: one wrong, missing or swapped letter in four."""
