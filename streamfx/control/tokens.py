"""Tokens: long random words in files that only their user may read."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from streamfx.errors import OutputError, UsageError
from streamfx.files import read_bytes, write_failure

_SHAPE: Final = re.compile(r"[A-Za-z0-9_.~+/=-]{32,200}")
_BYTES: Final = 32
"""Of chance in a token."""
_MOST_BYTES: Final = 4096


def make_token(path: Path) -> None:
    """Write a new token into a new file of mode 0600.

    Raises:
        OutputError: the file exists, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except FileExistsError as error:
        remedy = "Remove it first, or name another file"
        raise OutputError(f"{path} exists: a token is not overwritten", remedy) from error
    except OSError as error:
        raise write_failure(path, error) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(_BYTES) + "\n")


def read_token(path: Path) -> str:
    """The token of a file.

    Raises:
        UsageError: there is none, others may read the file, or it holds no token.
    """
    text = read_bytes(path, _MOST_BYTES).decode("ascii", "replace").strip()
    mode = path.stat().st_mode
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise UsageError(f"The token in {path} can be read by other users", f"Run: chmod 600 {path}")
    if not _SHAPE.fullmatch(text):
        remedy = f"Make one: streamfx serve --make-token {path}.new"
        raise UsageError(f"{path} holds no token: 32 to 200 letters and digits", remedy)
    return text
