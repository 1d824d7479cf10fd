"""A step of a frame: numbers go up to the card in one block, then the same operations run on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Final

import torch
from torch import Tensor

from streamfx.frames import U8
from streamfx.render.gpu.layout import Layout

Numbers = Mapping[str, Tensor]

_PLAIN_RUNS: Final = 3
"""Before a series of operations is recorded: libraries choose their algorithms and take their memory."""
_TYPES: Final[Mapping[str, torch.dtype]] = {
    "float32": torch.float32,
    "int32": torch.int32,
    "uint8": torch.uint8,
}


class Block:
    """Arrays of fixed places on a device, filled by one copy."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        """Make room on both sides."""
        self._here = torch.zeros(layout.size, dtype=torch.uint8, pin_memory=device.type == "cuda")
        self._there = torch.zeros(layout.size, dtype=torch.uint8, device=device)
        self.memory: U8 = self._here.numpy()
        """u8 [size], of this computer: what `send` sends up."""
        self.numbers: Numbers = {
            name: self._there[place.start : place.start + place.size]
            .view(_TYPES[place.kind])
            .view(place.shape)
            for name, place in layout.places.items()
        }
        """On the device."""

    def send(self) -> None:
        """Bring the device up to date."""
        self._there.copy_(self._here, non_blocking=True)


class Program:
    """A fixed series of operations on fixed tensors: on a card, recorded as a CUDA graph and played back."""

    def __init__(self, operations: Callable[[], None], device: torch.device, *, recorded: bool) -> None:
        """Nothing runs yet.

        Args:
            operations: what is to be done.
            device: where.
            recorded: whether a card may play them back; else each is sent to it every time.
        """
        self._operations, self._device = operations, device
        self._records = recorded and device.type == "cuda"
        self._plain_runs = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Run them; on a card the call returns before they are done."""
        with torch.no_grad():
            self._run()

    def _run(self) -> None:
        if self._graph is None and self._records and self._plain_runs >= _PLAIN_RUNS:
            torch.cuda.synchronize(self._device)
            graph = torch.cuda.CUDAGraph()
            # Of this thread alone: another one may be decoding on the card meanwhile (source/reading.py).
            with torch.cuda.graph(graph, pool=_memory(), capture_error_mode="thread_local"):
                self._operations()
            self._graph = graph
        if self._graph is not None:
            self._graph.replay()
            return
        self._operations()
        self._plain_runs += 1


@cache
def _memory() -> Any:  # noqa: ANN401 - torch names no type for it
    """What all recordings of this process work in: they take turns, and keep their results elsewhere."""
    return torch.cuda.graph_pool_handle()


class Step:
    """Numbers in, operations on them, results in tensors that the operations know."""

    def __init__(
        self, parts: Sequence[Callable[[Numbers], None]], device: torch.device, *, recorded: bool = True
    ) -> None:
        """Keep what is to be done; there is no room for numbers yet.

        Args:
            parts: operations on the numbers, one after another; between them others may use the device. Of
                the same shapes each time, and no value leaves it.
            device: where.
            recorded: see Program.
        """
        self._parts, self._device, self._recorded = parts, device, recorded
        self._block: Block | None = None
        self._programs: list[Program] = []

    def place(self, layout: Layout) -> U8:
        """Make room for numbers laid out so; u8 [layout.size], where they are to be written."""
        self._block = Block(layout, self._device)
        self._programs = [
            Program(partial(part, self._block.numbers), self._device, recorded=self._recorded)
            for part in self._parts
        ]
        return self._block.memory

    def send(self) -> None:
        """Send up what was written.

        Raises:
            ValueError: no room was made.
        """
        if self._block is None:
            raise ValueError("numbers were sent before there was room for them")
        self._block.send()

    def run(self, part: int) -> None:
        """Run one of its parts; nothing if it has fewer."""
        if part < len(self._programs):
            self._programs[part]()
