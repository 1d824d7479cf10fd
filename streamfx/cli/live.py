"""`streamfx live`: from a photo to a camera in the call, in one command."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamfx.cli import options

if TYPE_CHECKING:
    from streamfx.cli import Subparsers
    from streamfx.cli.console import Console
    from streamfx.daemon import Daemon
    from streamfx.session.portraits import Portraits
    from streamfx.session.session import Session
    from streamfx.session.settings import Background, SessionSettings

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
    add(
        "--portrait",
        type=Path,
        action="append",
        default=[],
        metavar="PHOTO",
        help="the same; may be repeated",
    )
    what = (
        "what drives it: a webcam (0, /dev/video0), feed:NAME, a video, a motion template, demo, remote, none"
    )
    add("--source", default="auto", help=f"{what} (the first webcam)")
    add("--camera", default="auto", help="virtual camera: /dev/video10, pipewire, or none (the best at hand)")
    add("--size", type=options.frame_size, default=(640, 480), metavar="WxH", help="of the picture (640x480)")
    add("--fps", type=options.fps, default=30.0, metavar="N", help="pictures a second (30)")
    what = "keep, blur, a colour as #00b140, a picture, or remove"
    add(
        "--background",
        default="keep",
        metavar="WHAT",
        help=f"{what} (clear in OBS's plugin, black elsewhere)",
    )
    options.add_framing(parser)
    for name, what in (("head", "of the head"), ("expression", "of the face"), ("gaze", "of the eyes")):
        add(f"--{name}", type=options.gain, default=1.0, metavar="GAIN", help=f"motion {what}, 0 to 1.5 (1)")
    add("--mirror", action="store_true", help="mirror what others see")
    add("--badge", default="", metavar="TEXT", help="a line of text in the corner")
    add("--on-demand", action="store_true", help="open the webcam only while a program reads the camera")
    add("--preview", action="store_true", help="show what others see in a window; its keys are the same")
    add("--duration", type=options.seconds, metavar="SECONDS", help="where to end (Ctrl-C)")
    options.add_networks(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Start a daemon of one session, and tell how it goes."""
    import logging
    from dataclasses import replace

    from streamfx.cli.console import Console
    from streamfx.cli.fetch import fetch_models
    from streamfx.cli.show import told_of_camera
    from streamfx.cli.window import open_window
    from streamfx.daemon import Daemon, DaemonOptions
    from streamfx.interrupts import until_told
    from streamfx.session.settings import check
    from streamfx.telemetry import log_to_stderr

    settings = _settings(arguments)
    check(settings)
    photos = _photos(arguments)
    fetch_models()
    log_to_stderr(logging.INFO if arguments.verbose else logging.WARNING)
    with until_told(), Daemon(DaemonOptions(must_keep=False, size=arguments.size)) as daemon:
        first = _known(next(iter(photos.values())), daemon.portraits, arguments.reference)
        session = daemon.sessions.create(replace(settings, portraits=(first,) if first else ()))
        daemon.listen()
        print("\n".join(told_of_camera(session.status().camera)), flush=True)
        window = open_window(daemon.control.socket, session.id) if arguments.preview else None
        with Console(session, window) as console:
            _make_ready(photos, daemon, session, console, arguments.reference)
            console.wait(arguments.duration)
    print("ended", flush=True)
    return 0


def _photos(arguments: argparse.Namespace) -> dict[Path, bytes]:
    """The photos' bytes; what cannot be read is found before anything is started.

    Raises:
        UsageError: none is named, or too many.
        PhotoUnreadable: there is no such file, or it is too large.
    """
    from streamfx.errors import UsageError
    from streamfx.files import PHOTO, read_bytes
    from streamfx.session.portraits import MAX_BYTES
    from streamfx.session.settings import MOST_PORTRAITS

    named = list(dict.fromkeys((*arguments.photos, *arguments.portrait)))
    if not 0 < len(named) <= MOST_PORTRAITS:
        cause = f"{len(named)} photos are named" if named else "No photo is named"
        raise UsageError(cause, f"Name 1 to {MOST_PORTRAITS}: streamfx live PHOTO")
    return {path: read_bytes(path, MAX_BYTES, PHOTO) for path in named}


def _settings(arguments: argparse.Namespace) -> SessionSettings:
    from streamfx.session.settings import Gains, Output, SessionSettings

    return SessionSettings(
        output=Output(arguments.camera, arguments.size, arguments.fps),
        source=_source(arguments.source),
        gains=Gains(arguments.head, arguments.expression, arguments.gaze),
        background=_background(arguments.background),
        framing=options.framing(arguments),
        mirror=arguments.mirror,
        badge=arguments.badge,
        on_demand=arguments.on_demand,
        refine=arguments.refine or options.PROFILES[0],
        mouth=arguments.mouth or options.PROFILES[0],
        device=arguments.device,
    )


def _source(spec: str) -> str:
    """The source as a worker takes it: a file is found before anything is started, wherever it is run from.

    Raises:
        SourceMissing, SourceUnreadable, MotionUnreadable: there is no such file.
    """
    from streamfx.devices import camera_device
    from streamfx.feeds import is_feed
    from streamfx.files import DRIVER, TEMPLATE, check_readable
    from streamfx.session.settings import AUTO, DEMO, NOTHING, REMOTE

    if spec in (AUTO, DEMO, NOTHING, REMOTE) or camera_device(spec) is not None or is_feed(spec):
        return spec
    path = Path(spec)
    return str(check_readable(path, TEMPLATE if path.suffix.lower() == ".sfxm" else DRIVER))


def _background(text: str) -> Background:
    """As in the daemon's settings; a picture is found before anything is started."""
    from dataclasses import replace

    from streamfx.files import PHOTO, check_readable
    from streamfx.session.settings import background_named

    asked = background_named(text)
    return replace(asked, image=check_readable(asked.image, PHOTO)) if asked.image else asked


def _known(photo: bytes, portraits: Portraits, references: Sequence[Path]) -> str:
    """Identifier of the portrait of a photo that the daemon knows already; empty if it does not."""
    from hashlib import sha256

    digest = sha256(photo).hexdigest()
    same = (one.id for one in portraits.list() if one.sha256 == digest and one.references == 0)
    return "" if references else next(same, "")


def _make_ready(
    photos: Mapping[Path, bytes], daemon: Daemon, session: Session, console: Console, references: list[Path]
) -> None:
    """Add what the daemon does not know yet, in the order of the command line; the session runs already.

    Raises:
        PhotoError, RigUnsolvable: a photo cannot be animated.
    """
    from dataclasses import replace

    chosen: list[str] = []
    for path, photo in photos.items():
        id = _known(photo, daemon.portraits, references)
        if not id:
            console.task = f"looking at {path.name}"
            name = path.stem[:80] if path.stem.isprintable() else "portrait"
            info = daemon.portraits.add(photo, name=name or "portrait", references=references)
            for finding in info.findings:
                console.say(f"note: {path.name}: {finding}")
            id = info.id
        chosen += [] if id in chosen else [id]
        if session.settings.portraits != tuple(chosen):
            session.update(replace(session.settings, portraits=tuple(chosen)))
    console.task = ""
