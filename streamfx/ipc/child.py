"""What every child process of the daemon begins and ends with.

It dies with its parent, leaves no core file with a face in it, and what its libraries print does not come
between what it says.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from streamfx.logs import log_as

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_OOM: Final = Path("/proc/self/oom_score_adj")
_SOONER, _SOONEST = 300, 1000
"""Thousandths of the memory that there is, which Linux adds to what a process takes when it chooses one."""


def child_main(name: str, work: Callable[[BinaryIO, BinaryIO], int], *, spared: bool = False) -> NoReturn:
    """Be a child of the daemon: do its work, and end.

    Args:
        name: under which it logs.
        work: given the pipes from and to the daemon; returns the exit code. What libraries print goes to
            standard error. Ctrl-C is the daemon's to act on.
        spared: as in `die_with_parent`.
    """
    die_with_parent(spared=spared)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log_as(name)
    writer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    code = work(os.fdopen(0, "rb", closefd=False), writer)
    sys.stderr.flush()
    os._exit(code)  # a driver or a library that hangs must not keep the process


def tell(writer: BinaryIO, **facts: object) -> None:
    """Say something to the daemon, as a line of JSON; an error as `failed=asdict(Failure.of(error))`."""
    writer.write(json.dumps(facts).encode() + b"\n")
    writer.flush()


def die_with_parent(*, spared: bool = False) -> None:
    """Be killed when the parent's thread that started us ends, and be closed to core dumps and debuggers.

    Where the system has no such thing, the end of the pipe tells.

    Args:
        spared: whether Linux, where memory runs out, is to end other processes of ours first.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if os.getppid() != parent or _is_unheard():  # it died before we asked, or before we began
        os._exit(1)
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not spared:
        _go_first()


def _is_unheard() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    if sys.platform == "win32":
        return False
    import select

    output = select.poll()
    output.register(1, 0)
    return any(told & select.POLLERR for _, told in output.poll(0))


def _go_first() -> None:
    """Be ended before the daemon and the publisher where memory runs out: what is lost is made anew."""
    with suppress(OSError, ValueError):
        score = int(_OOM.read_text("ascii"))
        _OOM.write_text(str(min(score + _SOONER, _SOONEST)), "ascii")
