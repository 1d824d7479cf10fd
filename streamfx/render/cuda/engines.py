"""The networks as TensorRT engines: taken only if they were built here, for what is here (models.engines)."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from streamfx.errors import ModelUnusable
from streamfx.models.engines import BUILD, LIBRARIES, PRECISIONS, Engines, Purpose
from streamfx.models.weights import NetworkName, shipped_weights
from streamfx.nets import AsRun, build


class EngineNetwork:
    """An engine, ready: f32 [1,C,H,W] pictures in, f32 [1,C',H,W] pictures out."""

    def __init__(self, data: bytes, layout: AsRun, library: ModuleType, device: torch.device) -> None:
        """Deserialise it, and make room for what it reads and writes.

        Args:
            data: the engine's bytes, verified.
            layout: packs its pictures into cells; its weights do not matter.
            library: TensorRT's module.
            device: the card.

        Raises:
            ModelUnusable: TensorRT refuses it.
        """
        self._layout, self._device = layout, device
        log = library.Logger(library.Logger.INTERNAL_ERROR)
        self._runtime = library.Runtime(log)
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            cause = f"{library.__name__} {library.__version__} does not take its engine on this card"
            raise ModelUnusable(cause, BUILD)
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(place) for place in range(self._engine.num_io_tensors)]
        self._seen, self._answer = (self._bound(name, library) for name in _in_and_out(self._engine, names))

    def _bound(self, name: str, library: ModuleType) -> Tensor:
        """The memory of one of its two tensors."""
        if self._engine.get_tensor_dtype(name) != library.DataType.FLOAT:
            raise ModelUnusable(f"The engine's {name} is not of 32-bit floats", BUILD)
        shape = tuple(self._engine.get_tensor_shape(name))
        memory = torch.zeros(shape, dtype=torch.float32, device=self._device)
        self._context.set_tensor_address(name, memory.data_ptr())
        return memory

    def __call__(self, pictures: Tensor) -> Tensor:
        """Run it, on the current stream."""
        self._seen.copy_(self._layout.pack(pictures))
        self._context.execute_async_v3(torch.cuda.current_stream(self._device).cuda_stream)
        return self._layout.unpack(self._answer)


def built_network(name: str, device: torch.device, engines: Engines | None = None) -> EngineNetwork | None:
    """The engine of a network for this card; None where none was built, or no TensorRT is installed.

    Args:
        name: which network.
        device: the card.
        engines: where from; None takes those of this account.

    Raises:
        ModelCorrupt: there is one, but it was not built here, or was changed since.
        ModelUnusable: there is one, but for other weights, another TensorRT or another card.
    """
    engines = engines or Engines.default()
    row, kept = shipped_weights().find(NetworkName(name)), set(engines.stems())
    for library, module in LIBRARIES.items():
        if find_spec(module) is None:
            continue
        for precision in PRECISIONS:
            stem = Purpose(row.name, "", precision, library).stem
            if stem not in kept:
                continue
            trt = import_module(module)
            wanted = Purpose(row.name, row.safetensors.sha256, precision, f"{library} {trt.__version__}")
            make = partial(EngineNetwork, layout=AsRun(build(row.name)), library=trt, device=device)
            return engines.load(wanted, _capability(device), make)
    return None


def _in_and_out(engine: Any, names: list[str]) -> tuple[str, str]:  # noqa: ANN401 - TensorRT has no types
    """Names of the one tensor that goes in and the one that comes out."""
    modes = {engine.get_tensor_mode(name).name: name for name in names}
    if len(names) != len(modes) or set(modes) != {"INPUT", "OUTPUT"}:
        raise ModelUnusable(f"The engine has {len(names)} ends instead of two", BUILD)
    return modes["INPUT"], modes["OUTPUT"]


def _capability(device: torch.device) -> str:
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"
