"""Self-reenactment: a clip's rest frame as the photo, its other frames as driver and truth.

The rest frame is the picture nearest to the neutral that the pipeline finds. Its own track is the neutral
(MotionEstimator.prime with that track alone). Output and truth are both brought to the frame as the photo is,
turned upright by the truth's head pose into the 256 px crop, and compared over the face oval without the
inner mouth of either (ALGORITHM b, i).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from streamfx.errors import PhotoUnsuitable
from streamfx.frames import F32, U8, Deformation, FaceTrack, Motion, Rig
from streamfx.lab.evaluation.clips import Clip, Driver, Look, pictures
from streamfx.lab.evaluation.metrics import Mask, hull, laplacian_energy, polygon, psnr, ssim
from streamfx.models.face_basis import load_face_basis
from streamfx.models.face_model import load_face_model
from streamfx.models.store import Store
from streamfx.pipeline import Animator
from streamfx.portrait.checks import choose_face
from streamfx.portrait.deform import deform
from streamfx.portrait.fill import to_u8
from streamfx.portrait.framing import Framing, frame_portrait, framed
from streamfx.portrait.photo import Photo
from streamfx.portrait.rig import FaceGeometry, solve_rig
from streamfx.render.cpu import CpuRenderer
from streamfx.render.rectify import CROP, face_affine, move
from streamfx.topology import EYES, FACE_OVAL, FACE_VERTICES, INNER_MOUTH, INTEROCULAR
from streamfx.track.photo import PhotoAnalyser

CLIPS: Final = ("lp_d0", "lp_d3", "lp_d10", "lp_d13", "lp_d18", "lp_d19", "lp_d6")
FRAMES: Final = 9
"""Compared per clip, evenly spread over its tracked pictures."""
SIZE: Final = (640, 480)


class Method(StrEnum):
    """What is compared with the truth."""

    UNMOVED = "unmoved"
    """The photo as it is."""
    PIPELINE = "pipeline"
    """What the product shows."""
    UNFILTERED = "unfiltered"
    """The same without the smoothing of motion."""
    CEILING = "exact"
    """The warp with the truth's own landmarks: what no motion can surpass."""


@dataclass(frozen=True, slots=True)
class Score:
    """One picture of one method."""

    clip: str
    seq: int
    method: Method
    psnr: float
    """dB"""
    ssim: float
    sharpness: float
    """Laplacian energy over the truth's: below 1 is blurred."""
    landmarks: float
    """Mean distance of the wanted to the true landmarks, in percent of that between the outer eye corners."""
    akd: float
    """The same of the landmarks found in the output to the wanted ones; nan where it was not tracked."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A clip's rest frame as a portrait."""

    clip: Clip
    rest: FaceTrack
    framing: Framing
    rig: Rig
    geometry: FaceGeometry

    def framed(self, picture: U8) -> U8:
        """u8 [H,W,3]: a picture of the clip, framed as the photo is."""
        pad, (width, height) = self.framing.pad, self.framing.size
        return to_u8(framed(picture, self.framing)[pad : pad + height, pad : pad + width])


def set_stage(clip: Clip, driver: Driver, analyser: PhotoAnalyser, geometry: FaceGeometry) -> Stage:
    """Make the clip's rest frame a portrait, as the pipeline makes one of a photo.

    Raises:
        PhotoUnsuitable: no face in the clip.
    """
    rest = rest_look(clip, driver)
    assert rest.track is not None, "rest_look picks a tracked picture"  # noqa: S101
    rgb = pictures(clip.path, {rest.seq})[rest.seq]
    photo = Photo(rgb, f"{clip.name}:{rest.seq}", clip.path.name)
    face = choose_face(analyser.faces(rgb), photo.name)
    rig = solve_rig(photo, face, analyser.person_mask(rgb, face), geometry, SIZE)
    framing = frame_portrait(photo.size, face.landmarks[list(FACE_OVAL), :2], SIZE)
    return Stage(clip, rest.track, framing, rig, geometry)


