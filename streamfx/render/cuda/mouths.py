"""The inside of the mouth on tensors: painted, blended over time, and put between the lips."""

from __future__ import annotations

from typing import Final, Protocol

import torch
from torch import Tensor

from streamfx.render.base import MouthCrop
from streamfx.render.cuda import raster
from streamfx.render.cuda.flow import flows
from streamfx.render.cuda.pixels import Window, grid, sample, through
from streamfx.render.cuda.refining import TensorNetwork
from streamfx.render.cuda.steps import Numbers
from streamfx.render.painter import DATA_MEAN
from streamfx.render.rectify import LARGEST_DISPLACEMENT
from streamfx.render.temporal import CONSISTENT, SHARE, SIMILAR

_LUMA: Final = (0.299, 0.587, 0.114)


class TensorPainter(Protocol):
    """Makes the mouth's pixels."""

    @property
    def crop(self) -> MouthCrop:
        """The square that it paints in."""
        ...

    def paint(self, around: Tensor, numbers: Numbers) -> Tensor:
        """f32 [3,n,n] 0..255, of use inside the mask; `around` is the picture so far in the same square."""
        ...


class ProceduralTensorPainter:
    """The procedural mouth, which comes painted from the CPU: 28 kB."""

    crop: Final = MouthCrop.MOUTH

    def paint(self, around: Tensor, numbers: Numbers) -> Tensor:
        """See TensorPainter."""
        del around
        return numbers["drawn"].permute(2, 0, 1).to(torch.float32)


class LiteTensorPainter:
    """See painter.LiteNetworkPainter."""

    crop: Final = MouthCrop.MOUTH

    def __init__(self, network: TensorNetwork) -> None:
        """Keep the network: nets.lite.LiteMouth, of pictures."""
        self._network = network

    def paint(self, around: Tensor, numbers: Numbers) -> Tensor:
        """See TensorPainter."""
        mask, size = numbers["mask"][None], (self.crop.value, self.crop.value)
        tiles = (numbers["tile_rows"], numbers["tile_places"])
        drawn = raster.draw(numbers["corners"], numbers["triangles"], tiles, size)
        moved = drawn.carry(numbers["moved"]) * drawn.covered / LARGEST_DISPLACEMENT
        inside = mask / 255
        procedural = numbers["drawn"].permute(2, 0, 1)
        seen = [around * (1 / 255 - inside), mask, procedural * inside, numbers["own"][None] * inside, moved]
        return (255 * _answer(self._network, torch.cat(seen))).clamp(0, 255)


class PaperTensorPainter:
    """See painter.PaperNetworkPainter."""

    crop: Final = MouthCrop.FACE

    def __init__(self, network: TensorNetwork, device: torch.device) -> None:
        """Keep the network: nets.completion.CompletionNet."""
        self._network = network
        self._mean = torch.tensor(DATA_MEAN, device=device)[:, None, None]

    def paint(self, around: Tensor, numbers: Numbers) -> Tensor:
        """See TensorPainter."""
        hole = numbers["mask"][None]
        holed = around * ((1 - hole) / 255) + hole * self._mean
        return (255 * _answer(self._network, torch.cat([holed, hole]))).clamp(0, 255)


def _answer(network: TensorNetwork, seen: Tensor) -> Tensor:
    """A network's answer to one picture; 0 where it is no number."""
    return torch.nan_to_num(network(seen[None])[0], 0, 0, 0)


class MouthDrawing:
    """From the picture so far to the picture with a mouth, in one square (see temporal.py, composite.py)."""

    def __init__(self, crop: MouthCrop, device: torch.device) -> None:
        self._columns, self._rows = grid(crop.value, crop.value, device)
        self._luma = torch.tensor(_LUMA, device=device)[:, None, None]
        self._last = torch.zeros(3, crop.value, crop.value, device=device)
        self._last_mask = torch.zeros(crop.value, crop.value, device=device)

    def draw(self, picture: Tensor, painter: TensorPainter, numbers: Numbers) -> None:
        """Put a mouth into a picture f32 [3,H,W] 0..255, in place."""
        x, y = through(numbers["to_frame"], self._columns, self._rows)
        mouth = painter.paint(sample(picture, x, y, "border"), numbers)
        mouth = mouth + numbers["blends"] * (self._mixed(mouth, numbers["mask"]) - mouth)
        self._last.copy_(mouth)
        self._last_mask.copy_(numbers["mask"])
        window = Window(numbers["lips_corner"], numbers["lips_mask"], picture)
        window.blend(sample(mouth, *through(numbers["from_frame"], window.x, window.y), "border"))

    def _mixed(self, mouth: Tensor, mask: Tensor) -> Tensor:
        """The last mouth, carried along the flow, blended in where flow, masks and colours agree."""
        back, forth = flows(*((self._luma * picture).sum(0) for picture in (mouth, self._last)))
        x, y = self._columns + back[0], self._rows + back[1]
        there = sample(torch.cat([self._last, self._last_mask[None], forth]), x, y, "border")
        carried, carried_mask, returned = there[:3], there[3], there[4:]
        limit = len(mask) - 1
        inside = (x >= 0) & (y >= 0) & (x <= limit) & (y <= limit) & (mask > 0.5) & (carried_mask > 0.5)
        agree = inside & ((back + returned).square().sum(0) < CONSISTENT**2)
        differ = (carried - mouth).abs().amax(0)
        share = SHARE * torch.exp(-((differ / SIMILAR) ** 2)) * agree
        mixed: Tensor = mouth + share * (carried - mouth)
        return mixed
