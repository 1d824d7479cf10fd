"""Feeds: other programs of the same user as cameras, named `feed:NAME` and met at a socket `NAME.feed`.

Where they are, and which there are; source/feed.py reads their pictures. None is connected to here: with a
connection comes a descriptor of camera pictures, and those are for workers only.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path
from typing import Final

from streamfx.config import runtime_folder
from streamfx.errors import UsageError

_PREFIX: Final = "feed:"
_SUFFIX: Final = ".feed"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def is_feed(spec: str | Path) -> bool:
    """Whether this is meant to name a feed, well or badly. A Path names a file."""
    return isinstance(spec, str) and spec.startswith(_PREFIX)


def feed_name(spec: str | Path) -> str | None:
    """NAME of `feed:NAME`; None where the spec means something else.

    Raises:
        UsageError: what follows `feed:` is no name.
    """
    if not is_feed(spec):
        return None
    name = str(spec).removeprefix(_PREFIX)
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{str(spec)[:80]!r} names no feed",
            "Write feed:NAME, the name of 1 to 63 letters, digits, dots, - and _, a letter or digit first",
        )
    return name


def feed_socket(name: str, folder: Path | None = None) -> Path:
    """Where a feed listens.

    Args:
        name: of the feed, checked.
        folder: of the daemon's sockets; None takes the runtime folder.
    """
    return (folder or runtime_folder()) / f"{name}{_SUFFIX}"


def list_feeds(folder: Path | None = None) -> list[str]:
    """Feeds that have a socket, as `feed:NAME`; one whose program was killed may be among them.

    Args:
        folder: as in `feed_socket`.
    """
    if not is_possible():
        return []
    try:
        with os.scandir(folder or runtime_folder()) as entries:
            sockets = sorted(one.name for one in entries if _is_socket(one))
    except OSError:  # there is none, or not for this user
        return []
    names = [name.removesuffix(_SUFFIX) for name in sockets if name.endswith(_SUFFIX)]
    return [f"{_PREFIX}{name}" for name in names if _NAME.fullmatch(name)]


def _is_socket(entry: os.DirEntry[str]) -> bool:
    try:
        return stat.S_ISSOCK(entry.stat().st_mode)
    except OSError:  # its program ended meanwhile: the others are there
        return False


def is_possible() -> bool:
    """Whether this system has such sockets and memory."""
    return sys.platform == "linux"
