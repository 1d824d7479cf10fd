"""Which way up the driver's pictures are: a phone held sideways, a webcam mounted on its head.

MediaPipe takes what it is given for upright. It then follows upside-down faces with landmarks that mean
nothing, and loses or distorts those that lie sideways in pictures that are not square. So the pictures are
turned by quarters until faces stand upright, which the detector's score tells: in each of 70 pictures of 30
people it was highest for the right turn.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streamfx.frames import F32, U8
from streamfx.topology import INTEROCULAR
from streamfx.track.crop import fitted
from streamfx.track.engine import Detector, Sighting

TURNS: Final = 4
SIDE: Final = 256
"""px: pictures are looked at this small; the detector's net sees 128."""
SURE: Final = 0.82
"""Score from which a face turns the pictures. Half a face at their edge reached 0.81, seen the wrong way up;
faces of 15 clips reached 0.84 in every picture looked at, one of 65 px in every few."""
MARGIN: Final = 0.08
"""By how much another turn's score must be higher once a face was followed; by anything before."""
LYING_DEG: Final = 60.0
"""A face that leans less than this is that of a tilted head, whatever the scores; its picture stays."""
LOOKS: Final = 3
"""In a row that agree, before pictures in which a face was followed are turned otherwise."""


class Upright:
    """Finds the turn and keeps it."""

    def __init__(self, detector: Detector) -> None:
        self.turn = 0
        """Quarter turns, counter-clockwise, by which pictures are turned."""
        self._detector = detector
        self.begin()

    def begin(self) -> None:
        """Another source: the first face decides at once."""
        self._settled, self._wanted, self._looks = False, self.turn, 0
        self._seen: list[Sighting] = []

    def of(self, rgb: U8) -> U8:
        """The picture, turned."""
        return np.ascontiguousarray(np.rot90(rgb, self.turn)) if self.turn else rgb

    @property
    def is_looking(self) -> bool:
        """Whether a look has begun and wants further pictures."""
        return bool(self._seen)

    def look(self, rgb: U8, landmarks: F32 | None, *, at_once: bool = True) -> bool:
        """See which way up faces are; whether the turn has changed.

        Args:
            rgb: the picture as it came.
            landmarks: f32 [478,3] px of the face followed in the turned picture, if there is one.
            at_once: see it in all turns; else in one of them, and the next picture in the next: all four take
                as long as a live picture has.
        """
        small, _ = fitted(rgb, SIDE)
        for turn in range(len(self._seen), TURNS if at_once else len(self._seen) + 1):
            self._seen.append(self._detector.surest(np.ascontiguousarray(np.rot90(small, turn))))
        if len(self._seen) < TURNS:
            return False
        seen, self._seen = self._seen, []
        best = max(range(TURNS), key=lambda turn: seen[turn].score)
        self._settled |= landmarks is not None
        surer = seen[best].score - seen[self.turn].score
        is_told = seen[best].is_whole and seen[best].score >= SURE and surer > self._margin(best, landmarks)
        if not is_told or not self._lies(best, seen[best].roll, landmarks):
            self._looks = 0
            return False
        self._looks = self._looks + 1 if best == self._wanted else 1
        self._wanted = best
        if self._settled and self._looks < LOOKS:
            return False
        self.turn, self._looks = best, 0
        return True

    def _margin(self, turn: int, landmarks: F32 | None) -> float:
        """By how much that turn's score must be higher."""
        is_told_by_landmarks = landmarks is not None and (turn - self.turn) % 2 == 1
        return MARGIN if self._settled and not is_told_by_landmarks else 0.0

    def _lies(self, turn: int, roll: float, landmarks: F32 | None) -> bool:
        """Whether the face leans so far towards that turn that it is no tilted head.

        Args:
            turn: of the highest score.
            roll: degrees by which the face leans in the picture so turned.
            landmarks: as in `look`; upside down they mean nothing.
        """
        towards = (turn - self.turn + 1) % TURNS - 1  # -1, 1 or 2
        if landmarks is not None and towards != TURNS // 2:
            right, left = (landmarks[eye, :2] for eye in INTEROCULAR)
            lean = float(np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0])))
        else:
            lean = (roll + 90.0 * towards + 180.0) % 360.0 - 180.0
        return lean * towards > LYING_DEG if towards != TURNS // 2 else abs(lean) > LYING_DEG
