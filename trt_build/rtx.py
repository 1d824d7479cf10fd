"""The door to TensorRT for RTX: it builds engines for the cards that people own, on machines without one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Final

from streamfx.errors import ModelUnusable, UsageError

NAME: Final = "tensorrt-rtx"
TARGETS: Final = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_120", "sm_121")
"""Compute capabilities that it builds for: GTX 16 and RTX 20, A100, RTX 30, 40 and 50, GB10."""


def version() -> str:
    """Name and exact version, as an engine's manifest has them.

    Raises:
        UsageError: it is not installed.
    """
    return f"{NAME} {_module().__version__}"


def in_order(targets: Iterable[str]) -> tuple[str, ...]:
    """Each card once, oldest first.

    Raises:
        UsageError: it builds for no such card, or none is named.
    """
    named = set(targets)
    unknown = sorted(named.difference(TARGETS))
    if unknown or not named:
        cause = f"{NAME} builds for no {unknown[0]}" if unknown else "No card is named"
        raise UsageError(cause, f"Choose from {', '.join(TARGETS)}")
    return tuple(target for target in TARGETS if target in named)


def build(graph: bytes, targets: Sequence[str]) -> bytes:
    """An engine for all these cards, in one file.

    Args:
        graph: the bytes of an ONNX file; its types are kept.
        targets: of TARGETS.

    Raises:
        UsageError: it is not installed.
        ModelUnusable: it refuses the graph.
    """
    trt = _module()
    log = trt.Logger(trt.Logger.INTERNAL_ERROR)  # it looks for a card, and complains where there need be none
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(graph):
        reasons = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        raise ModelUnusable(f"{version()} cannot read the network: {'; '.join(reasons)[:300]}")
    settings = builder.create_builder_config()
    settings.num_compute_capabilities = len(targets)
    for place, target in enumerate(targets):
        capability = getattr(trt.ComputeCapability, target.upper().replace("_", ""))
        settings.set_compute_capability(capability, place)
    engine = builder.build_serialized_network(network, settings)
    if engine is None:
        raise ModelUnusable(f"{version()} built no engine", "pip install --upgrade 'streamfx[trt-rtx]'")
    return bytes(engine)


def _module() -> ModuleType:
    try:
        import tensorrt_rtx
    except ImportError as error:
        raise UsageError("TensorRT for RTX is not installed", "pip install 'streamfx[trt-rtx]'") from error
    module: ModuleType = tensorrt_rtx
    return module
