"""A picture of a person as a portrait, and other pictures by the same camera as truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, U8, Deformation, FaceTrack, Motion, Rig
from streamfx.lab.evaluation.metrics import Mask, hull, polygon
from streamfx.lab.training.people import with_landmarks
from streamfx.models.face_basis import load_face_basis
from streamfx.models.face_model import load_face_model
from streamfx.models.store import Store
from streamfx.portrait.checks import choose_face
from streamfx.portrait.deform import deform
from streamfx.portrait.fill import to_u8
from streamfx.portrait.framing import Placement, frame_portrait, framed
from streamfx.portrait.photo import Photo
from streamfx.portrait.rig import FaceGeometry, solve_rig
from streamfx.portrait.teeth.reference import Reference, Sitter
from streamfx.render.rectify import CROP, face_affine, move
from streamfx.topology import FACE_OVAL, FACE_VERTICES, INNER_MOUTH
from streamfx.track.motion import MotionEstimator
from streamfx.track.photo import PhotoAnalyser

SIZE: Final = (640, 480)
"""(width, height) px of the frame in which everything is judged."""


@dataclass(frozen=True, slots=True)
class Studio:
    """What it takes to see faces and to make portraits of them."""

    analyser: PhotoAnalyser
    geometry: FaceGeometry

    def stage(
        self, rgb: U8, name: str, rest: FaceTrack | None = None, references: Sequence[U8] = ()
    ) -> Stage:
        """Make u8 [H,W,3] a portrait, as the pipeline makes one of a photo.

        Args:
            rgb: the picture.
            name: names it in errors, and its rig.
            rest: the face that counts as neutral; None: the one that the analyser finds.
            references: other photos of the person, u8 [H,W,3] each.

        Raises:
            PhotoUnsuitable: no face in the picture.
        """
        photo = Photo(rgb, name, name)
        face = choose_face(self.analyser.faces(rgb), name)
        person, seen = self.analyser.person_mask(rgb, face), self._references(rgb, face, references)
        rig = solve_rig(photo, face, person, self.geometry, SIZE, seen)
        placement = frame_portrait(photo.size, face.landmarks[list(FACE_OVAL), :2], person, SIZE)
        return Stage(name, rest or face, placement, rig, self.geometry)

    def _references(self, rgb: U8, face: FaceTrack, others: Sequence[U8]) -> list[Reference]:
        pose = self.geometry.pose(face.landmarks)
        sitter = Sitter.of(rgb, face, pose, self.geometry.weights)
        photos = [Photo(other, "", "reference") for other in others]
        return [sitter.reference(photo, self.face(photo.rgb, photo.name)) for photo in photos]

    def face(self, rgb: U8, name: str) -> FaceTrack:
        """The face of a picture.

        Raises:
            PhotoUnsuitable: there is none.
        """
        return choose_face(self.analyser.faces(rgb), name)

    def retrack(self, rgb: U8) -> F32 | None:
        """f32 [478,3] px: the landmarks found in a finished picture, or None."""
        faces = self.analyser.faces(rgb)
        return faces[0].landmarks if faces else None


@contextmanager
def open_studio(store: Store) -> Iterator[Studio]:
    """A studio for a while.

    Raises:
        ModelError: a model is missing or damaged.
    """
    task = store.path("face_landmarker")
    with PhotoAnalyser(task, store.path("selfie_segmentation")) as analyser:
        yield Studio(analyser, face_geometry(store))


def face_geometry(store: Store) -> FaceGeometry:
    """The canonical face and what the basis says of it."""
    model, basis = load_face_model(store.path("face_landmarker")), load_face_basis()
    return FaceGeometry(model.vertices, model.triangles, basis.rms, basis.smile, basis.smile_at_rest)


@dataclass(frozen=True, slots=True)
class Stage:
    """A person's rest picture as a portrait, to be moved as the person's other pictures show."""

    name: str
    rest: FaceTrack
    """The neutral, in px of the picture."""
    placement: Placement
    rig: Rig
    geometry: FaceGeometry

    @property
    def photo(self) -> U8:
        """u8 [H,W,3]: the portrait as it is, framed."""
        pad, (width, height) = self.rig.pad, self.rig.size
        return self.rig.photo[pad : pad + height, pad : pad + width]

    def framed(self, picture: U8) -> U8:
        """u8 [H,W,3]: another picture of the same camera, framed as the photo is."""
        pad, (width, height) = self.placement.pad, self.placement.size
        return to_u8(framed(picture, self.placement)[pad : pad + height, pad : pad + width])

    def landmarks(self, face: FaceTrack) -> F32:
        """f32 [478,3] px of the frame: where another picture's face is."""
        return self.placement.points(face.landmarks)

    def moved(self, face: FaceTrack) -> Deformation:
        """Where the product, without its smoothing, puts every vertex to show another picture's face."""
        estimator = MotionEstimator(self.geometry.vertices, self.geometry.rms)
        estimator.prime([self.rest])
        return deform(self.rig, estimator.update(face, face.captured_ns, 0))

    def matched(self, face: FaceTrack) -> Deformation:
        """The same with the face's vertices, and the pose, exactly where the other picture has them."""
        return self.posed(with_landmarks(self.moved(face), self.landmarks(face)[:, :2]), face)

    def posed(self, deformation: Deformation, face: FaceTrack) -> Deformation:
        """The deformation with the head's pose of another picture's face."""
        pose = self.geometry.pose(self.landmarks(face))
        return replace(
            deformation,
            rotation=pose.rotation.astype(np.float32),
            translation=pose.translation.astype(np.float32),
            scale=float(pose.scale),
        )


