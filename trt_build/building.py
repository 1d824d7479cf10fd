"""From a shipped network to an engine that is kept: check, lower its precision, compare, build, sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from streamfx.errors import ModelMissing, ModelUnusable
from streamfx.frames import F32
from streamfx.models.engines import EngineManifest, Engines, Purpose
from streamfx.models.network import CORE, CompiledGraph, Precision
from streamfx.models.weights import NetworkName, NetworkRow, Weights
from trt_build.batches import for_batches
from trt_build.crops import made_up_crops
from trt_build.half import in_half_precision
from trt_build.int8 import in_int8, quantised_layers
from trt_build.libraries import RTX, Library

LARGEST_ERROR: Final = 1 / 255
"""Mean difference, of full brightness, of the graph to be built from to the network that ships."""
_PICTURES: Final = 6
_SEED: Final = 2018


def build_engine(
    name: NetworkName,
    precision: str,
    targets: Sequence[str],
    weights: Weights,
    engines: Engines,
    library: Library = RTX,
) -> EngineManifest:
    """Build an engine of a shipped network, and keep it.

    Args:
        name: of the network.
        precision: of models.engines.PRECISIONS.
        targets: compute capabilities that are to run it, of those for which the library builds.
        weights: where the network is.
        engines: where the engine goes.
        library: what builds it, and will run it.

    Raises:
        ModelError: the network is not there or damaged, or cannot be built.
        UsageError: TensorRT is not installed, or knows no such card.
        OutputError: the engine cannot be written.
    """
    cards, purpose = library.in_order(targets, precision), purpose_of(name, precision, weights, library)
    row = weights.find(name)
    graph = for_batches(lowered(row, precision, weights))
    seen = made_up_crops(name, _PICTURES, _SEED)
    error = difference(graph, lowered(row, "fp32", weights), seen)
    if error > LARGEST_ERROR:
        raise ModelUnusable(
            f"{name} in {precision} differs by {255 * error:.2f} grey levels", "Build it in fp32"
        )
    return engines.keep(EngineManifest(purpose, cards, "", error), library.build(graph, cards))


def purpose_of(name: NetworkName, precision: str, weights: Weights, library: Library = RTX) -> Purpose:
    """What an engine would be built for, here and now. Raises as `build_engine`."""
    return Purpose(name, weights.find(name).safetensors.sha256, precision, library.version())


def lowered(row: NetworkRow, precision: str, weights: Weights) -> bytes:
    """The graph of a shipped network in a precision; for one picture, as it ships.

    Raises:
        ModelMissing: it does not ship so.
        ModelCorrupt: its files are damaged, or not those of one network.
    """
    if row.onnx is None:
        raise ModelMissing(
            f"The network {row.name} ships in int8 for processors only", "Use the lite profile"
        )
    exact = weights.read(row.onnx)
    if precision != "int8":
        return in_half_precision(exact) if precision == "fp16" else exact
    if row.int8 is None:
        raise ModelMissing(f"The network {row.name} does not ship in int8", "Build it in fp16")
    return in_int8(exact, quantised_layers(weights.read(row.int8.graph), weights.read(row.int8.constants)))


def difference(graph: bytes, reference: bytes, seen: F32) -> float:
    """Mean difference of two graphs' answers to the worst of some pictures, of full brightness.

    By OpenVINO: the one gets all pictures at once, the other one by one. It tells what rounding weights and
    activations does, and that the graph was taken apart rightly. What a card's arithmetic adds is judged
    where there is a card.

    Args:
        graph: of batches.for_batches.
        reference: of one picture.
        seen: f32 [N,C,H,W].
    """
    exact = CompiledGraph(reference, precision=Precision.F32)
    pictures = np.ascontiguousarray(seen.transpose(0, 2, 3, 1))
    wanted = np.stack([exact(picture).copy() for picture in pictures])
    return float(np.abs(answers(graph, seen).transpose(0, 2, 3, 1) - wanted).mean((1, 2, 3)).max())


def answers(graph: bytes, pictures: F32) -> F32:
    """What a graph gives for a batch, f32 [N,C,H,W] to [N,C',H,W], run by OpenVINO as it is written."""
    compiled = CORE.compile_model(CORE.read_model(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    given: F32 = compiled(pictures)[0]
    return given
