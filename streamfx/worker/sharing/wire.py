"""What workers and the card's process say to one another: JSON and descriptors over a UNIX socket.

The worker asks and waits; every request has one answer. Numbers and pictures lie in memory that both share.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from typing import Any, Final

from streamfx.ipc.peers import is_own_user

Json = dict[str, Any]

OPEN, PLACE, DRAW = "open", "place", "draw"
DONE, FAILED = "done", "failed"
PATIENCE_S, OPENING_S = 5.0, 120.0
"""Longest without a sign of life of the card's process, as a rule and while torch, networks or a rig are
loaded: the first one may have engines to build."""
MOST_BYTES: Final = 1 << 16
"""Of a message."""
_MOST_DESCRIPTORS: Final = 2


class Wire:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        """Take a connected socket over."""
        self.socket = connection

    def send(self, message: Json, descriptors: tuple[int, ...] = ()) -> None:
        """Send a message, and descriptors that stay the caller's.

        Raises:
            OSError: the other side is gone, or takes nothing.
        """
        socket.send_fds(self.socket, [json.dumps(message).encode()], list(descriptors))

    def receive(self) -> tuple[Json, tuple[int, ...]] | None:
        """A message, and descriptors that are the caller's to close; None when the other side is gone.

        Raises:
            OSError: nothing came in time.
            ValueError: what came is no message.
        """
        data, descriptors, flags, _ = socket.recv_fds(self.socket, MOST_BYTES, _MOST_DESCRIPTORS)
        try:
            message = _parsed(data, flags) if data else None
        except ValueError:
            close_all(descriptors)
            raise
        if message is None:
            close_all(descriptors)
            return None
        return message, tuple(descriptors)

    def is_ours(self) -> bool:
        """Whether the other side runs as the same user."""
        return is_own_user(self.socket)

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def address(name: str) -> str:
    """Of the socket of that name, which lies in no folder (abstract) and goes with its last process."""
    return f"\0streamfx-card-{name}"


def _parsed(data: bytes, flags: int) -> Json:
    message = None if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) else json.loads(data)
    if not isinstance(message, dict):
        raise ValueError("what came is no message, or cut short")  # noqa: TRY004 - a value from outside
    return message


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors that nobody wants."""
    for descriptor in descriptors:
        os.close(descriptor)
