"""`streamfx doctor`: does this machine have what streamfx needs?"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from streamfx.cli import add_json
from streamfx.cli.show import print_json

if TYPE_CHECKING:
    from streamfx.checks import Check
    from streamfx.cli import Subparsers

COLOURS: Final = {"ok": "\033[32m", "warn": "\033[33m", "fail": "\033[31m"}


def add_parser(subparsers: Subparsers) -> None:
    """Describe `doctor`."""
    parser = subparsers.add_parser(
        "doctor",
        help="check that this machine has what is needed",
        description="Check this machine: findings, and what to do about each. Exit 1 if a check fails.",
    )
    parser.add_argument("--fix", action="store_true", help="mend what needs no root")
    add_json(parser, reads=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the checks; 1 if any fails (a warning does not)."""
    from streamfx.checks import State
    from streamfx.doctor import examine

    checks = []
    for check in examine(fix=arguments.fix):
        checks.append(check)
        if not arguments.json:
            _show(check)
    failed = any(check.state is State.FAIL for check in checks)
    if arguments.json:
        print_json({"healthy": not failed, "checks": [asdict(check) for check in checks]})
    return 1 if failed else 0


def _show(check: Check) -> None:
    """One line, and one for each remedy. At once: the next check may take a while."""
    colours = COLOURS if sys.stdout.isatty() else {}
    mark = f"{colours.get(check.state, '')}{check.state:4}{chr(27) + '[0m' if colours else ''}"
    remedies = [f"{'':17}-> {line}" for line in check.remedy.splitlines()]
    print(f"{mark}  {check.name:9}  {check.finding}", *remedies, sep="\n", flush=True)
