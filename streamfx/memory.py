"""Memory that processes share: handed over by its descriptor, without a name that could be left behind."""

from __future__ import annotations

import mmap
import os
import secrets
import sys
import tempfile
from pathlib import Path

import numpy as np

from streamfx.frames import U8


def shared_memory(size: int) -> int:
    """A descriptor of that much memory, all zero, the caller's to close."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("streamfx", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        descriptor = _nameless_file()
    os.ftruncate(descriptor, size)
    return descriptor


def _nameless_file() -> int:
    """A descriptor of a file that is gone with its last handle, for this user only."""
    if sys.platform == "win32":
        path = Path(tempfile.gettempdir()) / f"streamfx-{secrets.token_hex(8)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_BINARY | os.O_NOINHERIT
        return os.open(path, flags | os.O_TEMPORARY, 0o600)
    descriptor, name = tempfile.mkstemp(prefix="streamfx-")
    Path(name).unlink()
    return descriptor


def seal(descriptor: int) -> None:
    """Fix the size for ever: a reader of memory that shrinks dies of SIGBUS."""
    if sys.platform == "linux":
        import fcntl

        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)


def is_sealed(descriptor: int) -> bool:
    """Whether the size of this memory is fixed; nowhere but on Linux."""
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        return bool(fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
    except OSError:  # no such memory at all
        return False


def mapped(descriptor: int, size: int, *, writable: bool) -> U8:
    """Memory as u8 [size], mapped for as long as the array or a view of it lives.

    Raises:
        OSError, ValueError: it is smaller, or no memory.
    """
    access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
    return np.frombuffer(mmap.mmap(descriptor, size, access=access), np.uint8)
