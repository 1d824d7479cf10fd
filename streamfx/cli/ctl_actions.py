"""What `streamfx ctl` does that is over at once: portraits, sessions, settings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamfx.cli import ctl_show, options
from streamfx.cli.show import print_json, told_of_camera
from streamfx.errors import ResourceMissing, UsageError
from streamfx.settings.framing import FramingKind
from streamfx.settings.notation import colour
from streamfx.settings.session import (
    Background,
    BackgroundKind,
    SessionSettings,
    background_named,
)

if TYPE_CHECKING:
    from streamfx.client import Client, Portrait, Session

_KINDS: Final = dict.fromkeys(("colour", "color"), "a colour, as green or '#00b140'") | {"image": "a file"}
"""Words for backgrounds that another word follows, and what that is."""


def session_id(client: Client, arguments: argparse.Namespace) -> str:
    """The session that is meant: the named one, the only one, or of several the one that is shown.

    Raises:
        ResourceMissing: there is none.
    """
    if arguments.session:
        return str(arguments.session)
    sessions = client.list_sessions()
    if not sessions:
        remedy = "Begin one: streamfx ctl sessions create --portrait ID"
        raise ResourceMissing("session", "", "There is no session", remedy)
    found = max(sessions, key=_is_shown)  # of equals the first, which began first
    if len(sessions) > 1:
        others = " or ".join(one.id for one in sessions if one is not found)
        sys.stderr.write(f"streamfx: session {found.id} is meant; name another with --session {others}\n")
    return found.id


def _is_shown(session: Session) -> tuple[bool, bool, bool]:
    """Whether people see it, the surest sign first: a camera that is read, OBS, a camera."""
    status = session.status
    return bool(status.camera.readers), status.ring_readers > 0, bool(status.camera.device)


# -- portraits -----------------------------------------------------------------------------------------------


def add_portrait(client: Client, arguments: argparse.Namespace) -> None:
    """Send a photo's bytes."""
    photo, references = arguments.photo, arguments.reference
    name = arguments.name or (arguments.photo.stem if arguments.photo.stem.isprintable() else "")
    made = client.create_portrait(photo, name=name[:80], id=arguments.id, references=references)
    if arguments.json:
        print_json(ctl_show.document(made))
        return
    print(f"portrait {made.id} is ready: {made.name}, {made.size[0]}x{made.size[1]} px")
    ctl_show.findings(made)


def list_portraits(client: Client, arguments: argparse.Namespace) -> None:
    """All of them."""
    portraits = client.list_portraits()
    if arguments.json:
        print_json({"portraits": [ctl_show.document(one) for one in portraits]})
    else:
        ctl_show.portraits(portraits)


def remove_portrait(client: Client, arguments: argparse.Namespace) -> None:
    """Forget it."""
    client.delete_portrait(arguments.id)
    _done(arguments, {"removed": arguments.id}, f"portrait {arguments.id} is removed")


def rename_portrait(client: Client, arguments: argparse.Namespace) -> None:
    """For people."""
    made: Portrait = client.rename_portrait(arguments.id, arguments.name)
    _done(arguments, ctl_show.document(made), f"portrait {made.id} is called {made.name}")


def select(client: Client, arguments: argparse.Namespace) -> None:
    """By place, step, or identifier; one that the session has not loaded yet is added to it."""
    id, target = session_id(client, arguments), arguments.target
    if target.isdecimal():
        changed = client.select_portrait(id, int(target))
    elif target in ("next", "previous"):
        changed = client.select_portrait(id, target)
    else:
        changed = _show_portrait(client, id, target)
    shown = changed.settings.shown()
    _done(arguments, ctl_show.document(changed), f"session {id} shows portrait {shown}")


def _show_portrait(client: Client, id: str, portrait: str) -> Session:
    settings = client.get_session(id).settings
    if portrait in settings.portraits:
        return client.select_portrait(id, portrait)
    more = replace(settings, portraits=(*settings.portraits, portrait), selected=portrait)
    client.get_portrait(portrait)  # says that there is none, if there is none
    return client.update_session(id, more, ["portraits", "selected"])


# -- sessions ------------------------------------------------------------------------------------------------


def list_sessions(client: Client, arguments: argparse.Namespace) -> None:
    """All of them."""
    sessions = client.list_sessions()
    if arguments.json:
        print_json({"sessions": [ctl_show.document(one) for one in sessions]})
    else:
        ctl_show.sessions(sessions)


def show_session(client: Client, arguments: argparse.Namespace) -> None:
    """Settings and status."""
    session = client.get_session(session_id(client, arguments))
    if arguments.json:
        print_json(ctl_show.document(session))
    else:
        ctl_show.settings(session.settings)
        ctl_show.status(session.status)


def create_session(client: Client, arguments: argparse.Namespace) -> None:
    """Begin one."""
    settings = options.session(arguments, arguments.portrait)
    if settings.background.image is not None:
        settings = replace(
            settings, background=replace(settings.background, image=Path(arguments.background))
        )
    session = client.create_session(settings, arguments.id)
    if arguments.json:
        print_json(ctl_show.document(session))
        return
    print(f"session {session.id} has begun", *told_of_camera(session.status.camera)[1:], sep="\n")
    ctl_show.status(session.status)


def delete_session(client: Client, arguments: argparse.Namespace) -> None:
    """End it. Of several none is guessed: what is ended is gone.

    Raises:
        UsageError: there are several, and none is named.
    """
    if not arguments.session and len(ids := [one.id for one in client.list_sessions()]) > 1:
        raise UsageError(f"There are {len(ids)} sessions", f"Name the one to end: {' or '.join(ids)}")
    id = session_id(client, arguments)
    client.delete_session(id)
    _done(arguments, {"deleted": id}, f"session {id} has ended")


