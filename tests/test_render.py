"""What every picture keeps: the photo at rest, no holes, closed lids, and a mouth only between the lips."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.frames import U8, Deformation, Motion, Rendered, Rig
from streamfx.models.face_basis import load_face_basis
from streamfx.pipeline import Animator, animate
from streamfx.portrait.deform import deform
from streamfx.portrait.rig import solve_rig
from streamfx.quality import Quality
from streamfx.render.base import Mode, MouthCrop, MouthView, Picture, Rectified, Refiner, Residual
from streamfx.render.composite import add_residual, draw_mouth, finish
from streamfx.render.cpu import CpuRenderer
from streamfx.render.kernels import cover, coverage, lay_over, lift, rasterise
from streamfx.render.mouth import ProceduralMouth
from streamfx.render.rectify import CROP
from streamfx.render.temporal import MouthBlender
from streamfx.topology import EYES

SIGMA = load_face_basis().sigma
BOTH = pytest.mark.parametrize("mode", list(Mode))
EXTREMES = {
    "turned left": synthetic.motion(turn=(0, -60, 0)),
    "turned right and up": synthetic.motion(turn=(40, 50, -40), shift=(9, -9)),
    "far left and low": synthetic.motion(turn=(-35, -20, 45), shift=(-30, 20), scale=0.5),
    "near, shouting, winking": synthetic.motion(scale=2.0, jaw=3.5, smile=1.2, blink=(1, -0.6)),
}


def before(ground: U8, picture: Rendered) -> U8:
    """u8 [H,W,3]: a picture as whoever lays it over a ground shows it."""
    if picture.alpha is None:
        return picture.rgb
    under = ground * (1 - picture.alpha[..., None] / np.float32(255))
    return np.clip(np.rint(picture.rgb + under), 0, 255).astype(np.uint8)


# -- the photo at rest ---------------------------------------------------------------------------------------


@BOTH
def test_at_rest_the_picture_is_the_photo(mode: Mode):
    rig = synthetic.rig()
    shown = before(
        rig.plate, Animator(rig, renderer=CpuRenderer(rig, mode=mode)).animate(synthetic.rest(rig))
    )
    difference = cv2.absdiff(shown, synthetic.photo_of(rig))
    assert difference.mean() <= 1.0
    inside = rig.layer[..., 3][rig.pad : -rig.pad, rig.pad : -rig.pad] == 255
    assert difference[inside].mean() <= 1.0


@pytest.mark.parametrize("eye", [0, 1])
def test_at_rest_the_eyes_are_those_of_the_photo(eye: int):
    rig = synthetic.rig()
    shown = Animator(rig).animate(synthetic.rest(rig)).rgb
    box = _box(rig.landmarks[list(EYES[eye]), :2], 2)
    assert cv2.absdiff(shown, synthetic.photo_of(rig))[box].mean() <= 5.0


def test_a_picture_is_the_same_whatever_was_drawn_before():
    rig = synthetic.rig()
    motion = synthetic.motion(turn=(3, 6, 2), blink=(0.4, 0.4))
    fresh, used = Animator(rig), Animator(rig)
    for other in EXTREMES.values():
        used.animate(other)
    assert np.array_equal(fresh.animate(motion).rgb, used.animate(motion).rgb)


def _box(points: np.ndarray, margin: int) -> tuple[slice, slice]:
    low = np.floor(points.min(0)).astype(int) - margin
    high = np.ceil(points.max(0)).astype(int) + margin + 1
    return np.s_[low[1] : high[1], low[0] : high[0]]


# -- watertight ----------------------------------------------------------------------------------------------


def _white_sheet(rig: Rig) -> Rig:
    """All white; what no triangle covers shows the corner, which is black."""
    photo = np.full_like(rig.photo, 255)
    photo[0, 0] = 0
    white = tuple(
        replace(e, sclera=np.full_like(e.sclera, 255), iris=np.full_like(e.iris, 255)) for e in rig.eyes
    )
    return replace(rig, photo=photo, eyes=(white[0], white[1]))


def _white_layer(rig: Rig) -> Rig:
    """All that layer mode draws, white and opaque before a black wall."""
    return replace(_white_sheet(rig), layer=np.full_like(rig.layer, 255), plate=np.zeros_like(rig.plate))


@pytest.mark.parametrize("name", EXTREMES)
def test_the_sheet_has_no_holes(name: str):
    rig = _white_sheet(synthetic.rig())
    picture = CpuRenderer(rig, Mode.SHEET).warp(deform(rig, EXTREMES[name]))
    assert picture.min() > 200


@pytest.mark.parametrize("name", EXTREMES)
def test_the_layer_has_no_holes(name: str):
    rig = _white_layer(synthetic.rig())
    picture = CpuRenderer(rig).warp(deform(rig, EXTREMES[name]))
    layer = (picture.max(2) > 127).astype(np.uint8)
    assert layer.mean() > 0.1
    count, _, boxes, _ = cv2.connectedComponentsWithStats(1 - layer, connectivity=4)
    holes = [box.tolist() for box in boxes[1:count] if not _touches_border(box, layer.shape)]
    assert not holes


def _touches_border(stats: np.ndarray, shape: tuple[int, ...]) -> bool:
    left, top, width, height = stats[:4]
    return left == 0 or top == 0 or left + width == shape[1] or top + height == shape[0]


@BOTH
@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.tuples(*[st.floats(-500, 500)] * 2),
    st.floats(0, 50),
    st.floats(-20, 20),
    st.floats(-20, 20),
)
def test_no_finite_motion_breaks_the_renderer(mode: Mode, turn, shift, scale, jaw, smile):
    rig = synthetic.rig()
    motion = synthetic.motion(turn=turn, shift=shift, scale=scale, jaw=abs(jaw), smile=smile)
    deformation = deform(rig, motion)
    assert np.isfinite(deformation.vertices).all()
    picture = Animator(rig, renderer=CpuRenderer(rig, mode=mode)).animate(motion).rgb
    assert picture.shape == (480, 640, 3)
    assert picture.dtype == np.uint8


# -- without the background ----------------------------------------------------------------------------------


def _both(rig: Rig, motion: Motion, refiner: Refiner | None = None) -> tuple[Rendered, Rendered]:
    """A motion's picture without its background, and with it."""
    renderers = (CpuRenderer(rig, mode, refiner=refiner) for mode in (Mode.CUTOUT, Mode.LAYER))
    cut, whole = (Animator(rig, renderer=renderer).animate(motion) for renderer in renderers)
    return cut, whole


