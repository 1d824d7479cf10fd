"""`streamfx serve`: the daemon, until it is told to stop."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamfx.cli import options as shared

if TYPE_CHECKING:
    from streamfx.cli import Subparsers
    from streamfx.daemon import Daemon, DaemonOptions
    from streamfx.settings.daemon import DaemonConfig

DESCRIPTION: Final = """\
Run the daemon: it shows your portraits in the virtual camera from its first moment on, and is steered by
`streamfx ctl` or any gRPC client, over a UNIX socket that only you can open."""


def add_parser(subparsers: Subparsers) -> None:
    """Describe `serve`."""
    parser = subparsers.add_parser(
        "serve",
        help="run the daemon that `ctl` and other programs steer",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("-c", "--config", type=Path, metavar="FILE", help="settings, TOML (~/.config/streamfx/config.toml)")
    add("--socket", type=Path, metavar="PATH", help="UNIX socket to listen at ($XDG_RUNTIME_DIR/streamfx)")
    add("--listen", default="", metavar="HOST:PORT", help="listen by TLS as well; needs the next two")
    add("--tls-cert", type=Path, metavar="FILE", help="certificate, PEM")
    add("--tls-key", type=Path, metavar="FILE", help="its key, PEM")
    add("--token-file", type=Path, metavar="FILE", help="token that clients must know")
    add("--read-token-file", type=Path, metavar="FILE", help="token of clients that may only look")
    add("--client-ca", type=Path, metavar="FILE", help="clients must show a certificate of this authority")
    add(
        "--root",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="clients that hand over no files (by TCP) may name those in it",
    )
    shared.add_priority(parser)
    add("--make-token", type=Path, metavar="FILE", help="write a new token, and end")
    # Its text is what was asked for, also with --quiet: see `cli.add_json`.
    add("--unit", action="store_true", dest="reads", help="print a systemd user unit, and end")
    add("--install-unit", action="store_true", help="install and enable that unit, and end")
    add("--log-json", action="store_true", help="log JSON lines for programs that collect them")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    if arguments.make_token:
        return _make_token(arguments.make_token)
    if arguments.reads or arguments.install_unit:
        return _unit(arguments)
    import logging
    import threading

    from streamfx.cli.fetch import fetch_models
    from streamfx.daemon import Daemon
    from streamfx.interrupts import until_told
    from streamfx.logs import log_to_stderr

    config = _config(arguments)
    options = _options(arguments, config)
    fetch_models()
    level = logging.INFO if arguments.verbose else logging.WARNING
    log_to_stderr(level, as_json=arguments.log_json)
    with until_told(), Daemon(options) as daemon:
        _begin(daemon, config)
        daemon.listen()
        print(f"listening at {daemon.control.socket}", flush=True)
        for port in daemon.control.ports:
            print(f"listening by TLS at port {port}", flush=True)
        _notify("READY=1")
        threading.Event().wait()  # until a signal raises
    return 0


def _begin(daemon: Daemon, config: DaemonConfig) -> None:
    """Start the session of the settings, if there is to be one; without its camera it is told, not fatal."""
    from dataclasses import replace

    from streamfx.cli.show import told_of_camera
    from streamfx.errors import CameraError

    if not config.session.autostart:
        return
    settings = config.session.settings
    known = tuple(info.id for info in reversed(daemon.portraits.list()))
    settings = settings if settings.portraits else replace(settings, portraits=known[:9])
    try:
        session = daemon.sessions.create(settings)
    except CameraError as error:
        print("\n".join(error.lines()), file=sys.stderr, flush=True)
        output = replace(settings.output, camera="none")
        session = daemon.sessions.create(replace(settings, output=output))
    camera = session.status().camera
    where = f"the camera {camera.name} ({camera.device})" if camera.device else "previews only"
    print(f"session {session.id}: {where}", *told_of_camera(camera)[1:], sep="\n", flush=True)
    if not settings.portraits:
        print("no portrait yet: streamfx ctl portraits add PHOTO", flush=True)


def _config(arguments: argparse.Namespace) -> DaemonConfig:
    from streamfx.settings.daemon import load_config, usual_config

    return load_config(arguments.config) if arguments.config else usual_config()


def _options(arguments: argparse.Namespace, config: DaemonConfig) -> DaemonOptions:
    """The options of the command line over those of the file."""
    from streamfx.control.options import ControlOptions
    from streamfx.daemon import DaemonOptions
    from streamfx.errors import UsageError
    from streamfx.settings.notation import path_of

    table = config.control

    def chosen(given: Path | None, kept: str) -> Path | None:
        path = given or (path_of(kept) if kept else None)
        return path.absolute() if path else None  # wherever the folder goes in which we were started

    roots = arguments.root or [path_of(root) for root in config.files.roots]
    for root in arguments.root or ():
        if not os.path.isdir(root):
            raise UsageError(f"--root {root} is no folder that this user may read", "Check its spelling")
    control = ControlOptions(
        socket=chosen(arguments.socket, table.socket),
        listen=arguments.listen or table.listen,
        tls_certificate=chosen(arguments.tls_cert, table.tls_certificate),
        tls_key=chosen(arguments.tls_key, table.tls_key),
        token_file=chosen(arguments.token_file, table.token_file),
        read_token_file=chosen(arguments.read_token_file, table.read_token_file),
        client_ca=chosen(arguments.client_ca, table.client_ca),
        roots=tuple(root.absolute() for root in roots),
    )
    return DaemonOptions(
        control=control,
        size=config.session.settings.output.size,
        most_sessions=config.limits.sessions,
        priority=arguments.priority or config.limits.priority,
        metrics=config.metrics.address,
    )


def _make_token(path: Path) -> int:
    from streamfx.control.tokens import make_token

    make_token(path)
    print(f"made {path}; clients name it with --token-file")
    return 0


def _unit(arguments: argparse.Namespace) -> int:
    """Print the unit, or put it in its place."""
    from streamfx.cli.unit import install_unit, unit_text

    text = unit_text(arguments.config)
    if arguments.install_unit:
        print(f"installed {install_unit(text)}; it runs now, and at every login")
    else:
        print(text, end="")
    return 0


def _notify(state: str) -> None:
    """Tell systemd, where it waits for word (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or sys.platform == "win32":
        return
    target = "\0" + address[1:] if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(state.encode(), target)
