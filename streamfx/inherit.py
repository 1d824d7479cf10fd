"""Children that inherit an open file: the ring's memory, which has no name by which they could open it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

_ARENAS: Final = {"MALLOC_ARENA_MAX": "2"}
"""For glibc: with arenas for all of its threads a worker grew by 7 MB in four minutes, with two by 2."""


def start_with(command: Sequence[str], descriptor: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start a program that inherits a descriptor; its standard input and output are pipes.

    Returns:
        The process, and the number that `inherited` takes in it.

    Raises:
        OSError: no process can be started.
    """
    if sys.platform == "win32":
        import msvcrt

        handle = msvcrt.get_osfhandle(descriptor)
        os.set_handle_inheritable(handle, True)
        started = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            startupinfo=subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]}),
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW,
        )
        return started, handle
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[descriptor],
        start_new_session=True,
        env={**_ARENAS, **os.environ},
    )
    return process, descriptor


def inherited(number: int) -> int:
    """The descriptor that was inherited, by the number that `start_with` gave.

    Raises:
        OSError: there is none.
    """
    if sys.platform == "win32":
        import msvcrt

        return msvcrt.open_osfhandle(number, os.O_RDWR | os.O_BINARY)
    return number
