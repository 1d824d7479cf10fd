"""The renderer of NVIDIA GPUs, in plain torch. It runs on the CPU too, where tests compare it to CpuRenderer.

renderer.py is the way through a frame. Each of its steps takes a few kB of numbers from this computer's
processor (renderer.py) and does the same operations on tensors of the same shapes every time (steps.py), so
that a card can record them once and play them back. This package is the product's only door to torch.
"""

from __future__ import annotations

from importlib.util import find_spec

from streamfx.errors import DeviceUnavailable
from streamfx.importing import require_current_folder


def require_torch() -> None:
    """Find that torch is missing, or cannot work, before a module of this package asks for it.

    Raises:
        DeviceUnavailable: the extra is not installed.
        UsageError: the current folder is gone.
    """
    absent = [name for name in ("torch", "safetensors") if find_spec(name) is None]
    if absent:
        cause = f"{absent[0]}, which draws on NVIDIA cards, is not installed"
        raise DeviceUnavailable(cause, "Install it (pip install 'streamfx[gpu]'), or render on the CPU")
    require_current_folder()
