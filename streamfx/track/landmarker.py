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
from streamfx.track.people import People, look_of
from streamfx.track.plausible import FaceGate
from streamfx.track.upright import Upright

LONGEST_PX: Final = 1280
"""Pictures are tracked at this long side at most. 640 saves no time and moves landmarks by .25-.38 px (at
110 px between the eyes); above 1280, copying costs more than it gives, for the net sees 256 px of face."""
LOOK_NS: Final = 250_000_000
"""Between looks for other faces while one is followed."""
TURN_NS: Final = 1_000_000_000
"""Between looks whether the pictures are upright while a face is followed."""
SAME: Final = 0.5
"""Cover above which landmarks belong to the face chosen."""
AROUND: Final = 1.8
"""How much of the picture about the chosen face stays when MediaPipe is led to it."""

_NO_LOOK: Final = np.zeros((2, 1), np.float32)


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
        self._choice, self._people = FaceChoice(), People()
        self._upright = Upright(self._detector)
        self._landmarks: F32 | None = None
        self._begin(0)

    def track(self, frame: Frame) -> FaceTrack | None:
        """The followed face in the next picture, in px of the picture as turned; None where it is not seen.

        Raises:
            ModelError: MediaPipe failed twice in a row.
        """
        if frame.epoch != self._epoch:
            self._begin(frame.epoch)
        small, factors = fitted(frame.rgb, LONGEST_PX)
        self._stand_up(small, frame.captured_ns)
        turned = self._upright.of(small)
        factors = factors[[1, 0, 1]] if self._upright.turn % 2 else factors
        face, look = self._seen(turned, frame.captured_ns)
        confidence = 0.0 if face is None else self._gate.confidence(face.landmarks * factors)
        if face is None or confidence == 0.0:
            self._choice.lost(frame.captured_ns)
            self._people.away()
            self._locked = False
            self._landmarks = None
            return None
        self._choice.followed(box_of(face.landmarks), frame.captured_ns)
        self._landmarks = face.landmarks
        if not self._people.see(look, frame.captured_ns):
            return None
        return FaceTrack(
            face.landmarks * factors,
            face.blendshapes,
            confidence,
            frame.captured_ns,
            frame.epoch,
            self._people.person,
            self._upright.turn,
        )

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
        """Forget all that was followed, but not who was seen."""
        self._epoch = epoch
        self._choice = FaceChoice()
        self._people.away()
        self._upright.begin()
        self._drop()

    def _drop(self) -> None:
        """Close the landmarker; the next picture opens another."""
        if self._landmarker is not None:
            self._landmarker.close()
        self._landmarker = None
        self._locked = self._crowd = False
        self._landmarks = None
        self._looked_ns: int | None = None
        self._turned_ns: int | None = None
        self._last_ms = self._first_ns = 0

    def _stand_up(self, rgb: U8, captured_ns: int) -> None:
        """Now and then, see whether faces stand upright in the pictures as they are turned."""
        every_ns = TURN_NS if self._locked else LOOK_NS
        if self._turned_ns is None or abs(captured_ns - self._turned_ns) >= every_ns:
            self._turned_ns = captured_ns
        elif not self._upright.is_looking:
            return
        if self._upright.look(rgb, self._landmarks, at_once=not self._locked):
            self._choice = FaceChoice()
            self._drop()
            self._turned_ns = captured_ns

    def _seen(self, rgb: U8, captured_ns: int) -> tuple[Face | None, F32]:
        """The face in a picture, and its look; after what may be a cut, by landmarks that start anew."""
        face = self._found(rgb, captured_ns)
        look = _NO_LOOK if face is None else look_of(rgb, face.landmarks)
        if face is None or not self._people.may_be_cut(look, captured_ns):
            return face, look
        self._looked_ns = None
        face = self._found(rgb, captured_ns, anew=True)
        return face, _NO_LOOK if face is None else look_of(rgb, face.landmarks)

    def _found(self, rgb: U8, captured_ns: int, *, anew: bool = False) -> Face | None:
        """The face in a picture, with one more try on a new graph if MediaPipe's failed."""
        try:
            if anew:  # MediaPipe would take some pictures to move from one face to another
                self._blank(rgb, captured_ns)
                self._locked = False
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
        if self._choice.chosen(box):
            self._people.another()
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
