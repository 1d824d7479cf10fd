"""From landmarks to Motion: pose-free, closed where closed, and never a jump."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from streamfx.frames import FaceTrack, Motion
from streamfx.geometry import Pose, rotation_matrix
from streamfx.models.face_model import load_face_model
from streamfx.models.store import Store
from streamfx.topology import EYE_CORNERS, IRIS, LID_LOWER, LID_UPPER, LIP_LOWER, LIP_UPPER, MOUTH_CORNERS
from streamfx.track.motion import MotionEstimator, OneEuro

STEP_NS = 33_333_333
FRONTAL = Pose(12.0, np.eye(3), np.array([320.0, 240.0, 0.0]))
SIDE = Pose(9.0, rotation_matrix(np.array([0.1, 0.25, -0.15])), np.array([250.0, 300.0, 4.0]))


@pytest.fixture(scope="module")
def vertices() -> np.ndarray:
    return load_face_model(Store.default().ensure("face_landmarker")).vertices


@pytest.fixture(scope="module")
def rest(vertices: np.ndarray) -> np.ndarray:
    """f64 [478,3]: the canonical face with irises amid its open eyes, and its lips just touching."""
    face = np.vstack([vertices, np.zeros((10, 3))]).astype(float)
    for corners, iris in zip(EYE_CORNERS, IRIS, strict=True):
        face[list(iris)] = face[list(corners)].mean(0)
    with_lips_at(face, 0.0)
    return face


def with_lips_at(face: np.ndarray, gap: float) -> None:
    """Sets the gap of all lip pairs, in place."""
    middle = (face[list(LIP_UPPER), 1] + face[list(LIP_LOWER), 1]) / 2
    face[list(LIP_UPPER), 1], face[list(LIP_LOWER), 1] = middle - gap / 2, middle + gap / 2


def with_lids(face: np.ndarray, side: int, share: float) -> None:
    """Scales the lid gaps of one eye, in place."""
    upper, lower = list(LID_UPPER[side]), list(LID_LOWER[side])
    face[upper, 1] = face[lower, 1] + (face[upper, 1] - face[lower, 1]) * share


def smile(rest: np.ndarray) -> np.ndarray:
    face = rest.copy()
    right, left = MOUTH_CORNERS
    face[right] += (-0.6, -0.5, 0.2)
    face[left] += (0.6, -0.5, 0.2)
    return face


def track(face: np.ndarray, pose: Pose, ns: int, *, epoch: int = 0, person: int = 0) -> FaceTrack:
    shapes = np.zeros(52, np.float32)
    return FaceTrack(pose.to_image(face).astype(np.float32), shapes, 1.0, ns, epoch, person)


class Driver:
    """Plays faces to an estimator at 30 pictures a second."""

    def __init__(self, estimator: MotionEstimator) -> None:
        self.estimator = estimator
        self.ns, self.seq = 1_000_000_000, 0

    def play(
        self, face: np.ndarray | None, count: int = 1, pose: Pose = FRONTAL, **kwargs: int
    ) -> list[Motion]:
        shown = []
        for _ in range(count):
            found = None if face is None else track(face, pose, self.ns, **kwargs)
            shown.append(self.estimator.update(found, self.ns, self.seq, kwargs.get("epoch", 0)))
            self.ns += STEP_NS
            self.seq += 1
        return shown


@pytest.fixture
def driver(vertices: np.ndarray) -> Driver:
    return Driver(MotionEstimator(vertices))


def largest_step(motions: list[Motion]) -> float:
    """cm: the largest move of any vertex between neighbours."""
    return max(float(np.abs(b.expression - a.expression).max()) for a, b in pairwise(motions))


def test_rest_is_no_motion_at_all(driver: Driver, rest: np.ndarray):
    last = driver.play(rest, 20)[-1]
    assert np.abs(last.expression).max() < 1e-5
    assert np.abs(last.rotation).max() < 1e-6
    assert last.scale == pytest.approx(1, abs=1e-6)
    assert not last.lip_gaps.any()
    assert np.abs(last.lid_closure).max() < 1e-5
    assert (last.presence, last.held, last.seq) == (1.0, False, 19)


def test_the_fields_have_the_shapes_and_types_promised(driver: Driver, rest: np.ndarray):
    motion, still = driver.play(rest)[0], Motion.rest()
    for name in ("expression", "rotation", "translation", "gaze", "lip_gaps", "lid_closure"):
        made, meant = getattr(motion, name), getattr(still, name)
        assert (made.shape, made.dtype) == (meant.shape, meant.dtype)


def test_head_motion_leaves_no_expression(driver: Driver, rest: np.ndarray):
    driver.play(rest, 20)
    turned = driver.play(rest, 25, pose=SIDE)[-1]
    assert np.abs(turned.expression).max() < 1e-4
    assert turned.rotation == pytest.approx([0.1, 0.25, -0.15], abs=1e-3)
    assert turned.scale == pytest.approx(9 / 12, abs=1e-3)
    assert turned.translation[:2] == pytest.approx([(250 - 320) / 12, (300 - 240) / 12], abs=0.02)


def test_an_expression_is_the_same_in_every_pose(vertices: np.ndarray, rest: np.ndarray):
    seen = []
    for pose in (FRONTAL, SIDE):
        driver = Driver(MotionEstimator(vertices))
        driver.estimator.prime([track(rest, FRONTAL, 0)])
        driver.play(rest, 2, pose=pose)
        seen.append(driver.play(smile(rest), 60, pose=pose)[-1].expression)
    assert np.abs(seen[0] - seen[1]).max() < 1e-4
    assert np.abs(seen[0]).max() > 0.5


def test_lips_are_closed_below_the_tolerance_and_open_above(driver: Driver, rest: np.ndarray):
    driver.play(rest, 20)
    for gap, expected in ((0.03, 0.0), (-0.1, 0.0), (1.0, 0.96)):
        face = rest.copy()
        with_lips_at(face, gap)
        assert driver.play(face, 90)[-1].lip_gaps == pytest.approx(np.full(9, expected), abs=0.02)


def test_lips_that_rest_with_a_measured_gap_count_as_closed(driver: Driver, rest: np.ndarray):
    biased = rest.copy()
    with_lips_at(biased, 0.1)
    assert not driver.play(biased, 20)[-1].lip_gaps.any()


def test_a_mouth_that_rests_open_stays_open(driver: Driver, rest: np.ndarray):
    parted = rest.copy()
    with_lips_at(parted, 0.4)
    assert driver.play(parted, 20)[-1].lip_gaps == pytest.approx(np.full(9, 0.32), abs=1e-3)


def test_lids_close_fully_together_and_one_by_one(driver: Driver, rest: np.ndarray):
    driver.play(rest, 20)
    blink, wink = rest.copy(), rest.copy()
    for side in (0, 1):
        with_lids(blink, side, 0.0)
    with_lids(wink, 0, 0.0)
    assert driver.play(blink, 30)[-1].lid_closure == pytest.approx([1, 1], abs=0.02)
    driver.play(rest, 30)
    assert driver.play(wink, 30)[-1].lid_closure == pytest.approx([1, 0], abs=0.03)


def test_lids_that_nearly_agree_move_together(driver: Driver, rest: np.ndarray):
    driver.play(rest, 20)
    face = rest.copy()
    with_lids(face, 0, 0.9)
    right, left = driver.play(face, 30)[-1].lid_closure
    assert right == left > 0.02


def test_gaze_follows_the_irises_in_picture_axes(driver: Driver, rest: np.ndarray):
    driver.play(rest, 20)
    face = rest.copy()
    for iris in IRIS:
        face[list(iris)] += (0.3, 0.1, 0)
    x, y = driver.play(face, 30)[-1].gaze
    assert 0.05 < x <= 0.2
    assert 0 < y < x
    face[[i for iris in IRIS for i in iris]] += (5, 5, 0)
    assert driver.play(face, 30)[-1].gaze == pytest.approx([0.2, 0.08])


def test_a_lost_face_is_held_then_eased_to_rest(driver: Driver, rest: np.ndarray):
    driver.play(rest, 20)
    held = driver.play(smile(rest), 30)[-1]
    lost = driver.play(None, 40)
    assert all(motion.held for motion in lost)
    assert np.array_equal(lost[2].expression, held.expression)
    assert lost[2].presence == 1
    assert largest_step([held, *lost]) < 0.12
    end = lost[21]  # 0.73 s
    assert not end.expression.any()
    assert (end.presence, end.scale, end.held) == (0, 1, True)


def test_a_found_face_returns_without_a_jump(driver: Driver, rest: np.ndarray):
    driver.play(rest, 20)
    driver.play(None, 40)
    back = driver.play(smile(rest), 12)
    assert largest_step([Motion.rest(), *back]) < 0.16
    assert not any(motion.held for motion in back)
    assert np.abs(back[-1].expression).max() > 0.5


def test_a_single_missed_picture_does_not_slow_the_driver(driver: Driver, rest: np.ndarray):
    driver.play(rest, 20)
    driver.play(smile(rest), 30)
    (missed,) = driver.play(None)
    after = driver.play(smile(rest), 3)
    assert missed.held
    assert largest_step([missed, *after]) < 0.01


def test_nobody_is_rest(driver: Driver):
    (motion,) = driver.play(None)
    assert motion.presence == 0
    assert not motion.expression.any()


def test_calibration_makes_what_is_shown_the_neutral(driver: Driver, rest: np.ndarray):
    driver.play(rest, 20)
    before = driver.play(smile(rest), 30)
    driver.estimator.calibrate()
    during = driver.play(smile(rest), 40)
    assert np.abs(during[-1].expression).max() < 1e-3
    assert largest_step([before[-1], *during]) < 0.16
    assert np.abs(driver.play(rest, 40)[-1].expression).max() > 0.5


def test_a_primed_clip_is_measured_from_its_own_rest(vertices: np.ndarray, rest: np.ndarray):
    talking = rest.copy()
    with_lips_at(talking, 1.2)
    clip = [track(talking, FRONTAL, i * STEP_NS) for i in range(60)]
    clip += [track(rest, FRONTAL, i * STEP_NS) for i in range(60, 90)]
    driver = Driver(MotionEstimator(vertices))
    driver.estimator.prime(clip)
    assert np.abs(driver.play(rest)[0].expression).max() < 1e-4
    assert driver.play(talking, 30)[-1].lip_gaps.min() > 1.0


def test_a_neutral_found_late_slides_in_unseen(driver: Driver, rest: np.ndarray):
    talking = rest.copy()
    with_lips_at(talking, 1.2)
    motions = driver.play(talking, 60)
    for _ in range(3):
        motions += driver.play(rest, 120)
    assert np.abs(motions[-1].expression).max() < 0.1
    assert largest_step(motions[180:]) < 0.02


def test_another_person_brings_another_neutral(driver: Driver, rest: np.ndarray):
    driver.play(rest, 30)
    other = rest * (1.1, 0.95, 1.0)
    motions = driver.play(other, 40, person=1)
    assert np.abs(motions[-1].expression).max() < 1e-3
    assert largest_step(motions) < 0.16


def test_a_reopened_source_keeps_the_face_and_forgets_the_place(driver: Driver, rest: np.ndarray):
    driver.estimator.prime([track(rest, FRONTAL, 0)])
    driver.play(rest, 5)
    moved = Pose(24.0, np.eye(3), np.array([900.0, 500.0, 0.0]))
    last = driver.play(smile(rest), 40, pose=moved, epoch=1)[-1]
    assert last.scale == pytest.approx(1, abs=0.02)
    assert np.abs(last.expression).max() > 0.5


@pytest.mark.parametrize("jump_ns", [-(10**12), 0, 10**12])
def test_a_clock_that_jumps_does_no_harm(driver: Driver, rest: np.ndarray, jump_ns: int):
    driver.play(rest, 20)
    driver.ns += jump_ns - STEP_NS
    motions = [*driver.play(smile(rest), 30), *driver.play(None, 30), *driver.play(rest, 30)]
    for motion in motions:
        assert all(np.isfinite(value).all() for value in (motion.expression, motion.rotation, motion.gaze))
        assert 0 <= motion.presence <= 1
    assert np.abs(motions[-1].expression).max() < 0.1


def test_one_euro_is_still_at_rest_and_prompt_in_motion():
    rng = np.random.default_rng(3)
    still = rng.normal(0, 0.01, (200, 4))
    smooth = OneEuro(1.0, 4.0)
    out = np.array([smooth(value, 1 / 30) for value in still])
    assert out[30:].std() < 0.45 * still[30:].std()
    step = np.array([smooth(np.full(4, 5.0), 1 / 30) for _ in range(4)])
    assert step[-1].min() > 4.5


def test_one_euro_measures_true_time_and_starts_anew_after_a_gap():
    fast, slow = OneEuro(1.0, 0.0), OneEuro(1.0, 0.0)
    fast(np.zeros(1), 0), slow(np.zeros(1), 0)
    assert fast(np.ones(1), 1 / 60) < slow(np.ones(1), 1 / 10)
    assert slow(np.full(1, 7.0), 0.3) == 7.0
    assert slow(np.full(1, 9.0), -1.0) == 9.0


def test_times_and_numbers_are_those_of_the_picture(driver: Driver, rest: np.ndarray):
    shown = [*driver.play(rest, 3), *driver.play(None, 3), *driver.play(rest, 3)]
    assert [motion.seq for motion in shown] == list(range(9))
    assert np.diff([motion.captured_ns for motion in shown]).tolist() == [STEP_NS] * 8
    assert replace(shown[0], seq=1).epoch == 0
