"""A worker whose card is the CPU: everything of `--device cuda` but CUDA itself.

Where the file named by STREAMFX_TEST_CARD_FAILS exists, the card fails, once: as CUDA does when a kernel has
touched memory that is not its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from streamfx.frames import U8
from streamfx.render.cuda import studio
from streamfx.render.cuda.canvas import TensorCanvas
from streamfx.render.cuda.device import device_errors
from streamfx.worker import work
from streamfx.worker.__main__ import take_stdout
from streamfx.worker.channel import Channel

FAILS = Path(os.environ.get("STREAMFX_TEST_CARD_FAILS", "/nonexistent"))


class FailingCanvas(TensorCanvas):
    def picture(self) -> U8:
        if FAILS.exists():
            FAILS.unlink()
            with device_errors():
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return super().picture()


if __name__ == "__main__":
    torch.set_num_threads(1)
    studio.cuda_device = lambda: torch.device("cpu")
    studio.TensorCanvas = FailingCanvas
    code = work.serve(Channel(os.fdopen(0, "rb", closefd=False), take_stdout()))
    sys.stderr.flush()
    os._exit(code)
