"""What a session is asked to do. A value: to change a session, another one is given to it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import Final

from streamfx.devices import camera_device
from streamfx.errors import SettingRefused, UsageError
from streamfx.feeds import feed_name, is_feed
from streamfx.settings.framing import SHIFTS, ZOOMS, Framing
from streamfx.settings.notation import colour, nearest, path_of, shown

SIDES: Final = (64, 1920)
"""px: smallest and largest side of a live picture."""
RATES: Final = (5.0, 60.0)
"""Frames per second."""
GAINS: Final = (0.0, 1.5)
MOST_PORTRAITS: Final = 9
"""In one session: each is kept loaded, so that a switch takes one frame."""
LONGEST_BADGE: Final = 40
"""Characters."""
REMOTE: Final = "remote"
"""Source: motions that a client streams (DriveSession)."""
DEMO: Final = "demo"
"""Source: the motion template that ships with streamfx, in rounds."""
NOTHING: Final = "none"
"""Camera: none, only previews, recordings and the ring. Source: nothing drives, the portrait idles."""
CUDA: Final = "cuda"
"""Device: an NVIDIA card."""
AUTO: Final = "auto"
"""Camera: the best at hand. Source: the first real camera."""

ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
"""Of portraits and sessions."""

_WORDS: Final = {
    "refine": ("lite", "paper", "off"),
    "mouth": ("lite", "paper", "procedural"),
    "device": ("cpu", CUDA),
}
_BACKGROUND_WORDS: Final = ("keep", "blur", "remove")
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")


class BackgroundKind(StrEnum):
    """What is seen behind the person."""

    KEEP = "keep"
    """The photo's own."""
    BLUR = "blur"
    """The photo's own, out of focus."""
    COLOUR = "colour"
    IMAGE = "image"
    """A picture, cut to fill the frame."""
    REMOVE = "remove"
    """Nothing: readers of the ring get alpha; cameras, previews and recordings, which know none, black."""


@dataclass(frozen=True, slots=True)
class Background:
    """What is seen behind the person, and its particulars."""

    kind: BackgroundKind = BackgroundKind.KEEP
    colour: str = "#00b140"
    """#rrggbb; used by COLOUR."""
    image: Path | None = None
    """Used by IMAGE: a file under an allowed root."""


@dataclass(frozen=True, slots=True)
class Gains:
    """How strongly the driver is followed, 0 to 1.5; 1 is faithful."""

    head: float = 1.0
    expression: float = 1.0
    gaze: float = 1.0


@dataclass(frozen=True, slots=True)
class Output:
    """The picture's form, constant for the life of a session: readers of a camera survive no change of it."""

    camera: str = AUTO
    """AUTO, NOTHING, `pipewire`, or a device as /dev/video10."""
    size: tuple[int, int] = (640, 480)
    """(width, height) px, even."""
    fps: float = 30.0


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Everything about a session that a user may choose."""

    output: Output = field(default_factory=Output)
    source: str = AUTO
    """AUTO, NOTHING, REMOTE, DEMO, a camera (/dev/video0, camera:NAME, 0), another program's pictures
    (feed:NAME, streamfx/feeds.py), a video file or a motion template; files are played in rounds."""
    portraits: tuple[str, ...] = ()
    """Identifiers of the portraits kept loaded, in the order of `next` and `previous`."""
    selected: str = ""
    """The portrait that is shown; empty takes the first."""
    gains: Gains = field(default_factory=Gains)
    background: Background = field(default_factory=Background)
    framing: Framing = field(default_factory=Framing)
    """How much of the photo is shown, and where."""
    mirror: bool = False
    """Whether the published picture is mirrored."""
    mirror_preview: bool = False
    """Whether previews are mirrored, as people know themselves; independent of `mirror`."""
    badge: str = ""
    """A line of text in the picture's corner."""
    hidden: bool = False
    """Show the idle portrait whatever the driver does; tracking goes on."""
    paused: bool = False
    """Close the source (the camera's lamp goes out) and show the idle portrait."""
    on_demand: bool = False
    """Open the source only while somebody looks: a program at the virtual camera, a preview, a recording."""
    refine: str = "lite"
    """`lite`, `paper` or `off`."""
    mouth: str = "lite"
    """`lite`, `paper` or `procedural`."""
    device: str = "cpu"
    """What renders: `cpu`, or `cuda` for an NVIDIA card."""

    def shown(self) -> str:
        """Identifier of the portrait that is shown; empty without any."""
        return self.selected or next(iter(self.portraits), "")


