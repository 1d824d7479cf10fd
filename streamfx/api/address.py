"""Where the daemon listens for programs of the same user: a UNIX socket in a folder of its own.

Where there are none (Windows) a file at the same path says at which port of this machine it listens instead,
and which token it wants: whoever may read the file may steer the daemon, as whoever may open the socket.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamfx.config import runtime_folder
from streamfx.errors import ResourceBusy, UsageError
from streamfx.files import atomic_output
from streamfx.ipc import locks

NAME: Final = "control.sock"
_LONGEST: Final = 101
"""Bytes of a socket's path: the system takes 107, and another one lies beside it (streamfx/ipc/handed.py)."""
_CONNECT_S: Final = 1.0
_LONGEST_POINTER: Final = 4096
_PORTS: Final = 1 << 16


def default_socket() -> Path:
    """In the daemon's runtime folder, `$XDG_RUNTIME_DIR/streamfx/control.sock` as a rule."""
    return runtime_folder() / NAME


def has_sockets() -> bool:
    """Whether gRPC can listen at UNIX sockets here; its Python has none on Windows (grpc issue 35880)."""
    return sys.platform != "win32"


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where the daemon listens in place of a UNIX socket: a port of this machine, and the token it wants."""

    port: int
    token: str


def read_pointer(path: Path) -> Pointer | None:
    """What a daemon left at its socket's path; None if that is no such word, or could be another user's."""
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _LONGEST_POINTER or not _is_private(facts):
            return None
        said = json.loads(path.read_text("utf-8"))
        port, token = said["port"], said["token"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not (isinstance(port, int) and 0 < port < _PORTS and isinstance(token, str) and token.isascii()):
        return None
    return Pointer(port, token)


class SocketPlace:
    """The right to listen at a path: at most one daemon has it, and a dead one's socket is cleared away."""

    def __init__(self, path: Path) -> None:
        """Take the place.

        Raises:
            UsageError: the path is too long, or its folder belongs to somebody else.
            ResourceBusy: a daemon listens there.
        """
        if len(os.fsencode(path)) > _LONGEST:
            raise UsageError(f"The socket's path {path} is longer than {_LONGEST} bytes", "Use a shorter one")
        self.path = path
        _own_folder(path.parent)
        with ExitStack() as undo:
            self._lock = _lock(path)
            undo.callback(os.close, self._lock)
            _clear(path)
            undo.pop_all()

    def point_to(self, port: int, token: str) -> None:
        """Leave word, for this user only, of the port at which the daemon listens instead (`has_sockets`)."""
        with atomic_output(self.path) as part:
            part.chmod(0o600)
            part.write_text(json.dumps({"port": port, "token": token}), "utf-8")

    def opened(self) -> None:
        """The socket exists now: keep others from it. (Its folder kept them out before.)"""
        self.path.chmod(0o600)

    def release(self) -> None:
        """Remove the socket and let others have the place."""
        for path in (self.path, _lock_file(self.path)):
            with suppress(OSError):
                path.unlink()
        os.close(self._lock)


def _own_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != _user():
            raise UsageError(f"{folder} is not a folder of this user", "Name another with --socket")
        if stat.S_IMODE(found.st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> UsageError:
    cause = f"The folder {folder} of the socket cannot be used: {error.strerror}"
    return UsageError(cause, "Name another with --socket")


def _lock(path: Path) -> int:
    """A descriptor whose lock falls with the process, however it ends."""
    name = _lock_file(path)
    while True:
        try:
            descriptor = locks.open_lock(name)
        except OSError as error:
            raise _unusable(path.parent, error) from error
        try:
            locks.lock(descriptor)
            if os.path.samestat(os.fstat(descriptor), name.lstat()):
                return descriptor
        except FileNotFoundError:
            pass
        except OSError as error:
            os.close(descriptor)
            raise _taken(path) from error
        os.close(descriptor)  # its owner removed the file meanwhile: the lock on it keeps nobody out


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _clear(path: Path) -> None:
    """Remove a socket at which nobody listens."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISREG(mode) and read_pointer(path) is not None:
        path.unlink()  # whoever wrote it held the lock that is ours now
        return
    if sys.platform == "win32" or not stat.S_ISSOCK(mode):
        raise UsageError(f"{path} exists and is no socket", "Remove it, or name another with --socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise _taken(path) from error
    raise _taken(path)


def _taken(path: Path) -> ResourceBusy:
    cause = f"Another daemon listens at {path}"
    return ResourceBusy("socket", str(path), cause, "Stop it, or name another place with --socket")


def _is_private(facts: os.stat_result) -> bool:
    """Windows has other permissions: there the folder, which is the user's, keeps others out."""
    return facts.st_uid == _user() and (sys.platform == "win32" or not facts.st_mode & 0o077)


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0
