"""The whole state of a run between two of its steps, as one safetensors file: tensors, and scalars beside.

A checkpoint is replaced atomically: whatever interrupts a save, the one before is still there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save as serialise
from torch import Tensor

from streamfx.errors import ModelCorrupt, ModelMissing
from streamfx.files import Subject, atomic_output, read_bytes

Tensors = Mapping[str, Tensor]

WEIGHTS: Final = Subject("The weights file", ModelMissing, ModelCorrupt)
CHECKPOINT: Final = Subject("The checkpoint", ModelMissing, ModelCorrupt)

_FORMAT: Final = 1
_LARGEST: Final = 4 << 30
"""Bytes: the paper's networks with optimiser and history take 0.4 GB."""
_KEY: Final = "streamfx"
_HEADER_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a run stands."""

    step: int
    """Steps done."""
    seconds: float
    """Time spent on them."""
    best: float
    """The best score on validation so far; -inf before the first."""
    processes: int
    """How many learned together."""
    tensors: Tensors = field(repr=False)
    """Networks, averages, optimisers, histories."""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write it, whole or not at all.

    Raises:
        OutputError: the disk refuses.
    """
    scalars = {
        "format": _FORMAT,
        "step": checkpoint.step,
        "seconds": checkpoint.seconds,
        "best": checkpoint.best,
        "processes": checkpoint.processes,
    }
    _write(path, checkpoint.tensors, {_KEY: json.dumps(scalars)})


def load_checkpoint(path: Path) -> Checkpoint:
    """Read it back, tensors on the CPU.

    Raises:
        ModelMissing: there is none.
        ModelCorrupt: it is damaged, or of another version.
    """
    data = read_bytes(path, _LARGEST, CHECKPOINT)
    tensors = _parsed(data, path, CHECKPOINT)
    try:
        scalars = json.loads(_metadata(data)[_KEY])
        if scalars["format"] != _FORMAT:
            raise ModelCorrupt(
                f"The checkpoint {path} is of format {scalars['format']}, this is {_FORMAT}",
                "Resume with the version of streamfx that wrote it",
            )
        step, processes = int(scalars["step"]), int(scalars["processes"])
        return Checkpoint(step, float(scalars["seconds"]), float(scalars["best"]), processes, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelCorrupt(
            f"{path} is no checkpoint of streamfx",
            "Start anew in another folder, by --from WEIGHTS if wanted",
        ) from error


def save_weights(path: Path, weights: Tensors, facts: Mapping[str, object]) -> None:
    """A network's weights, with facts about them (what JSON can say) in the file's header.

    Raises:
        OutputError: the disk refuses.
    """
    _write(path, weights, {_KEY: json.dumps(facts, sort_keys=True)})


def read_weights(path: Path) -> bytes:
    """The bytes of a file of weights.

    Raises:
        ModelMissing: there is no such file.
        ModelCorrupt: it is empty or far too large.
    """
    return read_bytes(path, _LARGEST, WEIGHTS)


def parse_weights(data: bytes, path: Path) -> Tensors:
    """A network's weights; `path` is where the bytes came from.

    Raises:
        ModelCorrupt: they are damaged.
    """
    return _parsed(data, path, WEIGHTS)


def fill(network: torch.nn.Module, weights: Tensors, path: Path) -> None:
    """Give a network weights that were read from `path`.

    Raises:
        ModelCorrupt: a tensor is missing, too many, of another shape, or not finite.
    """
    known = network.state_dict()
    strange = sorted(known.keys() ^ weights.keys())
    strange += [name for name in known.keys() & weights.keys() if known[name].shape != weights[name].shape]
    strange += [name for name, tensor in weights.items() if not bool(torch.isfinite(tensor).all())]
    if strange:
        kind = type(network).__name__
        raise ModelCorrupt(
            f"{path} holds no weights of {kind}: {strange[0]} does not fit", f"Name a file made for {kind}"
        )
    network.load_state_dict({name: weights[name].to(known[name].dtype) for name in known})


def _write(path: Path, tensors: Tensors, metadata: dict[str, str]) -> None:
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_output(path) as part:
        part.write_bytes(serialise(flat, metadata))


def _parsed(data: bytes, path: Path, what: Subject) -> dict[str, Tensor]:
    try:
        return dict(parse(data))
    except (SafetensorError, KeyError) as error:
        raise what.unfit(f"{what.name} {path} is damaged: {error}", "Fetch or make it again") from error


def _metadata(data: bytes) -> dict[str, str]:
    """The text in the header of bytes that were parsed already."""
    length = int.from_bytes(data[:_HEADER_LENGTH], "little")
    header = json.loads(data[_HEADER_LENGTH : _HEADER_LENGTH + length])
    found: dict[str, str] = header.get("__metadata__", {})
    return found
