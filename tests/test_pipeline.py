"""The one data flow: a source's pictures become motions, motions become the portrait's pictures."""

from __future__ import annotations

import gc
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import write_video
from scenes import MOTION, face_clip, photo, store

from streamfx.driving.face import FaceDriver
from streamfx.driving.template import MotionTemplate
from streamfx.errors import PhotoUnreadable, PhotoUnsuitable, SourceLost
from streamfx.frames import U8, Deformation, Frame, Motion
from streamfx.pipeline import Animator, Portrait, animate, load_portrait
from streamfx.portrait.cache import RigCache
from streamfx.quality import Quality
from streamfx.render.base import Mode, MouthCrop, MouthView, Rectified, Residual
from streamfx.render.cpu import CpuRenderer
from streamfx.settings.session import Gains
from streamfx.source import Source, SourceInfo, SourceStatistics, open_source
from streamfx.telemetry import StageTimer

SIZE = (320, 240)


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return load_portrait(photo(), SIZE, store())


@pytest.fixture(scope="module")
def motions() -> list[Motion]:
    """The demo's motion, every fourth frame."""
    return list(MotionTemplate.load(MOTION).frames())[::4]


def driven(path: Path, **how: int) -> tuple[list[Motion], FaceDriver]:
    with open_source(path) as source:
        driver = FaceDriver(source, store(), StageTimer(), **how)
        return list(driver.motions()), driver


# -- the photo ---------------------------------------------------------------------------------------------


def test_a_portrait_is_solved_once_and_then_read(tmp_path: Path, portrait: Portrait):
    cache = RigCache(tmp_path / "rigs")
    solved = load_portrait(photo(), SIZE, store(), cache)
    assert len(list((tmp_path / "rigs").iterdir())) == 1
    read = load_portrait(photo(), SIZE, store(), cache)
    assert read.findings == solved.findings
    assert read.sha256 == solved.sha256
    assert read.rig.digest == solved.rig.digest == portrait.rig.digest
    assert np.array_equal(read.rig.vertices, solved.rig.vertices)
    assert np.array_equal(read.rig.layer, solved.rig.layer)


def test_a_photo_without_a_face_is_unsuitable(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((400, 400, 3), 128, np.uint8))
    with pytest.raises(PhotoUnsuitable, match="No face"):
        load_portrait(tmp_path / "grey.png", SIZE, store())
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(PhotoUnreadable):
        load_portrait(tmp_path / "text.png", SIZE, store())


# -- driver to motion --------------------------------------------------------------------------------------


def test_one_motion_per_picture_in_order():
    motions, driver = driven(face_clip())
    assert [motion.seq for motion in motions] == list(range(60))
    assert (np.diff([motion.captured_ns for motion in motions]) > 0).all()
    assert (driver.pictures, driver.tracked) == (60, 60)
    assert max(float(motion.lip_gaps.max()) for motion in motions) > 0.3, "the clip opens its mouth"


def test_tracking_ahead_changes_no_number():
    ahead, _ = driven(face_clip(), depth=8)
    serial, _ = driven(face_clip(), depth=0)
    for a, b in zip(ahead, serial, strict=True):
        assert np.array_equal(a.expression, b.expression)
        assert np.array_equal(a.rotation, b.rotation)


def test_lookahead_gives_a_film_its_neutral_from_the_start():
    """Without it the first pictures are the neutral until better ones come."""
    with_it, _ = driven(face_clip())
    without, _ = driven(face_clip(), lookahead=0)
    assert any(not np.array_equal(a.expression, b.expression) for a, b in zip(with_it, without, strict=True))


def test_pictures_without_a_face_are_held(tmp_path: Path):
    motions, driver = driven(write_video(tmp_path / "grey.mp4", 5, size=(160, 120)))
    assert (driver.pictures, driver.tracked) == (5, 0)
    assert all(motion.held and motion.presence == 0 for motion in motions)


def test_stopping_early_ends_the_thread():
    before = threading.active_count()
    with (
        open_source(face_clip()) as source,
        closing(FaceDriver(source, store(), StageTimer()).motions()) as one,
    ):
        next(one)
    assert threading.active_count() == before


class LostSource(Source):
    """A camera that is unplugged after three pictures."""

    info = SourceInfo("lost", 160, 120, 30.0, None, None, "test", 0, live=True, has_audio=False)
    statistics = SourceStatistics()

    def __init__(self) -> None:
        self.given = 0

    def __next__(self) -> Frame:
        if self.given == 3:
            raise SourceLost("The camera is gone", "Plug it in")
        self.given += 1
        return Frame(np.zeros((120, 160, 3), np.uint8), self.given * 33_000_000, self.given - 1)

    def close(self) -> None:
        pass


