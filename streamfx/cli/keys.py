"""The keys that steer a session while it is shown, the same in `live`'s terminal and in the preview window.

A key makes new settings of the session's settings; whoever heard it gives them to the session (`Steering`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from streamfx.errors import StreamfxError
from streamfx.settings.framing import FramingKind
from streamfx.settings.session import GAINS, BackgroundKind, Gains, SessionSettings

if TYPE_CHECKING:
    from streamfx.client import Client
    from streamfx.session.session import Session

LEFT, RIGHT = "left", "right"
"""Of the arrow keys; every other key is its character."""
_STEP: Final = 0.1


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a key does."""

    said: str
    """For the person who pressed it: one line, or the lines of the help."""
    settings: SessionSettings | None = None
    """What the session is to do from now on; None leaves it as it is."""
    fields: tuple[str, ...] = ()
    """The settings that differ, as field masks name them."""
    calibrates: bool = False
    quits: bool = False


class Steering(Protocol):
    """A session that keys steer."""

    def settings(self) -> SessionSettings:
        """What it is asked to do now."""
        ...

    def change(self, settings: SessionSettings, fields: Sequence[str]) -> None:
        """Do this from now on."""
        ...

    def calibrate(self) -> None:
        """Take what the driver does now for their neutral."""
        ...


def press(key: str, steering: Steering) -> Pressed:
    """Do what a key stands for. What the session refuses is what is said."""
    try:
        found = _meaning(key, steering.settings())
        if found.calibrates:
            steering.calibrate()
        if found.settings is not None:
            steering.change(found.settings, found.fields)
    except StreamfxError as error:
        return Pressed(str(error))
    return found


class HereSteering:
    """A session of this process."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def settings(self) -> SessionSettings:
        return self._session.settings

    def change(self, settings: SessionSettings, fields: Sequence[str]) -> None:
        self._session.update(settings)

    def calibrate(self) -> None:
        self._session.calibrate()


class ClientSteering:
    """A session of a daemon."""

    def __init__(self, client: Client, id: str) -> None:
        self._client, self._id = client, id

    def settings(self) -> SessionSettings:
        return self._client.get_session(self._id).settings

    def change(self, settings: SessionSettings, fields: Sequence[str]) -> None:
        self._client.update_session(self._id, settings, fields)

    def calibrate(self) -> None:
        self._client.calibrate(self._id)


def _meaning(key: str, settings: SessionSettings) -> Pressed:
    key = key.lower()
    action = next((action for action in _ACTIONS if key in action.keys), None)
    return action.meaning(key, settings) if action else Pressed("? shows the keys")


# -- what the keys mean --------------------------------------------------------------------------------------


def _numbered(key: str, settings: SessionSettings) -> Pressed:
    portraits = settings.portraits
    if int(key) > len(portraits):
        return Pressed(f"there is no portrait {key}: this session has {len(portraits)}")
    return _selected(settings, int(key) - 1)


def _stepped(key: str, settings: SessionSettings) -> Pressed:
    portraits = settings.portraits
    if not portraits:
        return Pressed("there is no portrait yet")
    step = 1 if key in ("d", RIGHT) else -1
    return _selected(settings, (portraits.index(settings.shown()) + step) % len(portraits))


def _selected(settings: SessionSettings, place: int) -> Pressed:
    portraits = settings.portraits
    said = f"portrait {place + 1} of {len(portraits)}: {portraits[place]}"
    return Pressed(said, replace(settings, selected=portraits[place]), ("selected",))


def _calibrate(_key: str, _settings: SessionSettings) -> Pressed:
    return Pressed("calibrated: your face as it was just now is neutral", calibrates=True)


def _mirror(_key: str, settings: SessionSettings) -> Pressed:
    on = not settings.mirror
    said = "mirrored: others see the picture as in a mirror" if on else "not mirrored"
    return Pressed(said, replace(settings, mirror=on), ("mirror",))


def _hide(_key: str, settings: SessionSettings) -> Pressed:
    on = not settings.hidden
    said = "hidden: the portrait rests whatever you do; H shows you again" if on else "shown again"
    return Pressed(said, replace(settings, hidden=on), ("hidden",))


def _pause(_key: str, settings: SessionSettings) -> Pressed:
    on = not settings.paused
    said = "paused: the webcam is closed; P opens it again" if on else "resumed: the webcam is opened"
    return Pressed(said, replace(settings, paused=on), ("paused",))


def _background(_key: str, settings: SessionSettings) -> Pressed:
    """The next kind; a picture, where one was chosen before."""
    now = settings.background
    kinds = [kind for kind in BackgroundKind if kind is not BackgroundKind.IMAGE or now.image]
    kind = kinds[(kinds.index(now.kind) + 1) % len(kinds)]
    which = {BackgroundKind.COLOUR: f" {now.colour}", BackgroundKind.IMAGE: f" {now.image}"}.get(kind, "")
    changed = replace(settings, background=replace(now, kind=kind))
    return Pressed(f"background: {kind}{which}", changed, ("background.kind",))


def _gains(key: str, settings: SessionSettings) -> Pressed:
    step, (least, most) = (_STEP if key in ("+", "=") else -_STEP), GAINS

    def moved(gain: float) -> float:
        return round(min(max(gain + step, least), most), 2)

    now = settings.gains
    gains = Gains(moved(now.head), moved(now.expression), moved(now.gaze))
    said = f"gains: head {gains.head:g}, expression {gains.expression:g}, gaze {gains.gaze:g} (1 is faithful)"
    return Pressed(said, replace(settings, gains=gains), ("gains",))


def _framing(_key: str, settings: SessionSettings) -> Pressed:
    kinds = list(FramingKind)
    kind = kinds[(kinds.index(settings.framing.kind) + 1) % len(kinds)]
    changed = replace(settings, framing=replace(settings.framing, kind=kind))
    return Pressed(f"framing: {kind}", changed, ("framing.kind",))


def _help(_key: str, _settings: SessionSettings) -> Pressed:
    return Pressed("\n".join(f"{action.name:<10}{action.text}" for action in _ACTIONS))


def _quit(_key: str, _settings: SessionSettings) -> Pressed:
    return Pressed("", quits=True)


@dataclass(frozen=True, slots=True)
class _Action:
    name: str
    """Of its keys, for people."""
    keys: tuple[str, ...]
    text: str
    meaning: Callable[[str, SessionSettings], Pressed]


_ACTIONS: Final = (
    _Action("1-9", tuple("123456789"), "show that portrait", _numbered),
    _Action("A D", ("a", "d", LEFT, RIGHT), "previous and next portrait; the arrow keys, too", _stepped),
    _Action("X", ("x",), "calibrate: look at the camera, face at rest", _calibrate),
    _Action("M", ("m",), "mirror what others see, or not", _mirror),
    _Action("H", ("h",), "hide: the portrait rests whatever you do", _hide),
    _Action("P", ("p",), "pause: close the webcam", _pause),
    _Action("B", ("b",), "next background: keep, blur, colour, image, remove", _background),
    _Action("F", ("f",), "next framing: auto, photo, close, wide", _framing),
    _Action("+ -", ("+", "=", "-", "_"), "gains: follow you more, or less", _gains),
    _Action("?", ("?", "/"), "show these keys", _help),
    _Action("Q", ("q",), "quit", _quit),
)
