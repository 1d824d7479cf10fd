"""Rigs on disk, by content: the same photo at the same size is solved once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, Final, Self

import numpy as np
import numpy.typing as npt

from streamfx import kept
from streamfx.errors import OutputError
from streamfx.files import atomic_output, make_folder
from streamfx.frames import EyeLayer, MouthLayer, Rig
from streamfx.portrait.checks import Finding

_MOST: Final = 24
"""Rigs kept, newest first."""
_NESTED: Final = ("eyes", "mouth")
"""Fields of a Rig that are no arrays but made of some."""

_Arrays = dict[str, npt.NDArray[Any]]


class RigCache:
    """A folder of solved rigs, with their photos' pixels. A damaged or foreign file counts as absent."""

    def __init__(self, folder: Path | None) -> None:
        """Nothing is made or read yet; without a folder nothing ever is."""
        self._folder = folder

    @classmethod
    def default(cls) -> Self:
        """That of this account."""
        return cls(kept.rigs_folder())

    def load(self, digest: str) -> tuple[Rig, tuple[Finding, ...]] | None:
        """The rig of that digest and what the photo's checks found, or None."""
        if self._folder is None:
            return None
        try:
            # Opened here, for np.load leaves a damaged archive's file open.
            with _path(self._folder, digest).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return _unpacked(dict(arrays), digest)
        except kept.DAMAGED:
            return None

    def save(self, rig: Rig, findings: tuple[Finding, ...], photos: Sequence[str]) -> None:
        """Keep a rig. A cache that cannot be written is no reason to fail.

        Args:
            rig, findings: what `load` gives.
            photos: sha256 of the photo that it is made of, and of the references.
        """
        if self._folder is None:
            return
        try:
            make_folder(self._folder)
            with atomic_output(_path(self._folder, rig.digest)) as part, part.open("wb") as file:
                np.savez(file, **_packed(rig, findings), photos=np.asarray(photos))
            for old in sorted(kept.solved(self._folder), key=lambda one: one.made_ns, reverse=True)[_MOST:]:
                old.path.unlink(missing_ok=True)
        except (OSError, OutputError) as error:
            if not isinstance(error.__cause__, FileNotFoundError):  # else it was cleared away meanwhile
                kept.left_out(getattr(error, "cause", str(error)), error)

    def forget(self, photo: str) -> None:
        """Delete what is kept of a photo, by the sha256 of its bytes. Raises OutputError."""
        if self._folder is not None:
            kept.forget(self._folder, photo)


def _path(folder: Path, digest: str) -> Path:
    return folder / f"{digest[:32]}.rig.npz"


def write_rig(rig: Rig, file: IO[bytes]) -> None:
    """Write a rig, whole, for `read_rig`."""
    np.savez(file, **_packed(rig, ()))


def read_rig(file: IO[bytes]) -> Rig:
    """A rig that `write_rig` wrote.

    Raises:
        ValueError: it is none.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return _unpacked(dict(arrays), str(arrays["digest"]))[0]
    except kept.DAMAGED as error:
        raise ValueError(f"no rig: {error}") from error


def _packed(rig: Rig, findings: tuple[Finding, ...]) -> dict[str, Any]:
    arrays = {f.name: np.asarray(getattr(rig, f.name)) for f in fields(Rig) if f.name not in _NESTED}
    for name, part in (("right", rig.eyes[0]), ("left", rig.eyes[1]), ("mouth", rig.mouth)):
        arrays |= {f"{name}.{f.name}": np.asarray(getattr(part, f.name)) for f in fields(part)}
    arrays["findings"] = np.asarray(json.dumps([[f.cause, f.remedy] for f in findings]))
    return arrays


def _unpacked(arrays: _Arrays, digest: str) -> tuple[Rig, tuple[Finding, ...]]:
    if str(arrays["digest"]) != digest:
        raise ValueError("another rig's file")
    right, left = (EyeLayer(**_fields(EyeLayer, arrays, f"{side}.")) for side in ("right", "left"))
    mouth = MouthLayer(**_fields(MouthLayer, arrays, "mouth."))
    rig = Rig(**_fields(Rig, arrays, ""), eyes=(right, left), mouth=mouth)
    return rig, tuple(Finding(*pair) for pair in json.loads(str(arrays["findings"])))


def _fields(kind: type, arrays: _Arrays, prefix: str) -> dict[str, Any]:
    names = [f.name for f in fields(kind) if f.name not in _NESTED]
    return {name: _value(arrays[prefix + name], name) for name in names}


def _value(array: npt.NDArray[Any], name: str) -> object:
    """As Rig holds it: sizes as a tuple of int, numbers and texts as Python's own."""
    if name == "size":
        return tuple(array.tolist())
    return array.item() if array.ndim == 0 else array