def test_a_lost_camera_is_told_after_its_last_picture():
    seen = []
    with LostSource() as source, closing(FaceDriver(source, store(), StageTimer()).motions()) as motions:
        for _ in range(3):
            seen.append(next(motions).seq)
        with pytest.raises(SourceLost, match="gone"):
            next(motions)
    assert seen == [0, 1, 2]


def test_pictures_are_let_go_at_once():
    """A cycle through a picture keeps it until the collector runs, which in a film is hardly ever."""
    with open_source(face_clip()) as source:
        next(source)
        gc.collect()
        gc.disable()
        try:
            count = sum(1 for _ in source)
            left = gc.collect()
        finally:
            gc.enable()
    assert left < count / 2, f"{left} objects were kept by {count} pictures"


# -- motion to picture -------------------------------------------------------------------------------------


def test_the_background_is_the_photo_and_the_face_moves(portrait: Portrait, motions: list[Motion]):
    made = list(animate(Animator(portrait.rig), motions))
    assert {one.quality for one in made} == {Quality.WARP_ONLY}
    assert [one.captured_ns for one in made] == [motion.captured_ns for motion in motions]
    stack = np.stack([one.rgb for one in made]).astype(int)
    assert stack.shape == (len(motions), 240, 320, 3)
    moved = np.ptp(stack, axis=0).max(axis=2)
    assert np.median(moved) <= 1, "the background swims"
    x, y = portrait.rig.vertices[13].astype(int)
    assert moved[y - 5 : y + 6, x - 5 : x + 6].mean() > 40, "the mouth is still"


def test_a_picture_depends_on_its_motion_only_where_lips_are_closed(
    portrait: Portrait, motions: list[Motion]
):
    """No state but the mouth's blend: the same closed-mouthed motion gives the same picture, whenever."""
    closed = Motion.rest()
    animator = Animator(portrait.rig)
    first = animator.animate(closed).rgb
    for motion in motions[:20]:
        animator.animate(motion)
    assert np.array_equal(animator.animate(closed).rgb, first)


def test_frames_already_given_are_not_overwritten(portrait: Portrait, motions: list[Motion]):
    animator = Animator(portrait.rig)
    first = animator.animate(motions[0]).rgb
    before = first.copy()
    for motion in motions[1:10]:
        animator.animate(motion)
    assert np.array_equal(first, before)


@pytest.mark.parametrize("mode", list(Mode))
def test_gains_of_zero_still_the_portrait(portrait: Portrait, motions: list[Motion], mode: Mode):
    still = Animator(portrait.rig, renderer=CpuRenderer(portrait.rig, mode=mode), gains=Gains(0, 0, 0))
    plain = Animator(portrait.rig, renderer=CpuRenderer(portrait.rig, mode=mode))
    at_rest = plain.animate(Motion.rest()).rgb.astype(int)
    widest = max(motions, key=lambda motion: float(np.abs(motion.rotation).max()))
    assert np.abs(still.animate(widest).rgb - at_rest).mean() < 0.5


class Reddening:
    """A refiner that can be seen: reddens the whole face."""

    def refine(self, face: Rectified, deformation: Deformation) -> Residual:
        rgb = np.zeros((256, 256, 3), np.float32)
        rgb[..., 0] = 0.3
        return Residual(rgb)


class GreenMouth:
    """A mouth painter that can be seen."""

    crop = MouthCrop.MOUTH

    def paint(self, view: MouthView, deformation: Deformation) -> U8:
        return np.full((*view.mask.shape, 3), (0, 255, 0), np.uint8)


def test_the_networks_are_two_arguments(portrait: Portrait, motions: list[Motion]):
    timer = StageTimer()
    widest = max(motions, key=lambda motion: float(motion.lip_gaps.mean()))
    plain = Animator(portrait.rig).animate(widest)
    renderer = CpuRenderer(portrait.rig, refiner=Reddening(), painter=GreenMouth())
    full = Animator(portrait.rig, renderer=renderer, timer=timer).animate(widest)
    assert (plain.quality, full.quality) == (Quality.WARP_ONLY, Quality.FULL)
    assert [time.stage for time in timer.times()] == ["deform", "warp", "refine", "mouth"]
    redder = full.rgb[..., 0].astype(int) - plain.rgb[..., 0]
    assert redder.max() > 40
    assert (redder > 10).mean() < 0.2, "only the face"
    green = (full.rgb[..., 1] > 200) & (full.rgb[..., 2] < 80)
    assert green.sum() > 5


@pytest.mark.parametrize(
    ("presence", "held", "quality"),
    [(1.0, False, Quality.WARP_ONLY), (0.5, True, Quality.HELD), (0.0, True, Quality.IDLE)],
)
def test_quality_tells_how_a_frame_came_about(
    portrait: Portrait, presence: float, held: bool, quality: Quality
):
    motion = replace(Motion.rest(), presence=presence, held=held)
    assert Animator(portrait.rig).animate(motion).quality is quality
