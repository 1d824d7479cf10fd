"""Networks on trial: a training's weights, run by torch, as the renderer sees networks."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from streamfx.errors import ModelCorrupt, ModelMissing
from streamfx.frames import F32
from streamfx.nets import AsRun, build

PREFIXES: Final = ("", "ema.", "net.", "generator.")
"""Under which a file may hold the network's tensors; the first that holds them all is taken."""


class TorchNetwork:
    """f32 [H,W,C] in, f32 [H,W,C'] out, one picture (render.base.Network)."""

    def __init__(self, name: str, weights: Path) -> None:
        """Build the network `name` and fill it.

        Raises:
            ModelMissing: there is no such file.
            ModelCorrupt: it is no safetensors file, or another network's.
        """
        network = build(name)
        fill(network, weights, name)
        self._module = AsRun(network).eval()

    def __call__(self, x: F32) -> F32:
        """One picture through the network."""
        batch = torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None]
        with torch.inference_mode():
            out: Tensor = self._module(batch)
        return np.ascontiguousarray(out[0].numpy().transpose(1, 2, 0))


def fill(module: nn.Module, weights: Path, name: str) -> None:
    """Load weights into a module, strictly.

    Raises:
        ModelMissing, ModelCorrupt: as TorchNetwork.
    """
    try:
        found = load_file(weights)
    except OSError as error:
        raise ModelMissing(f"{weights} cannot be read ({error.strerror})", "Name another file") from error
    except SafetensorError as error:
        raise ModelCorrupt(f"{weights} is no safetensors file", "Name another file") from error
    wanted = {key: value.shape for key, value in module.state_dict().items()}
    for prefix in PREFIXES:
        chosen = {key: found[prefix + key] for key in wanted if prefix + key in found}
        if {key: value.shape for key, value in chosen.items()} == wanted:
            module.load_state_dict({key: value.to(torch.float32) for key, value in chosen.items()})
            return
    raise ModelCorrupt(f"{weights} does not hold the tensors of {name}", "Name the network that it is of")
