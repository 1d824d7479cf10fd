"""Values between threads: the newest wins; and an iterator that runs ahead in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import count, islice

import pytest

from streamfx.realtime import Closed, Latest, LatestStatistics, RateLimit, Stalled, ahead

SOON_S = 10.0


def eventually(condition) -> bool:
    """Whether a condition comes true before long."""
    until = time.monotonic() + SOON_S
    while not condition() and time.monotonic() < until:
        time.sleep(0.002)
    return condition()


def runners() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "streamfx-ahead"]


class Drawn:
    """A generator that tells what was drawn from it, and which threads ran and closed it."""

    def __init__(self, length: int | None = None) -> None:
        self.length, self.count = length, 0
        self.threads: set[threading.Thread] = set()
        self.closed_by: threading.Thread | None = None

    def values(self) -> Iterator[int]:
        try:
            for value in count() if self.length is None else range(self.length):
                self.count += 1
                self.threads.add(threading.current_thread())
                yield value
        finally:
            self.closed_by = threading.current_thread()


# -- RateLimit -----------------------------------------------------------------------------------------------


def let_through(times_s: Iterable[float], fps: float) -> int:
    limit, passed = RateLimit(fps), 0
    for now_ns in (round(time_s * 1e9) for time_s in times_s):
        if limit.allows(now_ns):
            limit.count(now_ns)
            passed += 1
    return passed


def test_one_that_comes_late_costs_none_of_those_that_come_in_time():
    uneven = [100 + number / 30 + (0.025 if number % 3 == 0 else 0.0) for number in range(300)]
    assert let_through(uneven, 30) == 300


@pytest.mark.parametrize("fps", [50, 60, 120])
def test_what_comes_faster_is_thinned_to_the_rate(fps: int):
    assert let_through((100 + number / fps for number in range(10 * fps)), 30) <= 300 / 0.97 + 2


def test_a_rest_is_not_made_up_for():
    burst = [100.0, *(200 + number / 120 for number in range(120))]
    assert let_through(burst, 30) <= 1 + 30 / 0.97 + 2


# -- Latest --------------------------------------------------------------------------------------------------


def test_the_newest_value_wins_and_what_it_overtook_is_counted():
    channel: Latest[int] = Latest()
    for value in range(5):
        channel.put(value)
    assert channel.take(0) == 4
    assert channel.statistics() == LatestStatistics(put=5, dropped=4)
    channel.put(5)
    assert channel.take(0) == 5
    assert channel.statistics() == LatestStatistics(put=6, dropped=4)


def test_none_is_a_value():
    channel: Latest[None] = Latest()
    channel.put(None)
    assert channel.take(0) is None
    with pytest.raises(Stalled):
        channel.take(0)


def test_a_reader_waits_for_the_writer():
    channel: Latest[int] = Latest()
    taken: list[int] = []
    reader = threading.Thread(target=lambda: taken.append(channel.take(SOON_S)))
    reader.start()
    channel.put(7)
    reader.join(SOON_S)
    assert taken == [7]


def test_nothing_in_time_is_told_from_nothing_ever():
    channel: Latest[int] = Latest()
    with pytest.raises(Stalled):
        channel.take(0.01)
    channel.close()
    with pytest.raises(Closed):
        channel.take(SOON_S)


def test_the_last_value_is_still_taken_after_close():
    channel: Latest[int] = Latest()
    channel.put(1)
    channel.close()
    channel.put(2)
    assert channel.take(0) == 1
    with pytest.raises(Closed):
        channel.take(0)
    assert channel.statistics() == LatestStatistics(put=1, dropped=0)


def test_the_writers_failure_reaches_the_reader_and_the_first_counts():
    channel: Latest[int] = Latest()
    failure = OSError("unplugged")
    channel.close(failure)
    channel.close(ValueError("later"))
    for _ in range(2):
        with pytest.raises(OSError, match="unplugged") as caught:
            channel.take(0)
        assert caught.value is failure


def test_close_wakes_a_waiting_reader():
    channel: Latest[int] = Latest()
    ended: list[type[BaseException]] = []

    def read() -> None:
        try:
            channel.take(SOON_S)
        except (Closed, Stalled) as end:
            ended.append(type(end))

    reader = threading.Thread(target=read)
    reader.start()
    channel.close()
    reader.join(SOON_S)
    assert ended == [Closed]


# -- ahead ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_values_come_in_order_and_all(depth: int):
    assert list(ahead(iter(range(50)), depth)) == list(range(50))
    assert runners() == []


def test_an_empty_iterator_ends_at_once():
    assert list(ahead(iter(()), 4)) == []
    assert runners() == []


def test_values_that_are_none_or_exceptions_are_values():
    values = [None, ValueError("a value"), None]
    assert list(ahead(iter(values), 2)) == values


def test_the_iterator_runs_in_one_thread_of_its_own():
    drawn = Drawn(20)
    assert list(ahead(drawn.values(), 2)) == list(range(20))
    assert len(drawn.threads) == 1
    assert threading.current_thread() not in drawn.threads


def test_nothing_runs_before_the_first_value_is_asked_for():
    drawn = Drawn()
    values = ahead(drawn.values(), 4)
    assert runners() == []
    values.close()
    assert drawn.count == 0


def test_it_runs_ahead_by_the_depth_and_no_further():
    drawn, depth, taken = Drawn(), 3, 2
    with closing(ahead(drawn.values(), depth)) as values:
        assert list(islice(values, taken)) == [0, 1]
        most = taken + depth + 1  # one more is in the thread's hands
        assert eventually(lambda: drawn.count == most)
        time.sleep(0.25)  # longer than the thread waits before it looks around
        assert drawn.count == most
        assert next(values) == 2
        assert eventually(lambda: drawn.count == most + 1)


@pytest.mark.parametrize("failure", [OSError("unplugged"), KeyboardInterrupt("stop")])
def test_a_failure_is_raised_in_its_turn(failure: BaseException):
    def failing() -> Iterator[int]:
        yield 0
        yield 1
        raise failure

    values = ahead(failing(), 8)
    assert [next(values), next(values)] == [0, 1]
    with pytest.raises(type(failure)) as caught:
        next(values)
    assert caught.value is failure
    assert runners() == []
    assert next(values, "over") == "over"


def test_an_early_close_stops_the_thread_and_closes_the_iterator_in_it():
    drawn = Drawn()
    values = ahead(drawn.values(), 2)
    assert next(values) == 0
    (runner,) = runners()
    values.close()
    assert not runner.is_alive()
    assert drawn.closed_by is runner
    assert drawn.threads == {runner}


def test_a_failing_consumer_stops_the_thread_too():
    drawn = Drawn()

    def consume() -> None:
        with closing(ahead(drawn.values(), 2)) as values:
            for value in values:
                if value == 3:
                    raise ValueError("the consumer fails")

    with pytest.raises(ValueError, match="the consumer fails"):
        consume()
    assert runners() == []
    assert drawn.closed_by in drawn.threads


def test_a_close_waits_for_the_value_in_the_making():
    """A source that is being read must not be closed under its reader."""
    reading, let_go = threading.Event(), threading.Event()
    ended: list[str] = []

    def slow() -> Iterator[int]:
        try:
            yield 0
            reading.set()
            let_go.wait(SOON_S)
            ended.append("read")
            yield 1
        finally:
            ended.append("closed")

    values = ahead(slow(), 2)
    assert next(values) == 0
    assert reading.wait(SOON_S)
    threading.Timer(0.05, let_go.set).start()
    values.close()
    assert ended == ["read", "closed"]


def test_iterators_that_cannot_be_closed_are_left_alone():
    values = ahead(count(), 2)
    assert list(islice(values, 3)) == [0, 1, 2]
    values.close()
    assert runners() == []
