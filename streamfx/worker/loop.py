"""The worker's main loop: motions in, pictures out, changes of its config in between."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic_ns
from typing import Any, Final

from streamfx import config, priority
from streamfx.driving.remote import unpack
from streamfx.errors import WorkerFailed
from streamfx.frames import Motion
from streamfx.ipc.handed import named
from streamfx.models.store import Store
from streamfx.realtime import RateLimit, Stalled
from streamfx.render.base import Device
from streamfx.settings.session import NOTHING, REMOTE
from streamfx.sink.ring import RingWriter
from streamfx.telemetry import StageTimer
from streamfx.worker.channel import Channel
from streamfx.worker.driving import Driving
from streamfx.worker.load_governor import LoadGovernor
from streamfx.worker.portrait_pool import PortraitPool
from streamfx.worker.protocol import IDLE, Begin, Calibrate, Message, MotionMessage, Phase, Stop, WorkerConfig

_WAIT_S: Final = 0.1
"""For a motion, before the worker shows that it is alive."""
_WORKING_S, _PREPARING_S = 1.0, 10.0
"""Longest without progress, as a rule and while something is loaded or opened."""

_log = logging.getLogger(__name__)


class Worker:
    """From its making to the end of `run`; its loop is the process's main thread."""

    def __init__(self, begin: Begin, ring: RingWriter, channel: Channel) -> None:
        self._ring, self._channel = ring, channel
        self._inbox: SimpleQueue[Message | None] = SimpleQueue()
        self._tell(Phase("starting", 60.0))
        store = Store.default()
        self._patience = _Patience(self._tell)
        runtime = Path(begin.feeds) if begin.feeds else config.runtime_folder()
        self._driving = Driving(store, StageTimer(), self._tell, self._patience, runtime)
        size, idle = (begin.width, begin.height), runtime / IDLE
        self._pool = PortraitPool(size, store, self._tell, self._patience, begin.card, idle)
        self._governor = LoadGovernor(begin.fps)
        self._rate = RateLimit(begin.fps)
        """Drivers faster than the camera are not followed in full."""
        self._settings = WorkerConfig().settings
        self._has_rendered, self._remote_seq = False, 0
        threading.Thread(target=self._listen, name="streamfx-ear", daemon=True).start()

    def run(self) -> None:
        """Until the daemon says stop, or is gone."""
        self._patience.begin()
        try:
            while self._obey():
                if not self._driving.is_stuck:
                    self._ring.beat()
                try:
                    motion = self._driving.motions.take(_WAIT_S)
                except Stalled:
                    continue
                self._show(motion)
        finally:
            self._pool.stop()
            self._driving.stop()

    def _show(self, motion: Motion) -> None:
        settings, start_ns = self._settings, monotonic_ns()
        if not self._rate.allows(start_ns):
            return
        picture = self._pool.animate(settings.selected, motion, settings.gains, networks=self._governor.full)
        if picture is None:
            return
        if not self._has_rendered:
            self._has_rendered = True
            priority.for_itself()
        self._ring.write(picture)
        self._rate.count(start_ns)
        self._governor.note((picture.rendered_ns - start_ns) / 1e9, start_ns)

    def _obey(self) -> bool:
        """Carry out what has come in; False to stop."""
        while True:
            try:
                message = self._inbox.get_nowait()
            except Empty:
                return True
            if message is None or isinstance(message, Stop):
                return False
            if isinstance(message, Calibrate):
                self._driving.calibrate()
            if isinstance(message, WorkerConfig):
                self._follow(message)

    def _follow(self, config: WorkerConfig) -> None:
        self._settings = settings = config.settings
        self._pool.prepare(config)
        source = "" if settings.source in (REMOTE, NOTHING) else settings.source
        self._driving.follow(source, hardware=settings.device == Device.CUDA)

    def _listen(self) -> None:
        """Take messages off the pipe; motions go straight to where motions come from."""
        while True:
            try:
                received = self._channel.receive()
            except WorkerFailed:
                received = None
            if received is None:
                self._inbox.put(None)
                return
            message, payload = received
            if isinstance(message, MotionMessage):
                self._put_remote(payload)
            else:
                self._inbox.put(message)

    def _put_remote(self, payload: bytes) -> None:
        if self._settings.source != REMOTE:
            return
        try:
            motion = unpack(payload, monotonic_ns(), self._remote_seq)
        except ValueError as error:
            _log.warning("a motion was dropped: %s", error)
            return
        self._remote_seq += 1
        self._driving.motions.put(motion)

    def _tell(self, message: Message) -> None:
        try:
            self._channel.send(_for_people(message))
        except WorkerFailed:  # the daemon is gone: the listener hears it, too
            self._inbox.put(None)


def _for_people(message: Message) -> Message:
    """A report in which handed files are named by their paths."""
    values: dict[str, Any] = {one.name: getattr(message, one.name) for one in fields(message)}
    texts: Any = {name: named(value) for name, value in values.items() if isinstance(value, str)}
    return replace(message, **texts)


class _Patience(AbstractContextManager[None]):
    """While this is entered, by any thread, the daemon waits longer for progress."""

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self._tell, self._lock, self._depth = tell, threading.Lock(), 0

    def begin(self) -> None:
        """Ask for no more than usual."""
        with self._lock:
            self._change(0)

    def __enter__(self) -> None:
        with self._lock:
            self._change(+1)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._change(-1)

    def _change(self, by: int) -> None:
        self._depth += by
        self._tell(Phase("preparing", _PREPARING_S) if self._depth else Phase("working", _WORKING_S))
