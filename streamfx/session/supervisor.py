"""The thread that keeps a worker alive: it starts it, watches its progress, and replaces it when it fails."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Final

from streamfx.errors import WorkerFailed
from streamfx.frames import Rendered
from streamfx.session.process import WorkerProcess
from streamfx.sink.ring import RingForm
from streamfx.worker.protocol import Failed, Message, Orders

_LOOK_S: Final = 0.1
MOST_FAILURES = 5
_WITHIN_NS: Final = 60_000_000_000
"""So many failures in that time, and the worker is left alone for as long."""
PAUSE_NS = 60_000_000_000

_log = logging.getLogger(__name__)


class Supervisor:
    """Keeps one worker, from `start` to `stop`."""

    def __init__(
        self,
        form: RingForm,
        hear: Callable[[Message], None],
        lost: Callable[[], None] = lambda: None,
        card: str = "",
        feeds: str = "",
    ) -> None:
        """Nothing is started yet.

        Args:
            form: of the pictures.
            hear: called with the worker's reports, by other threads.
            lost: called when a worker had to be ended: what it said of itself holds no more.
            card: socket of the card's process (session/sharing.py); empty for none.
            feeds: folder of the feeds' sockets; empty takes the runtime folder.
        """
        self.restarts = 0
        self.trouble = ""
        """Why there is no worker; empty while there is one."""
        self._form, self._hear, self._lost, self._card, self._feeds = form, hear, lost, card, feeds
        self._orders = Orders()
        self._process: WorkerProcess | None = None
        self._failures: deque[int] = deque(maxlen=MOST_FAILURES)
        self._not_before_ns = 0
        self._cause = ""
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="streamfx-supervisor", daemon=True)

    def start(self) -> None:
        """Start the worker and watch it."""
        self._thread.start()

    def stop(self) -> None:
        """End the worker and wait until it is gone. May be called twice, and before `start`."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def order(self, orders: Orders) -> None:
        """What the worker is to do from now on; a new one is told, too."""
        with self._lock:
            self._orders = orders
            if self._process is not None:
                self._process.tell(orders)

    def tell(self, message: Message) -> bool:
        """Send something that holds for this worker only; whether there is one."""
        process = self._process
        if process is not None:
            process.tell(message)
        return process is not None

    def drive(self, payload: bytes) -> bool:
        """Send a remote motion; whether it was taken."""
        process = self._process
        return process is not None and process.drive(payload)

    def newest(self) -> Rendered | None:
        """The worker's newest picture that was not taken yet. For one thread."""
        process = self._process
        return None if process is None else process.newest()

    @property
    def pid(self) -> int:
        """Of the worker; 0 while there is none."""
        process = self._process
        return 0 if process is None else process.pid

    @property
    def is_degraded(self) -> bool:
        """Whether the worker failed so often that it is left alone for a while."""
        return self._process is None and monotonic_ns() < self._not_before_ns

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_S if self._process else 0):
            now = monotonic_ns()
            if self._process is None:
                self._start_one(now)
            elif cause := self._process.trouble(now):
                self._replace(cause, now)
            if self._process is None:
                self._stopping.wait(_LOOK_S)
        self._end(gently=True)

    def _start_one(self, now: int) -> None:
        if now < self._not_before_ns:
            return
        try:
            process = WorkerProcess(self._form, self._listen, self._card, self._feeds)
        except WorkerFailed as error:
            self._note_failure(str(error), now)
            return
        with self._lock:
            process.tell(self._orders)
            self._process = process
        self.trouble = ""

    def _replace(self, cause: str, now: int) -> None:
        self._end(gently=False)  # its last words are heard by then
        cause = self._cause or cause
        _log.warning("%s; the worker is replaced", cause)
        self._lost()
        self.restarts += 1
        self._note_failure(cause, now)

    def _note_failure(self, cause: str, now: int) -> None:
        self.trouble, self._cause = cause, ""
        self._failures.append(now)
        if len(self._failures) == MOST_FAILURES and now - self._failures[0] < _WITHIN_NS:
            _log.error("the worker failed %d times in a minute; the next try is in a minute", MOST_FAILURES)
            self._failures.clear()
            self._not_before_ns = now + PAUSE_NS

    def _end(self, *, gently: bool) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.end(gently=gently)

    def _listen(self, message: Message) -> None:
        if isinstance(message, Failed):
            self._cause = f"{message.cause}. {message.remedy}".strip()
        self._hear(message)
