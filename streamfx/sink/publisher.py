"""The publisher: one picture at every tick, to the camera, the ring and the previews, whatever dies.

It owns the cadence. Nothing that it calls may wait for anybody: a worker that hangs, a watcher that does not
read and a camera that went away cost it no tick. It runs in a process of its own (worker/publisher.py), where
nothing else takes the interpreter from it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic_ns
from typing import Final

import cv2
import numpy as np

from streamfx.errors import CameraError, CameraLost
from streamfx.frames import U8, IdlePortrait, Rendered
from streamfx.quality import Quality
from streamfx.realtime import Pacer
from streamfx.sink.camera import VirtualCamera
from streamfx.sink.idle import IdlePlayer, silhouette
from streamfx.sink.look import Look
from streamfx.sink.ring import RingWriter

_KEPT: Final = 300
"""Latest ticks and latencies kept for the statistics."""
_REOPEN_NS: Final = 1_000_000_000
"""Between attempts at a camera that was lost."""
_JOIN_S: Final = 2.0

_SOON: Final = 0.25
"""Of a period: a picture that came so soon after its tick has just missed it."""
_ROOM: Final = 0.35
"""Of a period: pictures that wait so long for their tick wait no longer for the sake of late ones."""
_STEP_NS, _MARGIN_NS = 2_000_000, 8_000_000
_WINDOW: Final = 300
"""Pictures that must not have been near to missing before ticks move forward."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """What is to be shown."""

    output: Look = field(default_factory=Look)
    preview: Look = field(default_factory=Look)
    previewed: bool = False
    """Whether somebody watches previews."""
    resting: bool = False
    """The idle portrait, whatever drives."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published so far."""

    quality: Quality
    """Of the last picture."""
    fps: float
    """Pictures a second over the latest ones."""
    latencies_ms: Sequence[float]
    """From capture to publication of the latest fresh pictures."""
    published: int
    fresh: int
    repeated: int
    idle: int
    skipped: int
    refused: int
    trouble: str
    """Of the camera; empty while it takes pictures."""


def _nothing() -> Rendered | None:
    return None


