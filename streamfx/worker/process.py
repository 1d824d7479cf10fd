"""The worker from its first message to its end. Networks are compiled while the rest is imported."""

from __future__ import annotations

import logging
import os
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Final

from streamfx.errors import StreamfxError, WorkerFailed
from streamfx.ipc.failure import Failure
from streamfx.ipc.handed import fetch_at
from streamfx.ipc.spawn import inherited
from streamfx.limits import is_shortage, shortage
from streamfx.models.ahead import compile_ahead
from streamfx.worker.channel import Channel
from streamfx.worker.protocol import Begin

_log: Final = logging.getLogger(__name__)


def serve(channel: Channel) -> int:
    """Do as the daemon says until it says stop or is gone; the exit code."""
    sys.excepthook = partial(_failed, channel)
    threading.excepthook = lambda failure: _failed(channel, None, failure.exc_value)
    try:
        begin = _beginning(channel)
        if begin.files:
            fetch_at(Path(begin.files))
        compile_ahead(begin.networks)
        _work(begin, channel)
    except StreamfxError as error:
        return _give_up(channel, Failure(error.cause, error.remedy))
    return 0


def _work(begin: Begin, channel: Channel) -> None:
    from streamfx.sink.ring import RingForm, RingWriter
    from streamfx.worker.loop import Worker  # a decoder, a tracker, a compiler: half a second

    form = RingForm(begin.width, begin.height, begin.fps)
    with RingWriter(form, inherited(begin.ring)) as ring:
        Worker(begin, ring, channel).run()


def _failed(channel: Channel, _kind: object, error: BaseException | None, *_: object) -> None:
    """What nobody foresaw, in any thread: the daemon is told why, and starts another worker.

    Without its driver or loader a worker would show nothing for ever.
    """
    _log.error("the worker failed", exc_info=error)
    cause, remedy = f"The worker failed: {error}", ""
    if error is not None and is_shortage(error):
        cause, remedy = shortage("The worker cannot go on", error)
    _give_up(channel, Failure(cause, remedy))
    os._exit(1)


def _beginning(channel: Channel) -> Begin:
    first = channel.receive()
    if first is None or not isinstance(first[0], Begin):
        raise WorkerFailed("The daemon did not say how to begin")
    return first[0]


def _give_up(channel: Channel, failure: Failure) -> int:
    try:
        channel.send(failure)
    except WorkerFailed:
        _log.error("%s", failure.cause)  # the daemon is gone; there is no more to tell
    return 1
