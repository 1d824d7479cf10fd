"""`python -m streamfx.worker.card`: look at the graphics card in a process of its own: drivers hang.

One line of JSON on standard output (`Card`).
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict

from streamfx.ipc.child import die_with_parent
from streamfx.limits import is_shortage, shortage
from streamfx.worker.protocol import Card


def main() -> int:
    """Look, and tell."""
    die_with_parent()
    writer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print must not print between
    writer.write(json.dumps(asdict(_seen())) + "\n")
    writer.flush()
    os._exit(0)


def _seen() -> Card:
    from streamfx.errors import DeviceError
    from streamfx.render.base import Device
    from streamfx.render.gpu import require_torch

    try:
        require_torch()
        from streamfx.render.gpu.device import cuda_device, memory

        device = cuda_device()
        name, free, total = memory(device)
    except DeviceError as error:
        return Card(cause=error.cause, remedy=error.remedy)
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        if not is_shortage(error):
            raise
        cause, remedy = shortage("No card can be looked for", error)
        return Card(cause=cause, remedy=remedy)
    return Card(f"{Device.CUDA}: {name}", free // 2**20, total // 2**20)


if __name__ == "__main__":
    main()