def status(client: Client, arguments: argparse.Namespace) -> None:
    """How it is."""
    found = client.get_session(session_id(client, arguments)).status
    if arguments.json:
        print_json(ctl_show.document(found))
    else:
        ctl_show.status(found)


# -- settings ------------------------------------------------------------------------------------------------


def calibrate(client: Client, arguments: argparse.Namespace) -> None:
    """Take neutral anew."""
    id = session_id(client, arguments)
    client.calibrate(id)
    _done(arguments, {"calibrated": id}, f"session {id}: what the driver did now is neutral")


def mirror(client: Client, arguments: argparse.Namespace) -> None:
    """The picture, or previews."""
    field = "mirror_preview" if arguments.preview else "mirror"
    on = arguments.state == "on"
    settings = SessionSettings(mirror=on, mirror_preview=on)
    _change(client, arguments, settings, [field], f"{field.replace('_', ' of ')} is {arguments.state}")


def gains(client: Client, arguments: argparse.Namespace) -> None:
    """Those that are named; none: show them."""
    given = {name: getattr(arguments, name) for name in ("head", "expression", "gaze")}
    changes = {name: value for name, value in given.items() if value is not None}
    id = session_id(client, arguments)
    session = client.get_session(id)
    if changes:
        wanted = replace(session.settings, gains=replace(session.settings.gains, **changes))
        session = client.update_session(id, wanted, [f"gains.{name}" for name in changes])
    now = session.settings.gains
    text = f"gains of {id}: head {now.head:g}, expression {now.expression:g}, gaze {now.gaze:g}"
    _done(arguments, ctl_show.document(session), text)


def background(client: Client, arguments: argparse.Namespace) -> None:
    """Kept, blurred, removed, a colour or an image; as `live --background` takes it, or in two words."""
    what, value = arguments.what, arguments.value
    if what in _KINDS:
        if value is None:
            raise UsageError(f"background {what} needs a value", f"Name {_KINDS[what]}")
    elif value is not None:
        raise UsageError(f"background {what} takes no value", f"Give {value} alone")
    if what == BackgroundKind.IMAGE:
        chosen = Background(BackgroundKind.IMAGE, image=Path(value))
    elif what in _KINDS:
        chosen = Background(BackgroundKind.COLOUR, colour=colour(value))
    else:
        chosen = background_named(what)
    if chosen.image is not None:
        chosen = replace(chosen, image=Path(value or what))  # as it was typed: it may be elsewhere
    text = f"background is {chosen.colour if chosen.kind is BackgroundKind.COLOUR else chosen.kind}"
    _change(client, arguments, SessionSettings(background=chosen), ["background"], text)


def source(client: Client, arguments: argparse.Namespace) -> None:
    """What drives: a camera, a feed, a file, or a word."""
    settings = SessionSettings(source=arguments.what)
    _change(client, arguments, settings, ["source"], f"it is driven by {arguments.what}")


def framing(client: Client, arguments: argparse.Namespace) -> None:
    """What of it is named; nothing: show it."""
    given = {name: getattr(arguments, name) for name in ("zoom", "x", "y")}
    given["kind"] = FramingKind(arguments.kind) if arguments.kind else None
    changes = {name: value for name, value in given.items() if value is not None}
    id = session_id(client, arguments)
    session = client.get_session(id)
    if changes:
        wanted = replace(session.settings, framing=replace(session.settings.framing, **changes))
        session = client.update_session(id, wanted, [f"framing.{name}" for name in changes])
    text = f"framing of {id}: {ctl_show.framing(session.settings.framing)}"
    _done(arguments, ctl_show.document(session), text)


def badge(client: Client, arguments: argparse.Namespace) -> None:
    """A line of text."""
    text = f"the badge says {arguments.text!r}" if arguments.text else "there is no badge"
    _change(client, arguments, SessionSettings(badge=arguments.text), ["badge"], text)


def hide(client: Client, arguments: argparse.Namespace) -> None:
    """Show the idle portrait."""
    _hide(client, arguments, hidden=True)


def show(client: Client, arguments: argparse.Namespace) -> None:
    """Follow the driver."""
    _hide(client, arguments, hidden=False)


def pause(client: Client, arguments: argparse.Namespace) -> None:
    """Close the source."""
    _pause(client, arguments, paused=True)


def resume(client: Client, arguments: argparse.Namespace) -> None:
    """Open the source."""
    _pause(client, arguments, paused=False)


def devices(client: Client, arguments: argparse.Namespace) -> None:
    """Real and virtual cameras."""
    found = client.list_devices()
    if arguments.json:
        print_json({"devices": [ctl_show.document(one) for one in found]})
    else:
        ctl_show.devices(found)


def _hide(client: Client, arguments: argparse.Namespace, *, hidden: bool) -> None:
    session = client.hide(session_id(client, arguments), hidden)
    _done(arguments, ctl_show.document(session), f"session {session.id} is {'hidden' if hidden else 'shown'}")


def _pause(client: Client, arguments: argparse.Namespace, *, paused: bool) -> None:
    session = client.pause(session_id(client, arguments), paused)
    word = "paused" if paused else "resumed"
    _done(arguments, ctl_show.document(session), f"session {session.id} is {word}")


def _change(
    client: Client, arguments: argparse.Namespace, wanted: SessionSettings, fields: Sequence[str], text: str
) -> None:
    session = client.update_session(session_id(client, arguments), wanted, fields)
    _done(arguments, ctl_show.document(session), f"session {session.id}: {text}")


def _done(arguments: argparse.Namespace, document: object, text: str) -> None:
    if arguments.json:
        print_json(document)
    else:
        print(text)
