"""The daemon: portraits, sessions and the control server, made in order and ended in the mirrored order.

It is small and boring, and imports no decoder, tracker, renderer or network: those live in workers.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from streamfx import limits, priority
from streamfx.api.address import default_socket
from streamfx.config import data_folder, runtime_folder
from streamfx.control.options import ControlOptions
from streamfx.daemon.devices import list_devices
from streamfx.errors import OutputError, ResourceBusy
from streamfx.files import try_folder
from streamfx.interrupts import held
from streamfx.ipc import locks
from streamfx.ipc.handed import socket_beside
from streamfx.ipc.memory import keep_little
from streamfx.ipc.ring_server import MOST as MOST_READERS
from streamfx.kept import clear_folder
from streamfx.session.handed import HandedFiles
from streamfx.session.portraits import ELSEWHERE, Portraits
from streamfx.session.sessions import Sessions
from streamfx.settings.session import Output
from streamfx.worker.protocol import IDLE

if TYPE_CHECKING:
    from streamfx.control.server import ControlServer

_LOCK: Final = "daemon.lock"
_PASSING: Final = "portraits"
"""Folder of portraits that are not kept, beside the sockets."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DaemonOptions:
    """What a daemon needs to know before it starts."""

    data: Path = field(default_factory=data_folder)
    """Folder of the portraits."""
    must_keep: bool = True
    """Whether there can be no daemon without that folder."""
    runtime: Path = field(default_factory=runtime_folder)
    """Folder of sockets and the lock; made with access for this user only."""
    control: ControlOptions = field(default_factory=ControlOptions)
    """How clients reach it."""
    size: tuple[int, int] = Output().size
    """(width, height) px for which photos are solved when they are added."""
    most_sessions: int = 4
    priority: str = priority.AUTO
    """Of the threads that publish (streamfx/priority.py)."""
    metrics: str = ""
    """HOST:PORT, loopback, at which metrics are served; empty for none."""


class Daemon:
    """All resources of a daemon, from entering to leaving the `with` block.

    Clients are heard from `listen` on. Whoever begins a session does so before: a client that sees the daemon
    without one, as OBS's plugin does, begins its own.
    """

    def __init__(self, options: DaemonOptions) -> None:
        self._options = options
        self._connections = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Make everything; no client is heard yet.

        Raises:
            ResourceBusy: another daemon of this user runs.
            UsageError: clients could reach it in an unsafe way.
            OutputError: a folder cannot be made.
            LimitReached: this process may have too few files open or threads, or too little memory.
        """
        entered = False
        try:
            with held():  # whoever tells us to stop meanwhile is heard as soon as all can be ended again
                self._open()
            entered = True
        finally:
            if not entered:
                self._stack.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def listen(self) -> None:
        """Hear clients from now on; call it once.

        Raises:
            ResourceBusy: another daemon listens there.
            UsageError: clients cannot reach it there.
        """
        # gRPC takes a fifth of a second to import, in which a session's processes start.
        from streamfx.control.server import ControlServer

        options = self._options
        self.control: ControlServer = ControlServer(
            self.sessions,
            partial(list_devices, options.runtime),
            options.control.with_connections(self._connections),
        )
        self._stack.callback(self.control.stop)
        self.control.start()
        if options.metrics:
            from streamfx.daemon.metrics import Metrics

            self._stack.callback(Metrics(options.metrics, self.sessions, self.control.refused).close)

    def _open(self) -> None:
        options = self._options
        options.control.check()
        limits.allow_many()
        limits.require_files(limits.DAEMON)
        limits.require_memory(limits.LIVE_BYTES)
        limits.require_threads(limits.LIVE_THREADS)
        share = limits.shares(options.most_sessions, 1 + bool(options.control.listen))
        keep_little()
        with ExitStack() as stack:
            stack.callback(_log.info, "the daemon has ended")
            _make_private(options.runtime)
            stack.callback(os.close, _locked(options.runtime / _LOCK))
            self.portraits = Portraits(_portraits_folder(options, stack), options.size)
            files = HandedFiles(socket_beside(options.control.socket or default_socket()), share.handed)
            stack.callback(files.close)
            self.sessions = Sessions(
                self.portraits,
                most=share.sessions,
                runtime=options.runtime,
                priority=options.priority,
                files=files,
                readers=min(MOST_READERS, share.readers),
            )
            stack.callback(self.sessions.close)
            self._connections = share.connections
            self._stack = stack.pop_all()


def clear_leftovers() -> int | None:
    """Delete the portraits' pictures that a killed daemon left beside its sockets.

    Returns:
        The number of bytes; None if a daemon runs, which needs them and deletes them at its end.

    Raises:
        OutputError: they cannot be deleted.
    """
    folder = runtime_folder()
    if not os.path.isdir(folder):
        return 0
    try:
        lock = _locked(folder / _LOCK)
    except ResourceBusy:
        return None
    try:
        return sum(clear_folder(folder / name) for name in (IDLE, _PASSING))
    finally:
        os.close(lock)


def _portraits_folder(options: DaemonOptions, stack: ExitStack) -> Path:
    """Where portraits are kept; where that cannot be and need not, a folder that goes with the daemon."""
    folder = options.data / "portraits"
    try:
        try_folder(folder, ELSEWHERE)
    except OutputError as error:
        if options.must_keep:
            if not os.path.isdir(folder):
                raise
            _log.warning("Portraits can be shown, but neither added nor deleted: %s", error)
            return folder
        _log.warning("Portraits are not kept beyond this run: %s", error)
        passing = options.runtime / _PASSING
        shutil.rmtree(passing, ignore_errors=True)
        stack.callback(shutil.rmtree, passing, ignore_errors=True)
        return passing
    return folder


def _make_private(folder: Path) -> None:
    """Make a folder that only this user can enter, or see that it is one."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> OutputError:
    cause = f"The folder {folder} for sockets and locks cannot be used: {error.strerror}"
    return OutputError(cause, "Set XDG_RUNTIME_DIR to a folder of your own")


def _locked(path: Path) -> int:
    """A descriptor that holds the lock; a lock dies with its process, so none is ever stale."""
    try:
        descriptor = locks.open_lock(path)
    except OSError as error:
        raise _unusable(path.parent, error) from error
    try:
        locks.lock(descriptor)
    except OSError as error:
        holder = locks.holder(descriptor)
        os.close(descriptor)
        who = f" (process {holder})" if holder else ""
        remedy = "Steer it with `streamfx ctl`, or stop it first"
        raise ResourceBusy("daemon", holder, f"streamfx is running already{who}", remedy) from error
    locks.sign(descriptor)
    return descriptor
