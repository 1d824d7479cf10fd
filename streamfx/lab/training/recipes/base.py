"""What all recipes share: networks that take turns in learning, and the averages that ship."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, NamedTuple, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from streamfx.errors import ModelCorrupt
from streamfx.frames import U8
from streamfx.lab.training.checkpoints import Tensors

B = TypeVar("B")
"""The type of its batches."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of a run."""

    step: int
    """From 0."""
    progress: float
    """0 at the start of the run, 1 at its end."""
    generator: torch.Generator = field(repr=False)
    """The step's own randomness, on the CPU."""


class Loss(NamedTuple):
    """What a turn is learned from; a tuple, so that torch's data-parallel wrapper sees its tensors."""

    total: Tensor
    """[]: to be made smaller."""
    terms: dict[str, Tensor]
    """Its parts before weighting, detached, for people to watch."""
    made: Tensor
    """What the network gave, detached."""


class Terms:
    """A loss in the making: a weighted sum of named parts. A part of weight 0 should not be computed."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._parts: dict[str, Tensor] = {}

    def add(self, name: str, weight: float, value: Tensor) -> None:
        """Add weight * value; `value` [] is shown to people under this name."""
        weighted = weight * value
        self._total = weighted if self._total is None else self._total + weighted
        self._parts[name] = value.detach()

    def loss(self, made: Tensor) -> Loss:
        """The sum of what was added, at least one part."""
        assert self._total is not None, "a loss has parts"  # noqa: S101
        return Loss(self._total, self._parts, made.detach())


@dataclass(frozen=True, slots=True)
class View:
    """Pictures to judge a network by: f32 [B,3,H,W] 0..1, on the CPU."""

    photo: Tensor
    before: Tensor
    """Without the network: the warped face, the procedural mouth, the hole."""
    after: Tensor
    truth: Tensor
    mask: Tensor
    """[B,1,H,W] bool: where they are compared."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The learning rate's course over a run: up to full along a line, then down a half cosine."""

    rise: float = 0.05
    """Progress at which it is full."""
    floor: float = 0.01
    """Share of it at the start and at the end."""

    def rate(self, progress: float) -> float:
        """The share of the full rate, at a progress 0..1."""
        if progress < self.rise:
            return self.floor + (1 - self.floor) * progress / self.rise
        fallen = min(1.0, (progress - self.rise) / (1 - self.rise))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * fallen))


class Turn:
    """One network's update: its loss, gradients (meaned over all processes), one step of its optimiser.

    Only in its turn does a network learn: at other times its parameters ask for no gradient, so another's
    loss passes through it without cost or trace.
    """

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        optimiser: Optimizer,
        largest_gradient: float | None = None,
    ) -> None:
        """Hand the network to Fabric.

        Args:
            fabric: devices and processes.
            network: whose turn it is.
            optimiser: of its parameters.
            largest_gradient: norm to which gradients are clipped.
        """
        self._fabric, self._network, self._optimiser = fabric, network, optimiser
        self._full = [float(group["lr"]) for group in optimiser.param_groups]
        self._largest = largest_gradient
        self._module, self._stepper = fabric.setup(_Learner(network), optimiser)
        self._learns(False)

    def __call__(self, loss_of: Callable[[], Loss]) -> Loss:
        """Learn from one batch: from what `loss_of`, which runs the network, says of it."""
        self._learns(True)
        loss: Loss = self._module(loss_of)
        self._stepper.zero_grad()
        self._fabric.backward(loss.total)
        if self._largest is not None:
            self._fabric.clip_gradients(
                self._module, self._stepper, max_norm=self._largest, error_if_nonfinite=False
            )
        self._stepper.step()
        self._learns(False)
        return loss

    def pace(self, share: float) -> None:
        """Set the learning rates to a share of the full ones."""
        for group, full in zip(self._optimiser.param_groups, self._full, strict=True):
            group["lr"] = share * full

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """The optimiser's memory, named by parameter number."""
        for index, memory in self._optimiser.state_dict()["state"].items():
            for name, value in memory.items():
                yield f"{index}.{name}", torch.as_tensor(value)

    def restore(self, state: Tensors) -> None:
        """Take the memory back."""
        memory: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            index, _, name = key.partition(".")
            memory.setdefault(int(index), {})[name] = value
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": memory, "param_groups": groups})

    def _learns(self, now: bool) -> None:
        self._network.requires_grad_(now)


