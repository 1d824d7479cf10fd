"""From a shipped network to an engine that is kept: check, halve, check again, build, sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from streamfx.errors import ModelMissing, ModelUnusable
from streamfx.frames import F32
from streamfx.models.engines import EngineManifest, Engines, Purpose
from streamfx.models.network import CompiledGraph, Precision
from streamfx.models.weights import NetworkName, Weights
from trt_build.half import in_half_precision
from trt_build.libraries import RTX, Library

FP16, FP32 = "fp16", "fp32"
PRECISIONS: Final = (FP16, FP32)
LARGEST_ERROR: Final = 1 / 255
"""Mean difference, of full brightness, of the graph to be built from to the network that ships."""
_PICTURES: Final = 4
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
        precision: of PRECISIONS.
        targets: compute capabilities that are to run it, of those for which the library builds.
        weights: where the network is.
        engines: where the engine goes.
        library: what builds it, and will run it.

    Raises:
        ModelError: the network is not there or damaged, or cannot be built.
        UsageError: TensorRT is not installed, or knows no such card.
        OutputError: the engine cannot be written.
    """
    cards, purpose = library.in_order(targets), purpose_of(name, precision, weights, library)
    graph = _graph(name, precision, weights)
    error = _error(graph, _graph(name, FP32, weights))
    if error > LARGEST_ERROR:
        raise ModelUnusable(
            f"{name} in {precision} differs by {255 * error:.2f} grey levels", "Build it in fp32"
        )
    return engines.keep(EngineManifest(purpose, cards, "", error), library.build(graph, cards))


def purpose_of(name: NetworkName, precision: str, weights: Weights, library: Library = RTX) -> Purpose:
    """What an engine would be built for, here and now. Raises as `build_engine`."""
    return Purpose(name, weights.find(name).safetensors.sha256, precision, library.version())


def _graph(name: NetworkName, precision: str, weights: Weights) -> bytes:
    row = weights.find(name)
    if row.onnx is None:
        raise ModelMissing(f"The network {name} ships in int8 for processors only", "Use the lite profile")
    exact = weights.read(row.onnx)
    return in_half_precision(exact) if precision == FP16 else exact


def _error(graph: bytes, reference: bytes) -> float:
    """Mean difference of two graphs on made-up pictures, of full brightness.

    By OpenVINO, in f32: it tells what rounding the weights does, and that the graph was taken apart rightly.
    What a card's arithmetic adds is judged where there is a card.
    """
    ours, theirs = (CompiledGraph(data, precision=Precision.F32) for data in (graph, reference))
    rng = np.random.default_rng(_SEED)
    errors = []
    for _ in range(_PICTURES):
        seen: F32 = rng.random(ours.input_shape).astype(np.float32)
        errors.append(float(np.abs(ours(seen) - theirs(seen)).mean()))
    return max(errors)
