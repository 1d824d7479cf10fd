"""Makes all files of a network, holds them to the network as trained, and enters them in the manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from streamfx.errors import ModelCorrupt
from streamfx.files import atomic_output, check_writable
from streamfx.frames import F32
from streamfx.lab.export.int8 import Representation, to_int8
from streamfx.lab.export.onnx_file import to_onnx
from streamfx.lab.export.samples import Picture, Samples, fidelity, load_samples
from streamfx.lab.training.checkpoints import fill, parse_weights, read_weights, save_weights
from streamfx.models.face_basis import load_face_basis
from streamfx.models.network import CompiledGraph, Precision
from streamfx.models.weights import (
    FORMAT,
    MANIFEST,
    Fidelity,
    Int8Files,
    NetworkName,
    NetworkRow,
    Weights,
    WeightsFile,
)
from streamfx.nets import AsRun, build

INPUTS: Final[Mapping[NetworkName, tuple[int, int, int]]] = MappingProxyType(
    {
        NetworkName.REFINE_LITE: (9, 256, 256),
        NetworkName.REFINE_PAPER: (5, 256, 256),
        NetworkName.MOUTH_LITE: (10, 96, 96),
        NetworkName.MOUTH_PAPER: (4, 256, 256),
    }
)
"""C, H, W of the pictures that each is trained on; what ships may take them packed in cells (nets.lite)."""

LIMITS: Final[Mapping[NetworkName, float]] = MappingProxyType(
    {
        NetworkName.REFINE_LITE: 0.5 / 255,
        NetworkName.REFINE_PAPER: 2 / 255,
        NetworkName.MOUTH_LITE: 2 / 255,
        NetworkName.MOUTH_PAPER: 2 / 255,
    }
)
"""The mean error with which int8 ships. Residuals are a grey level or two: half of one is their most."""

_BASIS: Final = "basis"
"""Key among the facts in the header of a safetensors file."""
_HALVED: Final = frozenset({NetworkName.REFINE_PAPER, NetworkName.MOUTH_PAPER})
"""Networks whose safetensors hold f16: they are large. The others can be trained on without loss."""
_LARGEST: Final = NetworkName.MOUTH_PAPER
"""It ships no ONNX where it ships int8: its 12 MB would break the 40 MB that all may take."""


def export(name: NetworkName, weights: Path, samples: Path, folder: Path, version: str) -> NetworkRow:
    """Write the files of one network into `folder`, and its row into the manifest there.

    Args:
        name: which network.
        weights: safetensors of the network as trained.
        samples: npz of what it sees in use (see samples.load_samples).
        folder: of the shipped networks; its manifest keeps the rows of the others.
        version: what to call these weights.

    Raises:
        ModelMissing, ModelCorrupt: the weights are not there, damaged, or another network's.
        UsageError: the samples are unfit.
        OutputError: the folder cannot be written.
    """
    check_writable(folder / MANIFEST)
    _require_basis(weights)
    network = build(name).eval()
    fill(network, parse_weights(read_weights(weights), weights), weights)
    seen = load_samples(samples, INPUTS[name])
    others = _other_rows(folder, name)
    row = _write_network(folder, name, version, network, _converted(name, network, seen))
    _write_manifest(folder, [*others, row])
    return row


@dataclass(frozen=True, slots=True)
class _Converted:
    """A network in the forms that OpenVINO runs."""

    onnx: bytes
    onnx_fidelity: Fidelity
    int8: Representation
    int8_fidelity: Fidelity
    input_shape: tuple[int, int, int]
    """C, H, W."""
    output_shape: tuple[int, int, int]
    """C, H, W."""


def _converted(name: NetworkName, network: nn.Module, seen: Samples) -> _Converted:
    running, calibration = AsRun(network).eval(), seen.calibration
    packed = np.concatenate([_packed(running, planes) for planes in calibration.inputs])
    channels, height, width = packed.shape[1:]
    onnx_file = to_onnx(running, (channels, height, width))
    quantised = to_int8(onnx_file, packed)
    exact = CompiledGraph(onnx_file, precision=Precision.F32)
    int8 = CompiledGraph(*quantised, precision=Precision.INT8)
    trained, judges = _by_torch(network), seen.judges
    return _Converted(
        onnx=onnx_file,
        onnx_fidelity=fidelity(name, _of_pictures(running, exact), trained, judges),
        int8=quantised,
        int8_fidelity=fidelity(name, _of_pictures(running, int8), trained, judges),
        input_shape=_planes_first(exact.input_shape),
        output_shape=_planes_first(exact.output_shape),
    )


def _planes_first(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    height, width, channels = shape
    return channels, height, width


def _write_network(
    folder: Path, name: NetworkName, version: str, network: nn.Module, made: _Converted
) -> NetworkRow:
    basis = load_face_basis().sha256
    facts = {"network": str(name), "version": version, _BASIS: basis}
    quantised = made.int8_fidelity.mean_error <= LIMITS[name]
    exact = not (quantised and name is _LARGEST)
    return NetworkRow(
        name=name,
        version=version,
        architecture=type(network).__name__,
        input_shape=made.input_shape,
        output_shape=made.output_shape,
        basis=basis,
        safetensors=_write_safetensors(folder, name, network, facts),
        onnx=_write(folder / f"{name}.onnx", made.onnx if exact else None),
        onnx_fidelity=made.onnx_fidelity,
        int8=_write_int8(folder, name, made.int8 if quantised else None),
        int8_fidelity=made.int8_fidelity,
        int8_limit=LIMITS[name],
    )


def _require_basis(weights: Path) -> None:
    """Refuse weights that say of themselves that they were trained with another expression basis."""
    try:
        with safe_open(weights, "pt") as file:
            facts = json.loads((file.metadata() or {}).get("streamfx", "{}"))
    except (OSError, ValueError, SafetensorError):
        return  # reading them will tell
    basis = load_face_basis().sha256
    if facts.get(_BASIS, basis) != basis:
        raise ModelCorrupt(
            f"{weights} was trained with the expression basis {facts[_BASIS][:12]}…, not with {basis[:12]}…",
            "Train it with this version of streamfx",
        )


def _by_torch(network: nn.Module) -> Picture:
    """The network as trained, channels last."""

    def run(x: F32) -> F32:
        with torch.inference_mode():
            return _channels_last(network(torch.from_numpy(x.transpose(2, 0, 1).copy())[None]))

    return run


def _of_pictures(running: AsRun, file: Picture) -> Picture:
    """A file's network, with pictures packed for it and unpacked after it."""

    def run(x: F32) -> F32:
        seen = _packed(running, x.transpose(2, 0, 1))
        out = file(np.ascontiguousarray(seen[0].transpose(1, 2, 0)))
        return _channels_last(running.unpack(torch.from_numpy(out.transpose(2, 0, 1).copy())[None]))

    return run


