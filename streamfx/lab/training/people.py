"""Training pictures, person by person: tracked, with one picture of each made a portrait (index.csv).

The index is a table with a row per picture: `file` (relative to the index), `subject`, `source`, `split`
(train or val), `label` (video: one of a sequence; else a photo) and `is_rest` (1: a neutral face). Pictures
of one video share their source, and lie in order.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np

from streamfx.errors import SourceMissing, SourceUnreadable
from streamfx.frames import F32, U8, Deformation, FaceTrack, Motion, Rig
from streamfx.lab.expressions import calmest
from streamfx.models.face_basis import load_face_basis
from streamfx.models.face_model import load_face_model
from streamfx.models.store import Store
from streamfx.portrait.deform import deform
from streamfx.portrait.fill import to_u8
from streamfx.portrait.framing import Placement, frame_portrait, framed
from streamfx.portrait.photo import Photo, load_photo
from streamfx.portrait.rig import FaceGeometry, solve_rig
from streamfx.topology import EYES, FACE_OVAL, FACE_VERTICES, INNER_MOUTH
from streamfx.track.motion import MotionEstimator
from streamfx.track.photo import PhotoAnalyser

COLUMNS: Final = ("file", "subject", "source", "split", "label", "is_rest")
SHARP_PX: Final = 150
"""Width of a face in its picture from which its skin shows detail worth learning."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of the index."""

    path: Path
    subject: str
    split: str
    video: str
    """Name of the video the picture belongs to; empty for a photo."""
    rest: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture with its face."""

    listed: Listed
    rgb: U8 = field(repr=False)
    """u8 [H,W,3]"""
    face: FaceTrack = field(repr=False)

    @property
    def sharp(self) -> bool:
        """Whether the face is large enough to show its skin."""
        return bool(np.ptp(self.face.landmarks[list(FACE_OVAL), 0]) >= SHARP_PX)


def read_index(path: Path) -> list[Listed]:
    """The pictures of an index, those of one video or subject together, in order.

    Raises:
        SourceMissing: there is no index.
        SourceUnreadable: it lacks a column, or a row lacks one.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise SourceMissing(
            f"The training index {path} cannot be read ({error.strerror})", "Name its folder by --data"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceUnreadable(
            f"{path} is no table in CSV", "See docs/training.md for its columns"
        ) from error
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise SourceUnreadable(
            f"{path} has no column {', '.join(missing)}", "See docs/training.md for its columns"
        )
    short = [row["file"] for row in rows if any(row[name] is None for name in COLUMNS)]
    if short:
        raise SourceUnreadable(
            f"{path} has rows that are too short, the first at {short[0]}", "Give each row all columns"
        )
    return sorted((_listed(row, path.parent) for row in rows), key=_order)


def _listed(row: dict[str, str], folder: Path) -> Listed:
    video = row["source"] if row["label"] == "video" else ""
    return Listed(folder / row["file"], row["subject"], row["split"], video, row["is_rest"] == "1")


def _order(listed: Listed) -> tuple[str, str, Path]:
    return listed.subject, listed.video, listed.path


def by_person(listed: Sequence[Listed]) -> Iterator[list[Listed]]:
    """The photos of one subject, or the pictures of one video, at a time."""
    for _, group in groupby(listed, key=lambda one: (one.subject, one.video)):
        yield list(group)


class Studio:
    """What it takes to see faces and to make portraits of them; close it (it is a context manager's value).

    Args:
        analyser: finds faces and people in photos.
        store: the models.
    """

    def __init__(self, analyser: PhotoAnalyser, store: Store) -> None:
        model, basis = load_face_model(store.path("face_landmarker")), load_face_basis()
        self.analyser, self.basis = analyser, basis
        self.geometry = FaceGeometry(
            model.vertices, model.triangles, basis.rms, basis.smile, basis.smile_at_rest
        )

    def see(self, listed: Listed) -> Seen | None:
        """The picture with its largest face; None where there is none."""
        photo = load_photo(listed.path)
        faces = self.analyser.faces(photo.rgb)
        return Seen(listed, photo.rgb, faces[0]) if faces else None

    def portrait(self, seen: Seen) -> Sitter:
        """A portrait of the picture, framed as it is, at its own size (even)."""
        height, width = seen.rgb.shape[:2]
        size = (width - width % 2, height - height % 2)
        photo = Photo(seen.rgb, seen.listed.path.name, seen.listed.path.name)
        mask = self.analyser.person_mask(seen.rgb, seen.face)
        rig = solve_rig(photo, seen.face, mask, self.geometry, size)
        placement = frame_portrait(photo.size, seen.face.landmarks[list(FACE_OVAL), :2], mask, size)
        return Sitter(seen, rig, placement, self.geometry)


@dataclass(frozen=True, slots=True)
class Sitter:
    """One picture of a person as a portrait, to be moved into the expressions of the person's others."""

    seen: Seen
    rig: Rig
    placement: Placement
    geometry: FaceGeometry

    def framed(self, picture: U8) -> U8:
        """u8 [H,W,3]: another picture of the same camera, framed as the portrait is."""
        pad, (width, height) = self.placement.pad, self.placement.size
        return to_u8(framed(picture, self.placement)[pad : pad + height, pad : pad + width])

    def motion(self, face: FaceTrack) -> Motion:
        """From the portrait's face to another of the same person, unfiltered."""
        estimator = MotionEstimator(self.geometry.vertices, self.geometry.rms)
        estimator.prime([self.seen.face])
        return estimator.update(face, 0, 0)

    def moved(self, face: FaceTrack) -> Deformation:
        """Where the product puts every vertex to show that face's expression and pose."""
        return deform(self.rig, self.motion(face))

    def matched(self, face: FaceTrack) -> Deformation:
        """The same with the face's vertices, pose and mouth exactly where the other picture has them."""
        landmarks = self.placement.points(face.landmarks)
        pose = self.geometry.pose(landmarks)
        return replace(
            with_landmarks(self.moved(face), landmarks[:, :2]),
            rotation=pose.rotation.astype(np.float32),
            translation=pose.translation.astype(np.float32),
            scale=float(pose.scale),
        )


def with_landmarks(deformation: Deformation, landmarks: F32) -> Deformation:
    """The deformation with the face's vertices where landmarks f32 [N>=468,2] px are."""
    vertices = deformation.vertices.copy()
    vertices[:FACE_VERTICES] = landmarks[:FACE_VERTICES]
    lids = (vertices[list(EYES[0])], vertices[list(EYES[1])])
    return replace(deformation, vertices=vertices, inner_mouth=vertices[list(INNER_MOUTH)], lids=lids)


def sitters(listed: Sequence[Listed], studio: Studio) -> Iterator[tuple[Seen, list[Seen]]]:
    """Person by person: the picture to make a portrait of, and all in which a face was found.

    Raises:
        PhotoUnreadable: a picture of the index is missing or damaged.
    """
    for group in by_person(listed):
        seen = [one for entry in group if (one := studio.see(entry)) is not None]
        rest = rest_of(seen)
        if rest is not None:
            yield rest, seen


def rest_of(seen: Sequence[Seen]) -> Seen | None:
    """The picture to make a portrait of: one marked as rest, for a video the calmest; None without any."""
    if seen and seen[0].listed.video:
        calm = calmest([one.face for one in seen])[0]
        return next(one for one in seen if one.face is calm)
    return next((one for one in seen if one.listed.rest), None)
