"""The networks as TensorRT engines: taken only if they were built here, for what is here (models.engines)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import torch
from torch import Tensor

from streamfx.errors import DeviceExhausted, DeviceLost, ModelCorrupt, ModelError, ModelUnusable
from streamfx.models.engine_builds import build_missing, wanted_engine
from streamfx.models.engines import BUILD, LIBRARIES, Engines
from streamfx.models.weights import NetworkName
from streamfx.nets import AsRun, build
from streamfx.render.gpu.networks import TorchNetwork, shipped_network

_MEMORY: Final = "Close other programs that use the card"


class EngineNetwork:
    """An engine, ready: f32 [B,C,H,W] pictures in, f32 [B,C',H,W] pictures out; B is 1 to `most`."""

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
        self._layout, self._device, self._library = layout, device, library
        log = library.Logger(library.Logger.INTERNAL_ERROR)
        self._runtime = library.Runtime(log)
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            cause = f"{library.__name__} {library.__version__} does not take its engine on this card"
            raise ModelUnusable(cause, BUILD)
        names = [self._engine.get_tensor_name(place) for place in range(self._engine.num_io_tensors)]
        self._names = _in_and_out(self._engine, names)
        self.most = int(self._engine.get_tensor_profile_shape(self._names[0], 0)[-1][0])
        self._seen, self._answer = (self._room(name) for name in self._names)
        self._contexts: dict[int, Any] = {}

    def _room(self, name: str) -> Tensor:
        """The memory of one of its two tensors, for as many pictures as it takes."""
        if self._engine.get_tensor_dtype(name) != self._library.DataType.FLOAT:
            raise ModelUnusable(f"The engine's {name} is not of 32-bit floats", BUILD)
        picture = tuple(self._engine.get_tensor_shape(name))[1:]
        return torch.zeros((self.most, *picture), dtype=torch.float32, device=self._device)

    def _context(self, count: int) -> Any:  # noqa: ANN401 - TensorRT has no types
        """What runs so many pictures.

        Each number has its own, set up once: nothing changes between a plain run and its recording, and a
        CUDA graph finds everything as it was recorded, whatever ran in between.
        """
        if count not in self._contexts:
            context = self._engine.create_execution_context(*_settings(self._engine, self._library))
            if context is None:
                raise DeviceExhausted(f"{self._library.__name__} finds no memory on the card", _MEMORY)
            context.set_input_shape(self._names[0], (count, *self._seen.shape[1:]))
            for name, memory in zip(self._names, (self._seen, self._answer), strict=True):
                context.set_tensor_address(name, memory.data_ptr())
            self._contexts[count] = context
        return self._contexts[count]

    def __call__(self, pictures: Tensor) -> Tensor:
        """Run it, on the current stream.

        Raises:
            ValueError: there are none, or more than `most`.
            DeviceExhausted: the card's memory is full.
            DeviceLost: TensorRT fails.
        """
        count = len(pictures)
        if not 1 <= count <= self.most:
            raise ValueError(f"the engine takes 1 to {self.most} pictures, these are {count}")
        self._seen[:count].copy_(self._layout.pack(pictures))
        if not self._context(count).execute_async_v3(_stream(self._device)):
            raise DeviceLost(
                f"The card failed: {self._library.__name__} cannot run", "See what nvidia-smi says"
            )
        return self._layout.unpack(self._answer[:count])


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
    wanted = wanted_engine(NetworkName(name), engines)
    if wanted is None:
        return None
    trt = import_module(LIBRARIES[wanted.library.partition(" ")[0]])
    make = partial(EngineNetwork, layout=AsRun(build(name)), library=trt, device=device)
    return engines.load(wanted, _capability(device), make)


def fastest_network(
    name: str, device: torch.device, tell: Callable[[str], None], engines: Engines | None = None
) -> EngineNetwork | TorchNetwork:
    """A shipped network as an engine, where there is one for this card; else in torch.

    Args:
        name: which network.
        device: where it runs; engines run on cards only.
        tell: is told why an engine that is there is not taken, for a person.
        engines: where from; None takes those of this account.

    Raises:
        ModelMissing: it does not ship, or its file is not there.
        ModelCorrupt: a file is not what the manifest names; or there is an engine that was not built here,
            or was changed since.
    """
    if device.type == "cuda":
        try:
            if engine := built_network(name, device, engines):
                return engine
        except ModelCorrupt:
            raise
        except ModelError as error:
            tell(f"{error} {name} runs in torch.")
    return shipped_network(name, device)


def ensure_engines(names: Iterable[str], device: torch.device, tell: Callable[[str], None]) -> None:
    """Build the engines that a card lacks (models.engine_builds.build_missing); none for what is no card."""
    if device.type == "cuda":
        build_missing(names, _capability(device), tell)


def _in_and_out(engine: Any, names: list[str]) -> tuple[str, str]:  # noqa: ANN401 - TensorRT has no types
    """Names of the one tensor that goes in and the one that comes out."""
    modes = {engine.get_tensor_mode(name).name: name for name in names}
    if len(names) != len(modes) or set(modes) != {"INPUT", "OUTPUT"}:
        raise ModelUnusable(f"The engine has {len(names)} ends instead of two", BUILD)
    return modes["INPUT"], modes["OUTPUT"]


def _capability(device: torch.device) -> str:
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


def _settings(engine: Any, library: ModuleType) -> tuple[Any, ...]:  # noqa: ANN401 - TensorRT has no types
    """How a context is to run.

    TensorRT for RTX compiles kernels only on the card, for each number of pictures. Left alone it would do so
    beside the first runs, and a CUDA graph would keep the slow ones that these make do with.
    """
    strategies = getattr(library, "DynamicShapesKernelSpecializationStrategy", None)
    if strategies is None:
        return ()
    settings = engine.create_runtime_config()
    settings.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
    return (settings,)


def _stream(device: torch.device) -> int:
    return torch.cuda.current_stream(device).cuda_stream
