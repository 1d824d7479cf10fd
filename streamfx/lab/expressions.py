"""Expressions measured in the training photos: pose-free offsets from each person's own neutral face."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track

from streamfx.errors import SourceMissing
from streamfx.frames import FaceTrack
from streamfx.geometry import fit_pose, vertex_weights
from streamfx.lab.mesh_prior import F64, Mesh
from streamfx.models.face_model import load_face_model
from streamfx.portrait.photo import load_photo
from streamfx.topology import FACE_VERTICES
from streamfx.track.photo import PhotoAnalyser

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
class Expressions:
    """What was measured, one row per picture."""

    offsets: F64 = field(repr=False)
    """f64 [N,468,3] cm"""
    tiers: npt.NDArray[np.str_] = field(repr=False)
    groups: npt.NDArray[np.str_] = field(repr=False)
    paths: tuple[Path, ...] = field(repr=False)


def canonical_mesh(data: Path) -> Mesh:
    """MediaPipe's canonical face, from the landmarker under `data`/models.

    Raises:
        ModelMissing, ModelCorrupt: no landmarker there, or a damaged one.
    """
    face = load_face_model(data / "models" / "face_landmarker.task")
    return face.vertices.astype(np.float64), face.triangles


def measure(data: Path, split: str = "train", tiers: Sequence[str] = ("london", "grid")) -> Expressions:
    """The expressions of all pictures of `split` with a neutral of the same person; takes about a minute.

    Raises:
        SourceMissing: no index there.
        PhotoUnreadable: a picture of the index is missing or damaged.
        ModelMissing, ModelCorrupt: from the tracker.
    """
    mesh = canonical_mesh(data)
    models = data / "models"
    found: list[tuple[F64, Picture]] = []
    with PhotoAnalyser(models / "face_landmarker.task", models / "selfie_segmentation.tflite") as analyser:
        wanted = [picture for picture in read_index(data, split) if picture.tier in tiers]
        pictures = track(wanted, description="Measuring expressions")
        for _, group in groupby(pictures, key=lambda picture: picture.group):
            found += _offsets_of(list(_faces(group, analyser)), mesh[0])
    return Expressions(
        offsets=np.array([offset for offset, _ in found]).reshape(-1, FACE_VERTICES, 3),
        tiers=np.array([picture.tier for _, picture in found], np.str_),
        groups=np.array([picture.group for _, picture in found], np.str_),
        paths=tuple(picture.path for _, picture in found),
    )


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


def _offsets_of(found: list[tuple[Picture, FaceTrack]], canonical: F64) -> list[tuple[F64, Picture]]:
    """Offsets f64 [468,3] cm of one group's pictures from its neutral; photos at rest are left out."""
    rest = [face for picture, face in found if picture.rest]
    moving = [(picture, face) for picture, face in found if not picture.rest]
    if found and found[0][0].tier == "grid":
        rest, moving = calmest([face for _, face in found]), found
    if not rest or not moving:
        return []
    neutral = neutral_shape(rest, canonical)
    return [(unposed(face, neutral) - neutral, picture) for picture, face in moving]


def calmest(faces: list[FaceTrack]) -> list[FaceTrack]:
    """The tenth (at least 5) of `faces` with the smallest sum of blendshapes, gaze aside."""

    def activity(face: FaceTrack) -> float:
        return float(face.blendshapes[1:].sum() - face.blendshapes[_GAZE].sum())

    return sorted(faces, key=activity)[: max(5, round(CALM_SHARE * len(faces)))]


def neutral_shape(faces: list[FaceTrack], canonical: F64) -> F64:
    """The person's own face at rest, f64 [468,3] cm in canonical axes: the median, fitted twice."""
    first = np.median([unposed(face, canonical) for face in faces], axis=0)
    return np.asarray(np.median([unposed(face, first) for face in faces], axis=0), np.float64)


def unposed(face: FaceTrack, model: F64) -> F64:
    """The face's landmarks without head pose and size, f64 [468,3] cm."""
    landmarks = face.landmarks[:FACE_VERTICES].astype(np.float64)
    return fit_pose(model, landmarks, vertex_weights()).to_canonical(landmarks)
