"""What clocks may do: drift for hours, stand, leap by ten minutes. The real parts, on a clock of the tests.

Nothing here sleeps. STREAMFX_CLOCK_HOURS says how long a drifting camera is simulated: a tenth by default.
"""

from __future__ import annotations

import os
import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from feeder import Feed
from scenes import MOTION

from streamfx.driving import live as driver_module
from streamfx.driving.live import TemplateLoop
from streamfx.frames import Frame, Rendered
from streamfx.ipc.ring import RingForm, create_ring
from streamfx.quality import Quality
from streamfx.realtime import Pacer
from streamfx.session.process import ChildProcess
from streamfx.sink import idle as idle_module
from streamfx.sink import publisher as publisher_module
from streamfx.sink.publisher import Publisher
from streamfx.sink.ring import RingReader, RingWriter, SharedRing
from streamfx.source import feed as feed_module
from streamfx.source import looped as looped_module
from streamfx.source.base import Source, SourceInfo, SourceStatistics
from streamfx.source.feed import FeedSource
from streamfx.source.looped import PacedSource
from streamfx.worker.protocol import Stop

HOURS = float(os.environ.get("STREAMFX_CLOCK_HOURS", "0.1"))
SECOND = 1_000_000_000
TEN_MINUTES = 600 * SECOND
PERIOD = SECOND / 30
RENDERED_NS = 25_000_000
"""From capture to the finished picture, here."""
FORM = RingForm(16, 12, 30.0)
ROOT = Path(__file__).parents[1]


class Clock:
    """Stands until somebody sleeps, or a test moves it."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * SECOND
        self._chance = random.Random(1)

    def ns(self) -> int:
        return self.now_ns

    def seconds(self) -> float:
        return self.now_ns / SECOND

    def sleep(self, seconds: float) -> bool:
        """As the system does: a little longer than was asked for."""
        self.now_ns += max(1, round(seconds * SECOND)) + round(self._chance.expovariate(1 / 200_000))
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In place of the monotonic clock, wherever a part under test reads it."""
    made = Clock()
    for module in (publisher_module, idle_module, looped_module, driver_module, feed_module):
        monkeypatch.setattr(module, "monotonic_ns", made.ns)
    monkeypatch.setattr(feed_module, "monotonic", made.seconds)
    return made


# What publishes.


