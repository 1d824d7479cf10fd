"""A step of a frame: numbers go up to the card in one block, then the same operations run on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Arrays = Mapping[str, npt.NDArray[Any]]
Numbers = Mapping[str, Tensor]

_ALIGNED: Final = 256
"""Bytes at which each array begins: what any type and any card's loads want."""
_ROOM: Final[Mapping[int, float]] = {1: 1.5, 2: 3.0}
"""How many times as long as its first content each side of a growing array's place is, by their number:
lists of tiles grow with the head's size, masks as lips and lids open. Outgrowing it costs a new recording."""
_PLAIN_RUNS: Final = 3
"""Before a series of operations is recorded: libraries choose their algorithms and take their memory."""
_TYPES: Final[Mapping[str, torch.dtype]] = {
    "float32": torch.float32,
    "int32": torch.int32,
    "uint8": torch.uint8,
}


class Block:
    """Arrays of fixed places on a device, filled by one copy."""

    def __init__(
        self, arrays: Arrays, growing: frozenset[str], device: torch.device, before: Block | None = None
    ) -> None:
        """Make room.

        Args:
            arrays: the first content; f32, i32 or u8.
            growing: names of those whose sides may change, and get more room than they need now.
            device: where the block lies.
            before: the block that was outgrown: no place becomes smaller.
        """
        self._shapes = {name: array.shape for name, array in arrays.items()}
        for name in growing.intersection(arrays):
            shape = arrays[name].shape
            least = before._shapes[name] if before else shape
            self._shapes[name] = tuple(
                old if side <= old and before else int(_ROOM[len(shape)] * side) + 1
                for side, old in zip(shape, least, strict=True)
            )
        sizes = {name: prod(self._shapes[name]) * array.itemsize for name, array in arrays.items()}
        whole = sum(_aligned(size) for size in sizes.values())
        self._here = torch.zeros(whole, dtype=torch.uint8, pin_memory=device.type == "cuda")
        self._there = torch.zeros(whole, dtype=torch.uint8, device=device)
        self._host, self.numbers, start = {}, dict[str, Tensor](), 0
        for name, size in sizes.items():
            kind, shape = _TYPES[arrays[name].dtype.name], self._shapes[name]
            here, there = (block[start : start + size].view(kind) for block in (self._here, self._there))
            self._host[name], self.numbers[name] = here.view(shape).numpy(), there.view(shape)
            start += _aligned(size)

    def holds(self, arrays: Arrays) -> bool:
        """Whether there is room for these."""
        return all(
            len(array.shape) == len(self._shapes[name])
            and all(side <= room for side, room in zip(array.shape, self._shapes[name], strict=True))
            for name, array in arrays.items()
        )

    def write(self, arrays: Arrays) -> None:
        """Send these up. What is smaller than its place is filled up with 0, lists of i32 with -1."""
        for name, array in arrays.items():
            place = self._host[name]
            if array.shape != place.shape:
                place.fill(-1 if place.dtype == np.int32 else 0)
            place[tuple(slice(side) for side in array.shape)] = array
        self._there.copy_(self._here, non_blocking=True)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


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
        if self._graph is None and self._records and self._plain_runs >= _PLAIN_RUNS:
            torch.cuda.synchronize(self._device)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=_memory()):
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
    """Arrays in, operations on them, results in tensors that the operations know."""

    def __init__(
        self,
        operations: Callable[[Numbers], None],
        device: torch.device,
        growing: frozenset[str],
        *,
        recorded: bool = True,
    ) -> None:
        """Keep what is to be done.

        Args:
            operations: of the arrays on the device; of the same shapes each time, and no value leaves it.
            device: where.
            growing: names of arrays whose sides may change.
            recorded: see Program.
        """
        self._operations, self._device, self._growing = operations, device, growing
        self._recorded = recorded
        self._block: Block | None = None
        self._program: Program | None = None

    def __call__(self, arrays: Arrays) -> None:
        """Run once. Room is made anew when an array has outgrown its place."""
        if self._block is None or self._program is None or not self._block.holds(arrays):
            self._block = Block(arrays, self._growing, self._device, self._block)
            run = partial(self._operations, self._block.numbers)
            self._program = Program(run, self._device, recorded=self._recorded)
        self._block.write(arrays)
        with torch.no_grad():
            self._program()