def background_named(text: str) -> Background:
    """`keep`, `blur`, `remove`, a colour as CSS writes it (`green`, `#00b140`), or the path of a picture.

    A word is never a file where it is a colour: `./green` is the file.

    Raises:
        SettingRefused: a word that is none of these.
    """
    if text in _BACKGROUND_WORDS:
        return Background(BackgroundKind(text))
    try:
        path = path_of(text)
    except UsageError as error:
        raise SettingRefused("background", error.cause, error.remedy) from error
    if path.name == text and not path.suffix:
        try:
            return Background(BackgroundKind.COLOUR, colour=colour(text))
        except UsageError as error:
            if not os.path.isfile(path):
                remedy = nearest(text, _BACKGROUND_WORDS) or error.remedy
                raise SettingRefused("background", f"{error.cause} and no file", remedy) from error
    return Background(BackgroundKind.IMAGE, image=path.resolve())


def names_file(source: str) -> bool:
    """Whether a source is a video or a motion template, by a path."""
    if source in (AUTO, NOTHING, REMOTE, DEMO) or is_feed(source):
        return False
    return camera_device(source) is None


def check(settings: SessionSettings) -> None:
    """Refuse what makes no sense.

    Raises:
        SettingRefused: with the setting's name, what it is, and what it may be.
    """
    _check_output(settings.output)
    for name, value in (("head", settings.gains.head), ("expression", settings.gains.expression),
                        ("gaze", settings.gains.gaze)):  # fmt: skip
        _within(f"gains.{name}", value, GAINS)
    for name, value, limits in (("zoom", settings.framing.zoom, ZOOMS), ("x", settings.framing.x, SHIFTS),
                                ("y", settings.framing.y, SHIFTS)):  # fmt: skip
        _within(f"framing.{name}", value, limits)
    for name, allowed in _WORDS.items():
        if getattr(settings, name) not in allowed:
            raise SettingRefused(
                name, f"it is {shown(repr(getattr(settings, name)))}", f"Use {', '.join(allowed)}"
            )
    _check_background(settings.background)
    _check_badge(settings.badge)
    if len(settings.portraits) > MOST_PORTRAITS or len(set(settings.portraits)) != len(settings.portraits):
        raise SettingRefused(
            "portraits", "too many, or one twice", f"Use at most {MOST_PORTRAITS}, each once"
        )
    if settings.selected and settings.selected not in settings.portraits:
        raise SettingRefused(
            "selected", f"{settings.selected!r} is not among portraits", "Add it there first"
        )
    _check_source(settings.source)


def _check_badge(text: str) -> None:
    if not text:
        return
    if len(text) > LONGEST_BADGE:
        raise SettingRefused("badge", f"it has {len(text)} characters", f"Use at most {LONGEST_BADGE}")
    from streamfx.text import JOINERS, check_text  # Pillow: most who make settings draw nothing

    if not all(one.isprintable() or one in JOINERS for one in text):
        raise SettingRefused("badge", "it is not printable", "Use letters, digits, signs and spaces")
    try:
        check_text(text)
    except UsageError as error:
        raise SettingRefused("badge", error.cause, error.remedy) from error


def _check_source(source: str) -> None:
    if not source.isprintable() or not source:
        raise SettingRefused(
            "source", "it is empty or not printable", "Name a camera, a feed, a file, demo, remote or none"
        )
    try:
        feed_name(source)
    except UsageError as error:
        raise SettingRefused("source", error.cause, error.remedy) from error


def _check_output(output: Output) -> None:
    for name, side in zip(("width", "height"), output.size, strict=True):
        _within(f"output.{name}", side, SIDES)
        if side % 2:
            raise SettingRefused(f"output.{name}", f"it is {side}", "It must be even")
    _within("output.fps", output.fps, RATES)
    if not output.camera or not output.camera.isprintable():
        raise SettingRefused(
            "output.camera", "it is empty or not printable", "Use auto, none, pipewire or a device"
        )


def _check_background(background: Background) -> None:
    if not _COLOUR.fullmatch(background.colour):
        raise SettingRefused("background.colour", f"it is {background.colour!r}", "Write it as #00b140")
    if background.kind is BackgroundKind.IMAGE and background.image is None:
        raise SettingRefused("background.image", "it is missing", "Name a picture")


def _within(name: str, value: float, limits: tuple[float, float]) -> None:
    low, high = limits
    if not isfinite(value) or not low <= value <= high:
        raise SettingRefused(name, f"it is {value:g}", f"It must be from {low:g} to {high:g}")
