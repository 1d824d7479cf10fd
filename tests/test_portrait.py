"""From a photo to a rig and its deformation: shapes, exact closure, limits, framing, layers, odd sizes."""

from __future__ import annotations

from dataclasses import fields, replace

import media
import numpy as np
import pytest
import scenes
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.frames import Motion, Rig
from streamfx.pipeline import Animator
from streamfx.portrait.deform import deform
from streamfx.portrait.fill import grain, push_pull
from streamfx.portrait.framing import frame_portrait, framed
from streamfx.portrait.layers import person_alpha
from streamfx.portrait.rig import rig_digest, solve_rig
from streamfx.portrait.teeth.opened import shown_opening
from streamfx.settings.framing import Framing
from streamfx.settings.session import Gains
from streamfx.topology import (
    CHIN,
    EYE_CORNERS,
    FACE_OVAL,
    FACE_VERTICES,
    LID_LOWER,
    LID_UPPER,
    LIP_LOWER,
    LIP_UPPER,
    MOUTH_CORNERS,
)
from streamfx.track.photo import PhotoAnalyser

SMALL = (240, 180)
OPEN = {"lips": 0.8}

# -- deformation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [{}, OPEN, {"turned": (5, 12, 4)}], ids=["neutral", "open mouth", "turned"])
def test_at_rest_no_vertex_moves(kind: dict[str, object]):
    rig = synthetic.rig(**kind)
    moved = deform(rig, synthetic.rest(rig)).vertices - rig.vertices
    assert np.abs(moved).max() < 1e-3


@pytest.mark.parametrize("kind", [{}, OPEN, {"turned": (5, 12, 4)}], ids=["neutral", "open mouth", "turned"])
@pytest.mark.parametrize("turn", [(0, 0, 0), (8, -18, 10), (-12, 22, -5)])
def test_closed_lips_meet_from_any_side(kind: dict[str, object], turn: tuple[float, float, float]):
    deformation = deform(synthetic.rig(**kind), synthetic.motion(turn=turn, smile=0.5))
    gaps = deformation.vertices[list(LIP_LOWER)] - deformation.vertices[list(LIP_UPPER)]
    assert np.linalg.norm(gaps, axis=1).max() < 0.05
    assert deformation.mouth_gap == pytest.approx(0, abs=1e-3)


def test_an_open_mouth_closes_with_its_jaw():
    """Lips drawn together alone would be stretched over the gap."""
    rig = synthetic.rig(lips=1.6)
    closed = rig.shape[:FACE_VERTICES] + deform(rig, Motion.rest()).expression
    face = rig.shape[:FACE_VERTICES]
    assert 0.7 < (face - closed)[CHIN, 1] < 1.6
    assert np.abs(closed - face)[[33, 263, 10]].max() < 0.1
    assert deform(rig, Motion.rest()).jaw_drop == 0
    assert deform(rig, synthetic.rest(rig)).jaw_drop > 0.7


@pytest.mark.shared
@pytest.mark.parametrize(("clip", "at"), [("lp_d18", 2.4), ("lp_d3", 10.0), ("lp_d20", 4.0)])
def test_a_closed_mouth_is_near_the_persons_own(clip: str, at: float):
    """Lips and chin of a real open mouth, closed, against the same person's closed mouth."""
    geometry, store = synthetic.geometry(), scenes.store()
    with PhotoAnalyser(store.path("face_landmarker"), store.path("selfie_segmentation")) as analyser:
        shapes = []
        for rgb in media.pictures_at(scenes.shared(f"driving/{clip}.mp4"), 0.0, at):
            face = analyser.faces(rgb)[0]
            pose = geometry.pose(face.landmarks)
            shapes.append(pose.to_canonical(face.landmarks).astype(np.float32)[:FACE_VERTICES])
    own, opened = shapes
    closed = opened - shown_opening(opened, face)
    seen = [CHIN, 0, 13, 14, 17]
    smiling = float(face.blendshapes[[44, 45]].mean()) * geometry.smile
    before, after = (np.abs((shape - smiling - own)[seen, 1]).mean() for shape in (opened, closed))
    assert after < 0.5 * before


