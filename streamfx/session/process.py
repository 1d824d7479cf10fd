"""A session's worker or publisher as the daemon sees it: orders out, reports in, and whether it moves."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Full, Queue
from time import monotonic_ns
from typing import Final

from streamfx.errors import WorkerFailed
from streamfx.ipc.spawn import own, start_with
from streamfx.limits import memory_kills, shortage
from streamfx.sink.ring import SharedRing
from streamfx.worker.channel import Channel
from streamfx.worker.protocol import Message, MotionMessage, Phase, Stop

WORKER = own("streamfx.worker")
"""Command of a worker; tests put others in its place."""
PUBLISHER = own("streamfx.worker.publisher")
"""Of a publisher."""
STARTING_S: Final = 60.0
"""Longest silence of a process that has said nothing: it imports, and may compile."""
_QUEUED: Final = 64
"""Messages that wait for a process; one that takes none is found out long before."""
_LEAVE_S: Final = 1.5
"""For it to leave when told; then it is killed."""
_REAP_S: Final = 5.0
_KILLED: Final = -9
_MOST_A_LOOK_NS: Final = 250_000_000
"""Of the time between two looks, so much counts as silence at most: where they lie further apart, the daemon
itself was stopped or had no processor, and so may the process have been."""


class ChildProcess:
    """It and what belongs to it. Made by a thread that outlives it: it dies with that thread."""

    def __init__(
        self,
        command: Sequence[str],
        begin: Callable[..., Message],
        rings: Sequence[SharedRing],
        hear: Callable[[Message | None], None],
    ) -> None:
        """Start it.

        Args:
            command: what to run.
            begin: makes its first order of the numbers that its rings have in it.
            rings: that it inherits; it writes the last one, whose beats show that it moves.
            hear: called with its reports, and with None when none will come, by a thread of this object.

        Raises:
            WorkerFailed: the system lets no process be had.
        """
        self._hear = hear
        self._written = rings[-1]
        self.phase = ""
        """What it said last that it does."""
        self._patience_ns = round(STARTING_S * 1e9)
        self._beats, self._silent_ns, self._looked_ns = self._written.beats, 0, monotonic_ns()
        self._mute, self._kills = False, memory_kills()
        try:
            self._process, numbers = start_with(command, *(ring.descriptor for ring in rings))
        except OSError as error:
            raise WorkerFailed(*shortage("No process can be started", error)) from error
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101, PT018
        self._channel = Channel(self._process.stdout, self._process.stdin)
        self._outbox: Queue[tuple[Message, bytes] | None] = Queue(_QUEUED)
        self._threads = [
            threading.Thread(target=run, name=f"streamfx-child{run.__name__}", daemon=True)
            for run in (self._send, self._listen)
        ]
        for thread in self._threads:
            thread.start()
        self.tell(begin(*numbers))

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, message: Message, payload: bytes = b"") -> None:
        """Send a message; never waits. What finds no room is dropped: it is about to be replaced."""
        try:
            self._outbox.put_nowait((message, payload))
        except Full:
            return

    def drive(self, payload: bytes) -> bool:
        """Send a remote motion unless others still wait; whether it was sent."""
        if self._outbox.qsize() > 1:
            return False
        self.tell(MotionMessage(), payload)
        return True

    def trouble(self, now_ns: int, hasty_s: float | None = None) -> str:
        """Why it must be replaced; empty while it works. One thread looks.

        Args:
            now_ns: of the monotonic clock.
            hasty_s: how long it may show no progress, where that is less than what it asked for.
        """
        if ended := self.ended():
            return ended
        beats = self._written.beats
        if beats != self._beats:
            self._beats, self._silent_ns = beats, 0
        else:
            self._silent_ns += min(now_ns - self._looked_ns, _MOST_A_LOOK_NS)
        self._looked_ns = now_ns
        patience_ns = self._patience_ns if hasty_s is None else min(self._patience_ns, round(hasty_s * 1e9))
        if self._silent_ns > patience_ns:
            return f"showed no progress for {self._silent_ns / 1e9:.1f} s"
        return ""

    def ended(self) -> str:
        """How it ended; empty while it runs."""
        if self._mute:  # about to be gone: nothing else closes its end of the pipe
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVE_S)
        code = self._process.poll()
        if code == _KILLED and memory_kills() > self._kills:
            return "was ended by the system, for memory ran out. Close programs, or choose a smaller --size"
        if code is not None:
            return f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return "closed its pipe" if self._mute else ""

    def end(self, *, gently: bool) -> None:
        """Make it leave, and wait until it is gone. May be called twice."""
        if gently and self._process.poll() is None:
            self.tell(Stop())
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVE_S)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(_REAP_S)
        with suppress(Full):
            self._outbox.put(None, timeout=_REAP_S)
        for thread in self._threads:
            thread.join(_REAP_S)
        self._channel.close()

    def _send(self) -> None:
        while (entry := self._outbox.get()) is not None:
            try:
                self._channel.send(*entry)
            except WorkerFailed:  # it is gone: `trouble` tells
                continue

    def _listen(self) -> None:
        try:
            while (received := self._channel.receive()) is not None:
                message = received[0]
                if isinstance(message, Phase):
                    self.phase = message.name
                    self._patience_ns, self._silent_ns = round(message.patience_s * 1e9), 0
                else:
                    self._hear(message)
        except WorkerFailed:
            self._process.kill()
        self._mute = True
        self._hear(None)
