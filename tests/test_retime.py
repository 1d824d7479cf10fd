"""A driver's own times become a film's even ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamfx.driving.film import retime
from streamfx.frames import Motion

MS = 1_000_000


def motion(at_ms: float, value: float = 0.0, **changes: object) -> Motion:
    """A tracked motion at a time, whose fields show `value`."""
    rest = Motion.rest(captured_ns=round(at_ms * MS))
    return replace(
        rest,
        gaze=np.full(2, value, np.float32),
        presence=1.0,
        held=False,
        **changes,  # type: ignore[arg-type]
    )


def times_ms(motions: list[Motion]) -> list[float]:
    return [one.captured_ns / MS for one in motions]


def values(motions: list[Motion]) -> list[float]:
    return [float(one.gaze[0]) for one in motions]


def test_no_motion_gives_none():
    assert list(retime([], 30)) == []


@pytest.mark.parametrize("fps", [5, 24, 25, 30, 60])
def test_one_motion_lasts_one_picture(fps: int):
    (only,) = retime([motion(700, 0.5)], fps)
    assert (only.captured_ns, only.seq, values([only])) == (700 * MS, 0, [0.5])


@pytest.mark.parametrize("start_ms", [0, 12_345])
@pytest.mark.parametrize("fps", [10, 24, 29.97, 30, 60])
def test_varying_times_become_even_ones(fps: float, start_ms: int):
    rng = np.random.default_rng(1)
    at = start_ms + np.concatenate([[0], np.cumsum(rng.uniform(5, 120, 80))])
    out = list(retime([motion(t, (t - start_ms) / 1000) for t in at], fps))

    even = start_ms + np.arange(len(out)) * 1000 / fps
    np.testing.assert_allclose(times_ms(out), even, atol=1e-3)
    assert [one.seq for one in out] == list(range(len(out)))
    inside = even <= at[-1]
    np.testing.assert_allclose(np.array(values(out))[inside], (even[inside] - start_ms) / 1000, atol=1e-5)
    np.testing.assert_allclose(np.array(values(out))[~inside], (at[-1] - start_ms) / 1000, rtol=1e-6)


@pytest.mark.parametrize("source_fps", [15, 24, 30, 60])
@pytest.mark.parametrize("fps", [15, 24, 25, 30, 60])
def test_a_film_has_as_many_pictures_as_its_duration_holds(source_fps: int, fps: int):
    seconds = 4
    driver = [motion(i * 1000 / source_fps) for i in range(seconds * source_fps)]
    assert len(list(retime(driver, fps))) == seconds * fps


def test_equal_rates_change_no_motion():
    driver = [motion(i * 40, float(i)) for i in range(25)]
    out = list(retime(driver, 25))
    assert values(out) == [float(i) for i in range(25)]
    assert times_ms(out) == times_ms(driver)


def test_a_gap_of_a_quarter_second_is_still_interpolated():
    out = list(retime([motion(0, 0.0), motion(250, 1.0)], 20))
    np.testing.assert_allclose(values(out)[:5], [0, 0.2, 0.4, 0.6, 0.8], atol=1e-6)


def test_over_a_longer_gap_the_motion_stands_and_then_jumps():
    out = list(retime([motion(0, 0.0), motion(300, 1.0), motion(350, 2.0)], 20))
    assert times_ms(out) == [50 * i for i in range(8)]
    assert values(out) == [0, 0, 0, 0, 0, 0, 1, 2]


def test_nothing_is_mixed_across_epochs():
    out = list(retime([motion(0, 0.0), motion(100, 1.0, epoch=1), motion(200, 2.0, epoch=1)], 20))
    assert values(out) == [0, 0, 1, 1.5, 2, 2]
    assert [one.epoch for one in out] == [0, 0, 1, 1, 1, 1]


def test_the_loss_of_the_face_is_kept():
    """A picture is held if the motion nearest to it is; between two, the coming one tells."""
    lost = [replace(motion(t), held=True) for t in (100, 150)]
    driver = [motion(0), motion(50), *lost, motion(200)]
    assert [one.held for one in retime(driver, 20)] == [one.held for one in driver]
    held_ms = [one.captured_ns / MS for one in retime(driver, 40) if one.held]
    assert held_ms == [75, 100, 125, 150]


def test_the_last_motion_lasts_as_long_as_the_one_before_but_no_longer_than_a_step():
    ordinary = list(retime([motion(0), motion(100)], 100))
    assert times_ms(ordinary)[-1] == 190
    after_a_gap = list(retime([motion(0), motion(2000)], 100))
    assert times_ms(after_a_gap)[-1] == 2240


def test_motions_are_taken_as_they_come():
    """A live driver does not end: nothing may wait for its last motion."""

    def endless():
        at = 0
        while True:
            yield motion(at, at / 1000)
            at += 33

    out = retime(endless(), 30)
    assert [round(one.captured_ns / MS) for one, _ in zip(out, range(5), strict=False)] == [
        0,
        33,
        67,
        100,
        133,
    ]
