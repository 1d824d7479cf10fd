"""Handing the ring of a session to programs on this machine: a UNIX socket that gives a descriptor to each.

The OBS plugin connects and receives one packet, `MAGIC`, with the descriptor of the memory (SCM_RIGHTS),
opened for reading only; it reads pictures from then on without us (ipc/ring.py has the layout). For as
long as it shows them it stays connected, which tells us that somebody looks. When the connection ends, the
daemon was replaced: the reader connects again.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, cast

from streamfx.errors import WorkerFailed
from streamfx.ipc.ring import HANDOVER
from streamfx.limits import shortage

MAGIC: Final = HANDOVER
_BACKLOG: Final = 8
MOST: Final = 64
_SEND_S: Final = 0.5
_PAUSE_S: Final = 0.1
_JOIN_S: Final = 2.0


class RingServer:
    """Listens from its making to `close`. Only the user who runs the daemon can connect."""

    def __init__(self, path: Path, ring: int, most: int = MOST) -> None:
        """Begin to listen.

        Args:
            path: of the socket, in a folder that is the user's own.
            ring: descriptor of the ring; it stays the caller's.
            most: readers connected at once; a further one has its descriptor, too, but is not counted.

        Raises:
            WorkerFailed: the socket cannot be made.
        """
        self.path, self._most = path, most
        with ExitStack() as undo:
            try:
                self._ring = _read_only(ring)
                undo.callback(os.close, self._ring)
                self._socket = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                self._selector = undo.enter_context(selectors.DefaultSelector())
                path.unlink(missing_ok=True)
                self._socket.bind(str(path))
                path.chmod(0o600)
                self._socket.listen(_BACKLOG)
            except OSError as error:
                cause, remedy = shortage(f"{path} cannot be listened at", error, "Choose another folder")
                raise WorkerFailed(cause, remedy) from error
            undo.pop_all()
        self._closing = threading.Event()
        self._connected: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, name="streamfx-handover", daemon=True)
        self._thread.start()

    @property
    def readers(self) -> int:
        """Programs that are connected: they show the pictures."""
        return len(self._connected)

    def close(self) -> None:
        """Listen no more; readers keep what they have. May be called twice."""
        if self._ring < 0:
            return
        self._closing.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._thread.join(_JOIN_S)
        self._socket.close()
        self.path.unlink(missing_ok=True)
        os.close(self._ring)
        self._ring = -1

    def _serve(self) -> None:
        with self._selector as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            while not self._closing.is_set():
                for key, _ in selector.select():
                    if key.fileobj is self._socket:
                        self._welcome(selector)
                    else:  # it has nothing to say: this is its end
                        self._part(selector, cast(socket.socket, key.fileobj))
            for reader in tuple(self._connected):
                self._part(selector, reader)

    def _welcome(self, selector: selectors.BaseSelector) -> None:
        try:
            reader, _ = self._socket.accept()
        except OSError:  # it is gone already, there are too many files, or the listener was shut down
            self._closing.wait(_PAUSE_S)
            return
        try:
            reader.settimeout(_SEND_S)
            socket.send_fds(reader, [MAGIC], [self._ring])
        except OSError:
            reader.close()
            return
        if len(self._connected) >= self._most:
            reader.close()
            return
        selector.register(reader, selectors.EVENT_READ)
        self._connected.add(reader)

    def _part(self, selector: selectors.BaseSelector, reader: socket.socket) -> None:
        selector.unregister(reader)
        self._connected.discard(reader)
        reader.close()


def _read_only(descriptor: int) -> int:
    """The same memory, opened for reading only: who is handed it cannot write."""
    return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
