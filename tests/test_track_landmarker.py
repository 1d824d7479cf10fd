"""The tracker on pictures made from a real photo: it follows, it loses, it keeps the right face."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from streamfx.errors import ModelCorrupt, ModelMissing
from streamfx.frames import FaceTrack, Frame
from streamfx.geometry import fit_pose, vertex_weights, yaw_pitch_roll
from streamfx.models.face_model import load_face_model
from streamfx.models.store import Store
from streamfx.track.engine import Landmarker
from streamfx.track.landmarker import FaceTracker
from streamfx.track.plausible import FaceGate

SHARED = Path(os.environ.get("STREAMFX_SHARED", Path(__file__).parents[2] / "shared"))
SIZE = (640, 480)
FACE_AT = (224, 110)
"""px of the middle of the face in the photo."""
STEP_NS = 33_333_333


@pytest.fixture(scope="module")
def task() -> Path:
    return Store.default().ensure("face_landmarker")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    with Image.open(Store.default().ensure("astronaut")) as image:
        return np.array(image.convert("RGB"))


@pytest.fixture
def tracker(task: Path):
    with FaceTracker(task) as tracker:
        yield tracker


def placed(photo: np.ndarray, at: tuple[float, float], scale: float = 1.0, turn_deg: float = 0) -> np.ndarray:
    """A picture in which the photo's face lies `at`, scaled and turned clockwise."""
    matrix = cv2.getRotationMatrix2D(FACE_AT, -turn_deg, scale)
    matrix[:, 2] += np.subtract(at, FACE_AT)
    return np.asarray(cv2.warpAffine(photo, matrix, SIZE, flags=cv2.INTER_LINEAR, borderValue=(90, 90, 90)))


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The left half of one picture beside the right half of another."""
    half = SIZE[0] // 2
    return np.ascontiguousarray(np.concatenate([left[:, :half], right[:, half:]], axis=1))


class Camera:
    """Hands pictures to a tracker at 30 a second."""

    def __init__(self, tracker: FaceTracker) -> None:
        self.tracker, self.ns, self.seq = tracker, 5 * 10**9, 0

    def show(self, rgb: np.ndarray, count: int = 1, epoch: int = 0) -> list[FaceTrack | None]:
        found = []
        for _ in range(count):
            found.append(self.tracker.track(Frame(rgb, self.ns, self.seq, epoch)))
            self.ns += STEP_NS
            self.seq += 1
        return found


def middle(track: FaceTrack | None) -> np.ndarray:
    assert track is not None
    return track.landmarks[:, :2].mean(0)


BLANK = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)


def test_the_pose_follows_the_picture(tracker: FaceTracker, task: Path, photo: np.ndarray):
    vertices, weights, camera = load_face_model(task).vertices, vertex_weights(), Camera(tracker)

    def pose(at: tuple[float, float], scale: float, turn: float):
        track = camera.show(placed(photo, at, scale, turn), 12)[-1]
        assert track is not None
        return fit_pose(vertices, track.landmarks, weights)

    straight, moved = pose((320, 200), 1.5, 0), pose((360, 230), 1.5, 0)
    assert (moved.translation - straight.translation)[:2] == pytest.approx([40, 30], abs=2)
    larger, turned = pose((320, 200), 1.8, 0), pose((320, 200), 1.5, 15)
    assert larger.scale / straight.scale == pytest.approx(1.2, abs=0.02)
    rolls = [yaw_pitch_roll(p.rotation)[2] for p in (straight, turned)]
    assert rolls[1] - rolls[0] == pytest.approx(15, abs=1.5)


def test_a_track_has_the_shapes_and_types_promised(tracker: FaceTracker, photo: np.ndarray):
    (track,) = Camera(tracker).show(placed(photo, (320, 200), 1.5))
    assert track is not None
    assert (track.landmarks.shape, track.landmarks.dtype) == ((478, 3), np.float32)
    assert (track.blendshapes.shape, track.blendshapes.dtype) == ((52,), np.float32)
    assert 0.3 < track.confidence <= 1
    assert (track.captured_ns, track.epoch, track.person) == (5 * 10**9, 0, 0)


def test_large_pictures_are_measured_in_their_own_px(tracker: FaceTracker, photo: np.ndarray):
    small = placed(photo, (320, 200), 1.5)
    large = np.asarray(cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC))
    camera = Camera(tracker)
    one, other = camera.show(small, 6)[-1], camera.show(large, 6, epoch=1)[-1]
    assert middle(other) == pytest.approx(4 * middle(one), abs=4)


def test_no_face_is_no_track_and_a_face_that_returns_is_found(tracker: FaceTracker, photo: np.ndarray):
    camera, face = Camera(tracker), placed(photo, (320, 200), 1.5)
    assert camera.show(BLANK, 5) == [None] * 5
    assert all(camera.show(face, 5))
    assert camera.show(BLANK, 5) == [None] * 5
    back = camera.show(face, 3)
    assert back[-1] is not None
    assert back[-1].person == 0


@pytest.mark.parametrize("big_on_the_left", [True, False])
def test_of_two_faces_the_larger_is_followed(tracker: FaceTracker, photo: np.ndarray, big_on_the_left: bool):
    big, small = ((160, 200), (480, 200)) if big_on_the_left else ((480, 200), (160, 200))
    halves = [placed(photo, big, 1.6), placed(photo, small, 0.9)]
    tracks = Camera(tracker).show(beside(*(halves if big_on_the_left else halves[::-1])), 30)
    assert all(np.abs(middle(track)[0] - big[0]) < 60 for track in tracks)


def test_a_change_of_person_takes_half_a_second(tracker: FaceTracker, photo: np.ndarray):
    camera = Camera(tracker)
    big, small = placed(photo, (160, 200), 1.6), placed(photo, (480, 200), 0.9)
    camera.show(beside(big, small), 10)
    alone = camera.show(beside(BLANK, small), 25)
    assert alone[:14] == [None] * 14  # 0.47 s
    assert alone[-1] is not None
    assert alone[-1].person == 1
    assert middle(alone[-1])[0] > 400


def test_a_face_hidden_for_a_moment_is_kept_beside_another(tracker: FaceTracker, photo: np.ndarray):
    camera = Camera(tracker)
    big, small = placed(photo, (160, 200), 1.6), placed(photo, (480, 200), 0.9)
    camera.show(beside(big, small), 10)
    assert camera.show(beside(BLANK, small), 8) == [None] * 8
    back = camera.show(beside(big, small), 5)[-1]
    assert middle(back)[0] < 250
    assert back is not None
    assert back.person == 0


def test_a_much_larger_newcomer_takes_over_but_not_at_once(tracker: FaceTracker, photo: np.ndarray):
    camera = Camera(tracker)
    own, other = placed(photo, (160, 200), 0.9), placed(photo, (480, 200), 1.6)
    camera.show(beside(own, BLANK), 10)
    tracks = camera.show(beside(own, other), 40)
    sides = [None if track is None else bool(middle(track)[0] > 320) for track in tracks]
    assert not any(sides[:14])
    assert sides[-1] is True
    assert tracks[-1] is not None
    assert tracks[-1].person == 1


def test_a_slightly_larger_neighbour_does_not(tracker: FaceTracker, photo: np.ndarray):
    camera = Camera(tracker)
    own, other = placed(photo, (160, 200), 1.3), placed(photo, (480, 200), 1.45)
    camera.show(beside(own, BLANK), 10)
    assert all(middle(track)[0] < 320 for track in camera.show(beside(own, other), 40))


@pytest.mark.parametrize("clock", ["still", "backwards", "wild"])
def test_any_clock_will_do(tracker: FaceTracker, photo: np.ndarray, clock: str):
    face = placed(photo, (320, 200), 1.5)
    times = {
        "still": [7] * 12,
        "backwards": [10**12 - i * STEP_NS for i in range(12)],
        "wild": [0, 10**15, -(10**15), 5, 5, 10**15, 0, 1, -1, 2, 3, 4],
    }[clock]
    tracks = [tracker.track(Frame(face, ns, i)) for i, ns in enumerate(times)]
    assert all(tracks)


def test_a_new_epoch_may_bring_another_size(tracker: FaceTracker, photo: np.ndarray):
    camera, face = Camera(tracker), placed(photo, (320, 200), 1.5)
    camera.show(face, 3)
    tall = np.ascontiguousarray(face[:, 160:520])
    track = camera.show(tall, 3, epoch=1)[-1]
    assert track is not None
    assert track.epoch == 1
    assert middle(track)[0] == pytest.approx(160, abs=25)


def test_a_tracker_can_be_closed_twice(task: Path, photo: np.ndarray):
    tracker = FaceTracker(task)
    tracker.track(Frame(placed(photo, (320, 200), 1.5), 0, 0))
    tracker.close()
    tracker.close()


def test_ctrl_c_in_the_middle_of_closing_does_not_free_twice(task: Path, monkeypatch: pytest.MonkeyPatch):
    landmarker = Landmarker(task)
    library = landmarker._task._lib
    free = library.MpFaceLandmarkerClose
    freed = []

    def interrupted(handle: object) -> None:
        freed.append(handle)
        if len(freed) == 1:  # twice would crash
            free(handle)
            raise KeyboardInterrupt

    monkeypatch.setattr(library, "MpFaceLandmarkerClose", interrupted)
    with pytest.raises(KeyboardInterrupt):
        landmarker.close()
    landmarker.close()
    del landmarker
    assert len(freed) == 1


def test_a_missing_or_damaged_model_is_named(task: Path, tmp_path: Path):
    with pytest.raises(ModelMissing, match=r"nothing\.task"):
        FaceTracker(tmp_path / "nothing.task")
    damaged = tmp_path / "damaged.task"
    damaged.write_bytes(task.read_bytes()[:100_000])
    with pytest.raises(ModelCorrupt, match=r"damaged\.task") as caught:
        FaceTracker(damaged)
    assert caught.value.remedy


def test_what_is_no_face_has_no_confidence(tracker: FaceTracker, task: Path, photo: np.ndarray):
    gate = FaceGate(task)
    (track,) = Camera(tracker).show(placed(photo, (320, 200), 1.5))
    assert track is not None
    assert gate.confidence(track.landmarks) > 0.3
    assert gate.confidence(track.landmarks * np.float32(0.05)) == 0
    assert gate.confidence(track.landmarks * (1, 4, 1)) == 0
    assert gate.confidence(np.random.default_rng(1).uniform(0, 300, (478, 3)).astype(np.float32)) == 0
    assert gate.confidence(np.full((478, 3), np.nan, np.float32)) == 0


def clip_frames(name: str, count: int):
    """The first pictures of a clip of the shared data."""
    import av

    path = SHARED / "data" / "driving" / name
    if not path.exists():
        pytest.skip(f"no {path}: name the shared data in STREAMFX_SHARED")
    with av.open(str(path)) as container:
        for seq, picture in enumerate(container.decode(video=0)):
            if seq == count:
                return
            yield Frame(picture.to_ndarray(format="rgb24"), round(picture.time * 1e9), seq)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("lp_d13.mp4", 1, 1), ("asl_no_small_face.mkv", 1, 1), ("no_face_caminandes.mp4", 0, 0)],
)
def test_real_clips_are_tracked_as_they_should(tracker: FaceTracker, name: str, least: float, most: float):
    tracks = [tracker.track(frame) for frame in clip_frames(name, 40)]
    assert least <= np.mean([track is not None for track in tracks]) <= most


@pytest.mark.shared
def test_a_real_pair_of_people_is_not_mixed_up(tracker: FaceTracker):
    tracks = [tracker.track(frame) for frame in clip_frames("intel_two_faces.mp4", 110)]
    places = np.array([middle(track) for track in tracks if track])
    assert len(places) > 100
    assert np.abs(np.diff(places, axis=0)).max() < 40
    assert {track.person for track in tracks if track} == {0}
