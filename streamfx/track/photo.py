"""What a portrait photo holds: its faces, as precisely as the landmarker can, and where the person is."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from streamfx.errors import ModelError
from streamfx.frames import F32, U8, FaceTrack
from streamfx.track.boxes import area, box_of, overlap
from streamfx.track.crop import Square, fitted
from streamfx.track.engine import Detector, Face, Landmarker, Segmenter
from streamfx.track.matting import NET_PX, person_alpha
from streamfx.track.plausible import FaceGate

SEED_PX: Final = 2560
"""Long side of the picture in which faces are looked for."""
DETECTOR_SCORE: Final = 0.4
CROP_PX: Final = 512
FACE_IN_CROP: Final = 2.0
PASSES: Final = 5
"""Passes on one crop, each led by the landmarks of the one before: they settle to 0.1 px at 110 px between
the eyes, where a single one scatters by 0.35 px. The driver is tracked alike, so both share their bias."""
PASS_MS: Final = 1000
"""So far apart that MediaPipe's own smoothing does not act."""
TURNED_PX: Final = 256
"""Long side of the picture that tells whether a face stands on its head; the detector's net sees 128."""
BODY_IN_CROP: Final = 2.6
BODY, AS_IT_IS = 0.35, 0.03
"""How much it counts, beside the detector's score, on which side of the face the person goes on, and that a
photo stands as it is."""
MOST_FACES: Final = 6
LEAST_TILE: Final = 96
"""px of the smallest window in which faces are looked for: without it a photo that is a line or a ribbon
would be cut into tens of thousands."""
SAME_FACE: Final = 0.3
"""Overlap above which two finds are one face."""


class PhotoAnalyser:
    """Analyses photos; holds MediaPipe tasks, so it must be closed (it is a context manager).

    Args:
        task_path: face_landmarker.task
        segmenter_path: selfie_segmentation.tflite

    Raises:
        ModelMissing, ModelCorrupt: a model file is absent or damaged.
    """

    def __init__(self, task_path: Path, segmenter_path: Path) -> None:
        self._task_path = task_path
        self._gate = FaceGate(task_path)
        self._detector = Detector(task_path, score=DETECTOR_SCORE)
        try:
            self._segmenter = Segmenter(segmenter_path)
        except ModelError:
            self._detector.close()
            raise

    def faces(self, rgb: U8) -> list[FaceTrack]:
        """All faces of u8 [H,W,3], largest first; landmarks in px of that picture. Empty if there is none."""
        small, factors = fitted(rgb, SEED_PX)
        boxes = self._boxes(small) * factors[[0, 1, 0, 1]]
        found = [face for box in boxes[:MOST_FACES] if (face := self._settled(rgb, box)) is not None]
        return sorted(_distinct(found), key=lambda face: -area(box_of(face.landmarks)))

    def turns(self, rgb: U8, faces: list[FaceTrack]) -> int:
        """Quarter turns counter-clockwise (0..3) that bring the face of u8 [H,W,3] upright.

        The net's landmarks follow faces that lie on their side, but not always those on their heads, which it
        takes for upright ones. Which end is up the detector's score tells, but of masked faces it takes half
        for hanging ones; there the body tells, which is below a head. With both, none of 599 photos was
        turned by 180 degrees as it is, and all but two that hung were.

        Args:
            rgb: the photo.
            faces: those found in it.
        """
        if not faces:
            small, _ = fitted(rgb, TURNED_PX)
            return int(np.argmax([self._score(small, turns) for turns in range(4)]))
        near, own = faces[0].landmarks, self._quarters(faces[0])
        cut = Square.around(near, FACE_IN_CROP).cut(rgb, TURNED_PX)
        around = Square.around(near, BODY_IN_CROP).cut(rgb, NET_PX)

        def likely(turns: int) -> float:
            stands = AS_IT_IS * (turns == 0)
            return self._score(cut, turns) + BODY * self._standing(around, turns) + stands

        return max((own, (own + 2) % 4), key=likely)

    def _score(self, rgb: U8, turns: int) -> float:
        return self._detector.surest(np.ascontiguousarray(np.rot90(rgb, turns))).score

    def _standing(self, rgb: U8, turns: int) -> float:
        """-1..1: how much more of u8 [256,256,3], turned, the person fills at its foot than at its top."""
        person = self._segmenter.confidence(np.ascontiguousarray(np.rot90(rgb, turns)))
        fifth = len(person) // 5
        return float(person[-fifth:].mean() - person[:fifth].mean())

    def _quarters(self, face: FaceTrack) -> int:
        """Quarter turns counter-clockwise (0..3) that undo the roll of a face."""
        return round(self._gate.roll(face.landmarks) / (np.pi / 2)) % 4

    def person_mask(self, rgb: U8, face: FaceTrack) -> F32:
        """f32 [H,W] 0..1: how much of each pixel of u8 [H,W,3] belongs to the person with that face."""
        return person_alpha(self._segmenter, rgb, face.landmarks)

    def close(self) -> None:
        """Free MediaPipe's graphs."""
        self._segmenter.close()
        self._detector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _boxes(self, rgb: U8) -> F32:
        """f32 [N,4]: boxes of faces, largest first.

        Levels go from coarse to fine and end one after the first that shows a face: so that of two people of
        unlike size neither is missed, and a face far away costs nothing where there is a near one.
        """
        found: list[F32] = []
        for windows in _levels(rgb.shape[1], rgb.shape[0]):
            enough = any(len(boxes) for boxes in found)
            found += [self._boxes_in(rgb, window) for window in windows]
            if enough:
                break
        boxes = np.concatenate(found)
        return _suppressed(boxes[np.argsort(boxes[:, 0] - boxes[:, 2], kind="stable")])

    def _boxes_in(self, rgb: U8, window: Square) -> F32:
        """f32 [N,4] px of the picture: the boxes seen in a window."""
        boxes = self._detector.find(window.cut(rgb, CROP_PX)) * np.float32(window.side / CROP_PX)
        out: F32 = boxes + np.array((window.x, window.y, window.x, window.y), np.float32)
        return out

    def _settled(self, rgb: U8, box: F32) -> FaceTrack | None:
        """The face in a box, after enough passes for its landmarks to settle; None where there is none."""
        width, height = box[2] - box[0], box[3] - box[1]
        side = float(max(width, height)) * FACE_IN_CROP
        window = Square(float(box[0] + width / 2) - side / 2, float(box[1] + height / 2) - side / 2, side)
        first = self._passes(rgb, window, 1)
        if first is None:
            return None
        last = self._passes(rgb, Square.around(first.landmarks, FACE_IN_CROP), PASSES) or first
        confidence = self._gate.confidence(last.landmarks)
        return FaceTrack(last.landmarks, last.blendshapes, confidence, 0) if confidence > 0 else None

    def _passes(self, rgb: U8, window: Square, passes: int) -> Face | None:
        """The face in a window after so many passes, in px of the picture."""
        cut = window.cut(rgb, CROP_PX)
        with Landmarker(self._task_path, video=True, presence=0.3) as landmarker:
            for index in range(passes):
                faces = landmarker.follow(cut, 1 + index * PASS_MS)
        return Face(window.back(faces[0].landmarks, CROP_PX), faces[0].blendshapes) if faces else None


