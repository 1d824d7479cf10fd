"""Crops to learn from, as arrays in a folder: made once, mapped into memory, drawn from at random."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from streamfx.errors import OutputError, SourceMissing, SourceUnreadable
from streamfx.files import atomic_output
from streamfx.frames import U8

I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]

STEPS_PER_SIGMA: Final = 21
"""M is kept as whole 21sts of a sigma, -6..6: i8."""

STEPS_OF_LIGHT: Final = 300
"""The logarithm of the light's change is kept as whole 300ths, up to +-.42: i8."""


class Row(Protocol):
    """What builders give: one crop with its truth. Its other attributes are named as the fields of Crops."""

    @property
    def subject(self) -> str:
        """Whose it is."""

    @property
    def follows(self) -> bool:
        """Whether the row before it shows the moment before, in the same video."""

    @property
    def sharp(self) -> bool:
        """Whether it shows detail."""


@dataclass(frozen=True, slots=True)
class Crops:
    """What all crops tell of their rows."""

    previous: I32
    """i32 [N]: row of the picture before this one in its video; -1 where there is none."""
    sharp: U8
    """u8 [N]: 1 where skin, or teeth, show detail."""
    tier: npt.NDArray[np.str_]
    """[N]: how the row was made: see Tier of faces.py and mouths.py."""
    subject: npt.NDArray[np.str_]
    """[N]"""
    split: npt.NDArray[np.str_]
    """[N]: train or val."""

    def __len__(self) -> int:
        return len(self.tier)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Map the arrays of a folder into memory. See `open_arrays`."""
        return cls(**open_arrays(folder, [one.name for one in fields(cls)]))

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Self:
        """The rows as arrays."""
        listed = list(rows)
        previous = [index - 1 if row.follows else -1 for index, row in enumerate(listed)]
        columns = {
            one.name: np.array([getattr(row, one.name) for row in listed])
            for one in fields(cls)
            if one.name not in ("previous", "sharp")
        }
        sharp = np.array([row.sharp for row in listed], np.uint8)
        return cls(previous=np.array(previous, np.int32), sharp=sharp, **columns)


@dataclass(frozen=True, slots=True)
class FaceCrops(Crops):
    """Faces [N,256,256,...], as render/rectify.py gives them to the refining network, and what is true."""

    photo: U8
    """u8 [N,256,256,3]: the photo in the same crop, unmoved but for the head's pose."""
    warped: U8
    """u8 [N,256,256,3]: the warped face; the inner mouth is blanked."""
    truth: U8
    """u8 [N,256,256,3]: the true picture, not blanked."""
    mask: U8
    """u8 [N,256,256]: inner mouth."""
    face: U8
    """u8 [N,256,256]: hull of the face."""
    moved: I8
    """i8 [N,256,256,2]: M in STEPS_PER_SIGMA."""
    light: I8
    """i8 [N,256,256]: logarithm of the light's change in STEPS_OF_LIGHT."""


@dataclass(frozen=True, slots=True)
class MouthCrops(Crops):
    """Open mouths [N,96,96,...] as render/base.py's MouthView gives them to painters, and what is true."""

    around: U8
    """u8 [N,96,96,3]: the warped face around the mouth, as the renderer has it before the mouth is drawn."""
    truth: U8
    """u8 [N,96,96,3]"""
    mask: U8
    """u8 [N,96,96]: the opening between the lips."""
    moved: I8
    """i8 [N,96,96,2]: M in STEPS_PER_SIGMA."""
    drawn: U8
    """u8 [N,96,96,3]: the procedural mouth."""
    own: U8
    """u8 [N,96,96]: where its teeth are the person's own."""


def quantised(displacement: npt.NDArray[np.float32]) -> I8:
    """M f32 [...,2] in sigmas, as it is kept."""
    return np.rint(displacement * STEPS_PER_SIGMA).clip(-127, 127).astype(np.int8)


def quantised_light(light: npt.NDArray[np.float32]) -> I8:
    """The factor f32 [...] of the light's change, as it is kept."""
    out: I8 = np.rint(np.log(light) * STEPS_OF_LIGHT).clip(-127, 127).astype(np.int8)
    return out


def save_arrays(folder: Path, arrays: dict[str, npt.NDArray[Any]], made_from: str) -> None:
    """Write one .npy file an array, then meta.json, which makes the folder whole.

    Raises:
        OutputError: the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in arrays.items():
            with atomic_output(folder / f"{name}.npy") as part, part.open("wb") as file:
                np.save(file, array, allow_pickle=False)
        rows = {name: list(array.shape) for name, array in arrays.items()}
        with atomic_output(folder / "meta.json") as part:
            part.write_text(json.dumps({"made_from": made_from, "arrays": rows}, indent=1), "utf-8")
    except OSError as error:
        raise OutputError(
            f"The crops cannot be written to {folder} ({error.strerror})", "Free some space, or name another"
        ) from error


def is_whole(folder: Path, made_from: str) -> bool:
    """Whether the folder holds crops made from just this."""
    try:
        meta = json.loads((folder / "meta.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(meta, dict) and meta.get("made_from") == made_from


def open_arrays(folder: Path, names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a folder, mapped into memory.

    Raises:
        SourceMissing: no crops there.
        SourceUnreadable: an array is missing or damaged.
    """
    if not (folder / "meta.json").is_file():
        raise SourceMissing(f"There are no crops in {folder}", "Build them first: streamfx train --data DIR")
    try:
        return {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
    except (OSError, ValueError) as error:
        raise SourceUnreadable(
            f"The crops in {folder} are damaged", "Remove the folder and build again"
        ) from error
