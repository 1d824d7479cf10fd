"""`streamfx live`: from a photo to a camera in the call, in one command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from streamfx.cli import options

if TYPE_CHECKING:
    from streamfx.cli import Subparsers
    from streamfx.session.portraits import PortraitInfo, Portraits
    from streamfx.session.session import Session
    from streamfx.session.settings import Background, SessionSettings
    from streamfx.session.status import SessionStatus

DESCRIPTION: Final = """\
Appear as an animated portrait now: the call's program lists a camera named streamfx. Your own camera's
pictures never leave this program; whatever fails, the camera shows the portrait at rest. Ctrl-C ends it."""

_EVERY_S: Final = 0.5
_LINE_EVERY_S: Final = 5.0
"""Where there is no terminal to rewrite a line on."""


def add_parser(subparsers: Subparsers) -> None:
    """Describe `live`."""
    text = "appear as the portrait in calls, until Ctrl-C"
    parser = subparsers.add_parser(
        "live", help=text, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    what = "photo to animate; may be repeated: `streamfx ctl select N` switches"
    add("--portrait", type=Path, action="append", required=True, metavar="PHOTO", help=what)
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
    add("--mirror", action="store_true", help="mirror what others see")
    add("--badge", default="", metavar="TEXT", help="a line of text in the corner")
    add("--on-demand", action="store_true", help="open the webcam only while a program reads the camera")
    add("--duration", type=options.seconds, metavar="SECONDS", help="where to end (Ctrl-C)")
    options.add_networks(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Start a daemon of one session, and tell how it goes."""
    import logging

    from streamfx.cli.fetch import fetch_models
    from streamfx.daemon import Daemon, DaemonOptions
    from streamfx.interrupts import until_told
    from streamfx.session.settings import check
    from streamfx.telemetry import log_to_stderr

    settings = _settings(arguments)
    check(settings)
    fetch_models()
    log_to_stderr(logging.INFO if arguments.verbose else logging.WARNING)
    with until_told(), Daemon(DaemonOptions(must_keep=False, size=arguments.size)) as daemon:
        chosen = tuple(_portrait(path, daemon.portraits, arguments).id for path in arguments.portrait)
        session = daemon.sessions.create(_with_portraits(settings, tuple(dict.fromkeys(chosen))))
        daemon.listen()
        _tell_where(session)
        _follow(session, arguments.duration)
    print("\nended" if sys.stdout.isatty() else "ended", flush=True)
    return 0


def _settings(arguments: argparse.Namespace) -> SessionSettings:
    from streamfx.session.settings import Output, SessionSettings

    return SessionSettings(
        output=Output(arguments.camera, arguments.size, arguments.fps),
        source=_source(arguments.source),
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


def _portrait(path: Path, portraits: Portraits, arguments: argparse.Namespace) -> PortraitInfo:
    """The portrait of a photo; added where the daemon does not know it yet.

    Raises:
        PhotoError, RigUnsolvable: it cannot be animated.
    """
    from hashlib import sha256

    from streamfx.files import PHOTO, read_bytes
    from streamfx.session.portraits import MAX_BYTES

    data, references = read_bytes(path, MAX_BYTES, PHOTO), arguments.reference
    digest = sha256(data).hexdigest()
    if not references:
        for known in portraits.list():
            if known.sha256 == digest and known.references == 0:
                return known
    print(f"looking at {path} ...", flush=True)
    info = portraits.add(data, name=path.stem[:80] or "portrait", references=references)
    for finding in info.findings:
        print(f"note: {finding}")
    return info


def _with_portraits(settings: SessionSettings, portraits: tuple[str, ...]) -> SessionSettings:
    from dataclasses import replace

    return replace(settings, portraits=portraits)


def _tell_where(session: Session) -> None:
    camera = session.status().camera
    if camera.device:
        print(f"in the call, choose the camera: {camera.name} ({camera.device})")
    else:
        print("no virtual camera: watch it with `streamfx ctl preview --window`")
    print("steer it from another terminal: streamfx ctl --help; end it with Ctrl-C", flush=True)


def _follow(session: Session, seconds: float | None) -> None:
    """One live line on a terminal, a line now and then elsewhere; until the end or Ctrl-C."""
    import threading

    start, told, trouble = monotonic(), -_LINE_EVERY_S, ""
    rewrites = sys.stdout.isatty()
    ending = threading.Event()
    while seconds is None or monotonic() - start < seconds:
        status = session.status()
        if status.trouble != trouble and status.trouble:
            print(f"{_CLEAR if rewrites else ''}trouble: {status.trouble}", flush=True)
        trouble = status.trouble
        if rewrites:
            print(f"{_CLEAR}{_line(status)}", end="", flush=True)
        elif monotonic() - told >= _LINE_EVERY_S:
            told = monotonic()
            print(_line(status), flush=True)
        ending.wait(_EVERY_S)


_CLEAR: Final = "\r\x1b[K"


def _line(status: SessionStatus) -> str:
    latency = f"{status.latency_ms.p50:.0f} ms" if status.latency_ms else "-"
    readers = "" if status.camera.readers is None else f", {status.camera.readers} reading"
    face = f"face {status.source.tracked:.0%}" if status.source.tracked else "no face"
    driven = (
        f"{status.source.name} {status.source.fps:.0f} fps, {face}" if status.source.name else "no source"
    )
    return f"{status.state}: {status.fps:.1f} fps, delay {latency}{readers}, {driven}"