def test_alpha_covers_the_face_and_leaves_the_far_background_free():
    rig = synthetic.rig()
    for motion in (synthetic.motion(), synthetic.motion(turn=(5, 12, -4), shift=(1, -1))):
        cut, whole = _both(rig, motion)
        assert cut.alpha is not None
        assert whole.alpha is None
        face = deform(rig, motion).vertices[:468]
        hull = cv2.fillConvexPoly(np.zeros((480, 640), np.uint8), cv2.convexHull(face.astype(np.int32)), 1)
        inside = cv2.erode(hull, np.ones((15, 15), np.uint8)) > 0
        assert (cut.alpha[inside] == 255).all()
        assert (cut.alpha[:40, :80] == 0).all()
        assert (cut.rgb[:40, :80] == 0).all()
        soft = (cut.alpha > 20) & (cut.alpha < 235)
        assert 0.0005 < soft.mean() < 0.1, "the edge is soft, and an edge"


@pytest.mark.parametrize("name", [*EXTREMES, "speaking"])
@pytest.mark.parametrize("level", [None, 0.5, -0.5])
def test_laid_over_its_own_plate_it_is_the_opaque_picture(name: str, level: float | None):
    """Whatever is drawn on the person: eyes, mouth, a residual up to the face's edge."""
    motion = EXTREMES.get(name, synthetic.motion(turn=(4, 15, 3), jaw=1.2, smile=0.4, gaze=(0.1, 0.05)))
    rig = synthetic.rig()
    cut, whole = _both(rig, motion, None if level is None else Brighter(level))
    assert cut.alpha is not None
    assert (cut.rgb <= cut.alpha[..., None]).all(), "premultiplied"
    off = cv2.absdiff(before(rig.plate, cut), whole.rgb).max(2)
    limit = 2 if level is None else 12  # a residual beyond what half covered pixels can hold is cut off
    assert (off[cut.alpha == 255] == 0).all()
    assert (off > 2).mean() < 2e-4
    assert off.max() <= limit


