"""Expressions measured in the training photos: pose-free offsets from each person's own neutral face."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from rich.progress import track

from streamfx.errors import SourceMissing
from streamfx.frames import FaceTrack
from streamfx.geometry import fit_pose
from streamfx.lab.mesh_prior import F64, Mesh
from streamfx.models.face_model import load_face_model
from streamfx.portrait.photo import load_photo
from streamfx.topology import FACE_VERTICES
from streamfx.track.photo import PhotoAnalyser

TIERS = ("london", "grid")
"""Photos of neutral and smile; speech."""
CALM_SHARE = 0.1
"""Share of a talker's pictures, the calmest, whose median is their neutral."""
_GAZE = slice(11, 19)
"""The blendshapes that tell where the eyes look: not an expression."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One row of train/index.csv."""

    path: Path
    group: str
    """Pictures with a common neutral: a person (photos) or a clip (speech)."""
    tier: str
    """`london` (a neutral and a smile) or `grid` (speech, without a marked neutral)."""
    rest: bool


@dataclass(frozen=True, slots=True)
class Person:
    """The tracked faces of one person or clip."""

    tier: str
    rest: tuple[FaceTrack, ...] = field(repr=False)
    """The pictures that make the neutral."""
    moving: tuple[FaceTrack, ...] = field(repr=False)
    """The pictures whose expression is measured."""


def canonical_mesh(data: Path) -> Mesh:
    """MediaPipe's canonical face, from the landmarker under `data`/models.

    Raises:
        ModelMissing, ModelCorrupt: no landmarker there, or a damaged one.
    """
    face = load_face_model(data / "models" / "face_landmarker.task")
    return face.vertices.astype(np.float64), face.triangles


def track_people(data: Path, split: str = "train", tiers: Sequence[str] = TIERS) -> list[Person]:
    """Everybody in `split` with a neutral and something else; takes a minute and a half.

    Raises:
        SourceMissing: no index there.
        PhotoUnreadable: a picture of the index is missing or damaged.
        ModelMissing, ModelCorrupt: from the tracker.
    """
    models = data / "models"
    wanted = [picture for picture in read_index(data, split) if picture.tier in tiers]
    with PhotoAnalyser(models / "face_landmarker.task", models / "selfie_segmentation.tflite") as analyser:
        pictures = track(wanted, description="Tracking faces")
        groups = groupby(pictures, key=lambda picture: picture.group)
        people = [_person(list(_faces(group, analyser))) for _, group in groups]
    return [person for person in people if person.rest and person.moving]


def offsets(people: Iterable[Person], canonical: F64, weights: F64) -> dict[str, F64]:
    """Expressions f64 [N,468,3] cm per tier.

    Args:
        canonical: f64 [468,3] cm.
        weights: f64 [468] of the pose fit; the tracker's, for they decide what counts as expression.
    """
    found: dict[str, list[F64]] = {tier: [] for tier in TIERS}
    for person in people:
        neutral = neutral_shape(person.rest, canonical, weights)
        found[person.tier] += [unposed(face, neutral, weights) - neutral for face in person.moving]
    return {tier: np.array(rows).reshape(-1, FACE_VERTICES, 3) for tier, rows in found.items()}


def read_index(data: Path, split: str) -> list[Picture]:
    """The pictures of one split of train/index.csv that show expressions, by group.

    Raises:
        SourceMissing: no index there.
    """
    index = data / "train" / "index.csv"
    try:
        with index.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == split]
    except OSError as error:
        raise SourceMissing(
            f"The training index {index} cannot be read ({error.strerror})", "Name the data folder by --data"
        ) from error
    pictures = [_picture(row, index.parent) for row in rows if not row["source"].startswith("canada")]
    return sorted(pictures, key=lambda picture: (picture.group, picture.path))


def _picture(row: dict[str, str], folder: Path) -> Picture:
    speech = row["label"] == "video"
    return Picture(
        path=folder / row["file"],
        group=row["source"] if speech else row["subject"],
        tier="grid" if speech else "london",
        rest=row["is_rest"] == "1",
    )


def _faces(pictures: Iterable[Picture], analyser: PhotoAnalyser) -> Iterator[tuple[Picture, FaceTrack]]:
    """The largest face of each picture that has one."""
    for picture in pictures:
        if faces := analyser.faces(load_photo(picture.path).rgb):
            yield picture, faces[0]


def _person(found: list[tuple[Picture, FaceTrack]]) -> Person:
    """A talker has no marked neutral: the calmest pictures make it. A photographed person has."""
    faces = tuple(face for _, face in found)
    tier = found[0][0].tier if found else TIERS[0]
    if tier == "grid":
        return Person(tier, calmest(faces), faces)
    rest = tuple(face for picture, face in found if picture.rest)
    return Person(tier, rest, tuple(face for picture, face in found if not picture.rest))


def calmest(faces: Sequence[FaceTrack]) -> tuple[FaceTrack, ...]:
    """The tenth (at least 5) of `faces` with the smallest sum of blendshapes, gaze aside."""

    def activity(face: FaceTrack) -> float:
        return float(face.blendshapes[1:].sum() - face.blendshapes[_GAZE].sum())

    return tuple(sorted(faces, key=activity)[: max(5, round(CALM_SHARE * len(faces)))])


def neutral_shape(faces: Sequence[FaceTrack], canonical: F64, weights: F64) -> F64:
    """The person's own face at rest, f64 [468,3] cm in canonical axes: the median, fitted twice."""
    first = np.median([unposed(face, canonical, weights) for face in faces], axis=0)
    return np.asarray(np.median([unposed(face, first, weights) for face in faces], axis=0), np.float64)


def unposed(face: FaceTrack, model: F64, weights: F64) -> F64:
    """The face's landmarks without head pose and size, f64 [468,3] cm."""
    landmarks = face.landmarks[:FACE_VERTICES].astype(np.float64)
    return fit_pose(model, landmarks, weights).to_canonical(landmarks)
