"""Keeping a child process safe: it dies with its parent and leaves no core file with a face in it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_OOM: Final = Path("/proc/self/oom_score_adj")
_SOONER, _SOONEST = 300, 1000
"""Thousandths of the memory that there is, which Linux adds to what a process takes when it chooses one."""


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
