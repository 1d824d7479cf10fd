"""What the system lets this process have, files and memory, and what to say where that is too little."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamfx.errors import LimitReached

COMMAND: Final = 16
"""Files that a command may have open, at least: with fewer than 10 nothing can be imported, and gRPC and
MediaPipe end the process where one is refused."""
DAEMON: Final = 64
"""The daemon with one session and some clients."""
FILM_BYTES: Final = 220_000_000
"""Of memory, for a film: as much is taken that cannot be had back."""
LIVE_BYTES: Final = 500_000_000
"""For the daemon and the processes of one session: 360 MB cannot be had back, and libraries need room in the
page cache."""
FILM_THREADS: Final = (10, 3)
"""For a film: as many, and more for each core; 11 were used on two. Libraries end the process, or blame a
model, where one is refused."""
LIVE_THREADS: Final = (50, 3)
"""For the daemon and all that it starts: on two cores 37 were used, 46 too few for a photo, 57 enough."""
ADDRESSES: Final = 1_500_000_000
"""Bytes that a process may map: libraries map more than they use, for a film 1430 MB on two cores."""

_ENOUGH: Final = 1 << 16
_UNTOLD: Final = 1024
"""Where the system does not tell."""
_BASE, _SESSION, _PASSING = 20, 18, 8
"""Open files of a daemon: without sessions, of each session, and for a moment (a process is started, a photo
is kept)."""
_CGROUPS: Final = Path("/sys/fs/cgroup")
_MEMORY: Final = {"": ("", "memory.max"), "memory": ("memory", "memory.limit_in_bytes")}
"""By the controllers in /proc/self/cgroup, of version 2 and 1: below which mount, in which file it stands."""
_UNLIMITED: Final = 1 << 60
_VMSTAT: Final = Path("/proc/vmstat")
_MORE_THREADS: Final = (
    "Close programs, or allow more: ulimit -u unlimited; docker run --pids-limit; for a systemd unit TasksMax"
)
_RAISE: Final = "Raise the limit: ulimit -n 1024; for a systemd unit LimitNOFILE=1024"


def allow_many() -> None:
    """Take as many files as the system lets this user have: logins begin with 1024."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_files() -> int:
    """As many as that."""
    if sys.platform == "win32":
        return _UNTOLD
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft


def require_files(least: int) -> None:
    """See that this process may have enough files open.

    Raises:
        LimitReached: it may not.
    """
    if (most := most_files()) < least:
        cause = f"The system lets this program have only {most} files open, and it needs {least}"
        raise LimitReached("process", "streamfx", cause, _RAISE)


@dataclass(frozen=True, slots=True)
class Shares:
    """How the files that a daemon may have open are shared: whoever takes too many is refused, not all."""

    sessions: int
    connections: int
    """Of clients, at each address."""
    handed: int
    """Of files that clients hand over, and connections for that."""
    readers: int
    """Of each session's ring."""


