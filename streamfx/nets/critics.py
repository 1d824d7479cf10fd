"""The critics (discriminators): they tell real from made, are used in training only, and are never shipped.

All return logits or scores without a squashing function, for the losses of `streamfx.lab.training.losses`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from streamfx.nets.blocks import LEAK
from streamfx.nets.completion import Side


class Verdict(NamedTuple):
    """What a patch critic says; a tuple, so that torch's data-parallel wrapper sees its tensors."""

    logits: Tensor
    """[B,1,h,w], one per patch; positive means real."""
    features: tuple[Tensor, ...]
    """The activations of every layer but the last, for feature matching."""


class PaperCritic(nn.Module):
    """The paper's critic (Geng et al. 2018, section 4.1): six convolutions, five strided, one number.

    In [B,5,256,256]: RGB 0..1, M / 6. Out [B,1]: the Wasserstein score, larger for real. It has no
    normalisation layer: its weights are clipped instead. 2.4 GMAC.
    """

    INPUTS: Final = 5
    FLAT: Final = 8 * 8 * 512
    """Numbers before the last layer: 32768."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_lrelu_conv(self.INPUTS, 32, kernel=7, stride=1),
            *_lrelu_conv(32, 64, kernel=5),
            *_lrelu_conv(64, 128),
            *_lrelu_conv(128, 256),
            *_lrelu_conv(256, 512),
            *_lrelu_conv(512, 512),
            nn.Flatten(),
        )
        self.score = nn.Linear(self.FLAT, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.score(self.body(x))
        return out


_LIVELY: Final = 4.0
"""Inputs are brought to the size that fresh weights expect."""
_FAINT: Final = 0.003
"""Size of the last layer's weights at first: a critic begins undecided."""


class _Patches(nn.Module):
    """Convolutions 4 x 4; the first three halve the picture.

    Plain ones, steadied by R1: under spectral norm they took a hundred steps and more to tell drawn teeth
    from real ones, and gave the networks next to nothing to learn from.
    """

    STRIDED: Final = 3

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        strides = (2 if index < self.STRIDED else 1 for index in range(len(widths)))
        sizes = zip(pairwise((inputs, *widths)), strides, strict=True)
        self.layers = nn.ModuleList(_patch_layer(*pair, stride) for pair, stride in sizes)
        self.judge = nn.Conv2d(widths[-1], 1, 4, padding=1)
        nn.init.normal_(self.judge.weight, std=_FAINT)

    def forward(self, x: Tensor) -> Verdict:
        features: list[Tensor] = []
        x = _LIVELY * torch.cat([x[:, :3] - 0.5, x[:, 3:]], 1)
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return Verdict(self.judge(x), tuple(features))


class PatchCritic(_Patches):
    """Patches of 70 x 70 px are real or made (Isola et al. 2017).

    In [B,inputs,H,W]: RGB 0..1, then the condition, by default M / 6 and the inner-mouth mask. H and W are at
    least 32. At 128 px and the default width 0.20 GMAC.
    """

    def __init__(self, inputs: int = 3 + 2 + 1, width: int = 32) -> None:
        super().__init__(inputs, (width, 2 * width, 4 * width, 8 * width))


class MouthCritic(_Patches):
    """Patches of 46 x 46 px of a mouth crop are real or made.

    In [B,inputs,96,96]: RGB 0..1, then the condition, by default the mouth mask and M / 6. 0.05 GMAC.
    """

    def __init__(self, inputs: int = 3 + 1 + 2, width: int = 32) -> None:
        super().__init__(inputs, (width, 2 * width, 4 * width))


class GlobalLocalCritic(nn.Module):
    """The completion net's critic: the face and the mouth's patch together (Iizuka et al. 2017, table 2).

    In: faces [B,3,S,S] and patches [B,3,S/2,S/2], RGB 0..1. Out [B,1] logits, positive for real.
    """

    FEATURES: Final = 1024

    def __init__(self, side: Side = 256) -> None:
        super().__init__()
        self.whole = _view(side)
        self.patch = _view(side // 2)
        self.judge = nn.Linear(2 * self.FEATURES, 1)

    def forward(self, faces: Tensor, patches: Tensor) -> Tensor:
        out: Tensor = self.judge(torch.cat([self.whole(faces), self.patch(patches)], 1))
        return out


def _lrelu_conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 2) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.LeakyReLU(LEAK)


def _patch_layer(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 4, stride, padding=1)
    nn.init.kaiming_normal_(conv.weight, a=LEAK)
    return nn.Sequential(conv, nn.LeakyReLU(LEAK))


def _view(side: int) -> nn.Sequential:
    """[B,3,side,side] to [B,1024]: convolutions 5 x 5 halve the side down to 4, then one full layer."""
    widths = (3, 64, 128, 256, 512, 512, 512)[: side.bit_length() - 2]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        conv = nn.Conv2d(inputs, outputs, 5, stride=2, padding=2)
        layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
    full = nn.Linear(4 * 4 * widths[-1], GlobalLocalCritic.FEATURES)
    return nn.Sequential(*layers, nn.Flatten(), full, nn.ReLU())
