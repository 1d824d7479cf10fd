"""The neutral of a live driver: known at once, better with time, or set by the person."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np

from streamfx.frames import FaceTrack
from streamfx.geometry import F64
from streamfx.topology import FACE_VERTICES
from streamfx.track.neutral import (
    Habit,
    Neutral,
    Sample,
    in_gauge,
    mean_pose,
    neutral_from,
    neutral_of_clip,
)

START_FRAMES: Final = 15
"""At first, the neutral is the median of so many pictures."""
CALIBRATION_FRAMES: Final = 10
REMEMBERED: Final = 300
SAMPLE_NS: Final = 100_000_000
"""Between remembered samples: 300 of them are 30 s."""
SEARCH_NS: Final = 500_000_000
"""Between searches for a better neutral."""
SEARCH_FROM: Final = 20
"""Samples needed for a search."""
SLIDE_S: Final = 4.0
"""Time constant of the way to a better neutral, slow enough not to be seen."""
SLIDE_ABOVE: Final = 0.3
"""Restfulness, against the best remembered, below which the neutral stays: it slides only at rest."""


class LiveNeutral:
    """Finds and keeps the neutral of the person followed.

    Args:
        model: f64 [468,3] cm, the canonical face.
        weights: f64 [468], of the pose fit.
    """

    def __init__(self, model: F64, weights: F64) -> None:
        self._model, self._weights = model, weights
        self.forget()

    @property
    def reference(self) -> F64:
        """f64 [468,3] cm: the face to fit poses by, the person's own once there is one."""
        return self._model if self._neutral is None else self._neutral.face[:FACE_VERTICES]

    def forget(self) -> None:
        """Another person: begin anew."""
        self._neutral: Neutral | None = None
        self._fixed = False
        self._calibration: list[Sample] | None = None
        self._begin()

    def moved(self) -> None:
        """The same person in another picture geometry: keep the face, find anew where the head rests."""
        self._begin()

    def calibrate(self) -> None:
        """Take the next pictures as the neutral, for good."""
        self._calibration = []

    def prime(self, tracks: Sequence[FaceTrack]) -> None:
        """Take the neutral of a whole clip of one person, for good. No tracks change nothing."""
        neutral = neutral_of_clip(tracks, self._model, self._weights)
        if neutral is not None:
            self._fix(neutral)

    def observe(self, sample: Sample, captured_ns: int, step_s: float) -> tuple[Neutral, bool]:
        """The neutral to measure this sample by, and whether it has just been calibrated."""
        calibrated = self._calibrated(sample)
        if not calibrated and self._starting:
            self._neutral = self._started(sample)
        if not self._fixed:
            self._remember(sample, captured_ns)
            self._neutral = self._slid(sample, step_s)
        return self._known(), calibrated

    def _known(self) -> Neutral:
        assert self._neutral is not None, "observe() sets it first"  # noqa: S101
        return self._neutral

    def _fix(self, neutral: Neutral) -> None:
        self._neutral, self._fixed, self._starting = neutral, True, False

    def _begin(self) -> None:
        self._kept = None if self._neutral is None else self._neutral.face
        self._starting = True
        self._start: list[Sample] = []
        self._samples: deque[Sample] = deque(maxlen=REMEMBERED)
        self._target: Neutral | None = None
        self._habit: Habit | None = None
        self._best = 1.0
        self._sampled_ns = self._searched_ns = -SEARCH_NS

    def _started(self, sample: Sample) -> Neutral:
        """The first neutral, from the pictures so far; of a face known before, only the place."""
        self._start.append(sample)
        self._starting = len(self._start) < START_FRAMES
        first = self._median(self._start)
        return first if self._kept is None else Neutral(self._kept, first.pose)

    def _calibrated(self, sample: Sample) -> bool:
        """Collect while asked to; True with the last of the pictures."""
        if self._calibration is None:
            return False
        self._calibration.append(sample)
        if len(self._calibration) < CALIBRATION_FRAMES:
            return False
        self._fix(self._median(self._calibration))
        self._calibration = None
        return True

    def _remember(self, sample: Sample, captured_ns: int) -> None:
        """Keep a sample now and then, and search the kept ones now and then."""
        if abs(captured_ns - self._sampled_ns) >= SAMPLE_NS:
            self._samples.append(sample)
            self._sampled_ns = captured_ns
        due = abs(captured_ns - self._searched_ns) >= SEARCH_NS
        if due and len(self._samples) >= SEARCH_FROM:
            self._search()
            self._searched_ns = captured_ns

    def _search(self) -> None:
        """Find the neutral to slide to, and what counts as rest."""
        measures = np.array([sample.measures for sample in self._samples])
        self._habit = Habit.of(measures)
        self._best = float(self._habit.restfulness(measures).max())
        self._target = neutral_from(self._samples, self._model, self._weights)

    def _slid(self, sample: Sample, step_s: float) -> Neutral:
        """The neutral, a step nearer to the target where the sample is at rest."""
        now = self._known()
        if self._target is None or self._habit is None:
            return now
        if self._habit.restfulness(sample.measures[None])[0] < SLIDE_ABOVE * self._best:
            return now
        share = 1 - float(np.exp(-step_s / SLIDE_S))
        face = now.face + share * (self._target.face - now.face)
        return Neutral(face, mean_pose([now.pose, self._target.pose], [1 - share, share]))

    def _median(self, samples: list[Sample]) -> Neutral:
        face = np.median([sample.face for sample in samples], axis=0).astype(np.float64)
        poses = [sample.pose for sample in samples]
        return Neutral(in_gauge(face, self._model, self._weights), mean_pose(poses))
