"""The doors to TensorRT: TensorRT for RTX builds for the cards that people own, on machines without one;
TensorRT proper builds for the card at hand, data centres' too. Both read the same graph by the same calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from streamfx.errors import ModelUnusable, UsageError
from streamfx.models.engines import LARGEST_BATCH, LIBRARIES

_OWNED: Final = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_120", "sm_121")
"""Compute capabilities that TensorRT for RTX builds for: GTX 16 and RTX 20, A100, RTX 30, 40 and 50, GB10."""
_NO_INT8: Final = ("sm_75",)
"""Cards on which TensorRT for RTX (1.7) computes int8 in half precision: no faster than fp16, and less exact.
In one file with others they make it do so on these, too."""
_USUAL_BATCH: Final = 1
"""Pictures at a time for which an engine is tuned: those of a person's only session."""


@dataclass(frozen=True, slots=True)
class Library:
    """One of the two."""

    name: str
    """As an engine's manifest and its file have it: a key of models.engines.LIBRARIES."""
    title: str
    extra: str
    """What pip is to install."""
    ahead: tuple[str, ...]
    """Cards for which it builds on any machine; empty: only for the one at hand, and only on that machine."""

    def version(self) -> str:
        """Name and exact version, as an engine's manifest has them.

        Raises:
            UsageError: it is not installed.
        """
        return f"{self.name} {self._module().__version__}"

    def cards(self, precision: str) -> tuple[str, ...]:
        """Those of `ahead` that gain by a precision."""
        return tuple(card for card in self.ahead if precision != "int8" or card not in _NO_INT8)

    def in_order(self, targets: Iterable[str], precision: str = "") -> tuple[str, ...]:
        """Each card once, oldest first.

        Raises:
            UsageError: it builds for no such card, not for these in one file, or none is named.
        """
        named = set(targets)
        if not self.ahead and len(named) == 1:
            return tuple(named)
        unknown = sorted(named.difference(self.ahead))
        if unknown or not named:
            cause = f"{self.name} builds for no {unknown[0]} here" if unknown else "No card is named"
            raise UsageError(cause, f"Choose from {', '.join(self.ahead) or 'this'}")
        slow = sorted(named.difference(self.cards(precision)))
        if slow and len(named) > 1:
            cause = (
                f"In one file with {slow[0]} the other cards would compute {precision} in half precision, too"
            )
            raise UsageError(cause, f"Build for {slow[0]} alone, or not in {precision}")
        return tuple(target for target in self.ahead if target in named)

    def build(self, graph: bytes, targets: Sequence[str]) -> bytes:
        """An engine for all these cards, in one file.

        Args:
            graph: the bytes of an ONNX file, for batches (batches.for_batches); its types are kept.
            targets: of `in_order`.

        Raises:
            UsageError: it is not installed.
            ModelUnusable: it refuses the graph, or the machine.
        """
        trt = self._module()
        log = trt.Logger(trt.Logger.INTERNAL_ERROR)  # else it complains where there need be no card
        try:
            builder = trt.Builder(log)
            network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
            parser = trt.OnnxParser(network, log)
            if not parser.parse(graph):
                reasons = [parser.get_error(i).desc() for i in range(parser.num_errors)]
                raise ModelUnusable(f"{self.version()} cannot read the network: {'; '.join(reasons)[:300]}")
            settings = self._settings(trt, builder, network.get_input(0), targets)
            engine = builder.build_serialized_network(network, settings)
        except (RuntimeError, TypeError) as error:  # what its bindings make of a machine without a driver
            raise ModelUnusable(f"{self.version()} cannot build here: {error}", "See nvidia-smi") from error
        if engine is None:
            remedy = f"pip install --upgrade 'streamfx[{self.extra}]'"
            raise ModelUnusable(f"{self.version()} built no engine", remedy)
        return bytes(engine)

    def _settings(self, trt: ModuleType, builder: Any, pictures: Any, targets: Sequence[str]) -> Any:  # noqa: ANN401 - TensorRT has no types
        """For which cards, and for how many pictures at a time."""
        settings, profile = builder.create_builder_config(), builder.create_optimization_profile()
        if self.ahead:
            settings.num_compute_capabilities = len(targets)
            for place, target in enumerate(targets):
                capability = getattr(trt.ComputeCapability, target.upper().replace("_", ""))
                settings.set_compute_capability(capability, place)
            # Else it may take memory as it runs, which CUDA graphs cannot record.
            settings.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
        picture = tuple(pictures.shape)[1:]
        sizes = ((count, *picture) for count in (1, _USUAL_BATCH, LARGEST_BATCH))
        profile.set_shape(pictures.name, *sizes)
        settings.add_optimization_profile(profile)
        return settings

    def _module(self) -> ModuleType:
        try:
            return import_module(LIBRARIES[self.name])
        except ImportError as error:
            remedy = f"pip install 'streamfx[{self.extra}]'"
            raise UsageError(f"{self.title} is not installed", remedy) from error


RTX: Final = Library("tensorrt-rtx", "TensorRT for RTX", "trt-rtx", _OWNED)
PROPER: Final = Library("tensorrt", "TensorRT", "tensorrt", ())
ALL: Final = {library.name: library for library in (RTX, PROPER)}
