"""Every other process is started here, so that nothing of the place where this one was started reaches it.

Our own children import what this process imports, but neither from the current folder nor from what Python's
variables name (`python -I`); no child keeps the current folder busy, or misses it when it is deleted. What is
handed down is said: the streams, and with `start_with` an open file that has no name.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import IO, Any, Final

from streamfx.errors import GivenUp
from streamfx.importing import installed_path

PIPE: Final = subprocess.PIPE
NOWHERE: Final = subprocess.DEVNULL
JOINED: Final = subprocess.STDOUT
_VARIABLES: Final = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
"""glibc: with arenas for all of its threads a worker grew by 7 MB in four minutes, with two by 2. OpenBLAS:
see streamfx/frames.py."""
_LOOK_S: Final = 0.05
"""How often a program that runs looks whether it was given up."""
_PATHS: Final = ("STREAMFX_MODELS_DIR", "NUMBA_CACHE_DIR")
"""Variables that a person may set relative to the current folder."""
_RUN: Final = (
    "import runpy, sys; sys.path[:] = {path!a}; "
    "runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
)


def own(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module of this installation, or of what is installed beside it.

    As `python -m`, but isolated. Not `-I` alone: that forgets packages of the account (`pip install --user`),
    and those that a wrapper put on the path.
    """
    code = _RUN.format(path=installed_path(), module=module)
    return (sys.executable, "-I", *_flags(), "-c", code, *arguments)


def start(
    command: Sequence[str],
    *,
    stdin: int | IO[bytes] = NOWHERE,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    variables: Mapping[str, str] | None = None,
    folder: str | None = None,
    **system: Any,  # noqa: ANN401 - as Popen takes them
) -> subprocess.Popen[bytes]:
    """Start a program.

    Args:
        command: of a program, or `own`.
        stdin, stdout, stderr: as Popen takes them; None leaves this process's.
        variables: added to the environment.
        folder: that it is to be in; None takes the root of the file system.
        system: further options of Popen, for one system or another.

    Raises:
        OSError: it cannot be started.
    """
    environment = {**_VARIABLES, **os.environ, **_absolute(), **(variables or {})}
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=environment,
        cwd=folder or Path(sys.executable).anchor,
        **system,
    )


def run(
    command: Sequence[str],
    *,
    given: bytes | None = b"",
    limit_s: float | None = None,
    stderr: int | None = None,
    variables: Mapping[str, str] | None = None,
    given_up: threading.Event | None = None,
) -> tuple[int, bytes, bytes]:
    """Run a program to its end; its exit code, and what it wrote to standard output and, if PIPE, error.

    Args:
        command: of a program, or `own`.
        given: its standard input.
        limit_s: after which it is killed.
        stderr, variables: as `start`.
        given_up: set by others, it ends the program.

    Raises:
        OSError: it cannot be started.
        TimeoutError: it took too long.
        GivenUp: nobody waits for it any more.
    """
    end = None if limit_s is None else monotonic() + limit_s
    with start(command, stdin=PIPE, stdout=PIPE, stderr=stderr, variables=variables) as process:
        try:
            while True:
                left = None if end is None else end - monotonic()
                step = left if given_up is None else min(_LOOK_S, _LOOK_S if left is None else left)
                try:
                    out, said = process.communicate(given, step)
                except subprocess.TimeoutExpired as error:
                    if given_up is not None and given_up.is_set():
                        raise GivenUp(f"{command[0]} was ended: nobody waits for it any more") from error
                    if end is not None and monotonic() >= end:
                        raise TimeoutError(f"{command[0]} took longer than {limit_s:.0f} s") from error
                    given = None  # it is sent, or being sent
                else:
                    return process.returncode, out, said or b""
        finally:
            process.kill()  # whatever came between; no effect on one that has ended


def start_with(command: Sequence[str], *descriptors: int) -> tuple[subprocess.Popen[bytes], list[int]]:
    """Start a program that inherits descriptors; its standard input and output are pipes.

    A terminal's signals do not reach it. It belongs to this session until it has something to do
    (`priority.for_itself`).

    Returns:
        The process, and the numbers that `inherited` takes in it.

    Raises:
        OSError: no process can be started.
    """
    if sys.platform == "win32":
        import msvcrt

        handles = [msvcrt.get_osfhandle(descriptor) for descriptor in descriptors]
        for handle in handles:
            os.set_handle_inheritable(handle, True)
        started = start(
            command,
            stdin=PIPE,
            stdout=PIPE,
            startupinfo=subprocess.STARTUPINFO(lpAttributeList={"handle_list": handles}),
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW,
        )
        return started, handles
    process = start(command, stdin=PIPE, stdout=PIPE, pass_fds=descriptors, process_group=0)
    return process, list(descriptors)


def inherited(number: int) -> int:
    """The descriptor that was inherited, by the number that `start_with` gave.

    Raises:
        OSError: there is none.
    """
    if sys.platform == "win32":
        import msvcrt

        return msvcrt.open_osfhandle(number, os.O_RDWR | os.O_BINARY)
    return number


def _flags() -> list[str]:
    """What this interpreter was told by variables that `-I` forgets, where it matters to a child."""
    flags = ["-B"] if sys.dont_write_bytecode else []
    if sys.pycache_prefix:
        flags += ["-X", f"pycache_prefix={sys.pycache_prefix}"]
    return [*flags, "-X", "utf8"] if sys.flags.utf8_mode else flags


def _absolute() -> dict[str, str]:
    """Variables that name a folder, as this process understands them."""
    named = {name: os.environ[name] for name in _PATHS if os.environ.get(name)}
    try:
        return {name: str(Path(path).expanduser().absolute()) for name, path in named.items()}
    except (OSError, RuntimeError):  # no current folder, no home: a child will meet the same
        return {}
