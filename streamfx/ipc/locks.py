"""A lock that one process has at a time, and that falls with it, however it ends."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_FAR: Final = 1 << 20
"""Byte that Windows locks: its locks keep others from reading, too, and the first bytes name the holder."""


def open_lock(path: Path) -> int:
    """The descriptor of a lock file, made if need be, for this user only; not locked yet."""
    return os.open(path, _FLAGS, 0o600)


def lock(descriptor: int) -> None:
    """Take the lock.

    Raises:
        OSError: another process has it.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        return
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def holder(descriptor: int) -> str:
    """Number of the process that has the lock, as it said with `sign`; empty if it did not."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    said = os.read(descriptor, 32).decode("ascii", "replace").strip()
    return said if said.isdecimal() else ""


def sign(descriptor: int) -> None:
    """Say which process has the lock, unless the disk is full: it is had all the same."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, str(os.getpid()).encode())
