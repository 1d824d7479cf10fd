"""UNIX sockets that hand over open files: whether there are any, and who is at the other end."""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import Final

_CREDENTIALS: Final = struct.Struct("3i")
"""pid, uid and gid: struct ucred."""


def can_hand_over() -> bool:
    """Whether this system has such sockets (SEQPACKET, SCM_RIGHTS, SO_PEERCRED): Linux."""
    return sys.platform == "linux"


def is_own_user(connection: socket.socket) -> bool:
    """Whether a program of this user is at the other end of a connected UNIX socket. Linux only.

    Raises:
        OSError: the socket is not connected.
    """
    if sys.platform != "linux":
        return False
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(told)
    return bool(user == os.geteuid())