def test_hard_edges_are_as_soft_as_in_the_opaque_picture():
    rng = np.random.default_rng(5)
    shape = cv2.resize(
        rng.integers(0, 2, (12, 16)).astype(np.uint8) * 255, (64, 48), interpolation=cv2.INTER_NEAREST
    )
    shape[20:30] = cv2.GaussianBlur(shape, (0, 0), 3)[20:30]
    layer = np.dstack([shape // 2, shape // 3, shape, shape])
    plate = rng.integers(0, 256, (48, 64, 3), np.uint8)
    shown, alpha, cut = plate.copy(), np.full((48, 64), 7, np.uint8), np.zeros((48, 64, 3), np.uint8)
    lay_over(layer, shown)
    cover(layer, alpha)
    lift(shown, plate, alpha, cut)
    assert ((alpha > 0) & (alpha < 255) & ((shape == 0) | (shape == 255))).any(), "stairs are softened"
    assert np.abs(cut[..., 2].astype(int) - alpha).max() <= 1, "blue was as much as alpha"


# -- beyond the photo ----------------------------------------------------------------------------------------


def test_the_wall_goes_on_smoothly_beyond_a_narrow_photo():
    """No mirrored or smeared stripes: next to nothing of the wall's fine pattern continues outside."""
    photo, face, person = synthetic.portrait((300, 480), height=0.7)
    stripes = np.where(np.arange(300) % 8 < 4, 60, 0)[None, :, None] * (person < 0.02)[..., None]
    photo.rgb[:] = np.clip(photo.rgb + stripes, 0, 255)
    rig = solve_rig(photo, face, person, synthetic.geometry(), (320, 240))
    shown = synthetic.photo_of(rig)
    inside = _detail(shown[40:120, 55:75])
    for outside in (shown[40:200, 3:38], shown[40:200, -38:-3]):
        assert _detail(outside) < 0.15 * inside


def _detail(picture: U8) -> float:
    """Mean square of what a blur of 3 px takes away."""
    values = picture.astype(np.float32)
    return float(np.square(values - cv2.GaussianBlur(values, (0, 0), 3)).mean())


# -- lids ----------------------------------------------------------------------------------------------------


def _white_of_eye(picture: U8, deformation: Deformation, eye: int) -> int:
    """Pixels as bright as the painted sclera in the eye's box."""
    return int((picture[_box(deformation.lids[eye], 1)].min(-1) > 190).sum())


def test_a_blink_closes_the_eye():
    rig = synthetic.rig()
    renderer = CpuRenderer(rig)
    still, shut = (deform(rig, synthetic.motion(blink=b)) for b in ((0, 0), (1, 1)))
    for eye in (0, 1):
        seen = _white_of_eye(renderer.warp(still), still, eye)
        assert seen > 100
        assert _white_of_eye(renderer.warp(shut), shut, eye) < 0.2 * seen  # a thin line where the lids meet


def test_gaze_moves_the_iris_and_not_the_lids():
    rig = synthetic.rig()
    renderer = CpuRenderer(rig)
    left, right = (deform(rig, synthetic.motion(gaze=(g, 0))) for g in (-0.2, 0.2))
    assert np.array_equal(left.vertices, right.vertices)
    for eye in (0, 1):
        assert _dark_at(renderer.warp(right), right, eye) - _dark_at(renderer.warp(left), left, eye) > 3


def _dark_at(picture: U8, deformation: Deformation, eye: int) -> float:
    """Where, across the eye's box, the dark of the iris lies, px."""
    crop = picture[_box(deformation.lids[eye], 0)].astype(float).mean(2)
    dark = np.clip(140 - crop, 0, None).sum(0)
    return float((dark * np.arange(len(dark))).sum() / dark.sum())


# -- the mouth -----------------------------------------------------------------------------------------------


def _mouth(jaw: float = 1.2, **kwargs: object) -> tuple[CpuRenderer, Rig, Deformation, MouthView]:
    rig = synthetic.rig()
    renderer = CpuRenderer(rig)
    deformation = deform(rig, synthetic.motion(jaw=jaw, **kwargs))  # type: ignore[arg-type]
    return (
        renderer,
        rig,
        deformation,
        renderer.mouth_view(renderer.warp(deformation), deformation, MouthCrop.MOUTH),
    )


@pytest.mark.parametrize("jaw", [0.15, 0.5, 1.2, 3.0])
def test_the_painter_stays_inside_its_mask(jaw: float):
    _, rig, deformation, view = _mouth(jaw)
    mouth = ProceduralMouth(rig).paint(view, deformation)
    assert not mouth[view.mask == 0].any()
    assert mouth[view.mask > 0.5].any()


def test_only_pixels_between_the_lips_change():
    renderer, _, deformation, view = _mouth()
    before = renderer.warp(deformation)
    after = before.copy()
    draw_mouth(after, view, np.full((96, 96, 3), 255, np.uint8))
    lips = np.zeros(before.shape[:2], np.uint8)
    cv2.fillPoly(lips, [np.rint(view.lips).astype(np.int32)], 1)
    near = cv2.dilate(lips, np.ones((7, 7), np.uint8))
    changed = (before != after).any(2)
    assert not changed[near == 0].any()
    assert changed[cv2.erode(lips, np.ones((5, 5), np.uint8)) > 0].all()


def test_closed_lips_draw_no_mouth():
    renderer, _, deformation, view = _mouth(0.0)
    assert not view.is_open
    assert not view.mask.any()
    picture = renderer.warp(deformation)
    before = picture.copy()
    draw_mouth(picture, view, np.full((96, 96, 3), 255, np.uint8))
    assert np.array_equal(picture, before)


def test_the_mouth_shows_teeth_when_open_and_moves_with_the_head():
    _, rig, deformation, view = _mouth(1.2, shift=(3, 0))
    mouth = ProceduralMouth(rig).paint(view, deformation)
    assert mouth[view.mask > 0.9].max() > 120  # teeth
    assert mouth[view.mask > 0.9].min() < 60  # throat
    still = _mouth(1.2)
    shown = ProceduralMouth(rig).paint(still[3], still[2])
    assert np.abs(mouth.astype(int) - shown).mean() < 2


# -- blending over time --------------------------------------------------------------------------------------


def _grey(level: int) -> U8:
    """A mouth with some texture around a level."""
    pattern = (8 * np.sin(np.arange(96) / 6)).astype(int)
    return (level + pattern[None, :, None] + pattern[:, None, None]).repeat(3, 2).astype(np.uint8)


def _shown_after(*steps: tuple[U8, float, dict[str, object]]) -> U8:
    """What the blender shows last, over steps of (mouth, jaw cm, changed fields of the deformation)."""
    blender = MouthBlender()
    shown = steps[0][0]
    for mouth, jaw, changes in steps:
        _, _, deformation, view = _mouth(jaw)
        shown = blender.blend(mouth, view, replace(deformation, **changes))
    return shown


def test_a_steady_mouth_is_blended():
    shown = _shown_after(*[(_grey(100), 1.2, {})] * 3, (_grey(110), 1.2, {}))
    behind = _grey(110)[40:56, 40:56].mean() - shown[40:56, 40:56].mean()
    assert 1 < behind < 6  # at most half of the ten levels, less for the difference


def test_what_differs_too_much_is_not_blended():
    shown = _shown_after(*[(_grey(60), 1.2, {})] * 3, (_grey(200), 1.2, {}))
    assert np.abs(shown.astype(int) - _grey(200)).max() <= 1


@pytest.mark.parametrize(
    "last",
    [
        pytest.param((_grey(110), 1.2, {"epoch": 1}), id="another epoch"),
        pytest.param((_grey(110), 1.2, {"held": True}), id="face lost"),
        pytest.param((_grey(110), 2.4, {}), id="opening jumps"),
    ],
)
def test_guards_against_ghosts(last: tuple[U8, float, dict[str, object]]):
    assert np.array_equal(_shown_after(*[(_grey(100), 1.2, {})] * 3, last), _grey(110))


def test_after_closed_lips_the_first_mouths_are_fresh():
    closed = (_grey(100), 0.0, {})
    assert np.array_equal(
        _shown_after(*[(_grey(100), 1.2, {})] * 3, closed, (_grey(110), 1.2, {})), _grey(110)
    )


def test_after_a_loss_the_past_is_forgotten():
    lost = (_grey(100), 1.2, {"held": True})
    assert np.array_equal(_shown_after(*[(_grey(100), 1.2, {})] * 3, lost, (_grey(110), 1.2, {})), _grey(110))


# -- refined faces and quality -------------------------------------------------------------------------------


class Brighter:
    """A refiner that adds the same everywhere."""

    def __init__(self, by: float = 0.1) -> None:
        self._by = by

    def refine(self, face: Rectified, deformation: Deformation) -> Residual:
        return Residual(np.full((CROP, CROP, 3), self._by, np.float32))


def test_a_refiner_changes_the_face_only_and_the_quality_says_so():
    rig = synthetic.rig()
    motion = synthetic.motion(turn=(2, 5, 3))
    plain = Animator(rig).animate(motion)
    refined = Animator(rig, renderer=CpuRenderer(rig, refiner=Brighter())).animate(motion)
    assert (plain.quality, refined.quality) == (Quality.WARP_ONLY, Quality.FULL)
    added = refined.rgb.astype(int) - plain.rgb
    oval = cv2.convexHull(deform(rig, motion).vertices[:468])[:, 0]
    inside = np.zeros(added.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, np.rint(oval).astype(np.int32), 1)
    assert not added[cv2.dilate(inside, np.ones((5, 5), np.uint8)) == 0].any()
    core = cv2.erode(inside, np.ones((61, 61), np.uint8)) > 0
    assert np.abs(added[core & (plain.rgb.max(2) < 225)] - 25.5).max() <= 1.5


def test_a_zero_residual_changes_nothing():
    rig = synthetic.rig()
    renderer = CpuRenderer(rig)
    deformation = deform(rig, synthetic.motion(turn=(3, -7, 4)))
    picture, face = renderer.warp(deformation), renderer.rectify(deformation)
    before = picture.copy()
    add_residual(picture, Residual(np.zeros((CROP, CROP, 3), np.float32)), face)
    assert np.array_equal(picture, before)


@pytest.mark.parametrize(
    ("held", "presence", "refined", "quality"),
    [
        (False, 1.0, True, Quality.FULL),
        (False, 1.0, False, Quality.WARP_ONLY),
        (True, 0.5, True, Quality.HELD),
        (True, 0.0, True, Quality.IDLE),
    ],
)
def test_the_quality_tells_how_the_picture_came_about(held, presence, refined, quality):
    deformation = replace(
        deform(synthetic.rig(), Motion.rest()), held=held, presence=presence, seq=7, captured_ns=9
    )
    rendered = finish(Picture(np.zeros((4, 4, 3), np.uint8)), deformation, refined)
    assert (rendered.quality, rendered.seq, rendered.captured_ns) == (quality, 7, 9)


def test_animate_yields_one_picture_per_motion_in_order():
    motions = [replace(synthetic.motion(turn=(0, i, 0)), seq=i, captured_ns=i * 40) for i in range(3)]
    rendered = list(animate(Animator(synthetic.rig()), motions))
    assert [(r.seq, r.captured_ns) for r in rendered] == [(0, 0), (1, 40), (2, 80)]
    assert not np.shares_memory(rendered[0].rgb, rendered[1].rgb)


# -- kernels -------------------------------------------------------------------------------------------------


def test_rasterised_values_are_linear_and_shared_edges_leave_no_gap():
    corners = np.array([[2.3, 1.7], [61.4, 8.2], [55.1, 44.9], [5.6, 40.3]], np.float32)
    values = np.column_stack([2 * corners[:, 0] - corners[:, 1], corners[:, 1] + 5]).astype(np.float32)
    out = np.full((50, 64, 2), -1e6, np.float32)
    rasterise(corners, values, np.array([[0, 1, 2], [0, 2, 3]], np.int32), out)
    y, x = np.nonzero(out[..., 1] > -1e5)
    inside = np.zeros((50, 64), np.uint8)
    cv2.fillConvexPoly(inside, np.rint(corners).astype(np.int32), 1)
    assert (out[..., 1][cv2.erode(inside, np.ones((3, 3), np.uint8)) > 0] > -1e5).all()
    assert np.allclose(out[y, x, 0], 2 * x - y, atol=1e-2)
    assert np.allclose(out[y, x, 1], y + 5, atol=1e-2)


def test_triangles_turned_away_are_not_drawn():
    corners = np.array([[2, 2], [30, 2], [2, 30]], np.float32)
    out = np.zeros((32, 32, 2), np.float32)
    rasterise(corners, corners, np.array([[0, 2, 1]], np.int32), out)
    assert not out.any()


def test_coverage_is_the_polygons_area():
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.column_stack([20.3 + 12.7 * np.cos(angles), 18.6 + 9.1 * np.sin(angles)]).astype(np.float32)
    out = np.empty((40, 40), np.float32)
    coverage(circle, 0, 0, out)
    assert out.sum() == pytest.approx(cv2.contourArea(circle), rel=2e-3)
    assert (out.min(), out.max()) == (0, pytest.approx(1, abs=1e-5))
    shifted = np.empty((20, 20), np.float32)
    coverage(circle, 10, 10, shifted)
    assert np.allclose(shifted, out[10:30, 10:30], atol=1e-5)


def test_laying_over_is_exact_at_both_ends_and_mixes_between():
    ground = np.full((9, 9, 3), 200, np.uint8)
    for alpha, value in ((0, 0), (255, 90), (128, 50)):
        layer = np.full((9, 9, 4), value, np.uint8)
        layer[..., 3] = alpha
        shown = ground.copy()
        lay_over(layer, shown)
        assert np.abs(shown.astype(float) - (value + (1 - alpha / 255) * 200)).max() <= 1
