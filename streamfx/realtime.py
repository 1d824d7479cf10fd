"""Handing values between threads in real time: the newest wins, what is overtaken is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from queue import Full, Queue
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_LATE: Final = 0.1
"""Of a period: a tick as late as that still counts as kept."""
_SOONEST: Final = 0.97
"""Of a period, on average, between those that a limit lets through: clocks of both sides differ a little."""
_POLL_S: Final = 0.1
"""How often a thread that waits for room looks whether anybody is still there."""


class Closed(Exception):  # noqa: N818 - the vocabulary of channels: closed is a state, not a failure
    """Nothing more will come."""


class Stalled(Exception):  # noqa: N818
    """Nothing came in time."""


@dataclass(frozen=True, slots=True)
class LatestStatistics:
    """Counters of a `Latest`."""

    put: int
    """Values put in."""
    dropped: int
    """Values that were overtaken before anybody took them."""


class Latest(Generic[T]):
    """A channel of capacity one between a writer and a reader thread; the newest value wins."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._values: list[T] = []  # empty or one: T may itself be None
        self._closed = False
        self._failure: BaseException | None = None
        self._put = 0
        self._dropped = 0

    def put(self, value: T) -> None:
        """Offer a value; never blocks. After `close` it is ignored."""
        with self._changed:
            if self._closed:
                return
            self._put += 1
            self._dropped += len(self._values)
            self._values[:] = [value]
            self._changed.notify()

    def take(self, timeout_s: float) -> T:
        """The newest value, waited for if need be.

        Raises:
            Stalled: nothing came within `timeout_s`.
            Closed: the writer is done and the last value was taken; or the failure given to `close`.
        """
        until = time.monotonic() + timeout_s
        with self._changed:
            while not self._values:
                if self._closed:
                    raise self._failure or Closed
                if not self._changed.wait(max(0.0, until - time.monotonic())) and time.monotonic() >= until:
                    raise Stalled
            return self._values.pop()

    @property
    def waiting(self) -> bool:
        """Whether a value is there to be taken."""
        with self._changed:
            return bool(self._values)

    def close(self, failure: BaseException | None = None) -> None:
        """No more values; the reader takes what is left and then gets `failure` (or `Closed`)."""
        with self._changed:
            if not self._closed:
                self._closed, self._failure = True, failure
            self._changed.notify_all()

    def statistics(self) -> LatestStatistics:
        """The counters so far."""
        with self._changed:
            return LatestStatistics(self._put, self._dropped)


@dataclass(frozen=True, slots=True)
class _End:
    """What follows the last value: how the iterator ended."""

    failure: BaseException | None


class _Ahead(Generic[T]):
    """The thread behind `ahead`: it alone touches the iterator, and closes it."""

    def __init__(self, values: Iterator[T], depth: int) -> None:
        self._values = values
        self._queue: Queue[T | _End] = Queue(depth)
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streamfx-ahead", daemon=True)

    def start(self) -> None:
        """Begin to draw from the iterator."""
        self._thread.start()

    def take(self) -> T | _End:
        """The next value, waited for; then the end, once."""
        return self._queue.get()

    def leave(self) -> None:
        """Stop at the iterator's next value and wait until it is closed."""
        self._leaving.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._offer(_End(self._drawn()))
        finally:
            if isinstance(self._values, Generator):
                self._values.close()

    def _drawn(self) -> BaseException | None:
        """Draw to the end, a failure, or the consumer's leaving."""
        try:
            for value in self._values:
                if not self._offer(value):
                    break
        except BaseException as error:  # noqa: BLE001 - handed over whole, raised by the consumer
            return error
        return None

    def _offer(self, value: T | _End) -> bool:
        """Wait for room; False if the consumer left meanwhile."""
        while not self._leaving.is_set():
            try:
                self._queue.put(value, timeout=_POLL_S)
            except Full:
                continue
            return True
        return False


def ahead(values: Iterator[T], depth: int) -> Generator[T]:
    """Run an iterator in a thread of its own, ahead of whoever consumes it.

    At most `depth` values wait, and one more is in the thread's hands. A failure of the iterator is raised
    here, in its turn. Closing the generator stops the thread at its next value and waits for it, so whatever
    the iterator holds open is closed by its own thread. Nothing runs before the first value is asked for.
    """
    thread = _Ahead(values, depth)
    thread.start()
    try:
        while not isinstance(value := thread.take(), _End):
            yield value
        if value.failure is not None:
            raise value.failure
    finally:
        thread.leave()


class RateLimit:
    """At most so many a second, on average: one may come late, and the next in time.

    Args:
        fps: a second.
    """

    def __init__(self, fps: float) -> None:
        self._period_ns = 1e9 / fps
        self._due_ns = 0.0

    def allows(self, now_ns: int) -> bool:
        """Whether there is room for another one."""
        return now_ns >= self._due_ns

    def count(self, now_ns: int) -> None:
        """One came at this time."""
        self._due_ns = max(self._due_ns, now_ns - self._period_ns) + _SOONEST * self._period_ns


class Pacer:
    """Ticks at an even rate on the monotonic clock. What was missed is skipped, never made up for in a burst.

    Args:
        fps: ticks a second.
        clock, sleep: replaced in tests.
    """

    def __init__(
        self,
        fps: float,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.period_ns = round(1e9 / fps)
        self.skipped = 0
        """Ticks that passed while nobody waited for them."""
        self._clock, self._sleep = clock, sleep
        self._due_ns: int | None = None

    def wait(self) -> int:
        """Sleep until the next tick; the time of it, ns. After a stall the next tick comes a period later."""
        now = self._clock()
        self._due_ns = now if self._due_ns is None else self._due_ns + self.period_ns
        if now - self._due_ns > _LATE * self.period_ns:
            missed = -(-(now - self._due_ns) // self.period_ns)
            self.skipped += missed
            self._due_ns += missed * self.period_ns
        while (left := self._due_ns - self._clock()) > 0:
            self._sleep(left / 1e9)
        return self._due_ns

    def shift(self, by_ns: int) -> None:
        """Move the ticks to come, later or earlier, by less than a period."""
        if self._due_ns is not None:
            self._due_ns += by_ns
