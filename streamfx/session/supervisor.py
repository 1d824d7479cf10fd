"""The thread that keeps a process alive: starts it, watches its progress, and replaces it when it fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic_ns
from typing import Final

from streamfx.errors import WorkerFailed
from streamfx.ipc.failure import Failure
from streamfx.ipc.restarts import MOST_FAILURES, RestartBudget
from streamfx.session.process import ChildProcess
from streamfx.worker.protocol import STANDBY, Message, TakeOver

_LOOK_S: Final = 0.1
_HASTY_S: Final = 0.4
"""Longest silence of a process beside which another stands ready: to replace it costs little."""
_CALM_NS: Final = 2_000_000_000
"""A process has worked for so long before another is started to stand by."""

_log = logging.getLogger(__name__)


Start = Callable[[Callable[[Message | None], None]], ChildProcess]
"""Starts the process, whose reports go to what is given; None says that it sends no more.

Raises:
    WorkerFailed: it cannot be had.
"""


class Supervisor:
    """Keeps one process, from `start` to `stop`."""

    def __init__(
        self,
        what: str,
        start: Start,
        orders: Message,
        hear: Callable[[Message], None],
        lost: Callable[[], None] = lambda: None,
        *,
        standby: Start | None = None,
        gives_up: bool = True,
    ) -> None:
        """Nothing is started yet.

        Args:
            what: name of the process, for people.
            start: starts it.
            orders: what it is to do.
            hear: called with its reports, by other threads.
            lost: called when one had to be ended: what it said of itself holds no more.
            standby: starts one that waits for `TakeOver`; None for none.
            gives_up: whether it is left alone for a minute after it failed too often.
        """
        self.restarts = 0
        self.trouble = ""
        """Why there is no process; empty while there is one."""
        self._what, self._make, self._hear, self._lost = what, start, hear, lost
        self._orders, self._make_standby, self._gives_up = orders, standby, gives_up
        self._process: ChildProcess | None = None
        self._standby: ChildProcess | None = None
        self._since_ns = 0
        self._budget = RestartBudget()
        self._not_before_ns = 0
        self._cause = ""
        self._stopping, self._lock = False, threading.Lock()
        self._stirred = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"streamfx-{what}", daemon=True)

    def start(self) -> None:
        """Start the process and watch it."""
        self._thread.start()

    def stop(self) -> None:
        """End it and wait until it is gone. May be called twice, and before `start`."""
        self._stopping = True
        self._stirred.set()
        if self._thread.ident is not None:
            self._thread.join()

    def order(self, orders: Message) -> None:
        """What it is to do from now on; a new one is told, too."""
        with self._lock:
            self._orders = orders
            for process in (self._process, self._standby):
                if process is not None:
                    process.tell(orders)

    def tell(self, message: Message) -> bool:
        """Send something that holds for this process only; whether there is one."""
        process = self._process
        if process is not None:
            process.tell(message)
        return process is not None

    def drive(self, payload: bytes) -> bool:
        """Send a remote motion; whether it was taken."""
        process = self._process
        return process is not None and process.drive(payload)

    @property
    def pid(self) -> int:
        """Of the process; 0 while there is none."""
        process = self._process
        return 0 if process is None else process.pid

    @property
    def stands_by(self) -> bool:
        """Whether another process is ready to take over."""
        standby = self._standby
        return standby is not None and standby.phase == STANDBY

    @property
    def is_degraded(self) -> bool:
        """Whether it failed so often that it is left alone for a while."""
        return self._process is None and monotonic_ns() < self._not_before_ns

    def _run(self) -> None:
        while not self._stopping:
            now = monotonic_ns()
            ready = self.stands_by
            if self._process is None:
                self._start_one(now)
            elif cause := self._process.trouble(now, _HASTY_S if ready else None):
                self._replace(cause, now)
                if ready:
                    self._promote(now)
            elif self._process.phase:
                self._keep_standby(now)
            else:  # it is starting: nothing is to take the processor from it
                self._since_ns = now
            self._stirred.wait(_LOOK_S)
            self._stirred.clear()
        self._end(gently=True)

    def _start_one(self, now: int) -> None:
        if now < self._not_before_ns:
            return
        try:
            process = self._make(self._listen)
        except WorkerFailed as error:
            self._note_failure(str(error), now)
            return
        with self._lock:
            process.tell(self._orders)
            self._process, self._since_ns = process, now
        self.trouble = ""

    def _promote(self, now: int) -> None:
        """Let the one on standby go on: it knows its orders."""
        with self._lock:
            self._process, self._standby, self._since_ns = self._standby, None, now
            if self._process is not None:
                self._process.tell(TakeOver())
        self.trouble = ""

    def _keep_standby(self, now: int) -> None:
        """Start another to stand by where there is none, once the first has worked for a while."""
        if self._standby is not None and (ended := self._standby.ended()):
            _log.warning("a %s on standby %s", self._what, ended)
            self._standby.end(gently=False)
            self._standby, self._since_ns = None, now
        if self._make_standby is None or self._standby is not None or now - self._since_ns < _CALM_NS:
            return
        try:
            process = self._make_standby(self._listen)
        except WorkerFailed:  # it is optional, and tried again
            self._since_ns = now
            return
        with self._lock:
            process.tell(self._orders)
            self._standby = process

    def _replace(self, cause: str, now: int) -> None:
        self._end_one(gently=False)  # its last words are heard by then
        cause = self._cause or f"the {self._what} {cause}"
        _log.warning("%s; the %s is replaced", cause, self._what)
        self._lost()
        self.restarts += 1
        self._note_failure(cause, now)

    def _note_failure(self, cause: str, now: int) -> None:
        self.trouble, self._cause = cause, ""
        pause_s = self._budget.spend()
        if pause_s and self._gives_up:
            _log.error(
                "the %s failed %d times in a minute; the next try is in a minute", self._what, MOST_FAILURES
            )
            self._not_before_ns = now + round(pause_s * 1e9)

    def _end(self, *, gently: bool) -> None:
        self._end_one(gently=gently)
        if self._standby is not None:
            self._standby.end(gently=False)

    def _end_one(self, *, gently: bool) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.end(gently=gently)

    def _listen(self, message: Message | None) -> None:
        if message is None:
            self._stirred.set()
            return
        if isinstance(message, Failure):
            self._cause = str(message)
        self._hear(message)
