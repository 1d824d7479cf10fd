"""Where a command's work goes: files, which are never replaced unasked, or `-`, standard output."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import BinaryIO, Final

from streamfx.cli.show import is_quiet
from streamfx.errors import OutputError, UsageError
from streamfx.files import check_writable, same_file, write_failure

STANDARD: Final = Path("-")
"""Standard output; a file of that name is `./-`."""
_FIRST = 1
"""Its descriptor."""


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Give a command that writes files the way around the question."""
    parser.add_argument("-y", "--yes", action="store_true", help="replace files that exist, without asking")


def check_outputs(
    outputs: Sequence[tuple[Path, Sequence[str]]], inputs: Sequence[Path], *, replace: bool
) -> None:
    """Find before the work starts what would fail after it, and ask before a file is replaced.

    Args:
        outputs: each file to be written, and the suffixes it may have.
        inputs: files that must survive.
        replace: whether what exists may go, unasked.

    Raises:
        UsageError: a suffix that is not among them; an output that is an input, or another output; standard
            output where that is a terminal.
        OutputError: the file cannot be written, or exists and is to stay.
    """
    for index, (path, suffixes) in enumerate(outputs):
        if path == STANDARD:
            _check_standard()
            continue
        if path.suffix.lower() not in suffixes:
            kind = f"cannot be written as '{path.suffix}'" if path.suffix else "has no suffix"
            raise UsageError(f"{path} {kind}", f"Use {', '.join(suffixes)}")
        for other in (*inputs, *(path for path, _ in outputs[:index])):
            if same_file(path, other):
                raise UsageError(
                    f"{path} and {other} are the same file", "Choose another name for the output"
                )
        check_writable(path)
    if not replace:
        _spare([path for path, _ in outputs if path != STANDARD and os.path.exists(path)])


def check_json(arguments: argparse.Namespace, output: Path) -> None:
    """Raises UsageError where text for programs and a file would share standard output."""
    if arguments.json and output == STANDARD:
        raise UsageError("--json goes to standard output, as the file would", "Leave it out, or name a file")


def called(path: Path) -> str:
    """A file's name for a person."""
    return "the file on standard output" if path == STANDARD else str(path)


def _spare(present: Sequence[Path]) -> None:
    """Ask whether files may be replaced; where there is nobody to ask, they may not."""
    if not present:
        return
    names = " and ".join(map(str, present))
    verb, them = ("exists", "it") if len(present) == 1 else ("exist", "them")
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise OutputError(f"{names} {verb}", f"Choose another name, or replace {them} with --yes")
    sys.stderr.write(f"{names} {verb}. Replace {them}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise OutputError(f"{names} {'stays as it is' if them == 'it' else 'stay as they are'}")


def _check_standard() -> None:
    if os.isatty(_FIRST):
        raise UsageError(
            "Standard output is a terminal, which shows no file", "Lead it on: -o - | PROGRAM, or -o - > FILE"
        )


@contextmanager
def lent_output() -> Iterator[BinaryIO]:
    """Standard output, for the bytes of a file; whatever is printed meanwhile goes to standard error."""
    sys.stdout.flush()
    with ExitStack() as resources:
        file = resources.enter_context(os.fdopen(os.dup(_FIRST), "wb"))
        if sys.platform == "win32":
            import msvcrt

            msvcrt.setmode(file.fileno(), os.O_BINARY)
        os.dup2(sys.__stderr__.fileno() if sys.__stderr__ else os.open(os.devnull, os.O_WRONLY), _FIRST)
        resources.callback(os.dup2, file.fileno(), _FIRST)
        if not is_quiet():
            resources.enter_context(redirect_stdout(sys.stderr))
        try:
            yield file
            file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise write_failure(Path("standard output"), error) from error
