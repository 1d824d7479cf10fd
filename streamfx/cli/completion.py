"""`streamfx completion`: what a shell needs to complete our command lines."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamfx.cli import Subparsers

SHELLS: Final = ("bash", "zsh", "tcsh")

EPILOG: Final = """\
bash:  streamfx completion bash > ~/.local/share/bash-completion/completions/streamfx
zsh:   streamfx completion zsh > "${fpath[1]}/_streamfx"
tcsh:  streamfx completion tcsh > ~/.streamfx.completion; source it in ~/.tcshrc"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe `completion`."""
    parser = subparsers.add_parser(
        "completion",
        help="print a shell's completion script",
        description="Print the script that lets a shell complete our commands and options.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=run, reads=True)


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    import shtab

    from streamfx.cli import build_parser

    print(shtab.complete(build_parser(), arguments.shell))
    return 0
