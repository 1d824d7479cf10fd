"""`python -m streamfx.worker.publisher`: the process that has the virtual camera and keeps the cadence.

It parses nothing that comes from outside, and waits for nobody: its daemon may be busy, stopped or under
attack. It ends with its daemon.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import sleep
from typing import BinaryIO, Final

import cv2

from streamfx import priority
from streamfx.errors import CameraError, StreamfxError, WorkerFailed
from streamfx.frames import IdlePortrait
from streamfx.ipc.child import child_main
from streamfx.ipc.failure import Failure
from streamfx.ipc.spawn import inherited
from streamfx.sink import idle
from streamfx.sink.camera import VirtualCamera, open_camera
from streamfx.sink.look import Look
from streamfx.sink.publisher import Publisher, View, percentiles
from streamfx.sink.ring import RingForm, RingReader, RingWriter
from streamfx.worker.channel import Channel
from streamfx.worker.protocol import (
    PUBLISHING,
    STANDBY,
    BeginPublishing,
    Phase,
    Published,
    Show,
    Stop,
    TakeOver,
)

_PATIENCE_S: Final = 2.0
"""Longest without a tick, before the daemon puts another publisher in its place."""
_REPORT_S: Final = 0.1
_COUNT_READERS: Final = 5
"""Reports from one count of the camera's readers to the next."""


def main(reader: BinaryIO, writer: BinaryIO) -> int:
    """Publish until the daemon says stop or is gone."""
    priority.fall_back()
    # A tick is short; with helpers it would wait for the last of them to get a processor.
    cv2.setNumThreads(1)
    channel = Channel(reader, writer)
    first = channel.receive()
    if first is None or not isinstance(first[0], BeginPublishing):
        return 1
    begin = first[0]
    try:
        opening = partial(open_camera, begin.camera, (begin.width, begin.height), begin.fps)
        opens_now = begin.camera and not begin.standby
        camera = _opened(opening, required=begin.required) if opens_now else None
    except StreamfxError as error:
        channel.send(Failure.of(error))
        _wait_for_the_end(channel)
        return 1
    _publish(begin, opening if begin.camera else None, camera, channel)
    return 0


def _opened(opening: Callable[[], VirtualCamera], *, required: bool) -> VirtualCamera | None:
    try:
        return opening()
    except CameraError:
        if required:
            raise
        return None  # the publisher tries it again


def _wait_for_the_end(channel: Channel) -> None:
    """The session is given up by whoever asked for it: no other publisher is to be tried meanwhile."""
    while (received := channel.receive()) is not None and not isinstance(received[0], Stop):
        continue


def _publish(
    begin: BeginPublishing,
    opening: Callable[[], VirtualCamera] | None,
    camera: VirtualCamera | None,
    channel: Channel,
) -> None:
    form = RingForm(begin.width, begin.height, begin.fps)
    with (
        RingReader(inherited(begin.worker)) as worker,
        RingWriter(form, inherited(begin.ring)) as ring,
        RingWriter(form, inherited(begin.previews)) as previews,
    ):
        granted = _Granted(begin.priority)
        publisher = Publisher(ring, previews, begin.fps, opening, camera, granted.ask)
        publisher.feed, publisher.overtaken = worker.newest, lambda: worker.overtaken
        steering = _Steering(publisher, begin.width, begin.height)
        nobody = idle.silhouette((begin.width, begin.height), cut_out=begin.cut_out)
        publisher.rest_as(nobody, cut=True)
        stopping = threading.Event()
        reporter = threading.Thread(
            target=_report,
            args=(publisher, granted, channel, stopping),
            name="streamfx-reporter",
            daemon=True,
        )
        try:
            _obey(publisher, steering, channel, reporter, nobody, granted, standby=begin.standby)
        finally:
            publisher.stop()
            stopping.set()


class _Granted:
    """The priority of this process's threads: each asks for its own, and waits for no answer.

    Not of the one alone that publishes: it would wait for another that holds the interpreter and is given no
    processor.
    """

    def __init__(self, wanted: str) -> None:
        self._wanted, self.granted = wanted, priority.NORMAL

    def ask(self) -> None:
        threading.Thread(
            target=self._ask_for, args=(threading.get_native_id(),), name="streamfx-priority", daemon=True
        ).start()

    def _ask_for(self, thread: int) -> None:
        self.granted = priority.take(self._wanted, thread)