def test_lips_part_by_the_gaps_of_the_driver():
    gaps = np.linspace(0.1, 0.9, 9, dtype=np.float32)
    rig = synthetic.rig()
    deformation = deform(rig, replace(synthetic.motion(jaw=0.5), lip_gaps=gaps))
    shape = rig.shape[:FACE_VERTICES] + deformation.expression
    assert shape[list(LIP_LOWER), 1] - shape[list(LIP_UPPER), 1] == pytest.approx(gaps, abs=1e-4)


def test_the_corners_of_the_mouth_stay_where_the_expression_puts_them():
    rig = synthetic.rig()
    motion = synthetic.motion(jaw=0.6, smile=0.4)
    moved = deform(rig, motion).expression - motion.expression
    assert np.abs(moved[list(MOUTH_CORNERS)]).max() < 1e-3


@pytest.mark.parametrize("turn", [(0, 0, 0), (-10, 20, 5)])
def test_a_shut_eye_is_shut_and_a_wink_is_one_sided(turn: tuple[float, float, float]):
    rig = synthetic.rig()
    shown = deform(rig, synthetic.motion(turn=turn, blink=(1, 0))).vertices
    still = deform(rig, synthetic.motion(turn=turn)).vertices
    right, left = (shown[list(LID_LOWER[eye])] - shown[list(LID_UPPER[eye])] for eye in (0, 1))
    assert np.linalg.norm(right, axis=1).max() < 0.1
    assert left == pytest.approx((still[list(LID_LOWER[1])] - still[list(LID_UPPER[1])]), abs=1e-3)
    assert np.abs(shown[list(EYE_CORNERS[0])] - still[list(EYE_CORNERS[0])]).max() < 1e-3


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.tuples(*[st.floats(-180, 180)] * 3), st.tuples(*[st.floats(-300, 300)] * 2), st.floats(0.001, 100))
def test_the_head_keeps_to_what_one_photo_can_show(turn, shift, scale):
    rig = synthetic.rig()
    deformation = deform(rig, synthetic.motion(turn=turn, shift=shift, scale=scale))
    angle = np.degrees(np.arccos(np.clip((np.trace(deformation.rotation @ rig.rotation.T) - 1) / 2, -1, 1)))
    assert angle < 41  # 25 yaw, 20 pitch, 25 roll together
    travelled = np.abs(deformation.translation - rig.translation)[:2] / rig.size[0]
    assert travelled[0] <= 0.301
    assert travelled[1] <= 0.211
    assert 0.84 < deformation.scale / rig.scale < 1.19
    assert np.isfinite(deformation.vertices).all()


def test_small_motions_are_carried_over_faithfully():
    rig = synthetic.rig()
    deformation = deform(rig, synthetic.motion(turn=(2, 3, -2), shift=(0.5, -0.3), scale=1.03))
    turned = deformation.rotation @ rig.rotation.T
    assert np.degrees([turned[2, 1], turned[0, 2], turned[1, 0]]) == pytest.approx([2, 3, -2], abs=0.2)
    shift = (deformation.translation - rig.translation)[:2] / rig.scale
    assert shift == pytest.approx([0.5, -0.3], abs=0.02)
    assert deformation.scale / rig.scale == pytest.approx(1.03, abs=1e-3)


def test_gains_scale_head_expression_and_gaze():
    rig = synthetic.rig()
    motion = synthetic.motion(turn=(5, 8, 3), shift=(1, 1), smile=0.5, gaze=(0.1, 0.0))
    none = deform(rig, motion, Gains(head=0, expression=0, gaze=0))
    assert np.abs(none.vertices - rig.vertices).max() < 1e-3
    assert not none.gaze.any()
    half = deform(rig, motion, Gains(expression=0.5)).expression
    full = deform(rig, motion).expression
    assert np.abs(half[[61, 291]] * 2 - full[[61, 291]]).max() < 1e-3


def test_the_border_of_the_texture_never_moves():
    rig = synthetic.rig()
    shown = deform(rig, synthetic.motion(turn=(15, 20, 20), shift=(9, 5), scale=1.2)).vertices
    low, high = rig.vertices.min(0), rig.vertices.max(0)
    border = ((rig.vertices == low) | (rig.vertices == high)).any(1)
    assert border.sum() > 50
    assert np.abs(shown - rig.vertices)[border].max() < 0.5


