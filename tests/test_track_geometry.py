"""The pose fit that tracking and rigging share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx import geometry
from streamfx.geometry import Pose, fit_pose, rotation_matrix, rotation_vector, vertex_weights, yaw_pitch_roll
from streamfx.topology import FACE_VERTICES, LIP_UPPER, NOSE_TIP

RNG = np.random.default_rng(7)
FACE = RNG.normal(0, 5, (FACE_VERTICES, 3))
angle = st.floats(-1.2, 1.2)


@settings(deadline=None)
@given(angle, angle, angle, st.floats(0.5, 80), st.floats(-2000, 2000))
def test_a_moved_face_gives_its_pose_back(rx, ry, rz, scale, shift):
    pose = Pose(scale, rotation_matrix(np.array([rx, ry, rz])), np.array([shift, -shift, 3.0]))
    found = fit_pose(FACE, pose.to_image(FACE), vertex_weights())
    assert found.scale == pytest.approx(scale, rel=1e-9)
    assert np.allclose(found.rotation, pose.rotation, atol=1e-9)
    assert np.allclose(found.translation, pose.translation, atol=1e-6)


def test_canonical_and_image_are_inverse_to_each_other():
    pose = Pose(11.3, rotation_matrix(np.array([0.3, -0.4, 0.2])), np.array([320.0, 240, -5]))
    assert np.allclose(pose.to_canonical(pose.to_image(FACE)), FACE, atol=1e-12)


def test_a_mirrored_face_still_gives_a_rotation():
    found = fit_pose(FACE, FACE * [-1, 1, 1], vertex_weights())
    assert np.linalg.det(found.rotation) == pytest.approx(1)


def test_landmarks_beyond_the_mesh_do_not_count():
    landmarks = np.vstack([FACE, np.full((10, 3), 1e6)])
    assert fit_pose(FACE, landmarks, vertex_weights()).scale == pytest.approx(1)


def test_what_expression_moves_weighs_less():
    weights = vertex_weights()
    assert weights[NOSE_TIP] > 10 * weights[LIP_UPPER[4]]
    moved = FACE.copy()
    moved[list(LIP_UPPER)] += 3.0
    even, weighted = (fit_pose(FACE, moved, w) for w in (np.ones(FACE_VERTICES), weights))
    assert np.linalg.norm(weighted.translation) < np.linalg.norm(even.translation) / 3


@settings(deadline=None)
@given(angle, angle, angle)
def test_rotation_vectors_and_matrices_agree(x, y, z):
    vector = np.array([x, y, z])
    # OpenCV takes less than a thousandth of a degree for no rotation
    assert np.allclose(rotation_vector(rotation_matrix(vector)), vector, atol=1e-5)


@pytest.mark.parametrize(
    ("vector", "expected"),
    [((0, -0.3, 0), (0.3, 0, 0)), ((0.3, 0, 0), (0, 0.3, 0)), ((0, 0, 0.3), (0, 0, 0.3))],
)
def test_angles_name_where_the_nose_goes_in_the_picture(vector, expected):
    rotation = rotation_matrix(np.array(vector, float))
    nose = rotation @ [0, 0, -1]
    assert np.allclose(np.radians(yaw_pitch_roll(rotation)), expected, atol=1e-9)
    assert np.sign(round(nose[0], 6)) == np.sign(expected[0])
    assert np.sign(round(nose[1], 6)) == np.sign(expected[1])


def test_the_mean_of_rotations_lies_between_them():
    a, b = (rotation_matrix(np.array([0, 0, z])) for z in (0.1, 0.5))
    mean = geometry.mean_rotation(np.array([a, b]), np.array([3.0, 1.0]))
    assert rotation_vector(mean)[2] == pytest.approx(0.2, abs=5e-3)
    assert np.linalg.det(mean) == pytest.approx(1)
