"""Stage times: medians and percentiles over the latest frames, from several threads."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from streamfx.telemetry import StageTime, StageTimer, summary

MS = 1_000_000
KEPT = 4096


def timed(**stages: list[int]) -> StageTimer:
    """A timer that was given these milliseconds."""
    timer = StageTimer()
    for stage, milliseconds in stages.items():
        for value in milliseconds:
            timer.add(stage, value * MS)
    return timer


def test_median_and_percentile_of_each_stage_in_order_of_first_run():
    timer = timed(warp=list(range(1, 102)), deform=[7])
    timer.add("warp", 51 * MS)
    assert timer.times() == [
        StageTime("warp", 51.0, pytest.approx(96.0, abs=0.1), pytest.approx(100.0, abs=0.1), 102),
        StageTime("deform", 7.0, 7.0, 7.0, 1),
    ]


def test_nothing_timed_gives_no_rows():
    assert StageTimer().times() == []


def test_a_block_is_timed_also_when_it_fails():
    timer = StageTimer()
    with timer.measure("sleep"):
        time.sleep(0.02)
    with pytest.raises(KeyError), timer.measure("fail"):
        raise KeyError("x")
    sleep, fail = timer.times()
    assert sleep.median_ms >= 20
    assert (fail.stage, fail.count) == ("fail", 1)
    assert fail.median_ms >= 0


def test_only_the_latest_frames_count_but_all_are_counted():
    timer = timed(warp=[1000] * 10 + [1] * KEPT)
    (row,) = timer.times()
    assert (row.median_ms, row.p95_ms, row.count) == (1.0, 1.0, KEPT + 10)
    for _ in range(KEPT):
        timer.add("warp", 2 * MS)
    (row,) = timer.times()
    assert (row.median_ms, row.count) == (2.0, 2 * KEPT + 10)


def test_sums_hold_frame_by_frame():
    """Not the sum of medians: a frame is slow as a whole."""
    timer = timed(a=[1, 2, 9], b=[9, 2, 1], c=[100, 100, 100])
    both = timer.together("both", ["a", "b"])
    assert (both.stage, both.median_ms, both.count) == ("both", 10.0, 3)


def test_sums_leave_out_a_frame_that_is_not_through_all_stages():
    timer = timed(a=[1, 2, 500], b=[10, 20])
    assert timer.together("both", ["a", "b"]) == summary("both", np.array([11.0, 22.0]))


def test_clear_forgets_a_warm_up():
    timer = timed(a=[1000], b=[1000])
    timer.clear()
    assert timer.times() == []
    timer.add("b", 3 * MS)
    assert timer.times() == [StageTime("b", 3.0, 3.0, 3.0, 1)]


def test_stages_of_several_threads_are_read_while_they_run():
    timer, stages = StageTimer(), [f"stage {i}" for i in range(40)]

    def work(mine: list[str]) -> None:
        for stage in mine:
            for _ in range(50):
                timer.add(stage, MS)

    threads = [threading.Thread(target=work, args=(stages[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert all(row.median_ms == 1.0 for row in timer.times())
    assert {row.stage: row.count for row in timer.times()} == dict.fromkeys(stages, 50)
