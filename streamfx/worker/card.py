"""`python -m streamfx.worker.card`: look at the graphics card in a process of its own: drivers hang.

One line of JSON on standard output (`Card`, or a `Failure`).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import BinaryIO

from streamfx.ipc.child import child_main, tell
from streamfx.ipc.failure import Failure
from streamfx.limits import is_shortage, shortage
from streamfx.worker.protocol import Card


def main(_: BinaryIO, writer: BinaryIO) -> int:
    """Look, and tell."""
    from streamfx.errors import DeviceError, DeviceUnavailable
    from streamfx.render.base import Device
    from streamfx.render.gpu import require_torch

    try:
        require_torch()
        from streamfx.render.gpu.device import cuda_device, memory

        device = cuda_device()
        name, free, total = memory(device)
    except DeviceError as error:
        tell(writer, failed=asdict(Failure.of(error)))
        return 1
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        if not is_shortage(error):
            raise
        refusal = DeviceUnavailable(*shortage("No card can be looked for", error))
        tell(writer, failed=asdict(Failure.of(refusal)))
        return 1
    tell(writer, **asdict(Card(f"{Device.CUDA}: {name}", free // 2**20, total // 2**20)))
    return 0


if __name__ == "__main__":
    child_main("card", main)
