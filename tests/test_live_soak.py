"""A call that lasts: cadence, order, delay, the canary, and what its processes hold.

STREAMFX_SOAK_MINUTES sets how long: `scripts/live-soak 10` runs it for ten, with a line every ten seconds.
`scripts/live-soak 10 leak` has a worker that keeps a picture of 1080p a minute, which must be found.
"""

from __future__ import annotations

import os
import random
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from live_stage import Seen, Watcher, paint_canary, until
from media import read_video, write_pictures
from scenes import face_clip, photo, store

from streamfx.api.values import State
from streamfx.frames import Rendered
from streamfx.quality import Quality
from streamfx.session import process
from streamfx.session.portraits import Portraits
from streamfx.session.session import Session
from streamfx.session.sessions import Sessions
from streamfx.settings.session import Output, SessionSettings

MINUTES = float(os.environ.get("STREAMFX_SOAK_MINUTES", "0.2"))
LEAK = bool(os.environ.get("STREAMFX_SOAK_LEAK"))
JUDGED_MINUTES = 5.0
"""That a run must last for its memory to be judged."""
EVERY_S = 10.0 if MINUTES > 1 else 2.0
WARM = 0.2
"""Share of the run that fills caches and pools."""
SIZE = (640, 480)
PICTURE_MB = 1920 * 1080 * 3 / 1e6
"""Of 1080p. A worker that is well is 3 MB more or less after minutes: smaller leaks take longer to tell."""
ROOT = Path(__file__).parents[1]


@dataclass
class Held:
    """What a process holds."""

    mb: float
    descriptors: int
    threads: int
    memories: int
    """Shared ones of ours that it has open."""

    @classmethod
    def of(cls, pid: int) -> Held:
        folder = Path("/proc") / str(pid)
        links = []
        for entry in (folder / "fd").iterdir():
            with suppress(FileNotFoundError):  # that of this very look
                links.append(str(entry.readlink()))
        pages = int((folder / "statm").read_text().split()[1])
        return cls(
            pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(links), len(list((folder / "task").iterdir())),
            sum(link.startswith("/memfd:streamfx") for link in links),
        )  # fmt: skip


@dataclass
class Reading:
    """The state of things at a moment."""

    seconds: float
    fps: float
    p50: float
    p95: float
    held: dict[str, Held]
    """By process."""
    published: int
    missed: int
    """Ticks without a new picture: repeated, or skipped."""

    def line(self) -> str:
        share = self.missed / max(1, self.published)
        memory = ", ".join(f"{name} {one.mb:.1f}" for name, one in self.held.items())
        return (
            f"{self.seconds:5.0f} s  {self.fps:5.2f} fps  delay {self.p50:5.1f} / {self.p95:5.1f} ms  "
            f"missed {self.missed} ({share:.2%})  {memory} MB\n"
        )


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(120 + 90 * MINUTES)
def test_a_call_that_lasts(tmp_path: Path, short_folder: Path, monkeypatch: pytest.MonkeyPatch):
    store()
    if LEAK:
        monkeypatch.setattr(process, "WORKER", (sys.executable, str(ROOT / "tests" / "keeping_worker.py")))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
    named = os.environ.get("STREAMFX_SOAK_CLIP")
    pictures = read_video(Path(named) if named else face_clip())
    there_and_back = [*pictures, *reversed(pictures)]  # played in rounds, it does not jump: cameras do not
    clip = write_pictures(tmp_path / "canary.mp4", (paint_canary(rgb) for rgb in there_and_back))
    del pictures, there_and_back
    portraits = Portraits(tmp_path / "portraits", SIZE)
    portraits.add(photo(), id="astro")
    sessions = Sessions(portraits, runtime=short_folder)
    try:
        settings = SessionSettings(Output("none", SIZE, 30.0), str(clip), ("astro",))
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
        assert status.counters.restarts == 0
        counters = status.counters
        missed = counters.repeated + counters.skipped - first.repeated - first.skipped
        pids = {"daemon": os.getpid(), "worker": status.worker_pid, "publisher": session._publishing.pid}
        readings.append(
            Reading(
                seconds, status.fps, status.latency_ms.p50, status.latency_ms.p95,
                {name: Held.of(pid) for name, pid in pids.items()},
                counters.published - first.published, missed,
            )
        )  # fmt: skip
        sys.stdout.write(readings[-1].line())
        sys.stdout.flush()
    return readings


