"""Networks in the renderer: what they are shown, what becomes of their answers, and what they remember.

The networks are functions with known answers; the real ones, untrained, come last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import synthetic
from on_cells import MIDDLE, averaged, face_cells, mouth_cells

from streamfx.frames import F32, U8, Deformation, Rig
from streamfx.models.face_basis import load_face_basis
from streamfx.pipeline import Animator
from streamfx.portrait.deform import deform
from streamfx.quality import Quality
from streamfx.render.base import MouthCrop, MouthPainter, MouthView, Network, Rectified, Refiner
from streamfx.render.composite import add_residual
from streamfx.render.cpu import CpuRenderer
from streamfx.render.mouth import ProceduralMouth
from streamfx.render.painter import DATA_MEAN, LiteNetworkPainter, PaperNetworkPainter
from streamfx.render.rectify import CROP, move
from streamfx.render.refiner import LiteNetworkRefiner, PaperNetworkRefiner, liveliness, membrane
from streamfx.telemetry import StageTimer

SIGMA = load_face_basis().sigma
SPEAKING = synthetic.motion(turn=(4, -8, 6), shift=(1.5, -0.5), scale=1.06, jaw=1.1, smile=0.35)


class Seen:
    """A network that notes what it is shown and gives the answer it is told."""

    def __init__(self, answer: Callable[[F32], F32]) -> None:
        self.inputs: list[F32] = []
        self._answer = answer

    def __call__(self, x: F32) -> F32:
        self.inputs.append(x.copy())
        return self._answer(x)


def nothing(x: F32) -> F32:
    return np.zeros((*x.shape[:2], 3), np.float32)


def flat(value: float) -> Callable[[F32], F32]:
    return lambda x: np.full((*x.shape[:2], 3), value, np.float32)


def broken(x: F32) -> F32:
    out = np.full((*x.shape[:2], 3), 0.1, np.float32)
    out[::3] = np.nan
    out[1::3] = np.inf
    return out


def rectified(motion: object = SPEAKING) -> tuple[Rectified, Deformation]:
    deformation = deform(synthetic.rig(), motion)  # type: ignore[arg-type]
    face = CpuRenderer(synthetic.rig(), SIGMA).rectify(deformation)
    return replace(face, light=np.ones_like(face.light)), deformation


def viewed(crop: MouthCrop, jaw: float = 1.2) -> tuple[MouthView, Deformation, Rig]:
    rig = synthetic.rig()
    renderer = CpuRenderer(rig)
    deformation = deform(rig, synthetic.motion(jaw=jaw, turn=(3, 5, -8)))
    return renderer.mouth_view(renderer.warp(deformation), deformation, crop), deformation, rig


# -- the lite refiner ----------------------------------------------------------------------------------------


def test_the_lite_refiner_shows_face_mouth_motion_and_no_past_at_first():
    face, deformation = rectified()
    light = np.linspace(0.7, 1.3, CROP, dtype=np.float32)[None].repeat(CROP, 0)
    network = Seen(flat(0.25))
    residual = LiteNetworkRefiner(face_cells(network)).refine(replace(face, light=light), deformation)
    (x,) = network.inputs
    assert (x.shape, x.dtype) == ((CROP, CROP, 9), np.float32)
    assert np.allclose(x[MIDDLE][..., :3], (face.rgb * light[..., None])[MIDDLE], atol=1e-6)
    assert np.allclose(x[MIDDLE][..., 3], averaged(face.inner_mouth)[MIDDLE], atol=1e-6)
    assert np.allclose(x[MIDDLE][..., 4:6], averaged(face.displacement)[MIDDLE] / 6, atol=1e-6)
    assert np.abs(x[..., 4:6]).max() <= 1
    assert not x[..., 6:].any()
    mouth = cv2.dilate(face.inner_mouth, np.ones((3, 3), np.uint8))
    seen = 1 - np.maximum(mouth, face.eyes)[..., None]
    assert np.allclose(
        residual.rgb[MIDDLE],
        (seen * (0.25 * liveliness(face) + face.rgb * (light[..., None] - 1)))[MIDDLE],
        atol=1e-6,
    )
    around = np.ones((CROP, CROP), bool)
    around[MIDDLE] = False
    assert np.allclose(residual.rgb[around], (seen * face.rgb * (light[..., None] - 1))[around], atol=1e-6)
    assert not residual.rgb[face.inner_mouth == 1].any(), "the mouth is drawn later"


@pytest.mark.parametrize("paper", [False, True], ids=["lite", "paper"])
def test_eyeballs_are_drawn_and_not_refined(paper: bool):
    face, deformation = rectified()
    spotted = lambda x: x[..., :3] + np.indices(x.shape[:2]).sum(0)[..., None] % 2 * 0.3  # noqa: E731
    refiner = PaperNetworkRefiner(spotted) if paper else lite_refiner(flat(0.25))
    residual = refiner.refine(face, deformation)
    outline = move(deformation.lids[0], face.from_frame)
    between = np.zeros((CROP, CROP), np.uint8)
    cv2.fillPoly(between, [np.rint(outline).astype(np.int32)], 1)
    inside = cv2.erode(between, np.ones((5, 5), np.uint8)) > 0
    assert inside.any()
    assert np.abs(residual.rgb[inside]).max() < 1e-6
    below = np.roll(inside, 25, axis=0)
    assert np.abs(residual.rgb[below]).max() > 0.1


def test_a_face_at_rest_is_left_to_the_photo():
    face, deformation = rectified()
    still = replace(face, displacement=np.zeros_like(face.displacement))
    network = face_cells(flat(0.25))
    assert not LiteNetworkRefiner(network).refine(still, deformation).rgb.any()
    assert liveliness(still) == 0
    little = replace(face, displacement=np.full_like(face.displacement, 0.05))
    much = replace(face, displacement=np.full_like(face.displacement, 0.6))
    assert 0 < liveliness(little) < 0.5 < liveliness(much) < 1


def _pasts(*changes: dict[str, object]) -> list[float]:
    """What the network saw of its last residual, frame by frame; it answers 0.1, 0.2 ..."""
    face, deformation = rectified()
    answers = iter(range(1, 9))
    network = Seen(lambda _: np.full((CROP, CROP, 3), next(answers) / 10, np.float32))
    refiner = LiteNetworkRefiner(face_cells(network))
    for change in changes:
        refiner.refine(face, replace(deformation, **change))
    return [round(float(x[MIDDLE][..., 6:].mean()), 4) for x in network.inputs]


def test_the_last_residual_is_carried_to_the_next_frame():
    assert _pasts({}, {}, {}) == [0, 0.1, 0.2]


@pytest.mark.parametrize(
    ("frames", "pasts"),
    [
        pytest.param([{}, {}, {"epoch": 1}, {"epoch": 1}], [0, 0.1, 0, 0.3], id="another epoch"),
        pytest.param([{}, {"held": True}, {"held": True}], [0, 0.1, 0.2], id="held"),
        pytest.param([{}, {"held": True}, {}, {}], [0, 0.1, 0, 0.3], id="found again"),
    ],
)
def test_the_past_is_forgotten_where_the_film_is_cut(frames: list[dict[str, object]], pasts: list[float]):
    assert _pasts(*frames) == pasts


def test_a_network_may_reuse_what_it_returns():
    face, deformation = rectified()
    own = np.zeros((60, 48, 48), np.float32)

    def answer(cells: F32) -> F32:
        own.fill(cells[0, 0, -3] + 0.1)
        return own

    refiner = LiteNetworkRefiner(answer)
    lively = liveliness(face)
    first = refiner.refine(face, deformation).rgb
    assert refiner.refine(face, deformation).rgb[128, 128, 0] == pytest.approx(0.2 * lively)
    assert first[128, 128, 0] == pytest.approx(0.1 * lively)


def lite_refiner(network: Network) -> Refiner:
    return LiteNetworkRefiner(face_cells(network))


@pytest.mark.parametrize("refiner", [lite_refiner, PaperNetworkRefiner])
def test_what_is_no_number_is_no_residual(refiner: Callable[[Network], Refiner]):
    face, deformation = rectified()
    network = Seen(broken)
    made = refiner(network)
    for _ in range(2):
        assert np.isfinite(made.refine(face, deformation).rgb).all()
    assert all(np.isfinite(x).all() for x in network.inputs)


def test_an_answer_of_another_shape_is_refused():
    """The loops behind would read memory that is not theirs."""
    face, deformation = rectified()
    view, moved, rig = viewed(MouthCrop.MOUTH)
    for refiner in (LiteNetworkRefiner(nothing), PaperNetworkRefiner(lambda x: x)):
        with pytest.raises(ValueError, match=r"the network gives \[.*\], not \[(60, 48, 48|256, 256, 3)\]"):
            refiner.refine(face, deformation)
    with pytest.raises(ValueError, match=r"gives \[48, 48, 3\], not \[48, 48, 12\]"):
        LiteNetworkPainter(nothing, rig).paint(view, moved)


# -- the paper's refiner -------------------------------------------------------------------------------------


def test_the_papers_refiner_shows_face_and_motion():
    face, deformation = rectified()
    network = Seen(lambda x: x[..., :3])
    residual = PaperNetworkRefiner(network).refine(face, deformation)
    (x,) = network.inputs
    assert x.shape == (CROP, CROP, 5)
    assert np.array_equal(x[..., :3], face.rgb)
    assert np.allclose(x[..., 3:], face.displacement / 6, atol=1e-6)
    assert np.abs(residual.rgb).max() < 1e-6, "a network that changes nothing"


def test_a_colour_cast_of_the_papers_network_is_undone_and_its_detail_kept():
    face, deformation = rectified()
    wrinkle = np.zeros((CROP, CROP, 1), np.float32)
    wrinkle[118:122, 90:160] = -0.2
    cast = np.array([0.08, -0.05, 0.1], np.float32)
    tinted = PaperNetworkRefiner(lambda x: x[..., :3] + cast + wrinkle)
    residual = tinted.refine(face, deformation).rgb
    core = (
        cv2.erode(face.face, np.ones((25, 25), np.uint8))[..., None] * (1 - face.inner_mouth)[..., None]
        > 0.99
    )
    error = np.abs(residual - wrinkle)[core[..., 0]]
    assert np.percentile(error, 99) < 5e-3
    assert not residual[face.inner_mouth == 1].any(), "the mouth is drawn later"


def test_a_membrane_takes_the_rim_for_its_boundary_and_is_smooth_inside():
    """A linear ramp solves Laplace's equation; what is written inside must not matter."""
    y, x = np.mgrid[:CROP, :CROP].astype(np.float32)
    mask = (np.hypot((x - 128) / 89, (y - 115) / 105) < 1).astype(np.float32)
    ramp = np.dstack([x, y, x - y]) / CROP
    dirty = ramp.copy()
    dirty[cv2.erode(mask, np.ones((45, 45), np.uint8)) > 0] = 50
    found = membrane(dirty, mask)
    assert np.abs(found - ramp)[mask > 0].mean() < 0.01
    assert found.max() < 2
    assert np.isfinite(membrane(ramp, np.zeros_like(mask))).all()


