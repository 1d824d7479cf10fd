"""How photos are framed: they stand on the frame's lower edge, fill it where they can, and end cleanly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.frames import Motion, Rig
from streamfx.portrait.deform import deform
from streamfx.portrait.framing import frame_portrait
from streamfx.portrait.plate import behind
from streamfx.portrait.rig import solve_rig
from streamfx.portrait.surroundings import continued
from streamfx.render.base import Mode
from streamfx.render.cpu import CpuRenderer
from streamfx.settings.framing import AS_IT_FITS, SHIFTS, ZOOMS, Framing, FramingKind

FRAME = (320, 240)
DOWN = replace(
    Motion.rest(),
    translation=np.array([0, 9, 0], np.float32),
    rotation=np.array([0.3, 0, 0.4], np.float32),
    presence=1.0,
    held=False,
)
ASIDE = replace(DOWN, translation=np.array([15, 0, 0], np.float32))


_BUSY = (
    np.kron(np.indices((60, 60)).sum(0) % 2, np.ones((20, 20)))[..., None].repeat(3, 2).astype(np.uint8) * 160
)


def rig(size: tuple[int, int], height: float, framing: Framing = AS_IT_FITS, wall: bool = False) -> Rig:
    """A painted portrait before a busy pattern; `wall`: before a plain wall, with nobody at its sides."""
    photo, face, person = synthetic.portrait(size, height=height)
    rgb = np.where(person[..., None] > 0.5, photo.rgb, _BUSY[: size[1], : size[0]])
    if wall:
        person[:, : size[0] // 8] = person[:, -size[0] // 8 :] = 0
        rgb = np.where(person[..., None] > 0.5, photo.rgb, np.uint8(190))
    photo = replace(photo, rgb=rgb, sha256=f"{wall} {size} {height}")
    return solve_rig(photo, face, person, synthetic.geometry(), FRAME, (), framing)


def drawn(portrait: Rig, motion: Motion, mode: Mode = Mode.LAYER) -> tuple[np.ndarray, np.ndarray | None]:
    """RGB, and alpha in cut-out mode."""
    renderer = CpuRenderer(portrait, mode)
    renderer.warp(deform(portrait, motion))
    picture = renderer.picture()
    return picture.rgb, picture.alpha


@settings(deadline=None, max_examples=80, derandomize=True)
@given(
    st.tuples(st.integers(100, 1500), st.integers(100, 1500)),
    st.tuples(st.floats(0.15, 0.8), st.floats(0.3, 0.7), st.floats(0.3, 0.6)),
    st.sampled_from([(640, 480), (1280, 720), (480, 640)]),
    st.builds(
        Framing, st.sampled_from(FramingKind), st.floats(*ZOOMS), st.floats(*SHIFTS), st.floats(*SHIFTS)
    ),
)
def test_the_photo_stands_on_the_frames_edge_and_the_face_is_in_it(photo, face, size, framing):
    (width, height), (share, x, y) = photo, face
    tall = share * min(width, height)
    angles = np.linspace(0, 2 * np.pi, 36)
    circle = np.column_stack([0.75 * np.cos(angles), np.sin(angles)])
    oval = (np.array([x * width, y * height]) + tall / 2 * circle).astype(np.float32)
    person = np.zeros((height, width), np.float32)
    person[round(y * height - tall) if y * height > tall else 0 :, :] = 1
    placement = frame_portrait(photo, oval, person, size, framing)
    shown = placement.points(oval)
    half = placement.scale / 2 + 0.5  # a pixel's centre lies half a pixel inside its edge
    assert (shown.min(0) >= -half).all()
    assert (shown.max(0) <= np.array(size) + half).all()
    end = placement.points(np.array([[0, height - 0.5]], np.float32))
    assert end[0, 1] >= size[1] - 1.5, "the torso ends above the frame's edge"
    if framing == AS_IT_FITS and min(height, width * size[1] / size[0]) * 0.72 > tall:
        first, last = placement.points(np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]], np.float32))
        assert (first <= 0.5).all(), "a photo that can fill the frame does not"
        assert (last >= np.array(size) - 1.5).all()


def test_a_person_that_ends_within_the_photo_stands_on_the_edge_too():
    photo, face, person = synthetic.portrait((400, 400), height=0.4)
    person[330:] = 0
    oval = face.landmarks[list(synthetic.FACE_OVAL), :2]
    placement = frame_portrait(photo.size, oval, person, FRAME)
    assert placement.points(np.array([[0, 330]], np.float32))[0, 1] >= FRAME[1] - 1


@pytest.mark.parametrize("size", [(640, 480), (1280, 720)])
@pytest.mark.parametrize("hair", [0.1, 0.35, 0.6])
def test_hair_is_in_the_frame_where_the_photo_has_it(size: tuple[int, int], hair: float):
    """Of any height, in share of the face's: the photo is moved down, or shown smaller."""
    oval = np.array([[400, 400], [800, 900]], np.float32)
    person = np.zeros((1300, 1200), np.float32)
    person[round(400 - hair * 500) :, 350:850] = 1
    person[1050:, 100:1100] = 1
    placement = frame_portrait((1200, 1300), oval, person, size)
    crown = placement.points(np.array([[600, 400 - hair * 500]], np.float32))[0, 1]
    chin = placement.points(oval)[1, 1]
    assert 0 <= crown < chin < size[1]
    assert placement.offset[1] + 1300 * placement.scale >= size[1] - 1, "nothing floats"


