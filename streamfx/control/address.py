"""Where the daemon listens for programs of the same user: a UNIX socket in a folder of its own."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from streamfx.config import runtime_folder
from streamfx.errors import ResourceBusy, UsageError

NAME: Final = "control.sock"
_LONGEST: Final = 107
"""Bytes of a socket's path that the system takes."""
_CONNECT_S: Final = 1.0


def default_socket() -> Path:
    """In the daemon's runtime folder, `$XDG_RUNTIME_DIR/streamfx/control.sock` as a rule."""
    return runtime_folder() / NAME


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
        raise UsageError(
            f"The folder {folder} of the socket cannot be used: {error.strerror}",
            "Name another with --socket",
        ) from error


def _lock(path: Path) -> int:
    """A descriptor whose lock falls with the process, however it ends."""
    import fcntl

    name = _lock_file(path)
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
    if not stat.S_ISSOCK(mode):
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


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0