# -- residuals in the picture --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refiner", [lite_refiner(nothing), PaperNetworkRefiner(lambda x: x[..., :3])], ids=["lite", "paper"]
)
def test_a_network_that_changes_nothing_leaves_the_picture_to_the_bit(refiner: Refiner):
    rig = synthetic.rig()
    plain = Animator(rig).animate(SPEAKING)
    refined = Animator(rig, renderer=CpuRenderer(rig, refiner=refiner)).animate(SPEAKING)
    assert np.array_equal(plain.rgb, refined.rgb)
    assert (plain.quality, refined.quality) == (Quality.WARP_ONLY, Quality.FULL)


@pytest.mark.parametrize("value", [-1.0, 0.3, 1.0])
def test_a_residual_stays_inside_the_face(value: float):
    rig = synthetic.rig()
    for motion in (SPEAKING, synthetic.motion(jaw=1.2, turn=(0, 0, 30), shift=(-12, 5), scale=1.18)):
        plain = Animator(rig).animate(motion).rgb.astype(int)
        renderer = CpuRenderer(rig, refiner=lite_refiner(flat(value)))
        refined = Animator(rig, renderer=renderer).animate(motion).rgb.astype(int)
        oval = cv2.convexHull(deform(rig, motion).vertices[:468])[:, 0]
        inside = np.zeros(plain.shape[:2], np.uint8)
        cv2.fillConvexPoly(inside, np.rint(oval).astype(np.int32), 1)
        changed = (plain != refined).any(2)
        assert changed.sum() > 0.3 * inside.sum()
        assert not changed[cv2.dilate(inside, np.ones((5, 5), np.uint8)) == 0].any()
        assert ((refined - plain) * np.sign(value) >= 0).all(), "no overflow"