def rest_look(clip: Clip, driver: Driver) -> Look:
    """The tracked picture nearest to the clip's neutral, head and expression together.

    Raises:
        PhotoUnsuitable: no face in the clip.
    """
    neutral = driver.neutral(clip)
    tracked = [look for look in clip.looks if look.track is not None]
    if neutral is None or not tracked:
        raise PhotoUnsuitable(f"no face was found in {clip.path.name}", "choose another clip")
    wanted = neutral.pose.to_image(neutral.face)
    return min(tracked, key=lambda look: float(np.square(_landmarks(look) - wanted).sum()))


def _landmarks(look: Look) -> F32:
    assert look.track is not None, "asked only of tracked pictures"  # noqa: S101
    return look.track.landmarks


def chosen_looks(clip: Clip, count: int = FRAMES) -> list[Look]:
    """`count` tracked pictures, evenly spread, each in the middle of its stretch."""
    tracked = [look for look in clip.looks if look.track is not None]
    at = (np.arange(count) + 0.5) * len(tracked) / count
    return [tracked[i] for i in np.unique(at.astype(int))]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a method shows for one picture, and where it wanted the landmarks f32 [468,2] px."""

    picture: U8 = field(repr=False)
    wanted: F32 = field(repr=False)


class Reenactor:
    """Renders one stage by all methods."""

    def __init__(self, stage: Stage, driver: Driver) -> None:
        self._stage, self._driver = stage, driver
        self._animator = Animator(stage.rig)
        self._renderer = CpuRenderer(stage.rig, load_face_basis().sigma)
        self._motions = {m.seq: m for m in driver.motions(stage.clip, stage.rest)}

    def attempts(self, look: Look) -> dict[Method, Attempt]:
        """All methods for one tracked picture."""
        rig, exact = self._stage.rig, self._driver.unfiltered(look, self._stage.rest)
        pad, (width, height) = rig.pad, rig.size
        photo = rig.photo[pad : pad + height, pad : pad + width]
        return {
            Method.UNMOVED: Attempt(photo, rig.landmarks[:FACE_VERTICES, :2]),
            Method.PIPELINE: self._animated(self._motions[look.seq]),
            Method.UNFILTERED: self._animated(exact),
            Method.CEILING: self._exact(look, exact),
        }

    def _animated(self, motion: Motion) -> Attempt:
        wanted = deform(self._stage.rig, motion).vertices[:FACE_VERTICES]
        return Attempt(self._animator.animate(motion).rgb, wanted)

    def _exact(self, look: Look, motion: Motion) -> Attempt:
        truth = self._stage.framing.points(_landmarks(look))[:, :2]
        deformation = _with_landmarks(deform(self._stage.rig, motion), truth)
        return Attempt(self._renderer.warp(deformation), truth[:FACE_VERTICES])


def _with_landmarks(deformation: Deformation, landmarks: F32) -> Deformation:
    """The deformation with the face's vertices where landmarks f32 [478,2] px are."""
    vertices = deformation.vertices.copy()
    vertices[:FACE_VERTICES] = landmarks[:FACE_VERTICES]
    lids = (vertices[list(EYES[0])], vertices[list(EYES[1])])
    return replace(deformation, vertices=vertices, inner_mouth=vertices[list(INNER_MOUTH)], lids=lids)


def score_clip(stage: Stage, driver: Driver, retrack: Callable[[U8], F32 | None]) -> list[Score]:
    """All methods on the chosen pictures of one clip.

    Args:
        stage, driver: the clip.
        retrack: finds landmarks f32 [478,3] in a finished picture, or None.
    """
    looks = chosen_looks(stage.clip)
    truths = pictures(stage.clip.path, {look.seq for look in looks})
    reenactor = Reenactor(stage, driver)
    scores = []
    for look in looks:
        view = _View.of(stage, look, truths[look.seq])
        for method, attempt in reenactor.attempts(look).items():
            found = retrack(attempt.picture) if method is Method.PIPELINE else None
            scores.append(view.score(stage.clip.name, method, attempt, found))
    return scores


