"""The card's process with the CPU in the card's place: everything of `--device cuda` but CUDA itself.

Where the file named by STREAMFX_TEST_CARD_FAILS exists, the card fails, once: as CUDA does when a kernel has
touched memory that is not its own. Where STREAMFX_TEST_CARD_HANGS names one, it hangs, once.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import torch

from streamfx.ipc.child import child_main
from streamfx.render.gpu import gpu_device
from streamfx.render.gpu.target import TensorTarget
from streamfx.worker.sharing.__main__ import main

FAILS, HANGS = (
    Path(os.environ.get(f"STREAMFX_TEST_CARD_{what}", "/nonexistent")) for what in ("FAILS", "HANGS")
)


class FailingTarget(TensorTarget):
    def finish(self) -> None:
        if FAILS.exists():
            FAILS.unlink()
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if HANGS.exists():
            HANGS.unlink()
            time.sleep(600)
        super().finish()


if __name__ == "__main__":
    torch.set_num_threads(1)
    gpu_device.cuda_device = lambda: torch.device("cpu")
    gpu_device.TensorTarget = FailingTarget
    child_main("card", lambda _, writer: main(socket.socket(fileno=int(sys.argv[1])), writer))