@dataclass(frozen=True, slots=True)
class View:
    """A true picture, and everything compared with it, in the upright 256 px crop of its own head's pose."""

    picture: U8 = field(repr=False)
    """u8 [H,W,3]: the truth, framed."""
    landmarks: F32 = field(repr=False)
    """f32 [478,3] px of the frame."""
    affine: F32 = field(repr=False)
    """f32 [2,3]: frame px -> crop px."""
    truth: U8 = field(repr=False)
    """u8 [256,256,3]"""

    @staticmethod
    def of(stage: Stage, face: FaceTrack, picture: U8) -> View:
        """The view of one picture of the stage's camera, u8 [H,W,3] with its face."""
        shown = stage.framed(picture)
        affine = face_affine(stage.posed(deform(stage.rig, Motion.rest()), face))
        return View(shown, stage.landmarks(face), affine, _crop(shown, affine))

    def crop(self, picture: U8) -> U8:
        """u8 [256,256,3] of a picture in the frame."""
        return _crop(picture, self.affine)

    def carried(self, stage: Stage) -> tuple[U8, F32]:
        """u8 [H,W,3]: the photo, put by a similarity where the true head is; f32 [478,2]: its landmarks."""
        at_rest = np.vstack([face_affine(deform(stage.rig, Motion.rest())), [0, 0, 1]])
        back = np.vstack([self.affine, [0, 0, 1]])
        there = np.linalg.solve(back.astype(np.float64), at_rest)[:2].astype(np.float32)
        picture = cv2.warpAffine(stage.photo, there, stage.rig.size, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(picture, np.uint8), move(stage.rig.landmarks[:, :2], there)

    def mask(self, wanted: F32) -> Mask:
        """bool [256,256]: the true face oval without the inner mouth of truth and output.

        Args:
            wanted: f32 [>=468,2] px of the frame: where the output's landmarks are meant to be.
        """
        oval = hull(move(self.landmarks[list(FACE_OVAL), :2], self.affine), (CROP, CROP))
        for points in (self.landmarks, wanted):
            oval &= ~polygon(move(points[list(INNER_MOUTH), :2], self.affine), (CROP, CROP))
        return oval


def _crop(picture: U8, affine: F32) -> U8:
    out: U8 = cv2.warpAffine(
        picture, affine, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return out


def vertex_distance(a: F32, b: F32, vertices: Sequence[int] = range(FACE_VERTICES)) -> float:
    """px: mean distance of some of the face's vertices in two sets of landmarks f32 [>=468,>=2]."""
    chosen = list(vertices)
    return float(np.linalg.norm(a[chosen, :2] - b[chosen, :2], axis=1).mean())
