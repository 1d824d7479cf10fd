"""What the photo analyser finds in photos of all kinds, made from a real one."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from streamfx.errors import ModelMissing
from streamfx.models.store import Store
from streamfx.topology import INTEROCULAR
from streamfx.track.photo import PhotoAnalyser

SHARED = Path(os.environ.get("STREAMFX_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="module")
def analyser():
    store = Store.default()
    with PhotoAnalyser(store.ensure("face_landmarker"), store.ensure("selfie_segmentation")) as analyser:
        yield analyser


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    with Image.open(Store.default().ensure("astronaut")) as image:
        return np.array(image.convert("RGB"))


def eyes(landmarks: np.ndarray) -> np.ndarray:
    return landmarks[list(INTEROCULAR), :2]


def test_the_face_is_found_where_it_is(analyser: PhotoAnalyser, photo: np.ndarray):
    (face,) = analyser.faces(photo)
    right, left = eyes(face.landmarks)
    assert right == pytest.approx([201, 95], abs=8)
    assert left == pytest.approx([253, 103], abs=8)
    assert (face.landmarks.shape, face.landmarks.dtype) == ((478, 3), np.float32)
    assert face.confidence > 0.3


def test_landmarks_do_not_depend_on_the_framing(analyser: PhotoAnalyser, photo: np.ndarray):
    (whole,) = analyser.faces(photo)
    top, left = 15, 90
    (cut,) = analyser.faces(np.ascontiguousarray(photo[top:245, left:350]))
    iod = np.linalg.norm(np.diff(eyes(whole.landmarks), axis=0))
    off = (cut.landmarks + np.float32((left, top, 0)) - whole.landmarks)[:, :2]
    assert np.sqrt((off**2).sum(1).mean()) / iod < 0.01


@pytest.mark.parametrize("side", [2600, 4200])
def test_a_small_face_in_a_large_photo_is_found(analyser: PhotoAnalyser, photo: np.ndarray, side: int):
    large = np.full((side, side * 4 // 3, 3), (120, 130, 140), np.uint8)
    large[200:712, side - 200 : side + 312] = photo
    (face,) = analyser.faces(large)
    assert eyes(face.landmarks)[0] == pytest.approx([side - 200 + 201, 200 + 95], abs=8)


def test_a_face_that_fills_the_photo_is_found(analyser: PhotoAnalyser, photo: np.ndarray):
    tight = np.asarray(cv2.resize(photo[58:172, 172:276], None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC))
    (face,) = analyser.faces(tight)
    assert np.ptp(face.landmarks[:, 1]) > 0.8 * tight.shape[0]


def test_several_faces_come_largest_first(analyser: PhotoAnalyser, photo: np.ndarray):
    small = np.asarray(cv2.resize(photo, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))
    pair = np.zeros((512, 512 + small.shape[1], 3), np.uint8)
    pair[: small.shape[0], : small.shape[1]] = small
    pair[:, small.shape[1] :] = photo
    first, second = analyser.faces(pair)
    assert np.ptp(first.landmarks[:, 1]) > 1.4 * np.ptp(second.landmarks[:, 1])
    assert first.landmarks[:, 0].mean() > small.shape[1]


def test_where_there_is_no_face_none_is_found(analyser: PhotoAnalyser, photo: np.ndarray):
    noise = np.random.default_rng(5).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert analyser.faces(noise) == []
    assert analyser.faces(np.ascontiguousarray(photo[300:])) == []
    assert analyser.faces(np.zeros((1, 1, 3), np.uint8)) == []


def test_the_mask_tells_the_person_from_the_room(analyser: PhotoAnalyser, photo: np.ndarray):
    (face,) = analyser.faces(photo)
    mask = analyser.person_mask(photo, face)
    assert (mask.shape, mask.dtype) == (photo.shape[:2], np.float32)
    assert 0 <= mask.min() <= mask.max() <= 1
    assert mask[70:150, 200:250].min() > 0.95  # the face
    assert mask[300:480, 150:250].mean() > 0.95  # the suit
    assert mask[:60, 300:380].max() < 0.05  # the wall
    assert mask[:200, :100].mean() < 0.05  # the flag
    assert 0.02 < ((mask > 0.05) & (mask < 0.95)).mean() < 0.15  # a soft rim


def test_the_mask_ends_with_the_photo_and_not_before(analyser: PhotoAnalyser, photo: np.ndarray):
    (face,) = analyser.faces(photo)
    assert analyser.person_mask(photo, face)[-1, 130:220].min() > 0.9


def test_hair_that_the_photo_cuts_is_the_persons(analyser: PhotoAnalyser, photo: np.ndarray):
    (face,) = analyser.faces(photo)
    (left, top), (right, chin) = (
        face.landmarks[:, :2].min(0).astype(int),
        face.landmarks[:, :2].max(0).astype(int),
    )
    tight = np.ascontiguousarray(photo[top - 5 : chin + 20, left - 15 : right + 15])
    (face,) = analyser.faces(tight)
    assert analyser.person_mask(tight, face)[:10].mean() > 0.9


def test_another_person_is_not_part_of_the_mask(analyser: PhotoAnalyser, photo: np.ndarray):
    own, other = photo[:300, 60:420], photo[:300, 120:400]
    gap = np.full((300, 160, 3), photo[20, 330], np.uint8)
    pair = np.ascontiguousarray(np.concatenate([own, gap, other], axis=1))
    faces = analyser.faces(pair)
    assert len(faces) == 2
    for face, elsewhere in zip(faces, reversed(faces), strict=True):
        mask = analyser.person_mask(pair, face)
        x, y = elsewhere.landmarks[:, :2].mean(0).astype(int)
        assert mask[y, x] < 0.05


def test_a_missing_segmenter_is_named(tmp_path: Path):
    with pytest.raises(ModelMissing, match=r"absent\.tflite"):
        PhotoAnalyser(Store.default().ensure("face_landmarker"), tmp_path / "absent.tflite")


@pytest.mark.shared
def test_every_portrait_and_painting_has_one_face(analyser: PhotoAnalyser):
    folder = SHARED / "data" / "portraits"
    if not folder.exists():
        pytest.skip(f"no {folder}: name the shared data in STREAMFX_SHARED")
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in (".jpg", ".png")]
    for path in paths[::3]:
        with Image.open(path) as image:
            assert len(analyser.faces(np.array(image.convert("RGB")))) == 1, path.name