def test_a_residual_lands_where_its_crop_says():
    """A bright spot at a known place of the crop appears at that place of the face, at any size of frame."""
    for frame in ((640, 480), (1280, 720)):
        rig = synthetic.rig(frame=frame)
        renderer = CpuRenderer(rig)
        deformation = deform(rig, SPEAKING)
        face, picture = renderer.rectify(deformation), renderer.warp(deformation)
        spot = np.zeros((CROP, CROP, 3), np.float32)
        cv2.circle(spot, (140, 90), 3, (0.5, 0.5, 0.5), -1)
        before = picture.astype(int)
        add_residual(picture, lite_refiner(lambda _, s=spot: s).refine(face, deformation), face)
        y, x = np.nonzero((picture - before).max(2) > 20)
        place = cv2.invertAffineTransform(face.from_frame.astype(np.float64)) @ [140, 90, 1]
        assert (x.mean(), y.mean()) == pytest.approx(tuple(place), abs=0.6)


# -- mouth painters ------------------------------------------------------------------------------------------


def test_the_lite_painter_starts_from_the_procedural_mouth():
    view, deformation, rig = viewed(MouthCrop.MOUTH)
    network = Seen(lambda x: x[..., 4:7])
    mouth = LiteNetworkPainter(mouth_cells(network), rig).paint(view, deformation)
    (x,) = network.inputs
    assert (x.shape, x.dtype) == ((96, 96, 10), np.float32)
    procedural = ProceduralMouth(rig)
    drawn, own = procedural.paint(view, deformation), procedural.own(view, deformation)
    m = view.mask[..., None]
    assert np.allclose(x[..., :3], view.rgb / 255 * (1 - m), atol=1e-6)
    assert np.array_equal(x[..., 3], view.mask)
    assert np.allclose(x[..., 4:7], drawn / 255 * m, atol=1e-6)
    assert np.allclose(x[..., 7], own / 255 * view.mask, atol=1e-6)
    assert np.allclose(x[..., 8:], view.displacement / 6, atol=1e-6)
    inside = view.mask == 1
    assert inside.any()
    assert np.array_equal(mouth[inside], drawn[inside])