def _judge(readings: list[Reading], watcher: Watcher) -> None:
    """What must hold on any machine; cadence and delay are printed, since these machines are noisy."""
    seen = watcher.seen
    sys.stdout.write(f"worst gap {seen.worst_gap_ms:.0f} ms, {seen.pictures} pictures read\n")
    assert (seen.leaks, seen.disordered) == (0, 0)
    assert readings[-1].fps > 15
    assert readings[-1].published > 15 * readings[-1].seconds
    for name in readings[-1].held:
        sys.stdout.write(f"{name}: {growth(readings, name):+.2f} MB a minute\n")
    found = leaks(readings, memory=MINUTES >= JUDGED_MINUTES)
    if LEAK and MINUTES >= JUDGED_MINUTES:
        assert found, "the worker kept a picture a minute, and nobody noticed"
        assert all(one.startswith("worker") for one in found), found
    else:
        assert found == []


def leaks(readings: list[Reading], *, memory: bool = True) -> list[str]:
    """What the processes hold more and more of; of memory, half a picture a minute is too much."""
    warm = [one for one in readings if one.seconds > WARM * readings[-1].seconds]
    fifth = max(1, len(warm) // 5)
    found = []
    for name in warm[-1].held:
        if memory and growth(readings, name) > PICTURE_MB / 2:
            found.append(f"{name}: {growth(readings, name):+.2f} MB a minute")
        for what in ("descriptors", "threads", "memories"):
            numbers = [getattr(one.held[name], what) for one in warm]
            if min(numbers[-fifth:]) > max(numbers[:fifth]):
                found.append(f"{name}: {what} {numbers[0]} -> {numbers[-1]}")
    return found


def growth(readings: list[Reading], name: str) -> float:
    """MB a minute by which a process grows in the run's second half: the median over all pairs of readings.

    The half for which caches and pools still fill is left out, and single steps weigh nothing.
    """
    late = readings[len(readings) // 2 :]
    return float(
        np.median(
            [
                60 * (later.held[name].mb - one.held[name].mb) / (later.seconds - one.seconds)
                for number, one in enumerate(late)
                for later in late[number + 1 :]
            ]
            or [0.0]
        )
    )


def _made_up(leaking: str = "", mb: float = 0.0, descriptors: int = 0) -> list[Reading]:
    """Ten minutes of processes whose pools fill and whose memory goes up and down by 2 MB."""
    chance, names = random.Random(3), ("daemon", "worker", "publisher")
    return [
        Reading(
            10.0 * n, 30.0, 40.0, 50.0,
            {
                name: Held(
                    320 - 20 * 0.9**n + chance.uniform(0, 2) + mb * (n // 6) * (name == leaking),
                    40 + descriptors * (n // 20) * (name == leaking), 12, 3,
                )
                for name in names
            },
            300 * n, 0,
        )
        for n in range(1, 61)
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["daemon", "worker", "publisher"])
def test_a_picture_kept_each_minute_is_found_and_nothing_else_is(name: str):
    assert leaks(_made_up()) == []
    found = leaks(_made_up(name, mb=PICTURE_MB))
    assert [one.split(":")[0] for one in found] == [name]
    assert leaks(_made_up(name, descriptors=1)) == [f"{name}: descriptors 40 -> 43"]


def test_a_picture_that_goes_back_in_time_is_noticed():
    seen, black = Seen(), np.zeros((8, 8, 3), np.uint8)
    times = ((10, 20, Quality.FULL), (40, 45, Quality.IDLE), (11, 21, Quality.FULL), (11, 21, Quality.HELD))
    for captured, rendered, quality in times:
        seen.note(Rendered(black, captured, rendered, 0, quality), 1)
    assert seen.disordered == 0
    seen.note(Rendered(black, 10, 22, 0, Quality.FULL), 1)
    assert seen.disordered == 1
