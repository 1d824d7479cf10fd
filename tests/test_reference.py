"""Reference photos: the person's own teeth, and nothing else, in their place and in the portrait's light."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import photo, shared, store

from streamfx.errors import PhotoUnreadable, PhotoUnsuitable
from streamfx.frames import FaceTrack, Motion, MouthLayer, Rig
from streamfx.geometry import Pose, rotation_matrix
from streamfx.pipeline import load_portrait
from streamfx.portrait.cache import RigCache
from streamfx.portrait.deform import deform
from streamfx.portrait.framing import Placement, frame_portrait, framed
from streamfx.portrait.photo import Photo, load_photo
from streamfx.portrait.rig import rig_digest, solve_rig
from streamfx.portrait.teeth.bite import bite_line
from streamfx.portrait.teeth.drawn import DENSITY, DEPTH, SIZE, grid
from streamfx.portrait.teeth.mouth import mouth_layer
from streamfx.portrait.teeth.own import OwnTeeth, merged
from streamfx.portrait.teeth.reference import Reference, Sitter
from streamfx.portrait.tones import Tones, carried
from streamfx.render import mouth as render_mouth
from streamfx.render.cpu import CpuRenderer
from streamfx.render.mouth import ProceduralMouth
from streamfx.topology import FACE_OVAL, INNER_MOUTH
from streamfx.track.motion import MotionEstimator
from streamfx.track.photo import PhotoAnalyser

GAP, JAW = 1.3, 0.6
"""cm between the painted reference's lips, and how far its chin hangs."""
SUNK = 0.92 * JAW
"""cm that lower teeth hang then (portrait/deform.py)."""
ENAMEL, BETWEEN, THROAT = (232, 226, 214), (90, 80, 75), (30, 30, 30)
EDGE, LOWER_EDGE = 0.10, -0.12
"""cm below the closed lips: where the painted rows end, the mouth closed."""
LINES = (-0.8, 0.0, 0.8)
"""cm from the midline: the dark lines between painted upper teeth."""
SEEN = [((0, 0, 0), 1.0), ((4, 9, 6), 1.0), ((-5, -8, -12), 2.2)]
"""How painted references are seen: pitch, yaw and roll in degrees, and how large."""
NEAR = 0.05
"""cm by which teeth may be misplaced."""


@cache
def smile(
    turned: tuple[float, float, float] = (0, 0, 0), large: float = 1.0, *, teeth: bool = True
) -> tuple[Photo, FaceTrack]:
    """The painted face with its mouth open, and two rows of teeth at known places behind the lips."""
    size = (round(800 * large), round(700 * large))
    face = synthetic.face_at_rest(GAP)
    face = face + JAW * (face[:, 1:2] > face[17, 1]) * np.array([0, 1, 0], np.float32)
    scale = 0.6 * min(size) / float(np.ptp(face[:, 1]))
    pose = Pose(scale, rotation_matrix(np.radians(turned)), np.array([size[0] / 2, size[1] / 2, 0.0]))
    irises = [synthetic._iris(face, eye) for eye in (0, 1)]
    points = pose.to_image(np.concatenate([face, *irises])).astype(np.float32)
    rgb, _ = synthetic.paint(size, points)
    if teeth:
        rgb = with_teeth(rgb, points, pose)
    return Photo(rgb, f"{turned} {large} {teeth}", "smile.png"), synthetic.track(points)