def _packed(running: AsRun, planes: npt.NDArray[np.float16 | np.float32]) -> F32:
    """f32 [1,C',h,w], as the network takes a picture [C,H,W]."""
    packed: F32 = running.pack(torch.from_numpy(planes.astype(np.float32))[None]).numpy()
    return packed


def _channels_last(out: Tensor) -> F32:
    return np.asarray(out[0].numpy().transpose(1, 2, 0), np.float32)


def _write_safetensors(
    folder: Path, name: NetworkName, network: nn.Module, facts: Mapping[str, str]
) -> WeightsFile:
    """Means and variances of batch norms stay f32: squares of small activations leave the range of f16."""
    tensors = {
        key: tensor.half() if name in _HALVED and tensor.dim() > 1 else tensor
        for key, tensor in network.state_dict().items()
    }
    path = folder / f"{name}.safetensors"
    save_weights(path, tensors, {"network": name, **facts})
    return _entry(path, path.read_bytes())


def _write_int8(folder: Path, name: NetworkName, made: Representation | None) -> Int8Files | None:
    graph = _write(folder / f"{name}.int8.xml", made.graph if made else None)
    constants = _write(folder / f"{name}.int8.bin", made.constants if made else None)
    return Int8Files(graph, constants) if graph and constants else None


def _write(path: Path, data: bytes | None) -> WeightsFile | None:
    """The file, or none: then what an export before left there goes."""
    if data is None:
        path.unlink(missing_ok=True)
        return None
    with atomic_output(path) as part:
        part.write_bytes(data)
    return _entry(path, data)


def _entry(path: Path, data: bytes) -> WeightsFile:
    return WeightsFile(path.name, hashlib.sha256(data).hexdigest(), len(data))


def _other_rows(folder: Path, name: NetworkName) -> list[NetworkRow]:
    """What the manifest lists beside this network; a new folder has none yet."""
    if not (folder / MANIFEST).exists():
        return []
    return [row for row in Weights(folder).rows if row.name is not name]


def _write_manifest(folder: Path, rows: Sequence[NetworkRow]) -> None:
    order = list(NetworkName)
    networks = [asdict(row) for row in sorted(rows, key=lambda row: order.index(row.name))]
    with atomic_output(folder / MANIFEST) as part:
        part.write_text(json.dumps({"format": FORMAT, "networks": networks}, indent=2) + "\n", "utf-8")
