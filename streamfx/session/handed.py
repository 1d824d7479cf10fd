"""The files that programs handed to the daemon (streamfx/ipc/handed.py), held while somebody needs them.

The daemon does not read them. It looks that each is an ordinary file opened for reading only, or a folder,
and gives it to those who know its token: workers of the sessions that have it.
"""

from __future__ import annotations

import os
import secrets
import selectors
import socket
import stat
import threading
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from streamfx.errors import SettingRefused, WorkerFailed
from streamfx.ipc.handed import (
    FETCH,
    GIVEN,
    LONGEST,
    LONGEST_PATH,
    OFFER,
    REFUSED,
    close_all,
    named,
    spec_of,
    token_of,
)
from streamfx.ipc.peers import can_hand_over, is_own_user
from streamfx.limits import shortage
from streamfx.settings.session import SessionSettings

MOST_CONNECTIONS: Final = 32
MOST_OFFERS: Final = 8
"""Of one connection."""
_BACKLOG: Final = 8
_PAUSE_S: Final = 0.1
_JOIN_S: Final = 2.0
_TOKEN_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class _File:
    descriptor: int
    is_folder: bool
    offered_by: socket.socket | None
    """None when that connection has ended: sessions alone keep it."""


class HandedFiles:
    """All of a daemon. Any thread may call."""

    def __init__(self, place: Path | None = None, most: int = MOST_CONNECTIONS * (1 + MOST_OFFERS)) -> None:
        """None yet; nobody listens.

        Args:
            place: of the socket; None: no files are taken.
            most: files and connections together.
        """
        self.place, self._most = place if can_hand_over() else None, most
        self._lock = threading.Lock()
        self._files: dict[str, _File] = {}
        self._held: dict[str, frozenset[str]] = {}
        """Tokens by who holds them."""
        self._listener: socket.socket | None = None
        self._made: os.stat_result | None = None
        """The socket as it was made: another daemon may have put its own there since."""
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def listen(self) -> None:
        """Take files from now on. The socket's folder is the user's own, and no other daemon listens there.

        Raises:
            WorkerFailed: the socket cannot be made.
        """
        if self.place is None:
            return
        with ExitStack() as undo:
            try:
                listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                selector = undo.enter_context(selectors.DefaultSelector())
                self.place.unlink(missing_ok=True)
                listener.bind(str(self.place))
                self.place.chmod(0o600)
                self._made = self.place.lstat()
                listener.listen(_BACKLOG)
            except OSError as error:
                what, remedy = f"{self.place} cannot be listened at", "Name another place with --socket"
                raise WorkerFailed(*shortage(what, error, remedy)) from error
            undo.pop_all()
        listener.setblocking(False)
        self._listener = listener
        serving = (listener, selector)
        self._thread = threading.Thread(target=self._serve, args=serving, name="streamfx-files", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more, and let go of all. May be called twice, and before `listen`."""
        self._closing.set()
        if self._listener is not None and self._thread is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
            self._thread.join(_JOIN_S)
            self._listener.close()
            self._listener = None
            self._remove_socket()
        with self._lock:
            self._held.clear()
            self._drop_unheld()

    def _remove_socket(self) -> None:
        if self.place is None or self._made is None:
            return
        with suppress(OSError):
            if os.path.samestat(self._made, self.place.lstat()):
                self.place.unlink()

    def require(self, field: str, spec: str | Path, *, folder: bool = False) -> int:
        """The descriptor of a file that somebody still offers or holds; it stays ours.

        Raises:
            SettingRefused: there is none, or it is none of that kind.
        """
        with self._lock:
            file = self._files.get(token_of(spec) or "")
        if file is None:
            raise SettingRefused(field, "its file was not handed over, or taken back", "Hand it over again")
        if file.is_folder != folder:
            kind = "a folder" if file.is_folder else "a file"
            raise SettingRefused(
                field, f"{kind} was handed over", f"Hand over a {'folder' if folder else 'file'}"
            )
        return file.descriptor

    def hold(self, holder: str, specs: Iterable[str | Path]) -> None:
        """Keep these for a holder, and none that it held before; what nobody holds or offers is closed.

        Args:
            holder: a session's identifier.
            specs: what stands for files; what names something else is left out.

        Raises:
            SettingRefused: one is not there any more; then all is as it was.
        """
        tokens = frozenset(token for spec in specs if (token := token_of(spec)) is not None)
        with self._lock:
            if not tokens <= self._files.keys():
                raise SettingRefused(
                    "source", "its file was not handed over, or taken back", "Hand it over again"
                )
            self._held.pop(holder, None)
            if tokens:
                self._held[holder] = tokens
            self._drop_unheld()

    def _drop_unheld(self) -> None:
        held = {token for tokens in self._held.values() for token in tokens}
        for token, file in tuple(self._files.items()):
            if token not in held and (file.offered_by is None or self._closing.is_set()):
                os.close(self._files.pop(token).descriptor)

    # -- in the thread of its own

    def _serve(self, listener: socket.socket, selector: selectors.BaseSelector) -> None:
        with selector:
            selector.register(listener, selectors.EVENT_READ)
            while not self._closing.is_set():
                for key, _ in selector.select():
                    if key.fileobj is listener:
                        self._welcome(listener, selector)
                    elif not self._answer(connection := cast(socket.socket, key.fileobj)):
                        self._part(selector, connection)
            for key in tuple(selector.get_map().values()):
                if key.fileobj is not listener:
                    self._part(selector, cast(socket.socket, key.fileobj))

    def _welcome(self, listener: socket.socket, selector: selectors.BaseSelector) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # it is gone already, there are too many files, or the listener was shut down
            self._closing.wait(_PAUSE_S)
            return
        connection.setblocking(False)
        connections = len(selector.get_map())
        if connections > MOST_CONNECTIONS or connections + len(self._files) > self._most:
            _turn_away(connection, b"Too many programs hand over files")
        elif not is_own_user(connection):
            _turn_away(connection, b"It takes files of its own user only")
        else:
            selector.register(connection, selectors.EVENT_READ)
            return

    def _part(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        selector.unregister(connection)
        connection.close()
        with self._lock:
            for token, file in self._files.items():
                if file.offered_by is connection:
                    self._files[token] = replace(file, offered_by=None)
            self._drop_unheld()

    def _answer(self, connection: socket.socket) -> bool:
        """Do what a packet asks for; False when the connection is to end."""
        try:
            packet, descriptors, flags, _ = socket.recv_fds(connection, LONGEST, 2, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return False
        if not packet:
            close_all(descriptors)
            return False
        if packet.startswith(OFFER) and len(descriptors) == 1 and not flags & (_CUT | socket.MSG_TRUNC):
            return _say(connection, self._offered(connection, descriptors[0], packet.removeprefix(OFFER)))
        close_all(descriptors)
        if packet.startswith(FETCH):
            return self._give(connection, packet.removeprefix(FETCH).decode("ascii", "replace"))
        return _say(connection, REFUSED + b"It was not understood")

    def _offered(self, connection: socket.socket, descriptor: int, path: bytes) -> bytes:
        """Take a file over; what is answered."""
        try:
            return self._taken(connection, descriptor, path.decode()).encode()
        except (OSError, UnicodeDecodeError) as error:
            os.close(descriptor)
            return REFUSED + (getattr(error, "strerror", None) or "Its path is no text").encode()

    def _taken(self, connection: socket.socket, descriptor: int, path: str) -> str:
        is_folder = _is_folder(descriptor)
        if not path.startswith("/") or not path.isprintable() or len(path) > LONGEST_PATH:
            raise OSError(0, "Its path is none")
        with self._lock:
            if sum(file.offered_by is connection for file in self._files.values()) >= MOST_OFFERS:
                raise OSError(0, f"At most {MOST_OFFERS} files are taken at a time")
            if len(self._files) >= self._most:
                raise OSError(0, "No further file can be taken now")
            token = secrets.token_urlsafe(_TOKEN_BYTES)
            self._files[token] = _File(descriptor, is_folder, connection)
        return spec_of(token, path)

    def _give(self, connection: socket.socket, token: str) -> bool:
        with self._lock:
            file = self._files.get(token)
            if file is None:
                return _say(connection, REFUSED + b"It was taken back")
            try:
                socket.send_fds(connection, [GIVEN], [file.descriptor])
            except OSError:
                return False
        return True


_CUT: Final = getattr(socket, "MSG_CTRUNC", 0)


def specs_of(settings: SessionSettings) -> tuple[str, ...]:
    """What in a session's settings may stand for handed files."""
    return (settings.source, str(settings.background.image or ""))


def as_named(settings: SessionSettings) -> SessionSettings:
    """Settings for clients: files by their paths."""
    background = settings.background
    if background.image is not None:
        background = replace(background, image=Path(named(str(background.image))))
    return replace(settings, source=named(settings.source), background=background)


def _is_folder(descriptor: int) -> bool:
    """Whether a descriptor is a folder's; else it is an ordinary file's.

    Raises:
        OSError: it is neither, or opened for more than reading.
    """
    import fcntl  # not on Windows, where there are no such sockets either

    mode = os.fstat(descriptor).st_mode
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(0, "It is no ordinary file")
    if flags & os.O_ACCMODE != os.O_RDONLY or flags & getattr(os, "O_PATH", 0):
        raise OSError(0, "It must be opened for reading only")
    return stat.S_ISDIR(mode)


def _turn_away(connection: socket.socket, why: bytes) -> None:
    """Say why, and hang up. What came is dropped first: left unread, it alone would be told, as a reset."""
    with connection, suppress(OSError):
        connection.shutdown(socket.SHUT_RD)
        while connection.recv(1):
            continue
        connection.send(REFUSED + why)


def _say(connection: socket.socket, answer: bytes) -> bool:
    """Answer without waiting; whether it was possible."""
    try:
        connection.send(answer)
    except OSError:
        return False
    return True
