"""Engines at work, as far as they go without a card: a stand-in for TensorRT takes calls and breaks them.

What it computes is the shipped network's own graph, so that shapes, packing and memory are really used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from streamfx.errors import DeviceExhausted, DeviceLost, ModelCorrupt, ModelUnusable
from streamfx.models.engines import LARGEST_BATCH, EngineManifest, Engines, Purpose
from streamfx.models.weights import NetworkName, shipped_weights
from streamfx.nets import AsRun, build
from streamfx.render.gpu import engines as module
from streamfx.render.gpu.engines import EngineNetwork, fastest_network
from streamfx.render.gpu.networks import TorchNetwork, shipped_network
from trt_build.batches import for_batches
from trt_build.building import answers, lowered

NAME = NetworkName.MOUTH_LITE
DEVICE = torch.device("cpu")


class StandIn:
    """TensorRT's module, runtime, engine and context in one; pointers are those of the CPU's memory."""

    __name__, __version__ = "tensorrt_rtx", "1.0"
    DataType = SimpleNamespace(FLOAT=1)
    DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")

    class Logger:
        INTERNAL_ERROR = 0

        def __init__(self, level: int) -> None:
            self.level = level

    def __init__(self) -> None:
        row = shipped_weights().find(NAME)
        self.graph = for_batches(lowered(row, "fp32", shipped_weights()))
        self.shapes = {"x": (-1, *row.input_shape), "y": (-1, *row.output_shape)}
        self.num_io_tensors, self.kind, self.takes = 2, 1, True
        self.memory, self.works, self.contexts = True, True, list[Context]()

    def Runtime(self, log: Logger) -> StandIn:  # noqa: N802 - TensorRT's name
        return self

    def deserialize_cuda_engine(self, data: bytes) -> StandIn | None:
        return self if self.takes else None

    def get_tensor_name(self, place: int) -> str:
        return "xy"[place]

    def get_tensor_mode(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name={"x": "INPUT", "y": "OUTPUT"}[name])

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        return [(count, *self.shapes[name][1:]) for count in (1, 1, LARGEST_BATCH)]

    def get_tensor_dtype(self, name: str) -> int:
        return self.kind

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def create_runtime_config(self) -> SimpleNamespace:
        return SimpleNamespace()

    def create_execution_context(self, settings: SimpleNamespace) -> Context | None:
        assert settings.dynamic_shapes_kernel_specialization_strategy == "eager"
        if not self.memory:
            return None
        self.contexts.append(Context(self))
        return self.contexts[-1]


class Context:
    def __init__(self, engine: StandIn) -> None:
        self.engine, self.places, self.shape = engine, dict[str, int](), ()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        assert name == "x"
        self.shape = shape

    def set_tensor_address(self, name: str, place: int) -> None:
        self.places[name] = place

    def execute_async_v3(self, stream: int) -> bool:
        if self.engine.works:
            answer = answers(self.engine.graph, self.memory("x"))
            self.memory("y")[:] = answer
        return self.engine.works

    def memory(self, name: str) -> np.ndarray:
        shape = (self.shape[0], *self.engine.shapes[name][1:])
        place = ctypes.cast(self.places[name], ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(place, shape)


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setattr(module, "_stream", lambda _: 0)
    return StandIn()


def network(trt: StandIn) -> EngineNetwork:
    return EngineNetwork(b"engine", AsRun(build(NAME)), trt, DEVICE)


def test_it_gives_what_torch_gives_for_one_and_for_many(trt: StandIn):
    engine, torchs = network(trt), shipped_network(NAME, DEVICE)
    pictures = torch.rand(LARGEST_BATCH, 10, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for count in (1, 3, LARGEST_BATCH, 2, 3, 1):
            given = engine(pictures[:count])
            assert given.shape == (count, 3, 96, 96)
            assert (given - torchs(pictures[:count])).abs().mean() < 0.1 / 255
    assert [context.shape[0] for context in trt.contexts] == [1, 3, LARGEST_BATCH, 2]
    assert len({tuple(context.places.values()) for context in trt.contexts}) == 1


def test_an_answer_stays_when_the_next_is_made(trt: StandIn):
    engine = network(trt)
    first = engine(torch.zeros(2, 10, 96, 96))
    kept = first.clone()
    engine(torch.ones(2, 10, 96, 96))
    assert torch.equal(first, kept)


@pytest.mark.parametrize("count", [0, LARGEST_BATCH + 1])
def test_other_numbers_of_pictures_are_refused(trt: StandIn, count: int):
    with pytest.raises(ValueError, match=f"takes 1 to {LARGEST_BATCH} pictures, these are {count}"):
        network(trt)(torch.zeros(count, 10, 96, 96))


def _no_floats(trt: StandIn) -> None:
    trt.kind = 2


def _three_ends(trt: StandIn) -> None:
    trt.num_io_tensors = 1


def _not_taken(trt: StandIn) -> None:
    trt.takes = False


@pytest.mark.parametrize("spoil", [_no_floats, _three_ends, _not_taken])
def test_engines_that_are_not_as_they_should_be_are_refused(trt: StandIn, spoil: Callable[[StandIn], None]):
    spoil(trt)
    with pytest.raises(ModelUnusable) as refused:
        network(trt)
    assert "python -m trt_build build" in refused.value.remedy


def test_a_full_card_and_a_lost_one_are_told_apart(trt: StandIn):
    engine = network(trt)
    trt.memory = False
    with pytest.raises(DeviceExhausted, match="no memory"):
        engine(torch.zeros(1, 10, 96, 96))
    trt.memory = True
    engine(torch.zeros(1, 10, 96, 96))
    trt.works = False
    with pytest.raises(DeviceLost, match="cannot run"):
        engine(torch.zeros(1, 10, 96, 96))


class TestFastest:
    """A card that is none: its name is what engines are looked for by; torch then runs on the CPU."""

    @pytest.fixture(autouse=True)
    def card(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_capability", lambda _: "sm_89")
        monkeypatch.setattr(module, "shipped_network", lambda name, _: shipped_network(name, DEVICE))

    @pytest.fixture
    def engines(self, tmp_path: Path) -> Engines:
        return Engines(tmp_path / "engines", tmp_path / "engine.key")

    def test_no_engine_is_no_news(self, engines: Engines):
        told: list[str] = []
        assert isinstance(fastest_network(NAME, torch.device("cuda"), told.append, engines), TorchNetwork)
        assert told == []

    def test_one_that_is_stale_or_not_taken_is_told_and_torch_runs(self, engines: Engines):
        trt = pytest.importorskip("tensorrt_rtx")
        weights = shipped_weights().find(NAME).safetensors.sha256
        version = f"tensorrt-rtx {trt.__version__}"
        for purpose, says in (
            (Purpose(NAME, "a" * 64, "fp16", version), "is stale"),
            (Purpose(NAME, weights, "fp16", version, batch=1), "stale: built for batch 1"),
            (Purpose(NAME, weights, "fp16", version), "does not take its engine"),
        ):
            engines.keep(EngineManifest(purpose, ("sm_89",), "", 0.0), b"engine")
            told: list[str] = []
            made = fastest_network(NAME, torch.device("cuda"), told.append, engines)
            assert isinstance(made, TorchNetwork)
            assert says in told[0]
            assert "runs in torch" in told[0]

    def test_one_that_was_changed_is_refused_aloud(self, engines: Engines):
        trt = pytest.importorskip("tensorrt_rtx")
        purpose = Purpose(NAME, "a" * 64, "fp16", f"tensorrt-rtx {trt.__version__}")
        engines.keep(EngineManifest(purpose, ("sm_89",), "", 0.0), b"engine")
        manifest = engines.folder / f"{purpose.stem}.manifest"
        manifest.write_bytes(manifest.read_bytes().replace(b"sm_89", b"sm_86"))
        with pytest.raises(ModelCorrupt, match="did not sign"):
            fastest_network(NAME, torch.device("cuda"), [].append, engines)