class Publisher:
    """A thread that publishes from `start` to `stop`."""

    def __init__(
        self,
        ring: RingWriter,
        previews: RingWriter,
        fps: float,
        open_camera: Callable[[], VirtualCamera] | None = None,
        camera: VirtualCamera | None = None,
        prepare: Callable[[], object] = _nothing,
    ) -> None:
        """Nothing is published yet.

        Args:
            ring: what it writes into, besides the camera.
            previews: of the same form: what previews show, while the view says that somebody watches.
            fps: ticks a second.
            open_camera: opens the camera anew after it was lost; None without a camera.
            camera: that camera, open already.
            prepare: called once by the thread that publishes, before it does.
        """
        self.view = View()
        """Replaced whole by whoever steers; read at every tick."""
        self.feed: Callable[[], Rendered | None] = _nothing
        """The newest picture of the worker; replaced whole."""
        self.overtaken: Callable[[], int] = lambda: 0
        """How many pictures the one that the feed gave last overtook."""
        self._ring, self._previews, self._pacer, self._prepare = ring, previews, Pacer(fps), prepare
        self._open_camera, self.camera = open_camera, camera
        self._size = (ring.form.width, ring.form.height)
        self._idle = IdlePlayer(silhouette(self._size))
        self._cut = False
        self._mixer = Mixer()
        self._accounts = _Accounts(fps)
        self._reopen_at_ns = 0
        self._phase = _Phase(self._pacer.period_ns)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streamfx-publisher", daemon=True)

    def start(self) -> None:
        """Publish from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Publish no more, and leave the camera usable. May be called twice, and before `start`."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)
        if self.camera is not None:
            self.camera.close()

    def rest_as(self, portrait: IdlePortrait, *, cut: bool) -> None:
        """Take another idle portrait.

        Args:
            portrait: of the ring's size.
            cut: drop the last live picture at once: it showed another portrait.
        """
        self._idle = IdlePlayer(portrait)
        self._cut = cut

    def account(self) -> Publication:
        """What was published so far."""
        return self._accounts.summary(self._pacer.skipped)

    def _run(self) -> None:
        self._prepare()
        while not self._stopping.is_set():
            now_ns = self._pacer.wait()
            try:
                self._publish(now_ns)
            except Exception:  # noqa: BLE001 - whatever it was: the next tick must come
                self._accounts.failed()
                _log.exception("a picture could not be published")

    def _publish(self, now_ns: int) -> None:
        fresh, view = self.feed(), self.view
        if self._cut:
            self._cut = False
            self._mixer.forget()
        picture = self._mixer.show(now_ns, fresh, lambda: self._idle.at(now_ns), resting=view.resting)
        output = view.output.dress(picture)
        self._give_to_camera(output, now_ns)
        self._ring.write(output)
        self._ring.beat()
        self._accounts.published(picture, fresh, monotonic_ns())
        if view.previewed:
            self._previews.write(output if view.preview == view.output else view.preview.dress(picture))
        if fresh is None:
            self._phase.went_without()
        elif fresh.quality is not Quality.IDLE:
            self._pacer.shift(self._phase.shift(now_ns - fresh.rendered_ns, self.overtaken()))

    def _give_to_camera(self, picture: Rendered, now_ns: int) -> None:
        if self.camera is None:
            self._reopen(now_ns)
        if self.camera is None:
            return
        try:
            self.camera.publish(picture)
        except CameraLost as error:
            _log.warning("the virtual camera is lost: %s", error)
            self._accounts.lost(str(error))
            self.camera.close()
            self.camera, self._reopen_at_ns = None, now_ns + _REOPEN_NS

    def _reopen(self, now_ns: int) -> None:
        if self._open_camera is None or now_ns < self._reopen_at_ns:
            return
        try:
            self.camera = self._open_camera()
        except CameraError as error:
            self._accounts.lost(str(error))
            self._reopen_at_ns = now_ns + _REOPEN_NS
        else:
            _log.info("the virtual camera is back: %s", self.camera.device)
            self._accounts.trouble = ""


class _Phase:
    """Lets ticks come shortly after the worker's pictures: less delay, and none is shown twice.

    A picture that has just missed its tick moves the ticks back a little, whether it is shown at the next one
    or another overtook it. They move forward once no picture was near to missing for a while. Both by so
    little that the rate stays what readers were told.
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._shortest_ns, self._seen = period_ns, 0
        self._was_empty = False

    def went_without(self) -> None:
        """There was no picture for this tick."""
        self._was_empty = True

    def shift(self, waited_ns: int, overtaken: int) -> int:
        """How far to move the ticks to come, ns.

        Args:
            waited_ns: how long this tick's picture had been finished.
            overtaken: pictures since the last one that no tick showed.
        """
        waited = waited_ns / self._period_ns
        was_missed = self._was_empty and overtaken > 0 and waited < _ROOM
        self._was_empty = False
        if was_missed or waited > 1 - _SOON:
            self._begin()
            return _STEP_NS
        self._shortest_ns, self._seen = min(self._shortest_ns, waited_ns), self._seen + 1
        if self._seen < _WINDOW:
            return 0
        spare_ns = self._shortest_ns - _MARGIN_NS
        self._begin()
        return -min(spare_ns // 4, _STEP_NS) if spare_ns > _STEP_NS else 0

    def _begin(self) -> None:
        self._shortest_ns, self._seen = self._period_ns, 0


class _Accounts:
    """Counts of one publisher; written by its thread, read by others."""

    def __init__(self, fps: float) -> None:
        self.trouble = ""
        self._times_ns: deque[int] = deque(maxlen=max(2, round(2 * fps)))
        self._latencies_ms: deque[float] = deque(maxlen=_KEPT)
        self._quality = Quality.IDLE
        self._counts = dict.fromkeys(("published", "fresh", "repeated", "idle", "refused"), 0)

    def published(self, picture: Rendered, fresh: Rendered | None, now_ns: int) -> None:
        self._times_ns.append(now_ns)
        self._quality = picture.quality
        self._counts["published"] += 1
        if picture.quality is Quality.IDLE:
            self._counts["idle"] += 1
        elif fresh is None:
            self._counts["repeated"] += 1
        else:
            self._counts["fresh"] += 1
            self._latencies_ms.append((now_ns - fresh.captured_ns) / 1e6)

    def lost(self, trouble: str) -> None:
        self.trouble = trouble
        self._counts["refused"] += 1

    def failed(self) -> None:
        self._counts["refused"] += 1

    def summary(self, skipped: int) -> Publication:
        times = list(self._times_ns)
        span_s = (times[-1] - times[0]) / 1e9 if len(times) > 1 else 0.0
        rate = (len(times) - 1) / span_s if span_s > 0 else 0.0
        latencies = list(self._latencies_ms)
        return Publication(
            self._quality, rate, latencies, skipped=skipped, trouble=self.trouble, **self._counts
        )


def percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The 50th, 95th and 99th of at least one value."""
    p50, p95, p99 = np.percentile(values, (50, 95, 99)).tolist()
    return p50, p95, p99


HELD_S: Final = 1.0
"""Longest time that the last picture is repeated before the portrait goes to rest."""
FADE_S: Final = 0.35
"""From a live picture to the idle portrait, and back."""

_STALE_S: Final = 0.1
"""A picture repeated for longer counts as held; shorter repeats come of drivers slower than the camera."""


class Mixer:
    """The ladder FULL, WARP_ONLY, HELD, IDLE: always a picture, no sudden change between live and idle."""

    def __init__(self) -> None:
        self._live: Rendered | None = None
        self._fresh_ns = 0
        self._share = 0.0
        self._last_ns: int | None = None

    def show(
        self, now_ns: int, fresh: Rendered | None, idle: Callable[[], Rendered], *, resting: bool = False
    ) -> Rendered:
        """The picture of this tick.

        Args:
            now_ns: monotonic clock; rising.
            fresh: what the worker rendered since the last tick, if anything.
            idle: gives the idle portrait, asked only when it is seen.
            resting: go to the idle portrait, whatever drives.
        """
        if fresh is not None:
            self._live, self._fresh_ns = fresh, now_ns
        live = self._live
        self._fade(now_ns, toward_live=not resting and self._is_driven(now_ns))
        if live is None or self._share <= 0:
            self._live = None if resting else live
            return idle()
        if now_ns - self._fresh_ns > _STALE_S * 1e9:
            live = replace(live, quality=Quality.HELD)
        if self._share >= 1:
            return live
        return _mixed(live, idle(), self._share)

    def forget(self) -> None:
        """Cut to the idle portrait: another portrait is shown, or another worker begins."""
        self._live, self._share = None, 0.0

    def _is_driven(self, now_ns: int) -> bool:
        live = self._live
        if live is None or live.quality is Quality.IDLE:
            return False
        return now_ns - self._fresh_ns <= HELD_S * 1e9

    def _fade(self, now_ns: int, *, toward_live: bool) -> None:
        step = 0.0 if self._last_ns is None else (now_ns - self._last_ns) / (FADE_S * 1e9)
        self._last_ns = now_ns
        self._share = min(1.0, self._share + step) if toward_live else max(0.0, self._share - step)


def _mixed(live: Rendered, idle: Rendered, share: float) -> Rendered:
    eased = share * share * (3 - 2 * share)
    alpha: U8 | None = None
    if live.alpha is not None or idle.alpha is not None:
        alpha = cv2.addWeighted(_covered(live), eased, _covered(idle), 1 - eased, 0)
    return replace(live, rgb=cv2.addWeighted(live.rgb, eased, idle.rgb, 1 - eased, 0), alpha=alpha)


def _covered(picture: Rendered) -> U8:
    """u8 [H,W]: a picture's alpha, of an opaque one too."""
    return np.full(picture.rgb.shape[:2], 255, np.uint8) if picture.alpha is None else picture.alpha
