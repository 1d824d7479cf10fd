"""From a driver's landmarks to Motion: what the driver does, as offsets from the driver's own neutral.

Pose-free by construction: a picture's landmarks are brought into canonical space by the pose that fits the
person's neutral, and compared there (algorithm.md#pose: S = R^T (L - t) / s, E = S - N).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from streamfx.frames import F32, FaceTrack, Motion
from streamfx.geometry import F64, Pose, Real, fit_pose, rotation_vector, vertex_weights
from streamfx.topology import FACE_VERTICES, INTEROCULAR
from streamfx.track.closure import gaze, iris_offset, lid_closure, lid_openings, lip_gaps
from streamfx.track.continuity import Continuity
from streamfx.track.live_neutral import LiveNeutral
from streamfx.track.neutral import Neutral, Sample, speed_of
from streamfx.track.people import PEOPLE

EXPRESSION_FILTER: Final = (5.0, 30.0)
"""Cutoff in Hz at rest, and Hz per cm/s. Against (1, 4), self-reenactment gains 0.4 dB, and the quiet jitter,
0.03 px at 110 px between the eyes, is still far below what can be seen: `streamfx eval reenact|closure`."""
HEAD_FILTER: Final = (5.0, 60.0)
"""The same for rotation in rad, translation in eye distances, and log scale."""
GAZE_FILTER: Final = (1.5, 15.0)
"""The same for eye widths."""


class MotionEstimator:
    """Turns the tracks of one driver into motions.

    Args:
        face_model_vertices: f32 [468,3] cm, the canonical face.
        rms: f32 [468] cm, how far expression moves each vertex (FaceBasis.rms); None takes priors.
    """

    def __init__(self, face_model_vertices: F32, rms: Real | None = None) -> None:
        self._model = np.asarray(face_model_vertices, np.float64)
        right, left = INTEROCULAR
        self._eye_distance_cm = float(np.linalg.norm(self._model[right] - self._model[left]))
        self._weights = vertex_weights(rms)
        self._neutrals: dict[int, LiveNeutral] = {}
        """By person, seen last at the end."""
        self._neutral = self._of(0)
        self._continuity = Continuity()
        self._expression = OneEuro(*EXPRESSION_FILTER)
        self._head = OneEuro(*HEAD_FILTER)
        self._gaze = OneEuro(*GAZE_FILTER)
        self._epoch: int | None = None
        self._turn: int | None = None
        self._person = 0
        self._before: tuple[F64, int] | None = None

    def calibrate(self) -> None:
        """Hear "this is my neutral": the next ten tracked pictures become the neutral, for good."""
        self._neutral.calibrate()

    def prime(self, tracks: Sequence[FaceTrack]) -> None:
        """Take each person's neutral of a whole clip before its first picture: no drifting start.

        The tracks of a known rest frame alone make that frame the neutral.
        """
        for person in dict.fromkeys(track.person for track in tracks):
            self._of(person).prime([track for track in tracks if track.person == person])

    def knows(self, person: int) -> bool:
        """Whether this person was followed or primed before."""
        return person in self._neutrals

    def update(self, track: FaceTrack | None, captured_ns: int, seq: int, epoch: int = 0) -> Motion:
        """The motion of the next picture.

        Args:
            track: the face found in it, or None.
            captured_ns, seq, epoch: the picture's; time need not be regular.
        """
        self._follow(track, captured_ns, epoch)
        if track is None:
            return self._continuity.lost(captured_ns, seq, epoch)
        neutral, pose, face = self._measured(track, captured_ns)
        step_s = self._step_s(captured_ns)
        self._before = (face, captured_ns)
        return self._continuity.tracked(self._motion(neutral, pose, face, step_s, captured_ns, seq, epoch))

    def _follow(self, track: FaceTrack | None, captured_ns: int, epoch: int) -> None:
        """Begin anew what a change of source, of turn or of person makes void."""
        turn = self._turn if track is None else track.turn
        if self._epoch not in (None, epoch) or self._turn not in (None, turn):
            for neutral in self._neutrals.values():
                neutral.moved()
            self._start_filters(captured_ns)
        self._epoch, self._turn = epoch, turn
        if track is not None and track.person != self._person:
            self._person, self._neutral = track.person, self._of(track.person)
            self._start_filters(captured_ns)

    def _of(self, person: int) -> LiveNeutral:
        """The neutral of a person, seen last from now on."""
        neutral = self._neutrals.pop(person, None) or LiveNeutral(self._model, self._weights)
        self._neutrals[person] = neutral
        if len(self._neutrals) > PEOPLE:
            del self._neutrals[next(iter(self._neutrals))]
        return neutral

    def _start_filters(self, captured_ns: int) -> None:
        """Forget the past of the signals, and hide the step that this makes."""
        for smooth in (self._expression, self._head, self._gaze):
            smooth.reset()
        self._before = None
        self._continuity.ease(captured_ns)

    def _measured(self, track: FaceTrack, captured_ns: int) -> tuple[Neutral, Pose, F64]:
        """The neutral to compare with, and the pose and canonical face f64 [478,3] cm that it gives."""
        pose = fit_pose(self._neutral.reference, track.landmarks, self._weights)
        face = pose.to_canonical(track.landmarks)
        sample = Sample.of(face, pose, track.blendshapes, self._speed(face, captured_ns))
        neutral, calibrated = self._neutral.observe(sample, captured_ns, self._step_s(captured_ns))
        if calibrated:
            self._start_filters(captured_ns)
        pose = fit_pose(neutral.face[:FACE_VERTICES], track.landmarks, self._weights)
        return neutral, pose, pose.to_canonical(track.landmarks)

    def _motion(
        self, neutral: Neutral, pose: Pose, face: F64, step_s: float, captured_ns: int, seq: int, epoch: int
    ) -> Motion:
        """The filtered offset from neutral. Closure is measured after the filter, so that it stays exact."""
        still = neutral.face[:FACE_VERTICES]
        expression = self._expression(face[:FACE_VERTICES] - still, step_s)
        head = self._head(self._head_offset(pose, neutral.pose), step_s)
        eyes = self._gaze(iris_offset(face) - iris_offset(neutral.face), step_s)
        shown = still + expression
        return Motion(
            expression=expression.astype(np.float32),
            rotation=head[:3].astype(np.float32),
            translation=(head[3:6] * self._eye_distance_cm).astype(np.float32),
            scale=float(np.exp(head[6])),
            gaze=gaze(eyes),
            lip_gaps=lip_gaps(shown, still),
            lid_closure=lid_closure(lid_openings(shown), lid_openings(still)),
            captured_ns=captured_ns,
            seq=seq,
            epoch=epoch,
        )

    def _head_offset(self, pose: Pose, rest: Pose) -> F64:
        """f64 [7]: rotation vector, translation in eye distances, log scale, against the head at rest."""
        rotation = rotation_vector(pose.rotation @ rest.rotation.T)
        translation = (pose.translation - rest.translation) / (rest.scale * self._eye_distance_cm)
        return np.concatenate([rotation, translation, [np.log(pose.scale / rest.scale)]])

    def _step_s(self, captured_ns: int) -> float:
        """Seconds since the last tracked picture; 0 where there is none, or where the clock went back."""
        return 0.0 if self._before is None else max(0.0, (captured_ns - self._before[1]) / 1e9)

    def _speed(self, face: F64, captured_ns: int) -> float:
        """cm/s rms since the last tracked picture."""
        if self._before is None:
            return 0.0
        return speed_of(face - self._before[0], captured_ns - self._before[1])


LONGEST_STEP_S: Final = 0.25
"""A longer gap starts the filter anew: what was before says nothing any more."""


class OneEuro:
    """Low-pass per coordinate, whose cutoff rises with speed: still when at rest, prompt when moving.

    Args:
        cutoff_hz: cutoff at rest.
        beta: Hz of cutoff per unit/s of speed.
        derivative_hz: cutoff of the speed's own low-pass.
    """

    def __init__(self, cutoff_hz: float, beta: float, derivative_hz: float = 1.0) -> None:
        self._cutoff, self._beta, self._derivative = cutoff_hz, beta, derivative_hz
        self.reset()

    def reset(self) -> None:
        """Take the next value as it is."""
        self._value: F64 | None = None
        self._speed: F64 | None = None

    def __call__(self, value: Real, step_s: float) -> F64:
        """The filtered value, of the same shape, `step_s` seconds after the one before."""
        new = np.asarray(value, np.float64)
        if self._value is None or self._speed is None or not 0 < step_s <= LONGEST_STEP_S:
            self._value, self._speed = new, np.zeros_like(new)
            return new
        change = (new - self._value) / step_s
        self._speed = self._speed + _share(self._derivative, step_s) * (change - self._speed)
        cutoff = self._cutoff + self._beta * np.abs(self._speed)
        self._value = self._value + _share(cutoff, step_s) * (new - self._value)
        return self._value


def _share(cutoff_hz: F64 | float, step_s: float) -> F64:
    """How much of the difference to the new value a step takes: 1 / (1 + tau / dt)."""
    omega = 2 * np.pi * np.asarray(cutoff_hz) * step_s
    out: F64 = omega / (1 + omega)
    return out
