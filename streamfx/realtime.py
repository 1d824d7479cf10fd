"""Handing values between threads in real time: the newest wins, what is overtaken is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from queue import Full, Queue
from typing import Final, Generic, TypeVar, cast

T = TypeVar("T")


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


_END: Final = object()


def ahead(values: Iterator[T], depth: int) -> Generator[T]:
    """Run an iterator in a thread of its own, at most `depth` values ahead of whoever consumes it.

    A failure of the iterator is raised here, in its turn. Closing the generator stops the thread at its next
    value and waits for it, so whatever the iterator holds open is closed by its own thread.
    """
    queue: Queue[T | BaseException | object] = Queue(depth)
    leaving = threading.Event()

    def offer(value: object) -> bool:
        while not leaving.is_set():
            try:
                queue.put(value, timeout=0.1)
            except Full:
                continue
            return True
        return False

    def run() -> None:
        try:
            for value in values:
                if not offer(value):
                    break
            else:
                offer(_END)
        except BaseException as error:  # noqa: BLE001 - handed over whole, raised by the consumer
            offer(error)
        finally:
            if isinstance(values, Generator):
                values.close()

    thread = threading.Thread(target=run, name="streamfx-ahead", daemon=True)
    thread.start()
    try:
        while (value := queue.get()) is not _END:
            if isinstance(value, BaseException):
                raise value
            yield cast(T, value)
    finally:
        leaving.set()
        thread.join()
