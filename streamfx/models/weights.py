"""The networks that ship with streamfx: which there are, of what bytes, made for what.

`weights/weights.json` is their manifest. Every file is hashed before anything else sees its bytes, and a
network is refused where the expression basis, which scales its inputs, is not the one it was trained with.
`streamfx/lab/export` writes manifest and files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Final, TypeVar

from streamfx.errors import ModelCorrupt, ModelMissing

MANIFEST: Final = "weights.json"
FORMAT: Final = 1
"""Of the manifest; raised when its meaning changes."""
SHIPPED: Final = Path(__file__).parent / "weights"

_REINSTALL: Final = "Install streamfx again"
_LARGEST_MANIFEST: Final = 1 << 20
_PLAIN: Final[Mapping[str, type | UnionType]] = {"str": str, "int": int, "float": int | float}
"""What JSON has for declared types."""

Row = TypeVar("Row")


class Profile(StrEnum):
    """Two ways to fill both of the networks' places."""

    LITE = "lite"
    """Small residual networks, for real time on a plain CPU."""
    PAPER = "paper"
    """The networks of Geng et al. 2018."""


class NetworkName(StrEnum):
    """A network's place, and its profile."""

    REFINE_LITE = "refine-lite"
    REFINE_PAPER = "refine-paper"
    MOUTH_LITE = "mouth-lite"
    MOUTH_PAPER = "mouth-paper"


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One file beside the manifest, by its exact bytes."""

    file: str
    """The plain file name."""
    sha256: str
    """Lower-case hexadecimal, 64 digits."""
    size: int
    """Bytes."""

    def __post_init__(self) -> None:
        if Path(self.file).name != self.file or len(self.sha256) != 64 or self.size <= 0:
            raise ValueError(f"bad file name, hash or size of {self.file!r}")


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How far a file's result lies from the trained network's, where it counts, on samples not calibrated on.

    Results are pictures as shown (a residual is added first), in units of full brightness.
    """

    mean_error: float
    """Mean absolute difference."""
    max_error: float
    psnr: float
    """dB."""
    samples: int


@dataclass(frozen=True, slots=True)
class Int8Files:
    """The quantised network: OpenVINO's intermediate representation."""

    graph: WeightsFile
    constants: WeightsFile


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """One shipped network."""

    name: NetworkName
    version: str
    architecture: str
    """The class in streamfx/nets that the weights are of."""
    input_shape: tuple[int, int, int]
    """C, H, W; f32."""
    output_shape: tuple[int, int, int]
    """C, H, W; f32."""
    basis: str
    """sha256 of the expression basis whose sigma scaled the displacement maps of the training."""
    safetensors: WeightsFile
    """For training on and for GPUs."""
    onnx: WeightsFile | None
    """For f32 and bf16; None where only int8 ships, for the network is large."""
    onnx_fidelity: Fidelity
    int8: Int8Files | None
    """None where int8 would show: its mean error is above int8_limit."""
    int8_fidelity: Fidelity
    int8_limit: float
    """The largest mean_error with which int8 ships."""

    def __post_init__(self) -> None:
        if self.onnx is None and self.int8 is None:
            raise ValueError(f"{self.name} has nothing that runs")

    @property
    def files(self) -> tuple[WeightsFile, ...]:
        """All of them."""
        exact = (self.onnx,) if self.onnx else ()
        quantised = (self.int8.graph, self.int8.constants) if self.int8 else ()
        return (self.safetensors, *exact, *quantised)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


