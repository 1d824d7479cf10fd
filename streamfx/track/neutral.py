"""The driver's neutral: the face and head at rest, from which all motion is measured.

No picture says "this is rest", so pictures are weighed by how restful they look against the driver's others,
and the neutral is the median of the best tenth (algorithm.md#neutral).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from streamfx.frames import F32, FaceTrack
from streamfx.geometry import F64, Pose, fit_pose, mean_rotation, yaw_pitch_roll
from streamfx.topology import FACE_VERTICES, MOUTH_CORNERS
from streamfx.track.closure import lid_openings, raw_lip_gaps

BEST_SHARE: Final = 0.10
FEWEST: Final = 5
OPEN_EYES_PERCENTILE: Final = 60

GAP_CM, YAW_DEG, PITCH_DEG, SPEED_CM_S, OPENING, MOUTH_CM = 0.15, 15.0, 12.0, 1.5, 0.06, 0.5
"""How far each measure may be from rest before it costs most of the weight."""
GATES: Final = ((25, 0.05), (44, 0.15), (45, 0.15), (9, 0.3), (10, 0.3), (3, 0.15))
"""Blendshapes (jawOpen, mouthSmile, eyeBlink, browInnerUp) and what a face at rest stays below."""
GATE_SOFTNESS: Final = 0.15
"""A gate closes gradually: some faces rest above its limit."""


@dataclass(frozen=True, slots=True)
class Neutral:
    """A face at rest, in the gauge of the canonical face, and where the head was."""

    face: F64 = field(repr=False)
    """f64 [478,3] cm"""
    pose: Pose


@dataclass(frozen=True, slots=True)
class Sample:
    """One tracked picture, as the search for the neutral sees it."""

    face: F32 = field(repr=False)
    """f32 [478,3] cm, canonical"""
    pose: Pose
    measures: F64
    """f64 [7]: lip gap cm, lid opening, mouth width cm, yaw and pitch deg, speed cm/s, gate 0..1"""

    @staticmethod
    def of(face: F64, pose: Pose, blendshapes: F32, speed: float) -> Sample:
        """Measure a canonical face f64 [478,3] cm that moves at `speed` cm/s (rms over the vertices)."""
        gap = raw_lip_gaps(face).mean()
        right, left = MOUTH_CORNERS
        width = np.linalg.norm(face[right] - face[left])
        yaw, pitch, _ = yaw_pitch_roll(pose.rotation)
        opening = lid_openings(face).mean()
        measures = np.array([gap, opening, width, yaw, pitch, speed, _gate(blendshapes)])
        return Sample(face.astype(np.float32), pose, measures)


@dataclass(frozen=True, slots=True)
class Habit:
    """What is usual for the driver: the point against which pictures are judged."""

    opening: float
    width_cm: float
    yaw_deg: float
    pitch_deg: float

    @staticmethod
    def of(measures: F64) -> Habit:
        """The habit that f64 [N,7] of Sample.measures show."""
        gap, opening, width, yaw, pitch, _, _ = measures.T
        closed = gap < GAP_CM  # who smiles most of the time is not wide-mouthed at rest
        width = width[closed] if closed.any() else width
        open_eyes = np.percentile(opening, OPEN_EYES_PERCENTILE)
        return Habit(float(open_eyes), *(float(np.median(x)) for x in (width, yaw, pitch)))

    def restfulness(self, measures: F64) -> F64:
        """f64 [N] 0..1: how restful each of f64 [N,7] looks."""
        gap, opening, width, yaw, pitch, speed, gate = measures.T
        off = (
            (np.maximum(gap, 0) / GAP_CM) ** 2
            + ((yaw - self.yaw_deg) / YAW_DEG) ** 2
            + ((pitch - self.pitch_deg) / PITCH_DEG) ** 2
            + (speed / SPEED_CM_S) ** 2
            + ((opening - self.opening) / OPENING) ** 2
            + ((width - self.width_cm) / MOUTH_CM) ** 2
        )
        out: F64 = np.exp(-off) * gate
        return out


def neutral_from(samples: Sequence[Sample], model: F64, weights: F64) -> Neutral:
    """The neutral that samples show: the median of the most restful tenth.

    Args:
        samples: at least one.
        model: f64 [468,3] cm, the canonical face, whose gauge (scale, place, turn) the neutral takes.
        weights: f64 [468], of the pose fit.
    """
    measures = np.array([sample.measures for sample in samples])
    weight = Habit.of(measures).restfulness(measures)
    count = min(len(samples), max(FEWEST, round(BEST_SHARE * len(samples))))
    best = np.argsort(-weight, kind="stable")[:count]
    face = np.median(np.array([samples[i].face for i in best]), axis=0).astype(np.float64)
    return Neutral(in_gauge(face, model, weights), mean_pose([samples[i].pose for i in best]))


def neutral_of_clip(tracks: Sequence[FaceTrack], model: F64, weights: F64) -> Neutral | None:
    """The neutral of a whole clip, which must be of one person; None without tracks.

    Two rounds: the first measures poses by the canonical face, the second by the person's own.
    """
    neutral: Neutral | None = None
    for _ in range(2):
        reference = model if neutral is None else neutral.face[:FACE_VERTICES]
        samples = _samples(tracks, reference, weights)
        neutral = neutral_from(samples, model, weights) if samples else None
    return neutral


def _samples(tracks: Sequence[FaceTrack], reference: F64, weights: F64) -> list[Sample]:
    """One sample a track, with speeds between neighbours."""
    samples: list[Sample] = []
    before: tuple[F64, int] | None = None
    for track in tracks:
        pose = fit_pose(reference, track.landmarks, weights)
        face = pose.to_canonical(track.landmarks)
        speed = 0.0 if before is None else speed_of(face - before[0], track.captured_ns - before[1])
        samples.append(Sample.of(face, pose, track.blendshapes, speed))
        before = (face, track.captured_ns)
    return samples


def in_gauge(face: F64, model: F64, weights: F64) -> F64:
    """A canonical face f64 [478,3] with the scale, place and turn of the model, so that neutrals compare."""
    return fit_pose(model, face, weights).to_canonical(face)


def mean_pose(poses: Sequence[Pose], weights: Sequence[float] | None = None) -> Pose:
    """The mean of similar poses."""
    rotations = np.array([pose.rotation for pose in poses])
    translation = np.average([pose.translation for pose in poses], axis=0, weights=weights)
    scale = float(np.average([pose.scale for pose in poses], weights=weights))
    return Pose(scale, mean_rotation(rotations, None if weights is None else np.array(weights)), translation)


def speed_of(change: F64, step_ns: int) -> float:
    """cm/s: rms over the vertices of a change f64 [N,3] cm."""
    distance = float(np.sqrt(np.einsum("ij,ij->", change, change) / len(change)))
    return distance / max(step_ns / 1e9, 1e-3)


def _gate(blendshapes: F32) -> float:
    """1 while all gated blendshapes are below their limits, falling softly above."""
    excess = [max(float(blendshapes[index]) - limit, 0.0) for index, limit in GATES]
    return float(np.exp(-sum((e / GATE_SOFTNESS) ** 2 for e in excess)))