_BETWEEN_BADGES_S: Final = 0.03
"""However many are asked for: letters that are drawn keep the interpreter from who publishes."""

_log = logging.getLogger(__name__)


class _Steering:
    """What is to be shown, told to who publishes. A badge waits for its letters: no tick and no order does.

    They may be the first of their script: fonts are asked for and read, which takes up to seconds.
    """

    def __init__(self, publisher: Publisher, width: int, height: int) -> None:
        self._publisher, self._size = publisher, (width, height)
        self._view, self._drawn = View(), ""
        self._changed = threading.Condition()
        threading.Thread(target=self._draw, name="streamfx-badge", daemon=True).start()

    def show(self, view: View) -> None:
        """From the next tick on, with the last badge until the new one is drawn."""
        with self._changed:
            self._view = view
            self._give()
            self._changed.notify()

    def _give(self) -> None:
        view, badge = self._view, self._drawn if self._view.output.badge else ""
        self._publisher.view = replace(
            view, output=replace(view.output, badge=badge), preview=replace(view.preview, badge=badge)
        )

    def _draw(self) -> None:
        tried = ""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._view.output.badge != tried)  # noqa: B023 - called at once
                look = self._view.output
            tried = drawn = look.badge
            try:
                look.draw(*self._size)
            except (OSError, ValueError) as error:
                _log.warning("the badge is left out: %s", error)
                drawn = ""
            with self._changed:
                self._drawn = drawn
                self._give()
            sleep(_BETWEEN_BADGES_S)


def _obey(
    publisher: Publisher,
    steering: _Steering,
    channel: Channel,
    reporter: threading.Thread,
    nobody: IdlePortrait,
    granted: _Granted,
    *,
    standby: bool,
) -> None:
    """Show what the daemon says, until it says stop or is gone. The first picture is of its first orders."""
    number = 0
    while (received := channel.receive()) is not None and not isinstance(received[0], Stop):
        order = received[0]
        if isinstance(order, Show):
            if order.idle_number != number:
                portrait = (
                    idle.load(Path(order.idle), (nobody.rest.shape[1], nobody.rest.shape[0]))
                    if order.idle
                    else nobody
                )
                if portrait is not None:
                    publisher.rest_as(portrait, cut=order.cut)
            number = order.idle_number
            steering.show(
                View(
                    Look(order.mirror, order.badge),
                    Look(order.mirror_preview, order.badge),
                    previewed=order.previewed,
                    resting=order.resting,
                )
            )
            if standby:
                channel.send(Phase(STANDBY, _PATIENCE_S))
        elif isinstance(order, TakeOver):
            standby = False
        if not standby and reporter.ident is None:
            priority.for_itself()
            granted.ask()  # not sooner: loading the first portrait would keep others from their ticks
            publisher.start()
            channel.send(Phase(PUBLISHING, _PATIENCE_S))
            reporter.start()


def _report(publisher: Publisher, granted: _Granted, channel: Channel, stopping: threading.Event) -> None:
    """Tell the daemon what was published. Where it does not listen, this thread waits, and no other."""
    readers, number = None, 0
    granted.ask()
    while True:
        camera, account = publisher.camera, publisher.account()
        if number % _COUNT_READERS == 0:
            readers = camera.readers() if camera is not None else None
        number += 1
        latency = percentiles(account.latencies_ms) if account.latencies_ms else ()
        report = Published(
            account.quality, account.fps, latency, account.published, account.fresh, account.repeated,
            account.idle, account.skipped, account.refused, account.trouble,
            camera.name if camera else "", camera.device if camera else "", readers, granted.granted,
        )  # fmt: skip
        try:
            channel.send(report)
        except WorkerFailed:  # the daemon is gone
            return
        if stopping.wait(_REPORT_S):
            return


if __name__ == "__main__":
    child_main("publisher", main, spared=True)