class _Learner(nn.Module):
    """A network and, as the pass through it, any loss that it is in: Fabric wraps this.

    So one pass holds all that a turn computes, which torch's data-parallel wrapper and autocast rely on.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, loss_of: Callable[[], Loss]) -> Loss:
        return loss_of()


class Average(nn.Module):
    """A network's exponential moving average: less noisy than any one step of it."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def follow(self, network: nn.Module, step: int) -> None:
        """Move towards the network; faster at first, when there is little to average."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        for mine, its in zip(self.network.parameters(), network.parameters(), strict=True):
            mine.lerp_(its, weight)
        for kept, seen in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(seen)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x)
        return out


class Recipe(ABC, Generic[B]):
    """How one network learns: `step` is the whole of it."""

    network: ClassVar[str]
    """Its name among those that ship."""

    def __init__(self, fabric: Fabric, net: nn.Module, critic: nn.Module, decay: float) -> None:
        """Keep what every recipe has.

        Args:
            fabric: devices and processes.
            net: what is to ship.
            critic: what it plays against.
            decay: of the moving average of the net's weights, which is what ships.
        """
        self.fabric = fabric
        self.net, self.critic, self.average = net, critic, Average(net, decay)
        self.turns: dict[str, Turn] = {}
        """By name, each of one network; set by the recipe."""
        fabric.to_device(self.average)

    @abstractmethod
    def step(self, batch: B, now: Moment) -> Mapping[str, Tensor]:
        """Learn from one batch; the terms of the losses, for people to watch."""

    @property
    def complete(self) -> bool:
        """Whether the network has the shape that ships; one that grows has not, at first."""
        return True

    @property
    def shipped(self) -> nn.Module:
        """The network that ships, as it is now: averaged."""
        return self.average.network

    def begin_from(self, weights: Tensors) -> None:
        """Start from a trained network instead of a fresh one."""
        self.net.load_state_dict(dict(weights))
        self.average.network.load_state_dict(dict(weights))

    @abstractmethod
    def view(self, batch: B) -> View:
        """What the averaged network makes of a batch."""

    @abstractmethod
    def example(self, batch: B) -> tuple[Tensor, Tensor]:
        """Inputs [B,C,H,W] of the network that ships, and the mask [B,1,H,W] where its output counts."""

    def state(self) -> dict[str, Tensor]:
        """Every tensor that the next step depends on, equal in all processes."""
        tensors = {
            f"{name}/{key}": value
            for name, module in self._modules().items()
            for key, value in module.state_dict().items()
        }
        optimisers = {
            f"{name} optimiser/{key}": value
            for name, turn in self.turns.items()
            for key, value in turn.state()
        }
        return tensors | optimisers

    def restore(self, state: Tensors) -> None:
        """Take the state back.

        Raises:
            ModelCorrupt: it is another recipe's.
        """
        try:
            for name, module in self._modules().items():
                module.load_state_dict(part_of(state, name))
            for name, turn in self.turns.items():
                turn.restore(part_of(state, f"{name} optimiser"))
        except (RuntimeError, ValueError, KeyError) as error:
            raise ModelCorrupt(
                f"The checkpoint does not fit the recipe for {self.network}",
                "Resume with the version of streamfx that wrote it, or start anew in another folder",
            ) from error

    def own_state(self) -> dict[str, Tensor]:
        """Tensors that each process has its own of: histories."""
        return {}

    def restore_own(self, state: Tensors) -> None:
        """Take this process's own tensors back."""

    def _modules(self) -> dict[str, nn.Module]:
        return {"net": self.net, "critic": self.critic, "average": self.average}


def part_of(state: Tensors, name: str) -> dict[str, Tensor]:
    """The tensors under one name of a recipe's state."""
    return {key.removeprefix(f"{name}/"): value for key, value in state.items() if key.startswith(f"{name}/")}


def as_pixels(pictures: Tensor) -> U8:
    """u8 [B,H,W,3] of f32 [B,3,H,W] 0..1."""
    rounded = pictures.detach().clamp(0, 1).mul(255).add(0.5).to("cpu", torch.uint8)
    pixels: U8 = rounded.permute(0, 2, 3, 1).contiguous().numpy()
    return pixels
