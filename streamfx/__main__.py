"""The command `streamfx`: the one place where an error becomes a line on stderr and an exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

from streamfx.cli import build_parser
from streamfx.errors import Interrupted, StreamfxError

FAILED = 1
_BY_SIGNAL = 128
"""What a shell adds to a signal's number to make an exit code; Ctrl-C is signal 2."""
_AGAIN_S = 0.05
_ELSEWHERE = "Send it elsewhere; a film or template that was to be made is complete."


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (by default this process's own).

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted by Ctrl-C, 128 + n told to
        stop by signal n.
    """
    _open_standard_streams()
    try:
        if argv is None:
            _stop_when_told()
            _hear_again()
        arguments = build_parser().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()  # here, where a closed pipe can still be told from a failure
    except _Told as told:
        return _stopped(f"stopped by {told.name}", told.exit_code, at_once=argv is None)
    except KeyboardInterrupt:
        return _stopped("interrupted", Interrupted.exit_code, at_once=argv is None)
    except BrokenPipeError:
        _drop_output()
        return FAILED
    except OSError as error:
        if _output_works():
            raise
        _drop_output()
        _say(f"error: The text on standard output cannot be written: {error.strerror}. {_ELSEWHERE}")
        return FAILED
    except StreamfxError as error:
        _say(f"error: {error}")
        return error.exit_code
    return code


class _Told(BaseException):
    """Another program, or the closed terminal, said stop. Like KeyboardInterrupt, it is no error."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.name = signal.Signals(number).name
        self.exit_code = _BY_SIGNAL + number


def _stop_when_told() -> None:
    """Leave by the way of Ctrl-C on SIGTERM and SIGHUP too, so that nothing half-written stays behind."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise _Told(number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # A program started by nohup must go on ignoring it; only the main thread may ask.
        with suppress(ValueError):
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, stop)


def _hear_again() -> None:
    """Interrupt again where Python lost it: what is raised in a destructor (numba has some) goes nowhere."""
    report = sys.unraisablehook

    def notice(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt | _Told):
            report(lost)
            return
        number = lost.exc_value.number if isinstance(lost.exc_value, _Told) else signal.SIGINT
        # Later, for what is raised in here would be lost as well.
        threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number)).start()

    sys.unraisablehook = notice


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


def _stopped(line: str, code: int, *, at_once: bool) -> int:
    """Say why; then, in a program of our own, leave without taking anything apart.

    Files are closed by now, but what was interrupted may be a MediaPipe task half-made: freeing it, or
    waiting for its threads at the interpreter's end, can crash or hang.
    """
    _say(line)
    if at_once:
        os._exit(code)
    return code


def _drop_output() -> None:
    """The reader of our output has gone (`streamfx … | head`): let the interpreter's own flush go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
