"""`streamfx ctl`: ask the running daemon, from another terminal or machine."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamfx.cli import add_json, ctl_actions, ctl_streams, options, outputs
from streamfx.settings.framing import FramingKind

if TYPE_CHECKING:
    from streamfx.cli import Subparsers
    from streamfx.client import Client

    Action = Callable[[Client, argparse.Namespace], None]

DESCRIPTION: Final = """\
Ask a running daemon (streamfx serve): its portraits, its sessions and what they show.
Without --session the one is meant that is shown: the only one, or of several the one whose camera a program
reads, that OBS shows, or that has a camera; else the one that began first."""

EPILOG: Final = """\
  streamfx ctl portraits add me.jpg --id me         make a photo ready
  streamfx ctl sessions create --portrait me        show it in the virtual camera
  streamfx ctl select next                          show the next of the session's portraits
  streamfx ctl watch                                how it goes, in one live line"""


_READING: Final = (
    ctl_actions.list_portraits,
    ctl_actions.list_sessions,
    ctl_actions.show_session,
    ctl_actions.status,
    ctl_actions.devices,
    ctl_streams.watch,
    ctl_streams.preview,
)
"""Actions whose text is what was asked for; the others' says what was done."""


def add_parser(subparsers: Subparsers) -> None:
    """Describe `ctl` and its actions."""
    parser = subparsers.add_parser(
        "ctl",
        help="ask a running daemon: portraits, sessions, what is shown",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_portraits(actions)
    _add_sessions(actions)
    _add_settings(actions)
    _add_streams(actions)
    _leaf(actions, "devices", ctl_actions.devices, "list the cameras of the daemon's machine", session=False)


def run(arguments: argparse.Namespace) -> int:
    """Connect, and do the action."""
    from streamfx.client import Client
    from streamfx.control.tokens import read_token

    token = read_token(arguments.token_file) if arguments.token_file else ""
    papers = {"authority": arguments.ca, "certificate": arguments.cert, "key": arguments.key}
    with Client.connect(arguments.address, token=token, **papers) as client:
        action: Action = arguments.action
        action(client, arguments)
    return 0


def _leaf(
    actions: Subparsers, name: str, action: Action, text: str, *, session: bool = True
) -> argparse.ArgumentParser:
    """One action, with the options that all have."""
    leaf = actions.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")
    where = leaf.add_argument_group("the daemon")
    where.add_argument("--address", metavar="WHERE", help="its socket, or HOST:PORT (this user's socket)")
    where.add_argument("--token-file", type=Path, metavar="FILE", help="token, for HOST:PORT")
    where.add_argument("--ca", type=Path, metavar="PEM", help="who signed its certificate, for HOST:PORT")
    where.add_argument("--cert", type=Path, metavar="PEM", help="own certificate, where it asks for one")
    where.add_argument("--key", type=Path, metavar="PEM", help="key of the own certificate")
    if session:
        where.add_argument("--session", metavar="ID", default="", help="which session (the one shown)")
    add_json(leaf, reads=action in _READING)
    leaf.set_defaults(run=run, action=action)
    return leaf


def _group(actions: Subparsers, name: str, text: str) -> Subparsers:
    group = actions.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")
    return group.add_subparsers(title="actions", metavar="ACTION", required=True)


def _add_portraits(actions: Subparsers) -> None:
    group = _group(actions, "portraits", "the photos that can be animated")
    add = _leaf(group, "add", ctl_actions.add_portrait, "make a photo ready", session=False)
    add.add_argument("photo", type=Path, metavar="PHOTO", help="image file")
    add.add_argument("--id", default="", metavar="ID", help="1 to 40 of a-z, 0-9 and - (made)")
    add.add_argument("--name", default="", metavar="TEXT", help="for people")
    options.add_references(add)
    _leaf(group, "list", ctl_actions.list_portraits, "show the portraits", session=False)
    _add_target(_leaf(group, "select", ctl_actions.select, "show another portrait"))
    remove = _leaf(group, "remove", ctl_actions.remove_portrait, "forget a portrait", session=False)
    remove.add_argument("id", metavar="ID")
    rename = _leaf(
        group, "rename", ctl_actions.rename_portrait, "rename a portrait for people", session=False
    )
    rename.add_argument("id", metavar="ID")
    rename.add_argument("name", metavar="NAME")


def _add_sessions(actions: Subparsers) -> None:
    group = _group(actions, "sessions", "what is shown, by which camera, driven by whom")
    _leaf(group, "list", ctl_actions.list_sessions, "show the sessions", session=False)
    show = _leaf(
        group, "show", ctl_actions.show_session, "show a session's settings and status", session=False
    )
    _add_session(show)
    create = _leaf(group, "create", ctl_actions.create_session, "begin a session", session=False)
    add = create.add_argument
    add("--id", default="", metavar="ID", help="1 to 40 of a-z, 0-9 and - (made)")
    add("--portrait", action="append", default=[], metavar="ID", help="portrait; may be repeated, 9 at most")
    options.add_session(create)
    _add_session(_leaf(group, "delete", ctl_actions.delete_session, "end a session", session=False))


def _add_settings(actions: Subparsers) -> None:
    _add_target(_leaf(actions, "select", ctl_actions.select, "show another of the session's portraits"))
    _leaf(actions, "calibrate", ctl_actions.calibrate, "take what the driver does now for neutral")
    mirror = _leaf(actions, "mirror", ctl_actions.mirror, "mirror the picture")
    mirror.add_argument("state", choices=("on", "off"))
    mirror.add_argument("--preview", action="store_true", help="mirror previews instead")
    gains = _leaf(actions, "gains", ctl_actions.gains, "how strongly the driver is followed (1: faithful)")
    options.add_gains(gains, None)
    source = _leaf(actions, "source", ctl_actions.source, "be driven by something else")
    what = "auto, none, remote, demo, a camera, feed:NAME, a video or a motion template of yours"
    source.add_argument("what", metavar="WHAT", help=what)
    background = _leaf(actions, "background", ctl_actions.background, "what is seen behind the person")
    background.add_argument("what", metavar="WHAT", help=options.BACKGROUNDS)
    what = "after the words colour (or color) and image: which one"
    background.add_argument("value", nargs="?", metavar="VALUE", help=what)
    framing = _leaf(actions, "framing", ctl_actions.framing, "how much of the photo is shown, and where")
    kinds = [str(kind) for kind in FramingKind]
    framing.add_argument("kind", nargs="?", choices=kinds, help="auto, the whole photo, close or wide")
    options.add_framing_numbers(framing, None)
    badge = _leaf(actions, "badge", ctl_actions.badge, "a line of text in the picture's corner")
    badge.add_argument("text", metavar="TEXT", help="at most 40 characters; '' for none")
    _leaf(actions, "hide", ctl_actions.hide, "show the idle portrait whatever the driver does")
    _leaf(actions, "show", ctl_actions.show, "follow the driver again")
    _leaf(actions, "pause", ctl_actions.pause, "close the source: the camera's lamp goes out")
    _leaf(actions, "resume", ctl_actions.resume, "open the source again")
    _leaf(actions, "status", ctl_actions.status, "how a session is")


def _add_streams(actions: Subparsers) -> None:
    watch = _leaf(actions, "watch", ctl_streams.watch, "how a session goes, in one live line")
    watch.add_argument(
        "--interval",
        type=options.number(0.1, 60),
        default=1.0,
        metavar="SECONDS",
        help="between two lines (1)",
    )
    options.add_live_length(watch)
    preview = _leaf(actions, "preview", ctl_streams.preview, "what a session shows")
    preview.add_argument(
        "--to", type=Path, metavar="FILE", help="write one picture: .jpg, or - for standard output"
    )
    outputs.add_yes(preview)
    preview.add_argument("--window", action="store_true", help="show it in a window: ? shows its keys")
    preview.add_argument("--terminal", action="store_true", help="show it here, in half blocks of colour")
    options.add_live_length(preview)
    record = _leaf(actions, "record", ctl_streams.record, "record what a session shows; Ctrl-C ends it")
    record.add_argument("file", metavar="FILE", help=".mp4, to be made; by HOST:PORT on the daemon's machine")
    options.add_live_length(record)


def _add_session(leaf: argparse.ArgumentParser) -> None:
    """Which session, as the object of a command about sessions, or by the option that all have."""
    which = leaf.add_mutually_exclusive_group()
    which.add_argument("session", metavar="ID", nargs="?", default=argparse.SUPPRESS, help="which session")
    which.add_argument("--session", metavar="ID", default="", help="the same, as everywhere else")


def _add_target(leaf: argparse.ArgumentParser) -> None:
    leaf.add_argument("target", metavar="WHICH", help="number (from 1), next, previous, or an identifier")