def test_the_papers_painter_sees_the_face_with_a_hole():
    view, deformation, _ = viewed(MouthCrop.FACE)
    network = Seen(flat(0.5))
    mouth = PaperNetworkPainter(network).paint(view, deformation)
    (x,) = network.inputs
    assert (x.shape, x.dtype) == ((CROP, CROP, 4), np.float32)
    assert np.array_equal(x[..., 3], view.mask)
    assert np.allclose(x[..., :3][view.mask == 1], DATA_MEAN, atol=1e-6)
    assert np.allclose(x[..., :3][view.mask == 0], view.rgb[view.mask == 0] / 255, atol=1e-6)
    assert np.unique(mouth).tolist() == [128]


@pytest.mark.parametrize("crop", list(MouthCrop))
def test_both_crops_show_the_mouth_where_it_is(crop: MouthCrop):
    view, deformation, _ = viewed(crop)
    size = crop.value
    assert (view.rgb.shape, view.mask.shape, view.displacement.shape) == (
        (size, size, 3),
        (size, size),
        (size, size, 2),
    )
    y, x = np.nonzero(view.mask > 0.5)
    centre = cv2.invertAffineTransform(view.from_frame.astype(np.float64)) @ [x.mean(), y.mean(), 1]
    assert centre == pytest.approx(deformation.inner_mouth.mean(0), abs=2)
    assert view.lips is deformation.inner_mouth
    assert not viewed(crop, jaw=0.0)[0].mask.any()


