"""The people that no network has seen: a neutral photo and a smile of each, of the London set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from streamfx.errors import SourceMissing
from streamfx.frames import U8, FaceTrack
from streamfx.lab.evaluation.stage import Stage, Studio
from streamfx.lab.skin import SkinGroup, skin_group, typology_angle
from streamfx.lab.training.people import read_index
from streamfx.portrait.photo import load_photo


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos of one person by one camera."""

    person: str
    neutral: Path
    smile: Path


@dataclass(frozen=True, slots=True)
class Sitting:
    """A person's neutral photo as the portrait, their smile as the truth."""

    pair: Pair
    group: SkinGroup
    stage: Stage
    face: FaceTrack
    """Of the smile, in px of its photo."""
    smile: U8 = field(repr=False)
    """u8 [H,W,3]"""

    @property
    def person(self) -> str:
        """Who it is."""
        return self.pair.person


def unseen_pairs(data: Path) -> list[Pair]:
    """The validation people of train/index.csv and the sitters of portraits/.

    Raises:
        SourceMissing: the index or the smiles are not there.
    """
    return [*_validation(data), *_sitters(data)]


def _validation(data: Path) -> list[Pair]:
    listed = [one for one in read_index(data / "train" / "index.csv") if one.split == "val" and not one.video]
    rest = {one.subject: one.path for one in listed if one.rest}
    return [Pair(one.subject, rest[one.subject], one.path) for one in listed if not one.rest]


def _sitters(data: Path) -> list[Pair]:
    folder = data / "portraits"
    smiles = sorted((folder / "smile_gt").glob("london_*_smile.jpg"))
    if not smiles:
        raise SourceMissing(f"There are no smiles in {folder / 'smile_gt'}", "Fetch the data again")
    people = [path.stem.removesuffix("_smile") for path in smiles]
    return [
        Pair(person, folder / f"{person}_neutral.jpg", smile)
        for person, smile in zip(people, smiles, strict=True)
    ]


def sittings(pairs: list[Pair], studio: Studio) -> Iterator[Sitting]:
    """The pairs, analysed one by one.

    Raises:
        PhotoError: a photo is missing, damaged, or shows no face.
    """
    for pair in pairs:
        yield sitting(pair, studio)


def sitting(pair: Pair, studio: Studio) -> Sitting:
    """One pair, analysed; raises as `sittings`."""
    smile = load_photo(pair.smile).rgb
    stage = studio.stage(load_photo(pair.neutral).rgb, pair.neutral.name)
    face = studio.face(smile, pair.smile.name)
    group = skin_group(typology_angle(stage.photo, stage.rig.landmarks))
    return Sitting(pair, group, stage, face, smile)
