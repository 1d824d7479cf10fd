"""The door to MediaPipe: opens its tasks, hands pictures in and plain arrays out, translates its errors.

MediaPipe 0.10.31 (Tasks API). A task must be closed, or the interpreter ends with a TypeError.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python.components.containers.category import Category
from mediapipe.tasks.python.core.base_options import BaseOptions
from mediapipe.tasks.python.vision import (
    FaceDetector,
    FaceDetectorOptions,
    FaceLandmarker,
    FaceLandmarkerOptions,
    FaceLandmarkerResult,
    ImageSegmenter,
    ImageSegmenterOptions,
    RunningMode,
)

from streamfx.errors import ModelCorrupt, ModelError, ModelMissing
from streamfx.frames import F32, U8
from streamfx.track.quiet import quiet_mediapipe

T = TypeVar("T")

BLENDSHAPES: Final = 52
_DETECTOR_IN_BUNDLE: Final = "face_detector.tflite"


class Face(NamedTuple):
    """One face as MediaPipe found it."""

    landmarks: F32
    """f32 [478,3] px of the picture given"""
    blendshapes: F32
    """f32 [52] 0..1"""


class Sighting(NamedTuple):
    """How the detector sees a face."""

    score: float
    """That it is one, 0..1"""
    roll: float
    """Degrees, clockwise, by which it leans in the picture: the line of its eyes."""
    is_whole: bool
    """From brows to chin within the picture."""


class _Task:
    """What all tasks share: they are closed once, by `close` or by leaving the context."""

    _task: FaceLandmarker | FaceDetector | ImageSegmenter

    def close(self) -> None:
        """Free the graph. Harmless when repeated."""
        try:
            self._task.close()
        finally:
            # Interrupted by Ctrl-C, MediaPipe would free it once more when the task is collected: it crashes.
            self._task._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Landmarker(_Task):
    """Finds landmarks and blendshapes.

    Args:
        task_path: face_landmarker.task
        video: follow the face from picture to picture, instead of looking anew at each.
        faces: the most faces to find.
        presence: the least score of detection and of presence, 0..1.

    Raises:
        ModelMissing, ModelCorrupt: the file is absent or not a landmarker.
    """

    def __init__(
        self, task_path: Path, *, video: bool = False, faces: int = 1, presence: float = 0.5
    ) -> None:
        options = FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(task_path)),
            running_mode=RunningMode.VIDEO if video else RunningMode.IMAGE,
            num_faces=faces,
            min_face_detection_confidence=presence,
            min_face_presence_confidence=presence,
            output_face_blendshapes=True,
        )
        self._task = _open(task_path, lambda: FaceLandmarker.create_from_options(options))

    def find(self, rgb: U8) -> list[Face]:
        """All faces of one picture, u8 [H,W,3] (only for video=False)."""
        return _faces(_run(lambda: self._task.detect(_picture(rgb))), rgb)

    def follow(self, rgb: U8, timestamp_ms: int) -> list[Face]:
        """All faces of the next picture of a video; timestamps must strictly rise (only for video=True)."""
        return _faces(_run(lambda: self._task.detect_for_video(_picture(rgb), timestamp_ms)), rgb)


class Detector(_Task):
    """The face detector that lies inside face_landmarker.task: boxes and eyes, in a fifth of the time."""

    def __init__(self, task_path: Path, *, score: float = 0.5) -> None:
        def create() -> FaceDetector:
            with zipfile.ZipFile(task_path) as bundle:
                model = bundle.read(_DETECTOR_IN_BUNDLE)
            options = FaceDetectorOptions(
                base_options=BaseOptions(model_asset_buffer=model),
                running_mode=RunningMode.IMAGE,
                min_detection_confidence=score,
            )
            return FaceDetector.create_from_options(options)

        self._task = _open(task_path, create)

    def find(self, rgb: U8) -> F32:
        """f32 [N,4] px (x0, y0, x1, y1): the boxes from brows to chin, largest first."""
        boxes = [d.bounding_box for d in _run(lambda: self._task.detect(_picture(rgb))).detections]
        boxes.sort(key=lambda b: -b.width * b.height)
        corners = [(b.origin_x, b.origin_y, b.origin_x + b.width, b.origin_y + b.height) for b in boxes]
        return np.array(corners, np.float32).reshape(-1, 4)

    def surest(self, rgb: U8) -> Sighting:
        """The face that is surest to be one; of score 0 without any."""
        found = _run(lambda: self._task.detect(_picture(rgb))).detections
        if not found:
            return Sighting(0.0, 0.0, is_whole=False)
        face = max(found, key=lambda one: one.categories[0].score)
        height, width = rgb.shape[:2]
        right, left = face.keypoints[:2]  # the eyes
        roll = np.degrees(np.arctan2((left.y - right.y) * height, (left.x - right.x) * width))
        box = face.bounding_box
        x, y = box.origin_x, box.origin_y
        is_whole = min(x, y) > 0 and x + box.width < width and y + box.height < height
        return Sighting(float(face.categories[0].score), float(roll), is_whole)


class Segmenter(_Task):
    """Tells persons from background (selfie_segmentation.tflite)."""

    def __init__(self, model_path: Path) -> None:
        options = ImageSegmenterOptions(
            base_options=BaseOptions(model_asset_path=str(model_path)),
            running_mode=RunningMode.IMAGE,
            output_confidence_masks=True,
            output_category_mask=False,
        )
        self._task = _open(model_path, lambda: ImageSegmenter.create_from_options(options))

    def confidence(self, rgb: U8) -> F32:
        """f32 [H,W] 0..1 of u8 [H,W,3]; the net itself sees 256x256."""
        mask = _run(lambda: self._task.segment(_picture(rgb))).confidence_masks[0]
        out: F32 = np.array(mask.numpy_view(), np.float32).reshape(rgb.shape[:2])
        return out


def _open(path: Path, create: Callable[[], T]) -> T:
    """Run a constructor of MediaPipe and name what is wrong with its model file."""
    if not os.path.isfile(path):
        raise ModelMissing(f"there is no model file {path}", "Run `streamfx models pull`")
    try:
        with quiet_mediapipe():
            return create()
    except (RuntimeError, ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise ModelCorrupt(
            f"{path.name} ({path.stat().st_size} bytes) is not a model that MediaPipe can open",
            "Run `streamfx models verify`, then `streamfx models pull`",
        ) from error


def _run(compute: Callable[[], T]) -> T:
    """Run a graph and translate its failure."""
    try:
        return compute()
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"MediaPipe's graph failed: {reason}", "Open it again") from error


def _picture(rgb: U8) -> mp.Image:
    """A MediaPipe image of u8 [H,W,3] RGB; the pixels are copied."""
    return mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(rgb))


def _faces(result: FaceLandmarkerResult, rgb: U8) -> list[Face]:
    """All faces of a landmarker's result, in px of that picture."""
    height, width = rgb.shape[:2]
    size = np.array((width, height, width), np.float32)
    return [
        Face(np.array([(p.x, p.y, p.z) for p in points], np.float32) * size, _scores(shapes))
        for points, shapes in zip(result.face_landmarks, result.face_blendshapes, strict=True)
    ]


def _scores(shapes: Sequence[Category]) -> F32:
    """f32 [52]."""
    scores = np.zeros(BLENDSHAPES, np.float32)
    scores[: len(shapes)] = [shape.score for shape in shapes]
    return scores
