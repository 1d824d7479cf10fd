"""Feeds: other programs of the same user as cameras, named `feed:NAME` and met at a socket `NAME.feed`.

Where they are, and which there are; source/feed.py reads their pictures. None is connected to here: with a
connection comes a descriptor of camera pictures, and those are for workers only.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from streamfx.config import runtime_folder
from streamfx.ipc.peers import can_hand_over
from streamfx.settings.source import FEED, FEED_NAME

_SUFFIX: Final = ".feed"


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
    if not can_hand_over():
        return []
    try:
        with os.scandir(folder or runtime_folder()) as entries:
            sockets = sorted(one.name for one in entries if _is_socket(one))
    except OSError:  # there is none, or not for this user
        return []
    names = [name.removesuffix(_SUFFIX) for name in sockets if name.endswith(_SUFFIX)]
    return [f"{FEED}{name}" for name in names if FEED_NAME.fullmatch(name)]


def _is_socket(entry: os.DirEntry[str]) -> bool:
    try:
        return stat.S_ISSOCK(entry.stat().st_mode)
    except OSError:  # its program ended meanwhile: the others are there
        return False
