"""The command `streamfx`: the one place where an error becomes a line on stderr and an exit code."""

from __future__ import annotations

import sys

from streamfx.importing import current_folder, installed_path

if __name__ == "__main__":  # `python -m streamfx`: the current folder is first on the path
    sys.path[:] = installed_path()

import os

# Before they are imported, which read them then. What gRPC's C core logs is no line for people, who get our
# error; an idle thread of OpenBLAS spins after any matmul.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import errno
import io
import logging
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from traceback import clear_frames, print_exception

from streamfx import interrupts
from streamfx.cli import build_parser
from streamfx.cli.show import quiet
from streamfx.errors import Interrupted, StreamfxError
from streamfx.limits import COMMAND, allow_many, is_shortage, require_files, shortage

FAILED = 1
_ELSEWHERE = "Send it elsewhere; a film or template that was to be made is complete."


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (by default this process's own).

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted by Ctrl-C, 128 + n told to
        stop by signal n.
    """
    _open_standard_streams()
    is_verbose = False
    try:
        if argv is None:
            interrupts.listen()
        with interrupts.unmasked():
            arguments = build_parser().parse_args(argv)
            is_verbose = arguments.verbose
            code = _run(arguments)
            sys.stdout.flush()  # here, where a closed pipe can still be told from a failure
    except KeyboardInterrupt as told:
        return _stopped(told, "interrupted", Interrupted.exit_code, at_once=argv is None)
    except interrupts.StopRequested as told:
        return _stopped(told, f"stopped by {told.name}", told.exit_code, at_once=argv is None)
    except BrokenPipeError:
        _drop_output()
        return FAILED
    except (RuntimeError, ImportError) as error:
        if not is_shortage(error):
            raise
        return _refused_by_system(error, is_verbose=is_verbose)
    except (OSError, MemoryError) as error:
        return _refused_by_system(error, is_verbose=is_verbose)
    except StreamfxError as error:
        _say("\n".join(("error: " + error.lines()[0], *error.lines()[1:])))
        if is_verbose:
            print_exception(error)
        return error.exit_code
    return code


def _run(arguments: argparse.Namespace) -> int:
    """The chosen command; with --quiet its text only where that is what was asked for."""
    if arguments.verbose:
        from streamfx.logs import log_to_stderr

        log_to_stderr(logging.INFO)
    hush = arguments.quiet and not (arguments.reads or arguments.json)
    allow_many()
    require_files(COMMAND)
    with quiet() if hush else nullcontext():
        code: int = arguments.run(arguments)
    return code


def _open_standard_streams() -> None:
    """One that is closed (`>&-`) leads nowhere: else the next file opened, the film, would take its place.

    Names of files that are not UTF-8 are printed with escapes.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _refused_by_system(error: Exception, *, is_verbose: bool) -> int:
    """A line for what no part of the program foresaw but has a name; anything else is raised on."""
    if isinstance(error, FileNotFoundError) and not current_folder():
        _say("error: The current folder is gone, and a path is relative to it. Go to another: cd.")
    elif is_shortage(error) and (getattr(error, "errno", 0) != errno.ENOSPC or _output_works()):
        name = getattr(error, "filename", None)
        cause, remedy = shortage(
            f"{name} cannot be written" if name else "The system gives too little", error
        )
        _say(f"error: {cause}. {remedy}.")
        if is_verbose:
            print_exception(error)
    elif not isinstance(error, OSError) or _output_works():
        raise error
    else:
        _drop_output()
        _say(f"error: The text on standard output cannot be written: {error.strerror}. {_ELSEWHERE}")
    return FAILED


def _output_works() -> bool:
    """Whether standard output takes a line; it does not when it leads to a file on a full disk."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _say(line: str) -> None:
    """One line on stderr, where there is one."""
    with suppress(OSError):
        sys.stderr.write(f"streamfx: {line}\n")


def _stopped(
    told: interrupts.StopRequested | KeyboardInterrupt, line: str, code: int, *, at_once: bool
) -> int:
    """Say why; then, in a program of our own, leave without taking anything apart.

    Files are closed by now, but what was interrupted may be a MediaPipe task half-made: freeing it, or
    waiting for its threads at the interpreter's end, can crash or hang.
    """
    interrupts.hear(told)
    _say(line)
    if at_once:
        clear_frames(told.__traceback__)  # a `with` just entered tidies up behind itself
        os._exit(code)
    return code


def _drop_output() -> None:
    """The reader of our output has gone (`streamfx … | head`): let the interpreter's own flush go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
