"""The process that draws for all sessions on a card: started with the first, replaced when it fails."""

from __future__ import annotations

import logging
import os
import secrets
import selectors
import socket
import subprocess
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Final

from streamfx.errors import WorkerFailed
from streamfx.ipc.restarts import RestartBudget
from streamfx.ipc.spawn import own, start_with
from streamfx.limits import shortage
from streamfx.worker.sharing.wire import OPENING_S, address

COMMAND = own("streamfx.worker.sharing")
"""Of the process; tests put others in its place."""
_BACKLOG: Final = 64
"""Workers that may wait while it is replaced."""
_LOOK_S: Final = 0.1

_log = logging.getLogger(__name__)


class CardProcess:
    """Listens from its making to `close`; the process runs from `start` on. Any thread may call."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        """Listen: workers that come before the process is up, or while it is replaced, wait.

        Args:
            command: of the process, without the socket's descriptor, its last word; None takes COMMAND.

        Raises:
            WorkerFailed: the system gives no such socket.
        """
        self.name = secrets.token_hex(16)
        """Of the socket (worker.sharing.wire.address)."""
        self.restarts = 0
        self._command = tuple(command or COMMAND)
        try:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._listener.bind(address(self.name))
            self._listener.listen(_BACKLOG)
        except OSError as error:
            raise WorkerFailed(*shortage("No socket can be had", error)) from error
        self._closing, self._lock = threading.Event(), threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._budget = RestartBudget()
        self._thread = threading.Thread(target=self._run, name="streamfx-card", daemon=True)

    def start(self) -> None:
        """Have the process run from now on. May be called again."""
        with self._lock:
            if self._thread.ident is None:
                self._thread.start()

    @property
    def pid(self) -> int:
        """Of the process; 0 while there is none."""
        process = self._process
        return 0 if process is None else process.pid

    def close(self) -> None:
        """End the process and wait until it is gone. May be called twice."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                process, _ = start_with(
                    (*self._command, str(self._listener.fileno())), self._listener.fileno()
                )
            except OSError as error:
                self._note(f"it cannot be started: {error.strerror}")
                continue
            self._process = process
            cause = self._watch(process)
            self._process = None
            _ended(process)
            if not self._closing.is_set():
                self._note(cause)

    def _watch(self, process: subprocess.Popen[bytes]) -> str:
        """Wait until it fails, or all is closed; why it failed."""
        assert process.stdout is not None  # noqa: S101
        told, until = b"", monotonic() + OPENING_S
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not self._closing.is_set():
                if selector.select(_LOOK_S):
                    data = os.read(process.stdout.fileno(), 4096)
                    if not data:
                        return "it ended"
                    *lines, told = (told + data).split(b"\n")
                    if lines:
                        until = monotonic() + _seconds(lines[-1])
                if monotonic() > until:
                    return "it showed no sign of life"
        return ""

    def _note(self, cause: str) -> None:
        self.restarts += 1
        _log.warning("the card's process failed: %s; it is replaced", cause)
        self._closing.wait(self._budget.spend() or _LOOK_S)


def _seconds(line: bytes) -> float:
    try:
        return float(line)
    except ValueError:
        return OPENING_S


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
