"""A worker whose card is the CPU: everything of `--device cuda` but CUDA itself."""

from __future__ import annotations

import os
import sys

import torch

from streamfx.render.cuda import studio
from streamfx.worker import work
from streamfx.worker.__main__ import take_stdout
from streamfx.worker.channel import Channel

if __name__ == "__main__":
    torch.set_num_threads(1)
    studio.cuda_device = lambda: torch.device("cpu")
    code = work.serve(Channel(os.fdopen(0, "rb", closefd=False), take_stdout()))
    sys.stderr.flush()
    os._exit(code)
