"""The card: whether it can be used, and what its failures are called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from streamfx.errors import DeviceExhausted, DeviceLost, DeviceUnavailable
from streamfx.telemetry import StageTimer

_ON_CPU: Final = "or render on the CPU"
_PAGE: Final = "docs/gpu.md"
_OLDEST: Final = 7, 0
"""Least compute capability: half precision at full speed."""


def cuda_device() -> torch.device:
    """The card to render on, looked at.

    Raises:
        DeviceUnavailable: torch has no CUDA, there is no card or driver, or it is too old.
    """
    if torch.version.cuda is None:
        cause = f"torch {torch.__version__} is built without CUDA"
        raise DeviceUnavailable(cause, f"Install one with CUDA ({_PAGE}), {_ON_CPU}")
    if not torch.cuda.is_available():
        cause = "No NVIDIA card can be used: none is there, or its driver does not answer"
        raise DeviceUnavailable(cause, f"See what nvidia-smi says, {_ON_CPU}")
    capability = torch.cuda.get_device_capability()
    if capability < _OLDEST:
        name = torch.cuda.get_device_name()
        cause = f"{name} is too old: it has compute capability {capability[0]}.{capability[1]}"
        raise DeviceUnavailable(cause, f"Use a card from GTX 16 on, {_ON_CPU}")
    with device_errors():
        device = torch.device("cuda", torch.cuda.current_device())
        torch.zeros(1, device=device)  # the context takes its memory now
    return device


def memory(device: torch.device) -> tuple[str, int, int]:
    """A card's name, and its free and whole memory in bytes."""
    with device_errors():
        free, total = torch.cuda.mem_get_info(device)
        return torch.cuda.get_device_name(device), free, total


def wait(device: torch.device) -> None:
    """Until it has done all that this thread told it."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


@contextmanager
def device_errors() -> Iterator[None]:
    """The one place where a card's errors become ours.

    Raises:
        DeviceExhausted: its memory is full.
        DeviceLost: any other failure of CUDA: the context is poisoned, only a new process can go on.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceExhausted("The card's memory is full", "Close other programs that use it") from error
    except RuntimeError as error:
        if not _is_fatal(error):
            raise
        reason = str(error).strip().splitlines()[0]
        raise DeviceLost(f"The card failed: {reason}", "See what nvidia-smi says") from error


def _is_fatal(error: RuntimeError) -> bool:
    kind = getattr(torch, "AcceleratorError", None)
    is_cuda = kind is not None and isinstance(error, kind)
    return is_cuda or any(name in str(error) for name in ("CUDA error", "cuDNN error", "CUBLAS_STATUS"))


class Clock:
    """Takes a frame's times on a card; on the CPU, whose times the pipeline takes itself, nothing."""

    def __init__(self, device: torch.device, timer: StageTimer | None = None) -> None:
        """Take times for a timer; without one, none."""
        self._timer = timer if device.type == "cuda" else None
        self._taken: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Time what is sent to the card in this block."""
        if self._timer is None:
            yield
            return
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        yield
        end.record()
        self._taken.append((step, start, end))

    def note(self) -> None:
        """Hand over a frame's times, once the card is done with it."""
        if self._timer is None:
            return
        total = 0.0
        for step, start, end in self._taken:
            elapsed = start.elapsed_time(end)
            total += elapsed
            self._timer.add(f"gpu {step}", round(elapsed * 1e6))
        self._timer.add("gpu frame", round(total * 1e6))
        self._taken.clear()