def with_teeth(rgb: np.ndarray, points: np.ndarray, pose: Pose) -> np.ndarray:
    """The picture with teeth in the opening, on the plane DEPTH behind the closed lips."""
    behind = np.array([0, 0, DEPTH])
    origin = synthetic.face_at_rest()[[13, 14]].mean(0) + behind
    boxes = [((-2.0, 2.0), (-1.0, EDGE), ENAMEL), ((-2.0, 2.0), (LOWER_EDGE + SUNK, 2.0), ENAMEL)]
    boxes += [((x - 0.035, x + 0.035), (-1.0, EDGE), BETWEEN) for x in LINES]
    inside = np.full(rgb.shape, THROAT, np.float64)
    for (left, right), (top, bottom), colour in boxes:
        corners = np.array([[left, top, 0], [right, top, 0], [right, bottom, 0], [left, bottom, 0]])
        inside = synthetic._filled(inside, pose.to_image(origin + corners)[:, :2], colour)
    mask = synthetic._filled(np.zeros(rgb.shape), points[list(INNER_MOUTH), :2], (1, 1, 1))
    return np.clip(rgb * (1 - mask) + inside * mask + 0.5, 0, 255).astype(np.uint8)


@cache
def sitter(rgb_of: str = "colour") -> Sitter:
    own, face, _ = synthetic.portrait()
    rgb = own.rgb if rgb_of == "colour" else grey(own.rgb)
    geometry = synthetic.geometry()
    return Sitter.of(rgb, face, geometry.pose(face.landmarks), geometry.weights)


def grey(rgb: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)


def teeth_of(reference: Reference) -> OwnTeeth:
    assert reference.teeth is not None
    return reference.teeth


FRONTAL = ((0, 0, 0), 1.0, True)
TOOTHLESS = ((0, 0, 0), 1.0, False)
"""References as `smile` paints them."""


def references(*smiles: tuple[tuple[float, float, float], float, bool]) -> list[Reference]:
    return [sitter().reference(*smile(turned, large, teeth=teeth)) for turned, large, teeth in smiles]


def mouth_with(*smiles: tuple[tuple[float, float, float], float, bool]) -> MouthLayer:
    """The portrait's mouth with such references."""
    own, face, _ = synthetic.portrait()
    pose = synthetic.geometry().pose(face.landmarks)
    shape = pose.to_canonical(face.landmarks).astype(np.float32)
    teeth = [one.teeth for one in references(*smiles) if one.teeth is not None]
    return mouth_layer(own.rgb, face.landmarks, shape, pose, teeth)


@cache
def rig() -> Rig:
    """The portrait with one reference."""
    return solve_rig(*synthetic.portrait(), synthetic.geometry(), (320, 240), references(FRONTAL))


# -- where teeth land ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("turned", "large"), SEEN)
def test_teeth_land_where_they_are_from_whatever_side_they_are_seen(turned, large):
    own = teeth_of(sitter().reference(*smile(turned, large)))
    assert own.edge == pytest.approx(EDGE, abs=NEAR)
    assert own.lower_edge == pytest.approx(LOWER_EDGE, abs=NEAR)
    x, _ = grid()
    rows = slice(round((EDGE - 0.4 + 2.2) * DENSITY), round((EDGE - 0.1 + 2.2) * DENSITY))
    light = own.upper[rows, :, :3].mean((0, 2))
    for line in LINES:
        near = np.abs(x[0] - line) < 0.25
        darkest = x[0][near][light[near].argmin()]
        assert darkest == pytest.approx(line, abs=NEAR)


def test_the_mouth_shows_them_at_their_place():
    """Through rig and painter: from the front, the edge of the teeth stands EDGE below the closed lips."""
    gaps = GAP * np.sin(np.linspace(0.1, 0.9, 9) * np.pi).astype(np.float32)
    deformation = deform(rig(), replace(synthetic.motion(), lip_gaps=gaps))
    renderer, painter = CpuRenderer(rig()), ProceduralMouth(rig())
    view = renderer.mouth_view(renderer.warp(deformation), deformation, painter.crop)
    beside = view.mask.shape[1] // 2 + 5  # the dark line is in the middle
    teeth = painter.paint(view, deformation)[:, beside].mean(1) > 100
    rows = np.flatnonzero(teeth & (painter.own(view, deformation)[:, beside] > 127))
    edge = rows[0] + int(np.argmin(teeth[rows[0] :]))
    closed = view.from_frame @ np.append(rig().landmarks[[13, 14], :2].mean(0), 1)
    assert (edge - closed[1]) * 7.0 / len(teeth) == pytest.approx(EDGE, abs=2 * NEAR)