def green(x: F32) -> F32:
    return np.full((*x.shape[:2], 3), (0, 1, 0), np.float32)


@pytest.mark.parametrize(
    "painter",
    [lambda rig: LiteNetworkPainter(mouth_cells(green), rig), lambda rig: PaperNetworkPainter(green)],
    ids=["lite", "paper"],
)
def test_what_a_network_paints_appears_between_the_lips_only(painter: Callable[[Rig], MouthPainter]):
    rig = synthetic.rig()
    motion = synthetic.motion(jaw=1.4, turn=(2, 6, 4))
    timer = StageTimer()
    plain = Animator(rig).animate(motion).rgb
    painted = Animator(rig, renderer=CpuRenderer(rig, painter=painter(rig)), timer=timer).animate(motion)
    lips = deform(rig, motion).inner_mouth
    between = np.zeros(plain.shape[:2], np.uint8)
    cv2.fillPoly(between, [np.rint(lips).astype(np.int32)], 1)
    changed = (plain != painted.rgb).any(2)
    assert not changed[cv2.dilate(between, np.ones((7, 7), np.uint8)) == 0].any()
    core = cv2.erode(between, np.ones((5, 5), np.uint8)) > 0
    assert np.abs(painted.rgb[core] - np.array([0, 255, 0])).max() <= 1
    assert painted.quality is Quality.WARP_ONLY, "the face was not refined"
    assert [time.stage for time in timer.times()] == ["deform", "warp", "mouth"]


@pytest.mark.parametrize(
    "painter",
    [lambda rig: LiteNetworkPainter(mouth_cells(broken), rig), lambda rig: PaperNetworkPainter(broken)],
    ids=["lite", "paper"],
)
def test_what_is_no_number_is_dark(painter: Callable[[Rig], MouthPainter]):
    made = painter(synthetic.rig())
    view, deformation, _ = viewed(made.crop)
    mouth = made.paint(view, deformation)
    assert set(np.unique(mouth)) == {0, 26}


def test_closed_lips_ask_no_network():
    network = Seen(green)
    rig = synthetic.rig()
    renderer = CpuRenderer(rig, painter=LiteNetworkPainter(mouth_cells(network), rig))
    Animator(rig, renderer=renderer).animate(synthetic.motion(jaw=0.0))
    assert network.inputs == []


# -- the real networks, untrained ----------------------------------------------------------------------------


def in_torch(name: str) -> Network:
    """A network as nets/ defines it, at the start of its training."""
    torch = pytest.importorskip("torch", reason="the networks are defined in torch (extra `train`)")
    from streamfx.nets import AsRun, build

    net = AsRun(build(name)).eval()

    def run(x: F32) -> F32:
        with torch.inference_mode():
            out = net(torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None])
        return np.ascontiguousarray(out[0].numpy().transpose(1, 2, 0))

    return run


def test_untrained_lite_networks_change_nothing():
    rig = synthetic.rig()
    refiner, painter = (
        LiteNetworkRefiner(in_torch("refine-lite")),
        LiteNetworkPainter(in_torch("mouth-lite"), rig),
    )
    plain, animator = Animator(rig), Animator(rig, renderer=CpuRenderer(rig, refiner=refiner))
    for jaw in (0.2, 0.9, 1.2):
        motion = synthetic.motion(jaw=jaw, smile=0.2)
        assert np.array_equal(plain.animate(motion).rgb, animator.animate(motion).rgb)
    view, deformation, _ = viewed(MouthCrop.MOUTH)
    drawn: U8 = ProceduralMouth(rig).paint(view, deformation)
    inside = view.mask == 1
    painted = painter.paint(view, deformation)[inside].astype(int)
    assert np.abs(painted - drawn[inside]).max() <= 3, "the gate is all but closed"


def test_the_papers_networks_fit_their_places():
    rig = synthetic.rig()
    refiner = PaperNetworkRefiner(in_torch("refine-paper"))
    painter = PaperNetworkPainter(in_torch("mouth-paper"))
    shown = Animator(rig, renderer=CpuRenderer(rig, refiner=refiner, painter=painter)).animate(SPEAKING)
    assert shown.quality is Quality.FULL
    assert shown.rgb.shape == (480, 640, 3)