# -- the rig -------------------------------------------------------------------------------------------------


def test_the_mesh_is_one_sheet_without_gaps():
    rig = synthetic.rig()
    edges = np.concatenate([rig.triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    directed = {tuple(edge) for edge in edges.tolist()}
    assert len(directed) == len(edges), "an edge is run through twice in one direction"
    open_edges = np.array([edge for edge in directed if edge[::-1] not in directed])
    low, high = rig.vertices.min(0), rig.vertices.max(0)
    on_border = ((rig.vertices == low) | (rig.vertices == high)).any(1)
    assert on_border[open_edges].all(), "a gap inside the sheet"


def test_the_sheet_covers_the_texture():
    rig = synthetic.rig()
    a, b, c = (rig.vertices[rig.triangles[:, k]] for k in range(3))
    areas = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    width, height = (np.ptp(rig.vertices[:, axis]) for axis in (0, 1))
    assert areas.sum() == pytest.approx(width * height, rel=1e-4)
    assert (areas[: -rig.face_triangles] > 0).all()


def test_weights_are_shares():
    rig = synthetic.rig()
    for weight in (rig.head_weight, rig.body_weight):
        assert weight.min() > -1e-3
        assert weight.max() < 1 + 1e-3
    assert (rig.head_weight[:FACE_VERTICES] == 1).all()
    assert not rig.body_weight[:FACE_VERTICES].any()
    assert rig.oval_weight.shape == (len(rig.vertices) - FACE_VERTICES, len(FACE_OVAL))
    assert rig.oval_weight.sum(1).max() < 1 + 1e-3


def test_hair_moves_with_the_head_and_the_wall_does_not():
    rig = synthetic.rig()
    oval = rig.landmarks[list(FACE_OVAL), :2]
    top, height = oval[:, 1].min(), np.ptp(oval[:, 1])
    points = rig.vertices[FACE_VERTICES:]
    weight = rig.head_weight[FACE_VERTICES:]
    hair = (
        (np.abs(points[:, 0] - 320) < 0.2 * height)
        & (points[:, 1] > top - 0.15 * height)
        & (points[:, 1] < top)
    )
    wall = (points[:, 0] < 40) | (points[:, 0] > 600)
    assert weight[hair].min() > 0.85
    assert weight[wall].max() < 0.35


def test_landmarks_and_canonical_shape_are_inverse():
    rig = synthetic.rig(turned=(5, 12, 4))
    back = rig.scale * rig.shape @ rig.rotation.T + rig.translation
    assert np.abs(back - rig.landmarks).max() < 0.01


@pytest.mark.parametrize(
    "size",
    [(640, 480), (300, 700), (1600, 400), (100, 100), (480, 480)],
    ids=["same aspect", "tall", "panorama", "tiny", "square"],
)
def test_photos_of_any_size_and_aspect_make_a_portrait(size: tuple[int, int]):
    rig = solve_rig(*synthetic.portrait(size, height=0.55), synthetic.geometry(), SMALL)
    _check_shapes(rig)
    shown = Animator(rig).animate(synthetic.rest(rig)).rgb
    assert (
        np.abs(shown.astype(int) - synthetic.photo_of(rig)).mean() <= 1.5
    )  # a small frame: more of it is edge
    face = rig.landmarks[list(FACE_OVAL), :2]
    assert (face.min(0) >= 0).all()
    assert (face.max(0) <= np.array(SMALL) - 1).all()


def _check_shapes(rig: Rig) -> None:
    width, height = rig.size
    renderer = (height + 2 * rig.pad, width + 2 * rig.pad)
    assert rig.photo.shape == (*renderer, 3)
    assert rig.layer.shape == (*renderer, 4)
    assert rig.plate.shape == (height, width, 3)
    assert (rig.layer[..., :3] <= rig.layer[..., 3:].astype(int) + 1).all(), "not premultiplied"
    for field in fields(Rig):
        value = getattr(rig, field.name)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            assert value.dtype == np.float32
            assert np.isfinite(value).all(), field.name


def test_the_digest_names_photo_size_and_nothing_else():
    photo, *_ = synthetic.portrait()
    digest = photo.sha256
    others = {
        rig_digest(digest, (640, 480)),
        rig_digest(digest, (1280, 720)),
        rig_digest("1", (640, 480)),
    }
    others.add(rig_digest(digest, (640, 480), framing=Framing(zoom=1.1)))
    assert len(others) == 4


# -- framing, layers, filling --------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.integers(100, 1500),
    st.integers(100, 1500),
    st.floats(0.15, 0.85),
    st.floats(0.3, 0.7),
    st.floats(0.3, 0.7),
    st.sampled_from([(640, 480), (1280, 720), (480, 640)]),
)
def test_the_frame_shows_the_whole_face_undistorted(width, height, share, x, y, size):
    tall = share * min(width, height)
    angles = np.linspace(0, 2 * np.pi, 36)
    oval = np.array([x * width, y * height]) + tall / 2 * np.column_stack(
        [0.75 * np.cos(angles), np.sin(angles)]
    )
    everybody = np.ones((height, width), np.float32)
    placement = frame_portrait((width, height), oval.astype(np.float32), everybody, size)
    shown = placement.points(oval.astype(np.float32))
    assert shown.min() >= -2
    cut = max(0.0, oval[:, 1].max() - (height - 0.5)) * placement.scale
    right, chin = shown.max(0)
    assert right <= size[0] + 1
    assert chin <= size[1] + 1 + cut, "where the photo ends the frame ends, too"
    assert 0.30 < np.ptp(shown[:, 1]) / size[1] < 0.93
    assert np.ptp(shown[:, 0]) / np.ptp(shown[:, 1]) == pytest.approx(0.75, rel=0.02)


def test_a_photo_of_the_frames_size_is_not_resampled():
    photo, face, person = synthetic.portrait()
    placement = frame_portrait(photo.size, face.landmarks[list(FACE_OVAL), :2], person, (640, 480))
    picture = framed(photo.rgb, placement)
    pad = placement.pad
    assert np.abs(picture[pad : pad + 480, pad : pad + 640] - photo.rgb).max() < 1e-3
    assert not picture[:pad].any()


def test_other_people_and_specks_are_left_in_the_background():
    mask, face = np.zeros((120, 200), np.float32), np.zeros((120, 200), np.float32)
    mask[30:120, 40:90] = mask[20:120, 140:190] = 1
    face[40:70, 50:80] = 1
    alpha = person_alpha(mask, face, 1.0)
    assert alpha[60, 60] == 1
    assert alpha[:, 120:].max() < 1e-3


def test_filling_keeps_what_is_known_and_continues_it_smoothly():
    x = np.linspace(50, 200, 64, dtype=np.float32)
    ramp = np.repeat(np.repeat(x[None, :, None], 48, 0), 3, 2)
    known = np.ones((48, 64), np.float32)
    known[10:38, 20:44] = 0
    filled = push_pull(np.where(known[..., None] > 0, ramp, 999).astype(np.float32), known)
    assert np.abs(filled - ramp)[known > 0].max() < 1e-3
    assert np.abs(filled - ramp).max() < 40
    assert np.isfinite(push_pull(ramp, np.zeros_like(known))).all()


def test_grain_is_measured_and_a_pattern_is_not_taken_for_it():
    rng = np.random.default_rng(5)
    flat = np.full((80, 80, 3), 128, np.float32)
    everywhere = np.ones((80, 80), np.float32)
    measured = grain(flat + rng.normal(0, 2, flat.shape).astype(np.float32), everywhere)
    assert measured == pytest.approx([2, 2, 2], rel=0.2)
    stripes = flat + np.where(np.arange(80) % 4 < 2, 60, 0)[None, :, None].astype(np.float32)
    assert grain(stripes, everywhere).max() <= 4
    assert not grain(flat, np.zeros((80, 80), np.float32)).any()


# -- numbers that are none -----------------------------------------------------------------------------------


def test_rest_and_motions_are_finite_numbers():
    for motion in (Motion.rest(), synthetic.motion(jaw=2, smile=1, turn=(20, 20, 20))):
        values = [getattr(motion, f.name) for f in fields(Motion)]
        assert all(np.isfinite(np.asarray(value, float)).all() for value in values)