def test_painter_and_portrait_agree_on_how_deep_teeth_lie():
    assert render_mouth._TEETH_DEPTH == DEPTH


def test_drawn_teeth_take_colour_and_edges_of_own_ones():
    plain, own = mouth_with(), mouth_with(FRONTAL)
    assert not plain.own.any()
    crowns = slice(round((LOWER_EDGE + 0.1 + 2.2) * DENSITY), round((LOWER_EDGE + 0.4 + 2.2) * DENSITY))
    drawn = (own.own[crowns, :, 1] == 0) & (own.lower[crowns, :, 3] > 200)
    beside = own.lower[crowns][drawn][:, :3].astype(float).mean(0)
    assert beside / beside.mean() == pytest.approx(np.array(ENAMEL) / np.mean(ENAMEL), abs=0.06)
    below = slice(round((EDGE + 0.15 + 2.2) * DENSITY), None)
    assert own.upper[below, SIZE[0] // 2 - 44 : SIZE[0] // 2 + 44, 3].max() < 40, "a second row"


def test_lips_gums_and_tongue_are_no_teeth():
    open_red = sitter().reference(*smile(teeth=False))
    assert open_red.teeth is None
    own = teeth_of(sitter().reference(*smile()))
    lip = np.array((170, 80, 85)) / 111.7
    for layer in (own.upper, own.lower):
        solid = layer[layer[..., 3] > 200]
        cast = solid[:, :3] / solid[:, :3].mean(1, keepdims=True)
        assert (np.abs(cast - lip).max(1) < 0.15).mean() < 0.01


def test_the_bite_line_takes_the_first_edge_of_two():
    """Upper and lower teeth in touch, with a faint shadow between: the line is there, not at the lip."""
    x, y = grid()
    opening = ((np.abs(x) < 2.2) & (np.abs(y - 0.2) < 0.6)).astype(np.float32)
    bright = np.where(np.abs(y - 0.25) < 0.05, 0.85, 1.0).astype(np.float32) * opening + 0.3 * (1 - opening)
    line = bite_line(bright.astype(np.float32), opening, opening)
    middle = (line[np.abs(x[0]) < 1.5] + 0.5) / DENSITY - SIZE[1] / (2 * DENSITY)
    assert np.abs(middle - 0.22).max() < 0.08


# -- in whose light ------------------------------------------------------------------------------------------


def test_a_darker_warmer_reference_gives_the_same_teeth():
    there, face = smile()
    warm = np.clip(there.rgb * np.array([0.72, 0.62, 0.52]), 0, 255).astype(np.uint8)
    usual, carried_over = (
        teeth_of(sitter().reference(replace(there, rgb=rgb), face)).enamel for rgb in (there.rgb, warm)
    )
    assert carried_over == pytest.approx(usual, abs=8)


def test_a_grey_portrait_gets_a_grey_mouth_and_a_grey_reference_white_teeth():
    there, face = smile()
    own = teeth_of(sitter("grey").reference(there, face)).upper
    assert np.ptp(own[..., :3], axis=2).max() < 2
    from_grey = teeth_of(sitter().reference(replace(there, rgb=grey(there.rgb)), face)).enamel
    assert np.ptp(from_grey) / from_grey.mean() < 0.2, "skin's colour on teeth"
    portrait, seen, _ = synthetic.portrait()
    pose = synthetic.geometry().pose(seen.landmarks)
    shape = pose.to_canonical(seen.landmarks).astype(np.float32)
    dull = mouth_layer(grey(portrait.rgb), seen.landmarks, shape, pose)
    for layer in (dull.upper, dull.lower, dull.tongue):
        assert np.ptp(layer[..., :3].astype(int), axis=2).max() <= 2


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.lists(st.floats(0, 255), min_size=9, max_size=9), st.floats(0, 255))
def test_no_light_makes_colours_impossible(values, level):
    skin = np.array([values[:3], values[3:6], values[6:], values[:3]], np.float32)
    plain = Tones(np.full((4, 3), level, np.float32), np.full(3, 200, np.float32))
    tones = Tones(skin, np.full(3, 200, np.float32))
    for source, target in ((plain, tones), (tones, plain)):
        out = carried(np.full((2, 2, 3), 200, np.float32), source, target)
        assert np.isfinite(out).all()
        assert (out >= 0).all()
        assert out.max() <= 200 * 2.5 * 1.6


