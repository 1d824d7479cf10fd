"""All sessions of a daemon."""

from __future__ import annotations

import builtins
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Final

from streamfx.errors import LimitReached, ResourceExists, ResourceMissing, SettingRefused, StreamfxError
from streamfx.interrupts import held
from streamfx.ipc.peers import can_hand_over
from streamfx.ipc.ring_server import MOST as MOST_READERS
from streamfx.priority import AUTO
from streamfx.session import cards
from streamfx.session.handed import HandedFiles
from streamfx.session.portraits import Portraits
from streamfx.session.session import Session
from streamfx.session.sharing import CardProcess
from streamfx.settings.session import CUDA, ID, SessionSettings, check
from streamfx.worker.protocol import IDLE

MOST: Final = 4
"""Each has a worker that takes one to two cores."""
_KIND: Final = "session"


class Sessions:
    """Makes, finds and ends sessions. Any thread may call."""

    def __init__(
        self,
        portraits: Portraits,
        *,
        most: int = MOST,
        runtime: Path | None = None,
        priority: str = AUTO,
        files: HandedFiles | None = None,
        readers: int = MOST_READERS,
    ) -> None:
        """None yet.

        Args:
            portraits: those that sessions may show.
            most: sessions at a time.
            runtime: folder of the sockets at which rings are handed over; None for none.
            priority: of the threads that publish (streamfx/priority.py).
            files: that clients hand over; None for none.
            readers: of each session's ring, connected at once.
        """
        self.portraits = portraits
        self.files = files or HandedFiles()
        self._most, self._runtime, self._priority, self._readers = most, runtime, priority, readers
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._closed = False
        self._card: CardProcess | None = None
        self._leave_no_idles()  # of a daemon that was killed
        portraits.users, portraits.added = self._users, self._adopt

    def create(self, settings: SessionSettings, id: str = "") -> Session:
        """Begin a session.

        Args:
            settings: what it is to do.
            id: by default the first free of session-1, session-2 ...

        Raises:
            SettingRefused, ResourceMissing: the settings make no sense, or name a portrait that is not there.
            ResourceExists, LimitReached: it cannot be had; the card is full.
            CameraUnavailable: its camera cannot be opened.
            DeviceUnavailable: it is to be rendered on a card that cannot be used.
        """
        check(settings)
        for portrait in settings.portraits:
            self.portraits.get(portrait)
        if settings.device == CUDA:
            cards.admit(id, cards.FURTHER_MIB if self._card else cards.FIRST_MIB)
        try:
            with self._lock, held():  # one that was begun is always known, and ended
                id = self._free_id(id)
                card = self._shared_card() if settings.device == CUDA else ""
                session = Session(
                    id, settings, self.portraits, self._runtime, card, self._priority, self.files,
                    self._readers,
                )  # fmt: skip
                self._sessions[id] = session
            self._start(session)
        finally:
            self._free_card()  # if none could be had
        return session

    def get(self, id: str) -> Session:
        """A session by its identifier.

        Raises:
            ResourceMissing: there is none.
        """
        with self._lock:
            session = self._sessions.get(id)
        if session is None:
            raise ResourceMissing(
                _KIND, id, f"There is no session {id!r}", "`streamfx ctl sessions list` shows all"
            )
        return session

    def list(self) -> list[Session]:
        """All, in the order in which they began."""
        with self._lock:
            return list(self._sessions.values())

    def delete(self, id: str) -> None:
        """End a session; when this returns its camera, worker and memory are released. Raises as `get`."""
        session = self.get(id)
        with self._lock:
            self._sessions.pop(id, None)
        session.close()
        self._free_card()

    def close(self) -> None:
        """End all; none can be created any more. May be called twice."""
        with self._lock:
            self._closed = True
            ended, self._sessions = list(self._sessions.values()), {}
        for session in ended:
            session.close()
        self._free_card()
        self._leave_no_idles()

    def _leave_no_idles(self) -> None:
        """Delete idle portraits that workers handed over and nobody took."""
        if self._runtime is not None:
            shutil.rmtree(self._runtime / IDLE, ignore_errors=True)

    def _start(self, session: Session) -> None:
        try:
            session.start()
        except StreamfxError:
            with self._lock:
                self._sessions.pop(session.id, None)
            session.close()
            raise

    def _shared_card(self) -> str:
        """Name of the socket of the process that draws for all; empty where each worker has to itself."""
        if not can_hand_over():
            return ""
        if self._card is None:
            self._card = CardProcess()
            self._card.start()
        return self._card.name

    def _free_card(self) -> None:
        """End the process that draws on the card, if no session needs it."""
        with self._lock:
            if any(session.settings.device == CUDA for session in self._sessions.values()):
                return
            card, self._card = self._card, None
        if card is not None:
            card.close()

    def _free_id(self, id: str) -> str:
        if self._closed:
            raise LimitReached(_KIND, id, "The daemon is stopping", "Start it again")
        if len(self._sessions) >= self._most:
            raise LimitReached(
                _KIND, id, f"The limit of sessions is reached: {self._most}", "Delete one first"
            )
        if not id:
            names = (f"session-{number}" for number in range(1, self._most + 1))
            return next(name for name in names if name not in self._sessions)
        if not ID.fullmatch(id):
            raise SettingRefused("id", f"it is {id!r}", "Use up to 40 of a-z, 0-9 and - inside")
        if id in self._sessions:
            raise ResourceExists(_KIND, id, f"There is a session {id!r} already", "Choose another identifier")
        return id

    def _adopt(self, portrait: str) -> None:
        """Let sessions that have nothing to show show the portrait that was just added."""
        for session in self.list():
            if not session.settings.portraits:
                session.update(replace(session.settings, portraits=(portrait,)))

    def _users(self, portrait: str) -> builtins.list[str]:
        return [one.id for one in self.list() if portrait in one.settings.portraits]