def _levels(width: int, height: int) -> list[list[Square]]:
    """Windows to look in, coarse to fine: the whole picture, plain and with room around it, then tiles.

    The detector sees 128x128 px, so a face must fill a tenth of its window.
    """
    middle = (width / 2, height / 2)
    whole = [_centred(middle, max(width, height) * factor) for factor in (1.0, 1.6)]
    sides = [side for part in (1, 2, 4, 8) if (side := min(width, height) / part) >= LEAST_TILE]
    return [whole, *(_tiles(width, height, side) for side in sides)]


def _centred(middle: tuple[float, float], side: float) -> Square:
    return Square(middle[0] - side / 2, middle[1] - side / 2, side)


def _tiles(width: int, height: int, side: float) -> list[Square]:
    """Square tiles that overlap by at least half."""
    columns = int(np.ceil((width - side) / (side / 2))) + 1
    rows = int(np.ceil((height - side) / (side / 2))) + 1
    return [
        Square(float(x), float(y), side)
        for y in np.linspace(0, height - side, rows)
        for x in np.linspace(0, width - side, columns)
    ]


def _suppressed(boxes: F32) -> F32:
    """The boxes f32 [N,4] that overlap none before them."""
    kept: list[F32] = []
    for box in boxes:
        if all(overlap(box, other) < SAME_FACE for other in kept):
            kept.append(box)
    return np.array(kept, np.float32).reshape(-1, 4)


def _distinct(faces: list[FaceTrack]) -> list[FaceTrack]:
    """The faces without those that two boxes led to."""
    kept: list[FaceTrack] = []
    for face in faces:
        if all(overlap(box_of(face.landmarks), box_of(other.landmarks)) < SAME_FACE for other in kept):
            kept.append(face)
    return kept