class Weights:
    """The networks in a folder.

    Args:
        folder: holds the manifest and the files.

    Raises:
        ModelMissing: there is no manifest.
        ModelCorrupt: it is damaged, or of another format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        data = self._bytes(MANIFEST, _LARGEST_MANIFEST)
        try:
            self.rows = parse_manifest(data.decode())
        except (ValueError, TypeError, KeyError) as error:
            raise ModelCorrupt(f"The manifest {folder / MANIFEST} is damaged: {error}", _REINSTALL) from error

    def has(self, name: NetworkName) -> bool:
        """Whether a network is there by the manifest; its bytes are not looked at."""
        return any(row.name is name for row in self.rows)

    def find(self, name: NetworkName) -> NetworkRow:
        """The row of a network.

        Raises:
            ModelMissing: this version ships without it.
            ModelCorrupt: it was trained with another expression basis than is installed.
        """
        row = next((row for row in self.rows if row.name is name), None)
        if row is None:
            there = ", ".join(row.name for row in self.rows) or "none"
            raise ModelMissing(f"The network {name} does not ship with this version", f"There are: {there}")
        from streamfx.models.face_basis import load_face_basis  # numpy: not for every command's start

        basis = load_face_basis().sha256
        if row.basis != basis:
            raise ModelCorrupt(
                f"The network {name} was trained with the expression basis {row.basis[:12]}…, "
                f"but {basis[:12]}… is installed",
                _REINSTALL,
            )
        return row

    def read(self, file: WeightsFile) -> bytes:
        """The bytes of a file, exactly those that the manifest names.

        Raises:
            ModelMissing: it is not there, or cannot be read.
            ModelCorrupt: it has other bytes.
        """
        data = self._bytes(file.file, file.size)
        if len(data) != file.size:
            more = "more" if len(data) > file.size else f"{len(data)}"
            raise self._damaged(file, f"it has {more} bytes instead of {file.size}")
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise self._damaged(file, f"its sha256 is not {file.sha256[:12]}…, as the manifest says")
        return data

    def _damaged(self, file: WeightsFile, how: str) -> ModelCorrupt:
        return ModelCorrupt(f"The network file {self.folder / file.file} is damaged: {how}", _REINSTALL)

    def _bytes(self, name: str, size: int) -> bytes:
        """At most `size` + 1 bytes of a file."""
        path = self.folder / name
        try:
            with path.open("rb") as file:
                return file.read(size + 1)
        except OSError as error:
            raise ModelMissing(
                f"The network file {path} cannot be read ({error.strerror or error})", _REINSTALL
            ) from error


@cache
def shipped_weights() -> Weights:
    """The networks that ship with this version of streamfx; raises as Weights."""
    return Weights(SHIPPED)


def parse_manifest(text: str) -> tuple[NetworkRow, ...]:
    """The rows of a manifest's JSON text, in its order.

    Raises:
        KeyError, TypeError, ValueError: a key is missing or unknown, a value is out of range, or the format
            is another.
    """
    document = json.loads(text)
    if document["format"] != FORMAT:
        raise ValueError(f"it is of format {document['format']}, this version reads {FORMAT}")
    rows = tuple(_network(row) for row in document["networks"])
    if len({row.name for row in rows}) != len(rows):
        raise ValueError("a network is listed twice")
    return rows


def _network(row: Mapping[str, Any]) -> NetworkRow:
    onnx, int8 = row["onnx"], row["int8"]
    parts = {
        "name": NetworkName(row["name"]),
        "input_shape": _shape(row["input_shape"]),
        "output_shape": _shape(row["output_shape"]),
        "safetensors": _made(WeightsFile, row["safetensors"]),
        "onnx": None if onnx is None else _made(WeightsFile, onnx),
        "onnx_fidelity": _made(Fidelity, row["onnx_fidelity"]),
        "int8": None if int8 is None else _int8(int8),
        "int8_fidelity": _made(Fidelity, row["int8_fidelity"]),
    }
    return _made(NetworkRow, {**row, **parts})


def _int8(entry: Mapping[str, Any]) -> Int8Files:
    return _made(Int8Files, {name: _made(WeightsFile, file) for name, file in entry.items()})


def _shape(sides: list[Any]) -> tuple[int, int, int]:
    channels, height, width = map(int, sides)
    return channels, height, width


def _made(kind: type[Row], values: Mapping[str, Any]) -> Row:
    """A dataclass from JSON values; those of fields declared by plain types must be of these."""
    for field in fields(kind):  # type: ignore[arg-type]
        plain = _PLAIN.get(str(field.type))
        if plain is not None and not isinstance(values[field.name], plain):
            raise TypeError(f"{field.name} is {values[field.name]!r}")
    return kind(**values)
