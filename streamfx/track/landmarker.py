"""Follows one face through the driving video. Camera pixels end here: only numbers leave.

MediaPipe follows a single face best (with more it looks for others in every picture and does not smooth), but
picks which one by its own score. So the face is chosen here, by the bundle's own detector (1.2 ms, four times
a second), and MediaPipe is led to it by blanking the rest of the picture once.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from streamfx.errors import ModelError
from streamfx.frames import F32, U8, FaceTrack, Frame
from streamfx.track.boxes import box_of, covered, grown
from streamfx.track.choice import FaceChoice
from streamfx.track.crop import fitted
from streamfx.track.engine import Detector, Face, Landmarker
from streamfx.track.plausible import FaceGate

LONGEST_PX: Final = 1280
"""Pictures are tracked at this long side at most. 640 saves no time and moves landmarks by .25-.38 px (at
110 px between the eyes); above 1280, copying costs more than it gives, for the net sees 256 px of face."""
LOOK_NS: Final = 250_000_000
"""Between looks for other faces while one is followed."""
SAME: Final = 0.5
"""Cover above which landmarks belong to the face chosen."""
AROUND: Final = 1.8
"""How much of the picture about the chosen face stays when MediaPipe is led to it."""


class FaceTracker:
    """Tracks one face: the largest at first, the same one as long as it stays.

    A context manager; it holds MediaPipe graphs, so it must be closed.

    Args:
        task_path: face_landmarker.task

    Raises:
        ModelMissing, ModelCorrupt: the file is absent or damaged.
    """

    def __init__(self, task_path: Path) -> None:
        self._task_path = task_path
        self._gate = FaceGate(task_path)
        self._detector = Detector(task_path)
        self._landmarker: Landmarker | None = None
        self._choice = FaceChoice()
        self._begin(0)

    def track(self, frame: Frame) -> FaceTrack | None:
        """The followed face in the next picture, in its px; None where it is not to be seen.

        Raises:
            ModelError: MediaPipe failed twice in a row.
        """
        if frame.epoch != self._epoch:
            self._begin(frame.epoch)
        small, factors = fitted(frame.rgb, LONGEST_PX)
        face = self._found(small, frame.captured_ns)
        confidence = 0.0 if face is None else self._gate.confidence(face.landmarks * factors)
        if face is None or confidence == 0.0:
            self._choice.lost(frame.captured_ns)
            self._locked = False
            return None
        self._choice.followed(box_of(face.landmarks), frame.captured_ns)
        landmarks = face.landmarks * factors
        person = self._choice.person
        return FaceTrack(landmarks, face.blendshapes, confidence, frame.captured_ns, frame.epoch, person)

    def close(self) -> None:
        """Free MediaPipe's graphs."""
        self._drop()
        self._detector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, epoch: int) -> None:
        """Forget all that was followed."""
        self._epoch = epoch
        self._choice = FaceChoice(self._choice.person)
        self._drop()

    def _drop(self) -> None:
        """Close the landmarker; the next picture opens another."""
        if self._landmarker is not None:
            self._landmarker.close()
        self._landmarker = None
        self._locked = self._crowd = False
        self._looked_ns: int | None = None
        self._last_ms = self._first_ns = 0

    def _found(self, rgb: U8, captured_ns: int) -> Face | None:
        """The face in a picture, with one more try on a new graph if MediaPipe's failed."""
        try:
            return self._followed(rgb, captured_ns)
        except ModelError:
            self._drop()
            return self._followed(rgb, captured_ns)

    def _followed(self, rgb: U8, captured_ns: int) -> Face | None:
        """The chosen face's landmarks, after a look around where one is due."""
        target = self._look(rgb, captured_ns)
        if not self._locked:
            return None if target is None else self._led_to(target, rgb, captured_ns)
        if target is not None:
            self._blank(rgb, captured_ns)  # MediaPipe lets go of a face only where it is gone
            return self._led_to(target, rgb, captured_ns)
        faces = self._step(rgb, captured_ns)
        return faces[0] if faces and self._is_same(faces[0]) else None

    def _look(self, rgb: U8, captured_ns: int) -> F32 | None:
        """The box of a face to turn to, f32 [4]; None to stay, or where there is none."""
        due = self._looked_ns is None or abs(captured_ns - self._looked_ns) >= LOOK_NS
        if self._locked and not due:
            return None
        self._looked_ns = captured_ns
        boxes = self._detector.find(rgb)
        self._crowd = len(boxes) > 1
        return self._choice.target(boxes, captured_ns, following=self._locked)

    def _led_to(self, box: F32, rgb: U8, captured_ns: int) -> Face | None:
        """The landmarks of the face in a box, from a picture that shows no other."""
        faces = self._step(_only(rgb, grown(box, AROUND)) if self._crowd else rgb, captured_ns)
        if not faces or covered(box_of(faces[0].landmarks), box) < SAME:
            return None
        self._locked = True
        self._choice.chosen(box)
        return faces[0]

    def _is_same(self, face: Face) -> bool:
        """False where MediaPipe lost the face in this very picture and took another."""
        return self._choice.is_near(box_of(face.landmarks))

    def _blank(self, rgb: U8, captured_ns: int) -> None:
        self._step(np.zeros_like(rgb), captured_ns)

    def _step(self, rgb: U8, captured_ns: int) -> list[Face]:
        """One step of MediaPipe, whose timestamps must strictly rise whatever the source's do."""
        if self._landmarker is None:
            self._landmarker = Landmarker(self._task_path, video=True)
            self._first_ns = captured_ns
        wanted = (captured_ns - self._first_ns) // 1_000_000
        self._last_ms = max(self._last_ms + 1, wanted)
        return self._landmarker.follow(rgb, self._last_ms)


def _only(rgb: U8, box: F32) -> U8:
    """The picture, black outside a box f32 [4]."""
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = np.clip(np.round(box), 0, (width, height, width, height)).astype(int)
    out = np.zeros_like(rgb)
    out[y0:y1, x0:x1] = rgb[y0:y1, x0:x1]
    return out
