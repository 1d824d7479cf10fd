"""The command `streamfx`: the one place where an error becomes a line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from streamfx.cli import build_parser
from streamfx.errors import Interrupted, StreamfxError

FAILED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (by default this process's own).

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted by Ctrl-C.
    """
    try:
        arguments = build_parser().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()  # here, where a closed pipe can still be told from a failure
    except KeyboardInterrupt:
        _say("interrupted")
        return Interrupted.exit_code
    except BrokenPipeError:
        _drop_output()
        return FAILED
    except StreamfxError as error:
        _say(f"error: {error}")
        return error.exit_code
    return code


def _say(line: str) -> None:
    """One line on stderr, where there is one."""
    with suppress(OSError):
        sys.stderr.write(f"streamfx: {line}\n")


def _drop_output() -> None:
    """The reader of our output has gone (`streamfx … | head`): let the interpreter's own flush go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