@dataclass(frozen=True, slots=True)
class _View:
    """One true picture in the upright crop."""

    seq: int
    landmarks: F32
    affine: F32
    truth: U8

    @staticmethod
    def of(stage: Stage, look: Look, picture: U8) -> _View:
        landmarks = stage.framing.points(_landmarks(look))
        pose = stage.geometry.pose(landmarks)
        posed = replace(
            deform(stage.rig, Motion.rest()),
            rotation=pose.rotation.astype(np.float32),
            translation=pose.translation.astype(np.float32),
            scale=float(pose.scale),
        )
        affine = face_affine(posed)
        return _View(look.seq, landmarks, affine, _crop(stage.framed(picture), affine))

    def score(self, clip: str, method: Method, attempt: Attempt, found: F32 | None) -> Score:
        shown, mask = _crop(attempt.picture, self.affine), self._mask(attempt.wanted)
        eyes = float(np.linalg.norm(self.landmarks[INTEROCULAR[0], :2] - self.landmarks[INTEROCULAR[1], :2]))
        return Score(
            clip,
            self.seq,
            method,
            psnr(shown, self.truth, mask),
            ssim(shown, self.truth, mask),
            laplacian_energy(shown, mask) / laplacian_energy(self.truth, mask),
            _distance(attempt.wanted, self.landmarks) / eyes * 100,
            float("nan") if found is None else _distance(attempt.wanted, found) / eyes * 100,
        )

    def _mask(self, wanted: F32) -> Mask:
        """The true face oval without the inner mouth of truth and output."""
        oval = hull(move(self.landmarks[list(FACE_OVAL), :2], self.affine), (CROP, CROP))
        for mouth in (self.landmarks[list(INNER_MOUTH), :2], wanted[list(INNER_MOUTH)]):
            oval &= ~polygon(move(mouth, self.affine), (CROP, CROP))
        return oval


def _crop(picture: U8, affine: F32) -> U8:
    out: U8 = cv2.warpAffine(
        picture, affine, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return out


def _distance(a: F32, b: F32) -> float:
    """Mean distance of the face's vertices, px."""
    return float(np.linalg.norm(a[:FACE_VERTICES, :2] - b[:FACE_VERTICES, :2], axis=1).mean())


def reenact(
    data: Path, store: Store, track: Callable[[Path, Path], Clip], names: Iterable[str] = CLIPS
) -> list[Score]:
    """Score every method on every clip.

    Args:
        data: see clips.data_folder.
        store: the models.
        track: clips.track_clip, or one that remembers.
        names: clips of `data`/driving.

    Raises:
        SourceError, PhotoError, ModelError: a clip or a model is missing or unfit.
    """
    task = store.path("face_landmarker")
    model, basis = load_face_model(task), load_face_basis()
    geometry = FaceGeometry(model.vertices, model.triangles, basis.rms, basis.smile, basis.smile_at_rest)
    driver = Driver(model.vertices, basis.rms)
    scores: list[Score] = []
    with PhotoAnalyser(task, store.path("selfie_segmentation")) as analyser:

        def retrack(rgb: U8) -> F32 | None:
            faces = analyser.faces(rgb)
            return faces[0].landmarks if faces else None

        for name in names:
            clip = track(data / "driving" / f"{name}.mp4", task)
            scores += score_clip(set_stage(clip, driver, analyser, geometry), driver, retrack)
    return scores


def averages(scores: Iterable[Score]) -> list[Score]:
    """The mean of every method over each clip's pictures, then over all pictures (clip `all`)."""
    listed = list(scores)
    everywhere = [replace(score, clip="all") for score in listed]
    groups: dict[tuple[str, Method], list[Score]] = {}
    for score in listed + everywhere:
        groups.setdefault((score.clip, score.method), []).append(score)
    return [_mean(group) for group in groups.values()]


def _mean(group: list[Score]) -> Score:
    columns = [(one.psnr, one.ssim, one.sharpness, one.landmarks, one.akd) for one in group]
    return Score(group[0].clip, -1, group[0].method, *np.mean(columns, axis=0).tolist())
