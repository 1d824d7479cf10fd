"""Keeping a child process safe: it dies with its parent and leaves no core file with a face in it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4


def die_with_parent() -> None:
    """Be killed when the parent's thread that started us ends, and be closed to core dumps and debuggers.

    Where the system has no such thing, the end of the pipe tells.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