# -- several references --------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=4))
def test_another_reference_takes_nothing_away(seeds):
    finds = [random_teeth(seed) for seed in seeds]
    together = merged(finds)
    assert together is not None
    fewer = merged(finds[:-1])
    assert fewer is not None
    for name in ("upper", "lower"):
        before, after = getattr(fewer, name), getattr(together, name)
        assert (after[..., 3] >= before[..., 3] - 1e-3).all()
        assert (after[..., :3] <= after[..., 3:] + 1e-2).all(), "not premultiplied"
        solid = before[..., 3] > 254.9
        assert np.abs(after[solid] - before[solid]).max(initial=0) < 0.2, "the first was overwritten"


def random_teeth(seed: int) -> OwnTeeth:
    random = np.random.default_rng(seed)

    def blob() -> np.ndarray:
        alpha = cv2.GaussianBlur(random.random((SIZE[1], SIZE[0])).astype(np.float32), (0, 0), 9)
        return np.clip((alpha - 0.5) * 40, 0, 1)

    def layer() -> np.ndarray:
        alpha = blob()[..., None]
        return np.concatenate([alpha * random.uniform(120, 255, 3), 255 * alpha], 2).astype(np.float32)

    return OwnTeeth(layer(), layer(), blob().astype(np.float32), None)


def test_two_references_show_more_than_one():
    left, right = ((0, -20, 0), 1.0, True), ((0, 20, 0), 1.0, True)
    one, both = mouth_with(left).own, mouth_with(left, right).own
    assert (both > 127).sum() > (one > 127).sum()


# -- what is said about them ---------------------------------------------------------------------------------


def test_findings_name_the_photo_and_what_is_wrong():
    (toothless,) = sitter().reference(*smile(teeth=False)).findings
    assert "smile.png shows no teeth" in str(toothless)
    (turned,) = sitter().reference(*smile((0, 32, 0))).findings
    assert "turned" in str(turned)
    assert "sideways" in str(turned)
    (small,) = sitter().reference(*smile(large=0.32)).findings
    assert "px tall" in str(small)
    assert sitter().reference(*smile()).findings == ()


def test_a_reference_without_teeth_leaves_the_mouth_as_it_is():
    plain, same = mouth_with(), mouth_with(TOOTHLESS)
    assert np.array_equal(plain.upper, same.upper)
    assert np.array_equal(plain.own, same.own)


def test_the_digest_names_every_reference():
    own = synthetic.portrait()[0].sha256
    digests = {rig_digest(own, (640, 480), references) for references in ("", "a", "b", "ab")}
    assert len(digests) == 4
    assert rig().digest == rig_digest(own, rig().size, [smile()[0].sha256])


# -- real photos ---------------------------------------------------------------------------------------------


