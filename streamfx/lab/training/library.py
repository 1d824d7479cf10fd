"""Crops of a folder of training pictures: checked, built once, and opened from then on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np

from streamfx.errors import SourceMissing, SourceUnreadable
from streamfx.files import Subject, read_bytes
from streamfx.lab.training.crops import FaceCrops, MouthCrops, Row, is_whole, save_arrays
from streamfx.lab.training.draws import FEWEST_PEOPLE, check_people
from streamfx.lab.training.faces import build_faces
from streamfx.lab.training.mouths import build_mouths
from streamfx.lab.training.people import Listed, Studio, read_index
from streamfx.lab.training.runs import make_writable
from streamfx.models.face_basis import load_face_basis
from streamfx.models.store import Store
from streamfx.track.photo import PhotoAnalyser

INDEX: Final = Subject("The training index", SourceMissing, SourceMissing)

_LARGEST_INDEX: Final = 1 << 28
_NEEDED: Final = ("face_landmarker", "selfie_segmentation")
"""Models that find faces and people."""

Built = Callable[[int, str], None]
"""Called after each row built: rows so far, and whose the last one is."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """A folder of pictures with their index."""

    index: Path
    listed: Sequence[Listed]
    sha256: str
    """Of the index."""

    @classmethod
    def of(cls, folder: Path) -> Pictures:
        """Read `folder`/index.csv, or `folder`/train/index.csv.

        Raises:
            SourceMissing: there is no index, or it lists pictures that are not there.
            SourceUnreadable: it lacks a column, or people of a split, or has somebody in both.
        """
        index = folder / "index.csv"
        if not index.exists() and (folder / "train" / "index.csv").exists():
            index = folder / "train" / "index.csv"
        digest = hashlib.sha256(read_bytes(index, _LARGEST_INDEX, INDEX)).hexdigest()
        listed = read_index(index)
        missing = [one.path for one in listed if not one.path.is_file()]
        if missing:
            raise SourceMissing(
                f"{index} lists {len(missing)} pictures that are not there, the first {missing[0]}",
                "Fetch them, or take their rows out",
            )
        _check_splits(index, listed)
        return cls(index, listed, digest)


def _check_splits(index: Path, listed: Sequence[Listed]) -> None:
    """Enough people in each split, and nobody in both: what was learned by heart is not to be judged by."""
    subjects, splits = (np.array([getattr(one, name) for one in listed]) for name in ("subject", "split"))
    for split in FEWEST_PEOPLE:
        check_people(subjects, splits == split, split)
    both = np.intersect1d(subjects[splits == "train"], subjects[splits == "val"])
    if len(both):
        raise SourceUnreadable(
            f"{index} has {len(both)} people in both splits, the first {both[0]}",
            "Give each person one split",
        )


def build_crops(kind: type[FaceCrops | MouthCrops], pictures: Pictures, folder: Path, built: Built) -> None:
    """Build the faces or mouths in `folder` from the pictures, unless they were already.

    Raises:
        PhotoUnreadable: a picture is damaged.
        ModelMissing, ModelCorrupt: what finds faces.
        OutputError: the folder cannot be written.
    """
    made_from = origin(pictures, kind)
    if is_whole(folder, made_from):
        return
    make_writable(folder)  # a folder that cannot be written is to be known before it is worked for
    with _studio() as studio:
        rows: Iterator[Row]
        if kind is FaceCrops:
            rows = build_faces(pictures.listed, studio)
        else:
            rows = build_mouths(pictures.listed, studio)
        crops = kind.of(_told(rows, built))
    save_arrays(folder, {one.name: getattr(crops, one.name) for one in fields(crops)}, made_from)


@contextmanager
def _studio() -> Iterator[Studio]:
    store = Store.default()
    store.pull(_NEEDED)
    with PhotoAnalyser(store.path("face_landmarker"), store.path("selfie_segmentation")) as analyser:
        yield Studio(analyser, store)


def origin(pictures: Pictures, kind: type[FaceCrops | MouthCrops]) -> str:
    """Names what crops are made from: the index, the face basis, and what is kept of each row."""
    names = [one.name for one in fields(kind)]
    return json.dumps([kind.__name__, pictures.sha256, load_face_basis().sha256, names])


def _told(rows: Iterable[Row], built: Built) -> Iterator[Row]:
    for count, row in enumerate(rows, 1):
        built(count, row.subject)
        yield row
