"""The commands, one module each, and the parser they make together.

A command's module exposes `add_parser(subparsers)`, which describes its arguments and ends with
`parser.set_defaults(run=run)`, and `run(arguments) -> int`, which does the work and returns the exit code.
What is slow to import (mediapipe, numba, av) is imported inside `run`: `streamfx --help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, cast

from streamfx import __version__
from streamfx.errors import UsageError
from streamfx.settings.notation import nearest

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction["Parser"]

COMMANDS: Final = (
    "demo", "live", "serve", "ctl", "render", "record", "devices", "doctor", "models", "cache",
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
exit codes: 0 done (live and serve: told to stop), 1 failed, 2 wrong usage, 130 interrupted (Ctrl-C),
143 told to stop (SIGTERM)"""


_FILES: Final = ("source", "driver", "what")
"""Arguments that may name files, or other things."""
_VALUE: Final = "Write its value behind it; one that begins with - as --option=-1"


class Command(Protocol):
    """What a command's module exposes."""

    def add_parser(self, subparsers: Subparsers, /) -> None:
        """Describe the command's arguments and set `run`."""
        ...

    def run(self, arguments: argparse.Namespace, /) -> int:
        """Do the work; return the exit code."""
        ...


class Parser(argparse.ArgumentParser):
    """A parser with the options that all commands have; it raises instead of printing its usage and leaving.

    What it does not know, it says what is near to.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(*arguments, **options)
        self._given: Sequence[str] = ()
        add = self.add_argument_group("messages").add_argument
        nothing: Any = argparse.SUPPRESS  # else a command's default would undo what was given before its name
        what = "print only what was asked for, and errors"
        add("-q", "--quiet", action="store_true", default=nothing, help=what)
        what = "tell more, on standard error: what is logged, where errors come from"
        add("-v", "--verbose", action="store_true", default=nothing, help=what)
        what = "show the version and exit"
        add("-V", "--version", action="version", version=f"streamfx {__version__}", help=what)

    def error(self, message: str) -> NoReturn:
        """Turn argparse's message into our error; a misspelt option is why another one is missing.

        Raises:
            UsageError: always.
        """
        self._refuse_unknown(self._given)
        commands = self._commands()
        if commands is not None and message.endswith(f": {commands.metavar}"):
            cause = f"No {str(commands.metavar).lower()} is named"
            self._refuse(cause, f"Choose from {', '.join(commands.choices)}")
        remedy = _VALUE if message.endswith("expected one argument") else ""
        self._refuse(message[:1].upper() + message[1:], remedy)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - overloads
        """As argparse's; but what a command does not know is refused by that command."""
        self._given = sys.argv[1:] if args is None else args
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown and not self._take_more(parsed, unknown):
            self._refuse_unknown(unknown)
            self._refuse(f"There is one argument too many: {unknown[0]!r}")
        return parsed, []

    def _take_more(self, parsed: argparse.Namespace, words: Sequence[str]) -> bool:
        """Add words behind options to a command's list of words, which argparse ends at the first option."""
        lists = [one for one in self._actions if not one.option_strings and one.nargs == "*"]
        if not lists or any(word.startswith("-") for word in words):
            return False
        more = [self._get_value(lists[0], word) for word in words]
        setattr(parsed, lists[0].dest, [*getattr(parsed, lists[0].dest), *more])
        return True

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:  # noqa: ANN401 - argparse's own
        """A path that is empty would be the current folder."""
        if not arg_string and (action.type is Path or action.dest in _FILES):
            name = "/".join(action.option_strings) or action.metavar
            self._refuse(f"Argument {name} is empty", "Perhaps a variable is not set")
        return super()._get_value(action, arg_string)

    def _commands(self) -> argparse._SubParsersAction[Parser] | None:
        """What chooses among the commands or actions of this one, if there are any."""
        return next((one for one in self._actions if isinstance(one, argparse._SubParsersAction)), None)

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401 - argparse's own
        """Called by argparse for words that must be among some."""
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        near = nearest(str(value), known) or f"Choose from {', '.join(known)}"
        if isinstance(action, argparse._SubParsersAction):
            self._refuse_unknown(self._given)  # whose value was taken for a command
            self._refuse(f"There is no {str(action.metavar).lower()} {value!r}", near)
        name = "/".join(action.option_strings) or action.metavar or action.dest
        self._refuse(f"Argument {name}: invalid choice: {value!r}", near)

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        """Raise if there is an option among the words that is not ours."""
        known = [name for action in self._actions for name in action.option_strings]
        commands = self._commands()
        for word in words:
            name = word.partition("=")[0]
            if word == "--" or (commands is not None and not word.startswith("-")):
                return
            is_option = name.startswith("-") and not name[1:2].isdigit() and len(name) > 1
            if is_option and not any(one.startswith(name) or name[:2] == one for one in known):
                if commands is not None and any(name in one._option_string_actions for one in _leaves(self)):
                    what = str(commands.metavar).lower()
                    self._refuse(f"The option {name} stands before its {what}", f"Write it behind the {what}")
                near = f"A file is named ./{word}" if os.path.lexists(word) else nearest(name, known)
                self._refuse(f"There is no option {name}", near)

    def _refuse(self, cause: str, remedy: str = "") -> NoReturn:
        help_line = f"See `{self.prog} --help`"
        stop = "" if remedy.endswith("?") else "."
        raise UsageError(cause, f"{remedy}{stop} {help_line}" if remedy else help_line)


def _leaves(parser: Parser) -> Iterator[Parser]:
    """The parsers of all commands below one."""
    commands = parser._commands()
    for child in commands.choices.values() if commands is not None else ():
        yield child
        yield from _leaves(child)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; its result has `run`, the chosen command's function."""
    parser = Parser("streamfx", description=DESCRIPTION, epilog=EPILOG, formatter_class=_PLAIN)
    parser.set_defaults(quiet=False, verbose=False, json=False, reads=False)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        cast(Command, import_module(f"streamfx.cli.{name}")).add_parser(subparsers)
    return parser


def add_json(parser: argparse.ArgumentParser, *, reads: bool = False) -> None:
    """Give a command its `--json`.

    Args:
        parser: the command's.
        reads: whether its text is what was asked for, and not an account of what was done: see `--quiet`.
    """
    parser.set_defaults(reads=reads)
    parser.add_argument("--json", action="store_true", help="print JSON for programs instead of text")


_PLAIN: Final = argparse.RawDescriptionHelpFormatter
"""Keeps the line breaks of the description and the epilog."""
