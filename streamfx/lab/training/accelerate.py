"""The one door to Lightning Fabric: devices, number formats, and several processes that learn together.

Fabric starts the processes itself (`--devices N`), or finds those that `torchrun` has started.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from typing import Final, Literal, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, distributed

from streamfx.errors import UsageError

Precision = Literal["32", "bf16-mixed"]
PRECISIONS: Final[tuple[Precision, ...]] = ("32", "bf16-mixed")

_PATIENCE: Final = timedelta(hours=12)
"""How long processes wait for the first one, which builds the crops alone."""

B = TypeVar("B")


def open_fabric(devices: int | None, precision: Precision = "32", accelerator: str = "auto") -> Fabric:
    """Take hold of the devices; with more than one, this starts the other processes and meets them.

    Args:
        devices: GPUs, or processes on a CPU; None takes every GPU, or one process. Under `torchrun` its
            number of processes counts instead.
        precision: "bf16-mixed" halves the time and memory of convolutions on a GPU that has bfloat16.
        accelerator: "auto", or "cpu" to leave GPUs alone.

    Raises:
        UsageError: there are not so many devices.
    """
    here, everywhere = _started_by_torchrun()
    count = here or devices or max(1, torch.cuda.device_count() if accelerator == "auto" else 1)
    together = DDPStrategy(timeout=_PATIENCE) if max(count, everywhere) > 1 else "auto"
    with _quiet():
        try:
            fabric = Fabric(
                accelerator=accelerator,
                strategy=together,
                devices=count,
                num_nodes=max(1, everywhere // count),
                precision=precision,
            )
            fabric.launch()
        except (ValueError, RuntimeError, MisconfigurationException) as error:
            raise UsageError(
                f"{count} devices cannot be used: {error}", "Ask for fewer by --devices"
            ) from error
    # The same seed then gives the same run on one machine; the search for the fastest kernels does not.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return fabric


def moved(batch: B, fabric: Fabric) -> B:
    """A frozen dataclass of tensors, of None and of such dataclasses, on this process's device."""
    if not is_dataclass(batch) or isinstance(batch, type):
        raise TypeError(f"{type(batch).__name__} is no dataclass of tensors")

    def there(value: object) -> object:
        if value is None:
            return None
        return (
            value.to(fabric.device, non_blocking=True) if isinstance(value, Tensor) else moved(value, fabric)
        )

    return replace(batch, **{one.name: there(getattr(batch, one.name)) for one in fields(batch)})


def agreed(fabric: Fabric, seconds: float, stop: bool) -> tuple[float, bool]:
    """What all processes go by: the first one's clock, and whether any of them was told to stop."""
    said = _from_all(fabric, torch.tensor([seconds, float(stop)], dtype=torch.float64, device=fabric.device))
    return float(said[0, 0]), bool(said[:, 1].any())


def gathered(fabric: Fabric, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What each process has its own of, stacked [processes,...]; of the same shapes in all of them."""
    return {name: _from_all(fabric, tensor) for name, tensor in own.items()}


def _from_all(fabric: Fabric, tensor: Tensor) -> Tensor:
    if fabric.world_size == 1:
        return tensor[None]
    said = [torch.empty_like(tensor) for _ in range(fabric.world_size)]
    distributed.all_gather(said, tensor)  # Fabric's own way goes by a function that torch gives up
    return torch.stack(said)


def _started_by_torchrun() -> tuple[int, int]:
    """Its processes on this machine and on all; 0 where it did not start this one."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0, 0
    return int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Fabric's advice on stderr, about GPUs left unused and services to subscribe to."""
    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
