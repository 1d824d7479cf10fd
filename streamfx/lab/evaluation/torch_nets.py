"""Networks on trial: a training's weights, run by torch, as the renderer sees networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamfx.frames import F32
from streamfx.lab.training.checkpoints import fill, parse_weights, read_weights
from streamfx.nets import AsRun, build


class TorchNetwork:
    """f32 [H,W,C] in, f32 [H,W,C'] out, one picture (render.base.Network)."""

    def __init__(self, name: str, weights: Path) -> None:
        """Build the network `name` and fill it.

        Raises:
            ModelMissing: there is no such file.
            ModelCorrupt: it is damaged, or another network's.
        """
        network = build(name)
        fill(network, parse_weights(read_weights(weights), weights), weights)
        self._module = AsRun(network).eval()

    def __call__(self, x: F32) -> F32:
        """One picture through the network."""
        batch = torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None]
        with torch.inference_mode():
            out: Tensor = self._module(batch)
        return np.ascontiguousarray(out[0].numpy().transpose(1, 2, 0))
