"""What a session is asked to do. A value: to change a session, another one is given to it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import Any, Final

from streamfx.errors import SettingRefused, UsageError
from streamfx.settings.framing import SHIFTS, ZOOMS, Framing
from streamfx.settings.notation import colour, nearest, path_of, shown
from streamfx.settings.source import SourceSpec

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
    """How strongly the driver is followed, within GAINS; 1 is faithful."""

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
    """`auto`, `none`, `remote`, `demo`, a camera (/dev/video0, camera:NAME, 0), another program's pictures
    (feed:NAME), a video file or a motion template (SourceSpec.parse); files are played in rounds."""
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


Value = Any
"""Of one setting: a str, bool, int or float, a tuple of str, a BackgroundKind or a FramingKind."""


def flat(settings: SessionSettings) -> dict[str, Value]:
    """All settings by their dotted names (`gains.head`): what JSON, a settings file and the API hold."""
    return dict(_leaves(settings, ""))


def changed(settings: SessionSettings, values: Mapping[str, object]) -> SessionSettings:
    """The settings with those that `values` names, by their dotted names; each of the right type.

    Their limits are for `check`.

    Raises:
        SettingRefused: there is no such setting, or the value is of another type.
    """
    values_now = flat(settings)
    for name, value in values.items():
        if name not in values_now:
            remedy = f"Known are {', '.join(values_now)}"
            raise SettingRefused(shown(name), "there is no such setting", remedy)
        values_now[name] = typed(name, value, type(values_now[name]))
    colour_now = values_now["background.colour"]
    if not _COLOUR.fullmatch(colour_now):
        values_now["background.colour"] = _as_css("background.colour", colour_now)
    made: SessionSettings = _made(settings, values_now, "")
    return made


def _leaves(value: Value, prefix: str) -> Iterator[tuple[str, Value]]:
    for one in fields(value):
        inner, name = getattr(value, one.name), f"{prefix}{one.name}"
        if is_dataclass(inner):
            yield from _leaves(inner, f"{name}.")
        elif one.name == "size":
            yield from ((f"{prefix}width", inner[0]), (f"{prefix}height", inner[1]))
        else:
            yield name, str(inner or "") if one.name == "image" else inner


def _made(value: Value, values: Mapping[str, Value], prefix: str) -> Value:
    """A value like another, of what `_leaves` gives."""
    made = {}
    for one in fields(value):
        inner, name = getattr(value, one.name), f"{prefix}{one.name}"
        if is_dataclass(inner):
            made[one.name] = _made(inner, values, f"{name}.")
        elif one.name == "size":
            made[one.name] = (values[f"{prefix}width"], values[f"{prefix}height"])
        elif one.name == "image":
            made[one.name] = Path(values[name]) if values[name] else None
        else:
            made[one.name] = values[name]
    return type(value)(**made)


def typed(name: str, value: object, kind: type) -> Value:
    """A value as a setting of that type holds it: of str, bool, int, float, tuple (of str) or a StrEnum.

    Raises:
        SettingRefused: it is of another type.
    """
    if issubclass(kind, StrEnum):
        if not isinstance(value, str) or value not in list(kind):
            raise SettingRefused(name, f"it is {shown(repr(value))}", f"Use {', '.join(kind)}")
        return kind(value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise SettingRefused(name, "out of range", "Use a smaller number") from error
    if kind is tuple:
        if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise SettingRefused(name, "it is no list of texts", 'Write it as ["one", "two"]')
    if type(value) is not kind:
        raise SettingRefused(name, f"it is {shown(repr(value))}", f"It must be of type {kind.__name__}")
    return value


def _as_css(name: str, text: str) -> str:
    try:
        return colour(text)
    except UsageError as error:
        raise SettingRefused(name, error.cause, error.remedy) from error


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


def source_named(text: str) -> SourceSpec:
    """What a source is, by its text.

    Raises:
        SettingRefused: it is no name of a feed, and begins as one.
    """
    try:
        return SourceSpec.parse(text)
    except UsageError as error:
        raise SettingRefused("source", error.cause, error.remedy) from error


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
    source_named(source)


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
