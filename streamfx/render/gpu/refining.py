"""Refining the face on tensors (see refiner.py, whose two profiles these are)."""

from __future__ import annotations

from typing import Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from streamfx.models.weights import NetworkName
from streamfx.render.gpu.drawing import FaceCrop
from streamfx.render.gpu.steps import Numbers
from streamfx.render.rectify import CROP, LARGEST_DISPLACEMENT
from streamfx.render.refiner import AWAKE, RIM, RISE, STRIDE

_CELLS: Final = 32
_SWEEPS: Final = 8


class TensorRefiner(Protocol):
    """What a refining network sees of a face crop, and what becomes of its answer; one for each target."""

    @property
    def network(self) -> NetworkName:
        """The network's."""
        ...

    @property
    def channels(self) -> int:
        """Of the pictures that it sees."""
        ...

    def see(self, face: FaceCrop, numbers: Numbers) -> Tensor:
        """f32 [channels,256,256]"""
        ...

    def residual(self, face: FaceCrop, answer: Tensor) -> Tensor:
        """f32 [3,256,256], -1..1 of full brightness, of the network's answer f32 [3,256,256]."""
        ...


class LiteTensorRefiner:
    """See refiner.LiteNetworkRefiner; the network is nets.lite.LiteRefiner, of pictures."""

    network = NetworkName.REFINE_LITE
    channels = 9

    def __init__(self, device: torch.device) -> None:
        """Start without a past."""
        self._last = torch.zeros(3, CROP, CROP, device=device)

    def see(self, face: FaceCrop, numbers: Numbers) -> Tensor:
        """See TensorRefiner."""
        last = self._last * numbers["follows"]
        seen = [face.rgb * face.light, face.inner_mouth, face.moved / LARGEST_DISPLACEMENT, last]
        return torch.cat(seen)

    def residual(self, face: FaceCrop, answer: Tensor) -> Tensor:
        """See TensorRefiner."""
        self._last.copy_(torch.nan_to_num(answer, 0, 0, 0))
        change = _liveliness(face) * self._last + face.rgb * (face.light - 1)
        residual: Tensor = (1 - face.drawn) * change
        return residual


def _liveliness(face: FaceCrop) -> Tensor:
    """See refiner.liveliness."""
    moved, area = face.moved[:, ::STRIDE, ::STRIDE], face.face[:, ::STRIDE, ::STRIDE].sum().clamp(min=1)
    moved_rms = (moved.square().sum() / area).sqrt()
    return 1 - torch.exp(-((moved_rms / AWAKE) ** RISE))


class PaperTensorRefiner:
    """See refiner.PaperNetworkRefiner; the network is nets.refiner.PaperRefiner."""

    network = NetworkName.REFINE_PAPER
    channels = 5

    def __init__(self, device: torch.device) -> None:
        """Prepare the rim."""
        self._rim = torch.as_tensor(RIM, dtype=torch.float32, device=device)

    def see(self, face: FaceCrop, numbers: Numbers) -> Tensor:
        """See TensorRefiner."""
        del numbers
        return torch.cat([face.rgb, face.moved / LARGEST_DISPLACEMENT])

    def residual(self, face: FaceCrop, answer: Tensor) -> Tensor:
        """See TensorRefiner."""
        missing = face.rgb - torch.nan_to_num(answer, 0, 0, 0)
        residual: Tensor = (membrane(missing, face.face, self._rim) - missing) * (1 - face.drawn)
        return residual


def membrane(values: Tensor, mask: Tensor, near: Tensor) -> Tensor:
    """A surface that takes the values at the mask's rim and is as smooth as can be inside (refiner.membrane).

    Laplace's equation, solved from coarse to fine: each grid starts from the one half as fine.

    Args:
        values: f32 [3,256,256].
        mask: f32 [1,256,256] 0 or 1.
        near: f32 [17,17] 0 or 1: what lies so near outside belongs to the rim (refiner.RIM).
    """
    outside = functional.conv2d((1 - mask)[None], near[None, None], padding="same")[0]
    rim = mask * (outside > 0)
    shrink = CROP // _CELLS
    weight, summed = functional.avg_pool2d(rim, shrink), functional.avg_pool2d(values * rim, shrink)
    return functional.interpolate(_filled(summed, weight)[None], scale_factor=shrink, mode="bilinear")[0]


def _filled(summed: Tensor, weight: Tensor) -> Tensor:
    """Cells f32 [3,n,n]: summed / weight where any weight lies, smooth between."""
    known = (weight > 0).to(summed.dtype)
    given = summed / weight.clamp(min=1e-6)
    if summed.shape[-1] <= 2:
        return known * given + (1 - known) * summed.sum((1, 2), keepdim=True) / weight.sum().clamp(min=1e-6)
    coarse = _filled(functional.avg_pool2d(summed, 2), functional.avg_pool2d(weight, 2))
    cells = functional.interpolate(coarse[None], scale_factor=2, mode="bilinear")[0]
    for _ in range(_SWEEPS):
        wide = functional.pad(known * given + (1 - known) * cells, (1, 1, 1, 1), mode="replicate")
        cells = (wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]) / 4
    return known * given + (1 - known) * cells
