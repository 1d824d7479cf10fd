"""The checks of `streamfx doctor` for the daemon: settings, socket, ports, PipeWire."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from streamfx.api.address import Pointer, default_socket, read_pointer
from streamfx.checks import Check, State
from streamfx.errors import CameraUnavailable
from streamfx.priority import AUTO, NORMAL, REALTIME, trouble
from streamfx.settings.daemon import usual_config
from streamfx.settings.notation import path_of

_CONNECT_S: Final = 1.0
_ANOTHER: Final = "Close that program, or choose another port in the settings"


def examine_daemon(*, fix: bool = False) -> list[Check]:
    """The checks that apply here.

    Args:
        fix: mend what needs no root.
    """
    settings = usual_config()
    kept = settings.control.socket
    path = path_of(kept) if kept else default_socket()
    listening = check_socket(path, fix=fix)
    ports = [("listen", settings.control.listen), ("metrics", settings.metrics.address)]
    runs = listening.finding.startswith("a daemon")
    return [
        listening,
        *(check_port(name, address) for name, address in ports if address and not runs),
        check_pipewire(),
        *([check_priority(settings.limits.priority)] if settings.limits.priority != NORMAL else []),
    ]


def check_priority(wanted: str) -> Check:
    """Whether the publisher would be granted the priority of the settings."""
    why = trouble(wanted)
    if not why:
        return Check("priority", State.OK, f"{REALTIME if wanted == AUTO else wanted} is granted")
    if wanted == AUTO:
        return Check("priority", State.OK, f"normal: realtime is not granted ({why})")
    remedy = "Install rtkit, or allow it in /etc/security/limits.d: @users - rtprio 20, @users - nice -11"
    return Check("priority", State.WARN, f"{wanted} is not granted: {why}", remedy)


def check_socket(path: Path, *, fix: bool = False) -> Check:
    """Whether a daemon listens, and what keeps one from listening."""
    try:
        found = path.lstat()
    except OSError:
        return Check("daemon", State.OK, "none runs")
    pointer = read_pointer(path)
    if not stat.S_ISSOCK(found.st_mode) and pointer is None:
        return Check("daemon", State.FAIL, f"{path} exists and is no socket", f"Remove it: rm {path}")
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        remedy = "Choose another with `streamfx serve --socket`"
        return Check("daemon", State.FAIL, f"{path} belongs to another user", remedy)
    try:
        _knock(path, pointer)
    except ConnectionRefusedError:
        return _stale(path, fix=fix)
    except OSError as error:
        return Check("daemon", State.FAIL, f"{path} does not answer: {error.strerror}", "Stop the daemon")
    return Check("daemon", State.OK, f"a daemon listens at {path}")


def _knock(path: Path, pointer: Pointer | None) -> None:
    """Connect to a daemon, and leave. Raises OSError where none answers."""
    if pointer is not None:
        socket.create_connection(("127.0.0.1", pointer.port), _CONNECT_S).close()
    elif sys.platform != "win32":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_CONNECT_S)
            probe.connect(str(path))


def check_port(name: str, address: str) -> Check:
    """Whether a port of the settings can be listened at."""
    host, _, port = address.rpartition(":")
    try:
        family, kind, _, _, place = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Check(name, State.FAIL, f"{address} is taken by another program", _ANOTHER)
        return Check(name, State.FAIL, f"{address} cannot be listened at: {error.strerror}", _ANOTHER)
    return Check(name, State.OK, f"{address} is free")


def check_pipewire() -> Check:
    """Whether the camera that needs no module can be had."""
    if sys.platform != "linux":
        return Check("pipewire", State.OK, "not on this system")
    from streamfx.sink.pipewire.native import library

    try:
        library()
    except CameraUnavailable as error:
        return Check("pipewire", State.WARN, error.cause, error.remedy)
    runtime = os.environ.get("PIPEWIRE_RUNTIME_DIR") or os.environ.get("XDG_RUNTIME_DIR") or ""
    if not runtime or not os.path.exists(Path(runtime) / "pipewire-0"):
        remedy = "systemctl --user start pipewire wireplumber, or use v4l2loopback"
        return Check("pipewire", State.WARN, "no PipeWire server runs for this user", remedy)
    return Check("pipewire", State.OK, "runs: --camera pipewire can be used")


def _stale(path: Path, *, fix: bool) -> Check:
    """A socket that a daemon left behind when it was killed."""
    if fix:
        with suppress(OSError):
            path.unlink()
        return Check("daemon", State.OK, f"the socket {path} of a dead daemon is removed")
    remedy = "The next daemon clears it away, or: streamfx doctor --fix"
    return Check("daemon", State.WARN, f"{path} was left by a daemon that was killed", remedy)