def test_kinds_and_numbers_change_what_is_seen():
    face = {}
    for kind in FramingKind:
        portrait = rig((480, 640), 0.3, Framing(kind))
        oval = portrait.landmarks[list(synthetic.FACE_OVAL), :2]
        face[kind] = float(np.ptp(oval[:, 1])) / FRAME[1]
    assert face[FramingKind.CLOSE] == pytest.approx(0.62, abs=0.01)
    tall = np.ptp(synthetic.portrait((480, 640), height=0.3)[1].landmarks[list(synthetic.FACE_OVAL), 1])
    assert face[FramingKind.PHOTO] == pytest.approx(tall / 640, abs=0.01)
    assert face[FramingKind.PHOTO] < face[FramingKind.WIDE] < face[FramingKind.CLOSE]
    plain, moved = (
        rig((480, 640), 0.3, framing) for framing in (Framing(), Framing(zoom=1.2, x=0.1, y=0.05))
    )
    assert moved.scale == pytest.approx(1.2 * plain.scale, rel=1e-3)
    off = (moved.landmarks - plain.landmarks)[list(synthetic.FACE_OVAL), :2]
    assert (off.min(0) + off.max(0)) / 2 == pytest.approx([32, 12], abs=1.5)
    assert plain.digest != moved.digest


def test_a_tight_upright_photo_stands_before_its_backdrop_with_clean_edges():
    portrait = rig((300, 400), 0.62)
    left, top, right, bottom = portrait.stage.tolist()
    assert (top, bottom) == (0, FRAME[1])
    assert left > 30
    assert right < FRAME[0] - 30
    rest, _ = drawn(portrait, Motion.rest())
    pad = portrait.pad
    photo = portrait.photo[pad : pad + FRAME[1], pad : pad + FRAME[0]]
    solid = portrait.layer[pad : pad + FRAME[1], pad : pad + FRAME[0], 3] == 255
    solid[: round(float(portrait.landmarks[152, 1]))] = False  # eyes are drawn anew
    assert np.abs(rest.astype(int) - photo)[solid].max() <= 2, "at rest nothing changes"
    middle = (left + right) // 2
    assert portrait.layer[pad + FRAME[1] - 1, pad + middle, 3] == 255, "the torso fades at the edge"
    for motion in (DOWN, ASIDE):
        moved, _ = drawn(portrait, motion)
        assert (moved[:, :left] == portrait.plate[:, :left]).all(), "the person left the photo"
        assert (moved[:, right:] == portrait.plate[:, right:]).all()
        assert np.abs(moved[-1, middle].astype(int) - rest[-1, middle]).max() < 40, "the torso came off"
    backdrop = portrait.plate[:, :left].astype(np.float32)
    assert np.abs(np.diff(backdrop, axis=0)).max() < 8, "the backdrop is not blurred"


def test_a_plain_wall_goes_on():
    portrait = rig((300, 400), 0.62, wall=True)
    assert portrait.stage.tolist() == [0, 0, *FRAME]
    assert np.abs(portrait.plate[:, :30].astype(int) - 190).max() < 12
    assert np.abs(portrait.plate[:, -30:].astype(int) - 190).max() < 12


