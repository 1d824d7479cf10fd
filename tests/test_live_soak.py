"""A call that lasts: cadence, delay, memory and the canary over minutes. STREAMFX_SOAK_MINUTES sets how many.

`scripts/live-soak 10` runs it for ten and prints a line every ten seconds.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from live_stage import Watcher, paint_canary, until
from media import read_video, write_pictures
from scenes import face_clip, photo, store

from streamfx.session.portraits import Portraits
from streamfx.session.session import Session
from streamfx.session.sessions import Sessions
from streamfx.session.settings import Output, SessionSettings
from streamfx.session.status import State

MINUTES = float(os.environ.get("STREAMFX_SOAK_MINUTES", "0.2"))
EVERY_S = 10.0 if MINUTES > 1 else 2.0
WARM = 0.2
"""Share of the run that fills caches and pools."""
GROWTH_MB = 20.0

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(120 + 90 * MINUTES)]


@dataclass
class Reading:
    """The state of things at a moment."""

    seconds: float
    fps: float
    p50: float
    p95: float
    daemon_mb: float
    worker_mb: float
    published: int
    missed: int
    """Ticks without a new picture: repeated, or skipped."""

    def line(self) -> str:
        share = self.missed / max(1, self.published)
        return (
            f"{self.seconds:5.0f} s  {self.fps:5.2f} fps  delay {self.p50:5.1f} / {self.p95:5.1f} ms  "
            f"missed {self.missed} ({share:.2%})  "
            f"daemon {self.daemon_mb:.1f}, worker {self.worker_mb:.1f} MB\n"
        )


def test_a_call_that_lasts(tmp_path: Path, short_folder: Path):
    store()
    named = os.environ.get("STREAMFX_SOAK_CLIP")
    pictures = read_video(Path(named) if named else face_clip())
    there_and_back = [*pictures, *reversed(pictures)]  # played in rounds, it does not jump: cameras do not
    clip = write_pictures(tmp_path / "canary.mp4", (paint_canary(rgb) for rgb in there_and_back))
    del pictures, there_and_back
    portraits = Portraits(tmp_path / "portraits", (640, 480))
    portraits.add(photo(), id="astro")
    sessions = Sessions(portraits, runtime=short_folder)
    try:
        settings = SessionSettings(Output("none", (640, 480), 30.0), str(clip), ("astro",))
        session = sessions.create(settings)
        until(lambda: session.status().state is State.LIVE and not session.status().readying)
        time.sleep(2)
        with Watcher(short_folder / f"{session.id}.ring") as watcher:
            readings = _readings(session)
    finally:
        sessions.close()
    _judge(readings, watcher)


def _readings(session: Session) -> list[Reading]:
    start, readings = time.monotonic(), []
    first = session.status().counters
    while time.monotonic() - start < 60 * MINUTES:
        time.sleep(EVERY_S)
        status, seconds = session.status(), time.monotonic() - start
        assert status.latency_ms is not None
        counters = status.counters
        missed = counters.repeated + counters.skipped - first.repeated - first.skipped
        readings.append(
            Reading(
                seconds, status.fps, status.latency_ms.p50, status.latency_ms.p95, _resident_mb(os.getpid()),
                _resident_mb(status.worker_pid), counters.published - first.published, missed,
            )
        )  # fmt: skip
        sys.stdout.write(readings[-1].line())
        sys.stdout.flush()
        assert counters.restarts == 0
    return readings


def _judge(readings: list[Reading], watcher: Watcher) -> None:
    """What must hold on any machine; cadence and delay are printed, since these machines are noisy."""
    warm = [one for one in readings if one.seconds > WARM * readings[-1].seconds]
    for name in ("daemon_mb", "worker_mb"):
        grown = _grown(warm, name)
        sys.stdout.write(f"{name}: {grown:+.1f} MB after warm-up\n")
        if MINUTES >= 5:
            assert grown < GROWTH_MB
    sys.stdout.write(f"worst gap {watcher.seen.worst_gap_ms:.0f} ms, {watcher.seen.pictures} pictures read\n")
    assert watcher.seen.leaks == 0
    assert readings[-1].fps > 15
    assert readings[-1].published > 15 * readings[-1].seconds


def _grown(readings: list[Reading], name: str) -> float:
    """Median of the last fifth less that of the first."""
    values = [getattr(one, name) for one in readings]
    fifth = max(1, len(values) // 5)
    return float(np.median(values[-fifth:]) - np.median(values[:fifth]))


def _resident_mb(pid: int) -> float:
    pages = int((Path("/proc") / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