@dataclass
class Camera:
    """A webcam whose clock is wrong by some parts in a million, and a worker behind it."""

    clock: Clock
    ppm: float
    begun_ns: int = field(init=False)
    stopped_ns: int = 0
    taken: int = -1
    is_away: bool = False
    """Unplugged, or its worker has died: what it would have shown meanwhile never comes."""

    def __post_init__(self) -> None:
        self.begun_ns = self.clock.now_ns
        self._rgb = np.full((FORM.height, FORM.width, 3), 200, np.uint8)
        self._period_ns = PERIOD * (1 + self.ppm / 1e6)

    def stop(self, ns: int) -> None:
        """It and all programs stand still for so long."""
        self.clock.now_ns += ns
        self.stopped_ns += ns

    def newest(self) -> Rendered | None:
        """The newest finished picture, if it was not taken yet."""
        ran_ns = self.clock.now_ns - self.begun_ns - self.stopped_ns
        number = int((ran_ns - RENDERED_NS) // self._period_ns)
        if number <= self.taken or self.is_away:
            return None
        self.taken = number
        captured_ns = self.begun_ns + self.stopped_ns + round(number * self._period_ns)
        return Rendered(self._rgb, captured_ns, captured_ns + RENDERED_NS, number, Quality.FULL)


@dataclass
class Uneven(Camera):
    """The worker behind it takes 10 ms more for one picture in every five seconds."""

    overtaken: int = 0

    def newest(self) -> Rendered | None:
        ran_ns = self.clock.now_ns - self.begun_ns
        number = int((ran_ns - RENDERED_NS) // PERIOD)
        took_ns = RENDERED_NS + (SECOND // 100 if number % 150 == 0 else 0)
        if ran_ns < number * PERIOD + took_ns:
            number, took_ns = number - 1, RENDERED_NS
        if number <= self.taken:
            return None
        self.overtaken, self.taken = number - self.taken - 1, number
        captured_ns = self.begun_ns + round(number * PERIOD)
        return Rendered(self._rgb, captured_ns, captured_ns + took_ns, number, Quality.FULL)


class Stage:
    """A publisher without its thread: the test is the thread."""

    def __init__(self, clock: Clock, ppm: float) -> None:
        self.clock, self.camera = clock, Camera(clock, ppm)
        self.ring = RingWriter(FORM, create_ring(FORM))
        self.previews = RingWriter(FORM, create_ring(FORM))
        self.publisher = Publisher(self.ring, self.previews, 30.0)
        self.publisher._pacer = Pacer(30.0, clock.ns, clock.sleep)
        self.publisher.feed = self.camera.newest
        self.written_ns: list[int] = []
        self.ages_ns: list[int] = []
        """Of what is shown, at each tick at which it is live."""
        self.qualities: list[Quality] = []
        self._reader = RingReader(self.ring.descriptor)

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.publisher._publish(self.publisher._pacer.wait())
            self.written_ns.append(self.clock.now_ns)
            shown = self._reader.newest()
            assert shown is not None
            self.qualities.append(shown.quality)
            if shown.quality is Quality.FULL:
                self.ages_ns.append(self.clock.now_ns - shown.captured_ns)

    def close(self) -> None:
        for one in (self._reader, self.ring, self.previews):
            one.close()


@pytest.fixture
def stage(clock: Clock) -> Iterator[Callable[[float], Stage]]:
    made: list[Stage] = []

    def make(ppm: float) -> Stage:
        made.append(Stage(clock, ppm))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("ppm", [500.0, -500.0])
@pytest.mark.timeout(180 + 60 * HOURS)
def test_a_camera_that_drifts_changes_neither_cadence_nor_delay(stage: Callable[[float], Stage], ppm: float):
    ticks = round(HOURS * 3600 * 30)
    exact, drifting = stage(0.0), stage(ppm)
    exact.run(1800)
    drifting.camera.begun_ns = exact.clock.now_ns
    drifting.run(ticks)
    steps = np.diff(drifting.written_ns)
    assert steps.min() >= 0.9 * PERIOD
    assert steps.max() <= 1.15 * PERIOD
    rate = (ticks - 1) / (drifting.written_ns[-1] - drifting.written_ns[0]) * SECOND
    assert rate == pytest.approx(30, rel=1e-3)
    assert max(drifting.ages_ns[60:]) <= max(exact.ages_ns[60:]) + PERIOD
    account = drifting.publisher.account()
    assert (account.skipped, account.refused) == (0, 0)
    assert account.repeated <= 0.03 * ticks  # a slow one has 0.05 % too few; ticks find it anew each time


def test_ticks_stay_behind_the_latest_pictures_of_an_uneven_worker(stage: Callable[[float], Stage]):
    made = stage(0.0)
    camera = Uneven(made.clock, 0.0)
    made.publisher.feed, made.publisher.overtaken = camera.newest, lambda: camera.overtaken
    made.run(60 * 30)  # to find them
    before = made.publisher.account().repeated
    made.run(120 * 30)
    assert made.publisher.account().repeated - before <= 2, "of 24 that were late"
    assert np.percentile(made.ages_ns, 95) < RENDERED_NS + SECOND // 100 + PERIOD / 2


def test_after_ten_minutes_in_which_all_stood_still_nothing_is_made_up_for(stage: Callable[[float], Stage]):
    made = stage(0.0)
    made.run(300)
    before = max(made.ages_ns[60:])
    made.camera.stop(TEN_MINUTES)
    made.run(300)
    steps = np.diff(made.written_ns)
    assert steps[299] == pytest.approx(TEN_MINUTES, abs=2 * PERIOD)
    others = np.delete(steps, 299)
    assert others.min() >= 0.9 * PERIOD
    assert others.max() <= 1.15 * PERIOD
    assert made.publisher.account().skipped == pytest.approx(TEN_MINUTES / PERIOD, abs=2)
    assert max(made.ages_ns[-200:]) <= before + PERIOD
    assert set(made.qualities[-200:]) == {Quality.FULL}
    assert made.publisher.account().refused == 0


def test_no_outage_adds_to_the_delay(stage: Callable[[float], Stage]):
    """Twenty of ten seconds: in each the portrait rests, a second after it pictures are as new as before."""
    made = stage(0.0)
    made.run(300)
    before = max(made.ages_ns[60:])
    for _ in range(20):
        made.camera.is_away = True
        made.run(300)
        assert made.qualities[-1] is Quality.IDLE
        made.camera.is_away, away = False, len(made.ages_ns)
        made.run(60)
        assert made.qualities[-30:] == [Quality.FULL] * 30
        assert len(made.ages_ns) - away >= 45
        assert max(made.ages_ns[-30:]) <= before + PERIOD
    steps = np.diff(made.written_ns)
    assert 0.9 * PERIOD <= steps.min() <= steps.max() <= 1.15 * PERIOD


# Who watches over a process.


def test_no_healthy_process_is_replaced_because_of_a_leap(clock: Clock):
    with closing(SharedRing(FORM)) as ring:
        writer = RingWriter(FORM, os.dup(ring.descriptor))
        child = ChildProcess(("sleep", "60"), lambda _: Stop(), (ring,), lambda _: None)
        try:
            child._patience_ns = SECOND
            now = child._looked_ns
            for leap in (0, TEN_MINUTES, 0, 3600 * SECOND):
                now += leap
                assert child.trouble(now) == "", leap
                for _ in range(30):
                    now += SECOND // 10
                    writer.beat()
                    assert child.trouble(now) == ""
            for _ in range(7):  # it shows nothing for 0.7 s, and a leap is among them
                now += SECOND // 10
                assert child.trouble(now) == ""
            assert child.trouble(now + TEN_MINUTES) == ""
            assert "no progress" in child.trouble(now + TEN_MINUTES + SECOND // 10)
        finally:
            writer.close()
            child.end(gently=False)


# What drives.


class Film(Source):
    """Pictures by the file's own time."""

    info = SourceInfo("film", 4, 4, 30.0, None, None, "none", 0, False, False)
    statistics = SourceStatistics(0)

    def __init__(self) -> None:
        self._number = -1

    def __next__(self) -> Frame:
        self._number += 1
        return Frame(np.zeros((4, 4, 3), np.uint8), round(self._number * PERIOD), self._number)

    def close(self) -> None:
        """Nothing is open."""


def judged(times: list[tuple[int, int]], leap_at: int) -> None:
    """Of what drives: (due, given) ns. Evenly, never in a burst, never old, times rising."""
    due, given = (np.array(column, dtype=np.int64) for column in zip(*times, strict=True))
    assert np.all(np.diff(due) > 0)
    steps = np.delete(np.diff(given), leap_at)
    assert steps.min() >= 0.8 * PERIOD
    assert (given - due).max() < 0.1 * SECOND


def test_a_video_that_drives_goes_on_where_it_was(clock: Clock):
    source = PacedSource(Film())
    source._ending.wait = clock.sleep  # type: ignore[method-assign]
    times = []
    for number in range(600):
        if number == 300:
            clock.now_ns += TEN_MINUTES
        frame = next(source)
        times.append((frame.captured_ns, clock.now_ns))
    judged(times, 299)
    assert source.statistics.dropped <= 1


def test_a_template_that_drives_goes_on_where_it_was(clock: Clock):
    driver = TemplateLoop(MOTION)
    driver._ending.wait = clock.sleep  # type: ignore[method-assign]
    motions, times = driver.motions(), []
    for number in range(600):
        if number == 300:
            clock.now_ns += TEN_MINUTES
        motion = next(motions)
        assert motion.seq == number
        times.append((motion.captured_ns, clock.now_ns))
    judged(times, 299)


def test_a_feed_is_not_lost_because_both_sides_stood_still(
    clock: Clock, short_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    with Feed(short_folder / "obs.feed", (FORM.width, FORM.height)) as feed:
        looks, grey = iter(range(10**6)), np.full((FORM.height, FORM.width, 3), 100, np.uint8)

        def wait(seconds: float) -> bool:
            """Both have slept; the feed's program writes a picture every 33 ms of its own time."""
            clock.sleep(seconds)
            look = next(looks)
            clock.now_ns += TEN_MINUTES if look == 500 else 0
            if look % 17 == 0:
                feed.show(grey, clock.now_ns)
            return False

        class Waits(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                return wait(timeout or 0.0)

        with monkeypatch.context() as patched:
            patched.setattr(threading, "Event", Waits)
            source = FeedSource("obs", short_folder)
        with source:
            times = [next(source).captured_ns for _ in range(90)]
        assert next(looks) > 500
        assert np.all(np.diff(times) > 0)


# Nobody asks for the time of day.


def test_the_plugin_measures_no_time_by_the_time_of_day():
    """The Python side's ban is test_house.py's."""
    wrong = re.compile(r"\b(time|gettimeofday|clock)\s*\(|CLOCK_REALTIME|g_get_real_time")
    sources = [*(ROOT / "plugins" / "obs" / "src").rglob("*.[ch]")]
    assert sources
    found = [f"{path.name}: {hit[0]}" for path in sources for hit in wrong.finditer(path.read_text("utf-8"))]
    assert found == []
