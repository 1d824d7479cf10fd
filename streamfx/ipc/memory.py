"""Memory: that which processes share, handed over by its descriptor; and that which is given back."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np

from streamfx.frames import U8

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""
_LARGE: Final = 1 << 20
"""Bytes from which a block is mapped by itself, and so given back as soon as it is freed."""
_ARENAS: Final = 2


def shared_memory(size: int) -> int:
    """A descriptor of that much memory, all zero, the caller's to close.

    Raises:
        OSError: there is not as much, or no further file may be open.
    """
    if sys.platform == "linux":
        descriptor = os.memfd_create("streamfx", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        descriptor = _nameless_file()
    try:
        os.ftruncate(descriptor, size)
    except OSError:
        os.close(descriptor)
        raise
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


def keep_little() -> None:
    """Let glibc give memory back to the system as soon as it is freed, in a process that runs for days.

    Left alone it raises its thresholds with the largest block that was ever freed (to 32 MB), and keeps an
    arena for every thread: a daemon that had been sent photos of 20 MB kept 1.4 GB.
    """
    libc = _glibc()
    if libc is not None:
        for parameter, value in (
            (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _LARGE), (_ARENA_MAX, _ARENAS),
        ):  # fmt: skip
            libc.mallopt(parameter, value)


def give_back() -> None:
    """Free what nothing refers to, and give back what lies free between blocks that are in use.

    Takes some milliseconds. The traceback of a refused photo refers to it, and to itself: it kept 20 MB.
    """
    gc.collect()
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") else None  # musl has none
