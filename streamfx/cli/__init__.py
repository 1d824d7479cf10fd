"""The commands, one module each, and the parser they make together.

A command's module exposes `add_parser(subparsers)`, which describes its arguments and ends with
`parser.set_defaults(run=run)`, and `run(arguments) -> int`, which does the work and returns the exit code.
What is slow to import (mediapipe, numba, av) is imported inside `run`: `streamfx --help` answers at once.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, cast

from streamfx import __version__
from streamfx.errors import UsageError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction["Parser"]

COMMANDS: Final = (
    "demo", "live", "serve", "ctl", "render", "record", "devices", "doctor", "models",
    "bench", "latency_test", "eval", "train", "completion",
)  # fmt: skip
"""Modules of this package, in the order of the help text."""

DESCRIPTION: Final = """\
Appear as an animated portrait: one photo, driven by your own webcam, on a plain CPU.
Your camera's pictures never leave this program; only the animated photo does."""

EPILOG: Final = """\
first steps:
  streamfx demo                                     animate a free photo, into out/
  streamfx render PHOTO VIDEO -o FILM.mp4           animate your own photo
  streamfx doctor                                   check that this machine has what is needed

`streamfx COMMAND --help` explains each command.
exit codes: 0 done (live and serve: told to stop), 1 failed, 2 wrong usage, 130 interrupted"""


class Command(Protocol):
    """What a command's module exposes."""

    def add_parser(self, subparsers: Subparsers, /) -> None:
        """Describe the command's arguments and set `run`."""
        ...

    def run(self, arguments: argparse.Namespace, /) -> int:
        """Do the work; return the exit code."""
        ...


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        """Turn argparse's message into our error.

        Raises:
            UsageError: always.
        """
        raise UsageError(message[:1].upper() + message[1:], f"See `{self.prog} --help`")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; its result has `run`, the chosen command's function."""
    parser = Parser("streamfx", description=DESCRIPTION, epilog=EPILOG, formatter_class=_PLAIN)
    parser.add_argument("--version", action="version", version=f"streamfx {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        cast(Command, import_module(f"streamfx.cli.{name}")).add_parser(subparsers)
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give a reading command its `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs instead of text")


_PLAIN: Final = argparse.RawDescriptionHelpFormatter
"""Keeps the line breaks of the description and the epilog."""
