"""Blocking calls of the daemon's objects, from the event loop: in threads, undone when the caller leaves."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from streamfx.errors import GivenUp

T = TypeVar("T")

THREADS: Final = 16

_log = logging.getLogger(__name__)


class Blocking:
    """A pool of threads. `close` waits for what is under way."""

    def __init__(self, threads: int = THREADS, name: str = "streamfx-control") -> None:
        self._pool = ThreadPoolExecutor(threads, name)

    async def do(
        self,
        call: Callable[[], T],
        undo: Callable[[T], object] | None = None,
        given_up: threading.Event | None = None,
    ) -> T:
        """The result of a blocking call.

        Where the caller is cancelled, a call that has not begun is dropped. One that has is told so by
        `given_up`, or let through to its end; then `undo` is given its result, in one of the threads.
        """
        future, loop_thread = self._pool.submit(call), threading.get_ident()

        def settle(done: Future[T]) -> None:
            if threading.get_ident() == loop_thread:  # it had just ended: undoing must not hold up the loop
                self._pool.submit(_settle, done, undo)
            else:
                _settle(done, undo)

        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if given_up is not None:
                given_up.set()
            future.add_done_callback(settle)
            raise

    def begin(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Have a call made whether or not its result is waited for."""
        future = self._pool.submit(call)
        future.add_done_callback(lambda done: _settle(done, None))
        result = asyncio.wrap_future(future)
        result.add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )  # heard, if by nobody else
        return asyncio.shield(result)

    def close(self) -> None:
        """Wait for what is under way; take no more."""
        self._pool.shutdown(wait=True, cancel_futures=False)


def _settle(done: Future[T], undo: Callable[[T], object] | None) -> None:
    """What a caller who left would have had to hear, goes to the log."""
    if done.cancelled():
        return
    if isinstance(done.exception(), GivenUp):
        return
    if done.exception() is not None:
        _log.info("a call whose caller had left failed", exc_info=done.exception())
    elif undo is not None:
        undo(done.result())