def shares(sessions: int, addresses: int, most: int | None = None) -> Shares:
    """Share out what there is, after what the daemon itself needs.

    Args:
        sessions: as many as are wanted; fewer where there is no room.
        addresses: at which clients are heard.
        most: files; None takes what this process may have.
    """
    room = (most_files() if most is None else most) - _BASE - _PASSING
    sessions = max(1, min(sessions, 2 * room // (3 * _SESSION)))
    left = max(8, room - sessions * _SESSION)
    return Shares(sessions, left // 2 // addresses, left // 4, max(1, left // 4 // sessions))


def require_memory(least: int) -> None:
    """See that this process, with others of its container or service, may have enough memory.

    Raises:
        LimitReached: it may not: the system would end it without a word.
    """
    allowed = memory_allowed()
    if allowed is not None and allowed < least:
        had, needed = f"{allowed / 1e6:.0f} MB", f"{least / 1e6:.0f}"
        cause = f"This container or service may have {had} of memory, and {needed} are needed"
        raise LimitReached("process", "streamfx", cause, "Allow it 1 GB: docker run -m 1g, or MemoryMax=1G")


def require_threads(some: tuple[int, int]) -> None:
    """See that this process, with those that it starts, may have so many threads more; they are tried.

    Args:
        some: so many, and so many for each core.

    Raises:
        LimitReached: it may not.
    """
    least = some[0] + some[1] * _cores()
    if (most := more_threads(least)) < least:
        cause = (
            f"The system lets this user have only {most} threads and processes more, and {least} are needed"
        )
        raise LimitReached("process", "streamfx", cause, _MORE_THREADS)


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def more_threads(wanted: int) -> int:
    """How many of the wanted threads can be had: what others of this user have counts, too."""
    done, started = threading.Event(), list[threading.Thread]()
    try:
        for _ in range(wanted):
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        return len(started)
    finally:
        done.set()
        for thread in started:
            thread.join()
    return wanted


def require_addresses() -> None:
    """See that this process may map enough.

    Raises:
        LimitReached: it may not.
    """
    if sys.platform == "win32":
        return
    import resource

    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most != resource.RLIM_INFINITY and most < ADDRESSES:
        had, needed = f"{most / 1e6:.0f} MB", f"{ADDRESSES / 1e6:.0f}"
        cause = f"The system lets this program map only {had} of memory, and it needs {needed}"
        raise LimitReached("process", "streamfx", cause, "Raise the limit: ulimit -v unlimited")


def memory_allowed(root: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Bytes that the control groups of this process, and those around them, allow it; None for no limit."""
    found: list[int] = []
    for line in _lines(own):
        _, controllers, place = line.split(":", 2)
        if controllers not in _MEMORY:
            continue
        mount, file = _MEMORY[controllers]
        folder = root / mount / place.lstrip("/")
        # In a container the place may be the host's, and what is mounted its own group.
        for one in (folder, *folder.parents):
            if one.is_relative_to(root):
                found += [int(text) for text in _lines(one / file) if text.isdecimal()]
    return min((most for most in found if most < _UNLIMITED), default=None)


def shortage(what: str, error: BaseException, remedy: str = "Try again") -> tuple[str, str]:
    """Cause and remedy, where the system refused something.

    Args:
        what: that it is not, a clause.
        error: what the system said.
        remedy: where it is none that is known here.
    """
    short = _SHORTAGES.get(_number(error))
    if short is None:
        said = getattr(error, "strerror", None) or str(error)
        return f"{what}: {said[:1].lower()}{said[1:]}", remedy
    return f"{what}: {short[0]()}", short[1]


def is_shortage(error: BaseException) -> bool:
    """Whether an error, wherever it comes from, says that the system gives too little of something."""
    if isinstance(error, BlockingIOError):  # of too many processes only where one is started
        return False
    return _number(error) in _SHORTAGES


def _number(error: BaseException) -> int:
    """The system's, also of errors that Python raises without it; 0 for none."""
    if isinstance(error, MemoryError) or (isinstance(error, ImportError) and _UNMAPPED in str(error)):
        return errno.ENOMEM
    if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
        return errno.EAGAIN
    return (error.errno or 0) if isinstance(error, OSError) else 0


def memory_kills() -> int:
    """Processes that Linux has ended so far for want of memory; 0 where it does not tell."""
    return next((int(line.split()[1]) for line in _lines(_VMSTAT) if line.startswith("oom_kill ")), 0)


def _lines(path: Path) -> list[str]:
    """The lines of one of the kernel's files; none where there is no such file."""
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _files() -> str:
    return f"this program may have only {most_files()} files open"


def _size() -> str:
    if sys.platform == "win32":
        return "it is too large"
    import resource

    most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if most == resource.RLIM_INFINITY:
        return "it is too large"
    return f"files may have at most {most / 1e6:.1f} MB here (ulimit -f)"


_UNMAPPED: Final = "failed to map segment"
_NO_THREAD: Final = "start new thread"
"""Of Python's own words: no memory for a library, and no further thread."""
_SHORTAGES: Final[dict[int, tuple[Callable[[], str], str]]] = {
    errno.EMFILE: (_files, _RAISE),
    errno.ENFILE: (lambda: "all programs together have too many files open", "Close programs"),
    errno.ENOMEM: (lambda: "no memory is left for it", "Close programs, or allow more memory (ulimit -v)"),
    errno.EAGAIN: (
        lambda: "there are too many processes or threads",
        "Close programs, or allow more (ulimit -u)",
    ),
    errno.EFBIG: (_size, "Raise the limit: ulimit -f unlimited"),
    errno.ENOSPC: (lambda: "no space is left on the disk", "Free some space"),
    errno.EDQUOT: (lambda: "the disk quota is used up", "Free some space"),
}
"""By the system's number: what is short, and what to do."""
