"""Rigs on disk, by content: the same photo at the same size is solved once."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from streamfx.errors import OutputError
from streamfx.files import atomic_output
from streamfx.frames import EyeLayer, MouthLayer, Rig
from streamfx.portrait.checks import Finding

_MOST: Final = 24
"""Rigs kept, newest first."""
_NESTED: Final = ("eyes", "mouth")
"""Fields of a Rig that are no arrays but made of some."""

_Arrays = dict[str, npt.NDArray[Any]]


class RigCache:
    """A folder of solved rigs. A damaged or foreign file counts as absent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, digest: str) -> tuple[Rig, tuple[Finding, ...]] | None:
        """The rig of that digest and what the photo's checks found, or None."""
        try:
            # Opened here, for np.load leaves a damaged archive's file open.
            with self._path(digest).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return _unpacked(dict(arrays), digest)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
            return None

    def save(self, rig: Rig, findings: tuple[Finding, ...]) -> None:
        """Keep a rig. A cache that cannot be written is no reason to fail."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with atomic_output(self._path(rig.digest)) as part, part.open("wb") as file:
                np.savez(file, **_packed(rig, findings))
            self._prune()
        except (OSError, OutputError):
            return

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest[:32]}.rig.npz"

    def _prune(self) -> None:
        kept = sorted(self._folder.glob("*.rig.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[_MOST:]:
            path.unlink(missing_ok=True)


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
    except (OSError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
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