def test_references_are_read_checked_and_cached(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((400, 400, 3), 128, np.uint8))
    with pytest.raises(PhotoUnsuitable, match=r"No face was found in grey\.png"):
        load_portrait(photo(), (320, 240), store(), references=[tmp_path / "grey.png"])
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(PhotoUnreadable, match=r"text\.png"):
        load_portrait(photo(), (320, 240), store(), references=[tmp_path / "text.png"])
    rigs = RigCache(tmp_path / "rigs")
    solved = load_portrait(photo(), (320, 240), store(), rigs, references=[photo()])
    read = load_portrait(photo(), (320, 240), store(), rigs, references=[photo()])
    assert np.array_equal(read.rig.mouth.upper, solved.rig.mouth.upper)
    alone = load_portrait(photo(), (320, 240), store(), rigs)
    assert alone.rig.digest != solved.rig.digest
    assert (solved.rig.mouth.own >= alone.rig.mouth.own.astype(int) - 1).all()
    assert alone.rig.mouth.own[..., 0].max() > 200, "she smiles"


SMILERS = ("006", "008", "025", "030", "061", "107", "129")
"""London sitters whose smile shows teeth in plain sight."""


@pytest.mark.shared
def test_the_sitters_own_smile_brings_the_mouth_nearer_to_the_truth():
    """Measured: 5.9 dB on average, 1.9 at least; the photo that lends the teeth is the truth's own."""
    gains = []
    with PhotoAnalyser(store().path("face_landmarker"), store().path("selfie_segmentation")) as analyser:
        for number in SMILERS:
            seen = [
                load_photo(shared(f"portraits/{name}"))
                for name in (f"london_{number}_neutral.jpg", f"smile_gt/london_{number}_smile.jpg")
            ]
            faces = [analyser.faces(one.rgb)[0] for one in seen]
            gains.append(gain_of(seen, faces))
    assert min(gains) > 1
    assert np.mean(gains) > 4


def gain_of(photos: list[Photo], faces: list[FaceTrack]) -> float:
    """dB by which the second photo, as a reference, brings the painted mouth nearer to it."""
    geometry, (neutral, smiling) = synthetic.geometry(), faces
    pose = geometry.pose(neutral.landmarks)
    reference = Sitter.of(photos[0].rgb, neutral, pose, geometry.weights).reference(photos[1], smiling)
    everybody = np.ones(photos[0].rgb.shape[:2], np.float32)
    plain = solve_rig(photos[0], neutral, everybody, geometry, (640, 480))
    shape = pose.to_canonical(neutral.landmarks).astype(np.float32)
    own = mouth_layer(photos[0].rgb, neutral.landmarks, shape, pose, [teeth_of(reference)])
    estimator = MotionEstimator(geometry.vertices, geometry.rms)
    estimator.prime([neutral])
    motion = estimator.update(smiling, 0, 0)
    placement = frame_portrait(photos[0].size, neutral.landmarks[list(FACE_OVAL), :2], everybody, plain.size)
    drawn, known = (
        mouth_error(one, motion, placement, photos[1], smiling) for one in (plain, replace(plain, mouth=own))
    )
    return float(10 * np.log10(drawn / known))


def mouth_error(rig: Rig, motion: Motion, placement: Placement, there: Photo, smiling: FaceTrack) -> float:
    """Mean square difference of the painted mouth to the true one, each cut out by its own lips."""
    deformation = deform(rig, motion)
    renderer, painter = CpuRenderer(rig), ProceduralMouth(rig)
    view = renderer.mouth_view(renderer.warp(deformation), deformation, painter.crop)
    lips = placement.points(smiling.landmarks)[list(INNER_MOUTH), :2]
    to_true, _ = cv2.estimateAffinePartial2D(deformation.inner_mouth, lips)
    back = np.vstack([cv2.invertAffineTransform(view.from_frame.astype(float)), [0, 0, 1]])
    pad, n = placement.pad, view.mask.shape[0]
    frame = framed(there.rgb, placement)[pad : pad + rig.size[1], pad : pad + rig.size[0]]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    truth = cv2.warpAffine(frame, to_true @ back, (n, n), flags=flags)
    off = (painter.paint(view, deformation).astype(float) - truth) ** 2
    return float((off.mean(2) * view.mask).sum() / view.mask.sum())
