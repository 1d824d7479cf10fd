"""`streamfx live`: from a photo to a camera in the call, in one command."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamfx.cli import options

if TYPE_CHECKING:
    from concurrent.futures import Future

    from streamfx.cli import Subparsers
    from streamfx.cli.console import Console
    from streamfx.session.portraits import PortraitInfo, Portraits
    from streamfx.session.session import Session
    from streamfx.settings.session import SessionSettings

DESCRIPTION: Final = """\
Appear as an animated portrait now: the call's program lists a camera named streamfx. Your own camera's
pictures never leave this program; whatever fails, the camera shows the portrait at rest. Ctrl-C ends it.
While it runs, keys steer it in its terminal: ? shows them."""


def add_parser(subparsers: Subparsers) -> None:
    """Describe `live`."""
    text = "appear as the portrait in calls, until Ctrl-C"
    parser = subparsers.add_parser(
        "live", help=text, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    what = "photo to animate; of several, keys and `streamfx ctl select N` switch"
    add("photos", type=Path, nargs="*", default=[], metavar="PHOTO", help=what)
    what = "the same; may be repeated"
    add("--portrait", type=Path, action="append", default=[], metavar="PHOTO", help=what)
    options.add_session(parser)
    options.add_references(parser)
    add("--preview", action="store_true", help="show what others see in a window; its keys are the same")
    options.add_live_length(parser)
    options.add_priority(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Start a daemon of one session, and tell how it goes."""
    import logging
    import sys
    from dataclasses import replace

    from streamfx.cli.console import Console
    from streamfx.cli.fetch import fetch_models
    from streamfx.cli.show import told_of_camera
    from streamfx.cli.standing import StandingLine
    from streamfx.cli.window import open_window
    from streamfx.daemon import Daemon, DaemonOptions
    from streamfx.interrupts import until_told
    from streamfx.logs import log_to_stderr
    from streamfx.settings.session import check

    settings = _settings(arguments)
    check(settings)
    photos = _photos(arguments)
    fetch_models()
    log_to_stderr(logging.INFO if arguments.verbose else logging.WARNING)
    asked = DaemonOptions(must_keep=False, size=arguments.size, priority=_priority(arguments))
    with StandingLine(sys.stdout) as terminal, until_told(), Daemon(asked) as daemon:
        first = _known(next(iter(photos.values())), daemon.portraits, arguments.reference)
        with _looked_at(photos, daemon.portraits, arguments.reference) as looks:
            session = daemon.sessions.create(replace(settings, portraits=(first,) if first else ()))
            daemon.listen()
            print("\n".join(told_of_camera(session.status().camera)), flush=True)
            window = open_window(daemon.control.socket, session.id) if arguments.preview else None
            with Console(session, terminal, window) as console:
                console.start()
                _make_ready(looks, session, console, terminal.say)
                console.wait(arguments.duration)
    print("ended", flush=True)
    return 0


def _priority(arguments: argparse.Namespace) -> str:
    """As given, or as in the daemon's settings: it is the machine's, not the call's."""
    from streamfx.settings.daemon import usual_config

    return str(arguments.priority or usual_config().limits.priority)


def _photos(arguments: argparse.Namespace) -> dict[Path, bytes]:
    """The photos' bytes; what cannot be read is found before anything is started.

    Raises:
        UsageError: none is named, or too many.
        PhotoUnreadable: there is no such file, or it is too large.
    """
    from streamfx.errors import UsageError
    from streamfx.files import PHOTO, read_bytes
    from streamfx.session.portraits import MAX_BYTES
    from streamfx.settings.session import MOST_PORTRAITS

    named = list(dict.fromkeys((*arguments.photos, *arguments.portrait)))
    if not 0 < len(named) <= MOST_PORTRAITS:
        cause = f"{len(named)} photos are named" if named else "No photo is named"
        raise UsageError(cause, f"Name 1 to {MOST_PORTRAITS}: streamfx live PHOTO")
    return {path: read_bytes(path, MAX_BYTES, PHOTO) for path in named}


def _settings(arguments: argparse.Namespace) -> SessionSettings:
    """What was asked for; files are found before anything is started."""
    from dataclasses import replace

    from streamfx.files import PHOTO, check_readable

    asked = options.session(arguments)
    image = asked.background.image
    background = replace(asked.background, image=check_readable(image, PHOTO)) if image else asked.background
    return replace(asked, source=_source(asked.source), background=background)


def _source(spec: str) -> str:
    """The source as a worker takes it: a file is found before anything is started, wherever it is run from.

    Raises:
        SourceMissing, SourceUnreadable, MotionUnreadable: there is no such file.
    """
    from streamfx.files import DRIVER, TEMPLATE, check_readable
    from streamfx.settings.source import SourceKind, SourceSpec

    named = SourceSpec.parse(spec)
    if not named.names_file:
        return spec
    return str(check_readable(Path(spec), TEMPLATE if named.kind is SourceKind.TEMPLATE else DRIVER))


def _known(photo: bytes, portraits: Portraits, references: Sequence[Path]) -> str:
    """Identifier of the portrait of a photo that the daemon knows already; empty if it does not."""
    from hashlib import sha256

    digest = sha256(photo).hexdigest()
    same = (one.id for one in portraits.list() if one.sha256 == digest and one.references == 0)
    return "" if references else next(same, "")


@contextmanager
def _looked_at(
    photos: Mapping[Path, bytes], portraits: Portraits, references: Sequence[Path]
) -> Iterator[Mapping[Path, Future[tuple[PortraitInfo, bool]]]]:
    """Have the photos looked at that are not known yet, one after the other, while all else starts.

    Yields:
        Of each photo its portrait, and whether it was not known.
    """
    from concurrent.futures import ThreadPoolExecutor
    from threading import Event

    given_up = Event()

    def look(path: Path, photo: bytes) -> tuple[PortraitInfo, bool]:
        if id := _known(photo, portraits, references):
            return portraits.get(id), False
        name = (path.stem[:80] if path.stem.isprintable() else "") or "portrait"
        return portraits.add(photo, name=name, references=references, given_up=given_up, urgent=True), True

    with ThreadPoolExecutor(1, "streamfx-photos") as pool:
        try:
            yield {path: pool.submit(look, path, photo) for path, photo in photos.items()}
        finally:
            given_up.set()
            pool.shutdown(cancel_futures=True)


def _make_ready(
    looks: Mapping[Path, Future[tuple[PortraitInfo, bool]]],
    session: Session,
    console: Console,
    say: Callable[[str], None],
) -> None:
    """Show the photos as soon as they have been looked at, in the order of the command line.

    Raises:
        PhotoError, RigUnsolvable: a photo cannot be animated.
    """
    from dataclasses import replace

    chosen: list[str] = []
    for path, look in looks.items():
        console.task = "" if look.done() else f"looking at {path.name}"
        info, is_new = look.result()
        for finding in info.findings if is_new else ():
            say(f"note: {path.name}: {finding}")
        chosen += [] if info.id in chosen else [info.id]
        if session.settings.portraits != tuple(chosen):
            session.update(replace(session.settings, portraits=tuple(chosen)))
    console.task = ""
