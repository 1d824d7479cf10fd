"""The thread that drives: it opens the source, tracks, and opens it again when it is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from time import monotonic_ns
from typing import Final

from streamfx.driving.live import LiveDriver, open_live
from streamfx.errors import ModelError, MotionUnreadable, SourceError
from streamfx.frames import Motion
from streamfx.models.store import Store
from streamfx.realtime import Latest
from streamfx.telemetry import StageTimer
from streamfx.worker.protocol import SourceReport

_REOPEN_S: Final = 0.5
_LONGEST_REOPEN_S: Final = 2.0
_RELEASE_S: Final = 5.0
"""Longest wait for the last driver to release its camera before the next is opened."""
_REPORT_NS: Final = 500_000_000
_RECENT_S: Final = 2.0
"""A rate over more than that is no rate of now."""
_STUCK: Final = 150
"""Pictures of a camera that may be overtaken while one is tracked: five seconds' worth."""

Report = Callable[[SourceReport], None]


class Driving:
    """Motions from whatever drives now; at most one source is open."""

    def __init__(
        self,
        store: Store,
        timer: StageTimer,
        report: Report,
        patience: AbstractContextManager[None],
        feeds: Path | None = None,
    ) -> None:
        """Nothing drives yet.

        Args:
            store, timer: for the tracker.
            report: told of every change of the source, and twice a second how it goes; called by any thread.
            patience: entered while a source is opened.
            feeds: folder of the feeds' sockets; None takes the runtime folder.
        """
        self.motions: Latest[Motion] = Latest()
        self._store, self._timer, self._report, self._patience = store, timer, report, patience
        self._feeds = feeds
        self._spec, self._hardware = "", False
        self._current: _Drive | None = None

    def follow(self, spec: str, *, hardware: bool = False) -> None:
        """Be driven by another source; an empty `spec` closes the one there is. Returns at once.

        Args:
            spec: what drives.
            hardware: whether an NVIDIA card is to decode a video, where it can.
        """
        if spec == self._spec:
            return
        self._spec, self._hardware = spec, hardware
        last, self._current = self._current, None
        if last is not None:
            last.leave()
        if spec:
            self._current = _Drive(spec, self, last)
            self._current.start()
        else:
            self._report(SourceReport("closed"))

    def calibrate(self) -> None:
        """Take what the driver does now for their neutral."""
        if self._current is not None:
            self._current.calibrate()

    @property
    def is_stuck(self) -> bool:
        """Whether one picture has been in the tracker for seconds while others came."""
        return self._current is not None and self._current.is_stuck

    def stop(self) -> None:
        """Release the source and wait until it is released."""
        last = self._current
        self.follow("")
        if last is not None:
            last.join(_RELEASE_S)


class _Drive(threading.Thread):
    """One source, until it is left."""

    def __init__(self, spec: str, driving: Driving, before: _Drive | None) -> None:
        super().__init__(name="streamfx-driver", daemon=True)
        self._spec, self._driving, self._before = spec, driving, before
        self._leaving = threading.Event()
        self._driver: LiveDriver | None = None
        self._dropped_before = 0
        self._has_driven = False
        """Since it was opened last."""
        self._trouble = ""
        """Why it was lost; told until it is open again."""
        self._reported_ns, self._counted = 0, (0, 0)

    def leave(self) -> None:
        """Stop soon. Stopping a camera may take its time, so it is done beside."""
        self._leaving.set()
        driver = self._driver
        if driver is not None:
            threading.Thread(target=driver.interrupt, name="streamfx-closer", daemon=True).start()

    def calibrate(self) -> None:
        if self._driver is not None:
            self._driver.calibrate()

    @property
    def is_stuck(self) -> bool:
        driver = self._driver
        return driver is not None and driver.statistics.dropped - self._dropped_before > _STUCK

    def run(self) -> None:
        if self._before is not None:
            self._before.join(_RELEASE_S)
            self._before = None
        pause_s = _REOPEN_S
        while not self._leaving.is_set():
            self._has_driven = False
            try:
                self._drive_once()
                self._trouble = "It ended"
            except (SourceError, MotionUnreadable, ModelError) as error:
                self._trouble = str(error)
            self._tell("lost")
            pause_s = _REOPEN_S if self._has_driven else pause_s
            self._leaving.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_REOPEN_S)

    def _drive_once(self) -> None:
        """Open and follow until it ends."""
        self._tell("opening")
        with self._driving._patience:
            driving = self._driving
            driver = open_live(self._spec, driving._store, driving._timer, driving._hardware, driving._feeds)
        self._driver, self._dropped_before = driver, driver.statistics.dropped
        try:
            if self._leaving.is_set():
                return
            with closing(driver.motions()) as motions:
                for motion in motions:
                    if self._leaving.is_set():
                        break
                    self._driving.motions.put(motion)
                    self._has_driven = True
                    self._dropped_before = driver.statistics.dropped
                    self._tell_now_and_then(driver)
        finally:
            self._driver = None
            driver.close()

    def _tell(self, state: str) -> None:
        if not self._leaving.is_set():
            self._driving._report(SourceReport(state, name=self._spec, trouble=self._trouble))

    def _tell_now_and_then(self, driver: LiveDriver) -> None:
        now = monotonic_ns()
        if now - self._reported_ns < _REPORT_NS:
            return
        before, self._counted = self._counted, (driver.pictures, driver.tracked)
        span_s, self._reported_ns = (now - self._reported_ns) / 1e9, now
        pictures = max(0, driver.pictures - before[0])  # fewer: the source was opened anew
        tracked = max(0, driver.tracked - before[1]) / max(1, pictures)
        rate = pictures / span_s if span_s < _RECENT_S else 0.0
        counted = driver.statistics
        report = SourceReport(
            "open",
            driver.name,
            round(rate, 2),
            counted.dropped,
            round(min(tracked, 1.0), 3),
            turned=driver.turned,
            damaged=counted.damaged_packets,
            unread=counted.unread,
        )
        self._driving._report(report)