def test_hair_that_the_photo_cuts_is_never_seen_cut():
    photo, face, person = synthetic.portrait((640, 480), height=0.5)
    top = int(face.landmarks[:, 1].min()) - 12
    cut = replace(photo, rgb=np.ascontiguousarray(photo.rgb[top:]), sha256="cut")
    lower = replace(face, landmarks=face.landmarks - np.array([0, top, 0], np.float32))
    portrait = solve_rig(cut, lower, person[top:], synthetic.geometry(), FRAME)
    centre = round(float(portrait.landmarks[list(synthetic.FACE_OVAL), 0].mean()))
    low = replace(DOWN, rotation=np.zeros(3, np.float32))
    assert deform(portrait, low).vertices[10, 1] > portrait.landmarks[10, 1] + 8, "the head goes down"
    alpha = drawn(portrait, low, Mode.CUTOUT)[1]
    assert alpha is not None
    widths = (alpha > 127).sum(1).astype(int)
    first = int(np.flatnonzero(widths)[0])
    assert alpha[first + 4 :, centre].min() > 250, "the cap has a seam"
    assert widths[first] < 0.6 * widths[first + 12], "hair ends in a line, not in a cap"


def test_a_cheek_that_the_photo_cuts_is_not_invented():
    photo, face, person = synthetic.portrait((400, 400), height=0.6)
    right = int(face.landmarks[:, 0].max()) - 15
    cut = replace(photo, rgb=np.ascontiguousarray(photo.rgb[:, :right]), sha256="cheek")
    portrait = solve_rig(cut, face, person[:, :right], synthetic.geometry(), FRAME)
    edge = portrait.stage[2]
    along = np.abs(portrait.landmarks[:468, 0] - edge) < 4
    for turn in (-0.3, 0.3):
        away = replace(
            DOWN, translation=np.array([-3, 0, 0], np.float32), rotation=np.array([0, turn, 0], np.float32)
        )
        moved = deform(portrait, away).vertices[:468, 0]
        assert (moved - portrait.landmarks[:468, 0])[along].min() > -1.5, "the cut comes into view"
        picture, _ = drawn(portrait, away)
        assert (picture[:, edge + 1 :] == portrait.plate[:, edge + 1 :]).all(), "something left the photo"


def test_a_narrow_band_of_hair_is_not_drawn_out_into_streaks():
    picture, known = np.zeros((300, 200, 3), np.float32), np.zeros((300, 200), np.float32)
    known[80:] = 1
    picture[80:, np.arange(200) // 8 % 2 == 0] = 160
    oval = np.array([[60, 90], [140, 90], [60, 200], [140, 200]], np.float32)
    hair = continued(picture, known, known, oval)
    assert hair.opacity[60, 100] == 1
    assert np.ptp(hair.rgb[79, 40:160]) > 100, "right above the photo its hair goes on"
    assert np.ptp(hair.rgb[40:70, 40:160]) < 10
    assert hair.rgb[50, 100].mean() == pytest.approx(80, abs=5)


def test_what_lies_beside_the_person_stays_but_for_stray_hair():
    """Before a busy street nothing near the person is smoothed away; before a wall a strand of hair is."""
    y, x = np.mgrid[:240, :320]
    person = np.hypot(x - 160, y - 130) < 60
    beside = (np.hypot(x - 160, y - 130) < 70) & (np.hypot(x - 160, y - 130) > 64)
    known = np.ones(person.shape, np.float32)
    blocks = np.random.default_rng(1).uniform(60, 190, (24, 32, 3)).repeat(10, 0).repeat(10, 1)
    street = np.where(person[..., None], 40, blocks).astype(np.float32)
    assert np.abs(behind(street, known, person, 120) - street)[beside].mean() < 6
    wall = np.where(person, 40, 180)[..., None] + np.float32([0, 0, 0]) + (blocks / 200).astype(np.float32)
    strand = beside & (np.abs(y - 130) < 2)
    wall[strand] = 90
    cleared = behind(wall, known, person, 120)
    assert np.abs(cleared[strand] - 180).max() < 15


def test_a_narrow_strip_beside_the_person_is_background_too():
    """Of a crop so tight that all lies near the person the plate was black."""
    known = np.ones((240, 200), np.float32)
    person = np.zeros(known.shape, bool)
    person[:, 8:-8] = True
    picture = np.where(person[..., None], 60, 180) + np.zeros(3, np.float32)
    assert np.abs(behind(picture.astype(np.float32), known, person, 200) - 180).max() < 15
