"""The inside of the mouth on tensors: painted, blended along optical flow, put between the lips."""

from __future__ import annotations

from typing import Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from streamfx.models.weights import NetworkName
from streamfx.render.base import MouthCrop
from streamfx.render.gpu import raster
from streamfx.render.gpu.pixels import Window, grid, sample, sample_each, through
from streamfx.render.gpu.steps import Numbers
from streamfx.render.painter import DATA_MEAN
from streamfx.render.rectify import LARGEST_DISPLACEMENT
from streamfx.render.temporal import CONSISTENT, SHARE, SIMILAR

_LEVELS: Final = 3
_ROUNDS: Final = 3
_WINDOW: Final = 7
"""px: side of the square whose motion is one."""
_SMOOTH: Final = 3
"""px: side of the square over which each round's flow is averaged. Without it rounds add noise: 0.17 px off
instead of 0.01 after three, on textures shifted by (2, -1) px."""
_LEAST: Final = 4.0
"""Added to the structure tensor's diagonal: where nothing has an edge, nothing moves."""
_FARTHEST: Final = 2.0
"""px of a level that one round may add."""


def flows(now: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel of `now` was in `last`, and each of `last` is in `now`.

    Args:
        now, last: f32 [n,n] grey levels 0..255; 4 divides n.

    Returns:
        f32 [2,n,n] px each: x, y to be added.

    Source: Lucas & Kanade 1981; Bouguet 2000 for the pyramid.
    """
    start, end = torch.stack([now, last])[:, None], torch.stack([last, now])[:, None]
    pyramid = [(start, end)]
    for _ in range(_LEVELS - 1):
        start, end = (functional.avg_pool2d(picture, 2) for picture in (start, end))
        pyramid.append((start, end))
    moved = torch.zeros(2, 2, *start.shape[-2:], device=now.device)
    for level, (start, end) in enumerate(reversed(pyramid)):
        if level:
            moved = 2 * functional.interpolate(moved, scale_factor=2, mode="bilinear")
        moved = _refined(moved, start, end)
    return moved[0], moved[1]


def _refined(moved: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """A few rounds on one level: [B,2,n,n] px, [B,1,n,n] grey levels."""
    right, down = _slopes(start)
    xx, xy, yy = _means(torch.cat([right * right, right * down, down * down], 1), _WINDOW).unbind(1)
    xx, yy = xx + _LEAST, yy + _LEAST
    scale = 1 / (xx * yy - xy * xy)
    columns, rows = grid(start.shape[-2], start.shape[-1], start.device)
    for _ in range(_ROUNDS):
        there = sample_each(end, columns + moved[:, 0], rows + moved[:, 1], "border")
        off = start - there
        u, v = _means(torch.cat([right * off, down * off], 1), _WINDOW).unbind(1)
        step = torch.stack([yy * u - xy * v, xx * v - xy * u], 1) * scale[:, None]
        moved = _means(moved + step.clamp(-_FARTHEST, _FARTHEST), _SMOOTH)
    return moved


def _slopes(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences [B,1,n,n] along x and y."""
    wide = functional.pad(picture, (1, 1, 1, 1), mode="replicate")
    right = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2
    return right, (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2


def _means(planes: Tensor, side: int) -> Tensor:
    """Means over the square about each pixel."""
    return functional.avg_pool2d(planes, side, stride=1, padding=side // 2, count_include_pad=False)


_LUMA: Final = (0.299, 0.587, 0.114)


class TensorPainter(Protocol):
    """What a mouth's network sees, and what becomes of its answer; one for each target."""

    @property
    def crop(self) -> MouthCrop:
        """The square that it paints in."""
        ...

    @property
    def network(self) -> NetworkName | None:
        """The network's; None paints without one."""
        ...

    @property
    def channels(self) -> int:
        """Of the pictures that it sees."""
        ...

    def see(self, around: Tensor, numbers: Numbers) -> Tensor:
        """f32 [channels,n,n]; `around` is the picture so far in the same square, f32 [3,n,n] 0..255."""
        ...

    def painted(self, answer: Tensor, numbers: Numbers) -> Tensor:
        """f32 [3,n,n] 0..255, of use inside the mask, of the network's answer f32 [3,n,n] 0..1."""
        ...


class ProceduralTensorPainter:
    """The procedural mouth, which comes painted from the CPU: 28 kB."""

    crop: Final = MouthCrop.MOUTH
    network = None
    channels = 0

    def see(self, around: Tensor, numbers: Numbers) -> Tensor:
        """See TensorPainter."""
        del numbers
        return around[:0]

    def painted(self, answer: Tensor, numbers: Numbers) -> Tensor:
        """See TensorPainter."""
        del answer
        return numbers["drawn"].permute(2, 0, 1).to(torch.float32)


class LiteTensorPainter:
    """See painter.LiteNetworkPainter; the network is nets.lite.LiteMouth, of pictures."""

    crop: Final = MouthCrop.MOUTH
    network = NetworkName.MOUTH_LITE
    channels = 10

    def see(self, around: Tensor, numbers: Numbers) -> Tensor:
        """See TensorPainter."""
        mask, size = numbers["mask"][None], (self.crop.value, self.crop.value)
        tiles = (numbers["tile_rows"], numbers["tile_places"])
        drawn = raster.draw(numbers["corners"], numbers["triangles"], tiles, size)
        moved = drawn.carry(numbers["moved"]) * drawn.covered / LARGEST_DISPLACEMENT
        inside = mask / 255
        procedural = numbers["drawn"].permute(2, 0, 1)
        seen = [around * (1 / 255 - inside), mask, procedural * inside, numbers["own"][None] * inside, moved]
        return torch.cat(seen)

    def painted(self, answer: Tensor, numbers: Numbers) -> Tensor:
        """See TensorPainter."""
        del numbers
        return _levels(answer)


class PaperTensorPainter:
    """See painter.PaperNetworkPainter; the network is nets.completion.CompletionNet."""

    crop: Final = MouthCrop.FACE
    network = NetworkName.MOUTH_PAPER
    channels = 4

    def __init__(self, device: torch.device) -> None:
        """Prepare the hole's colour."""
        self._mean = torch.tensor(DATA_MEAN, device=device)[:, None, None]

    def see(self, around: Tensor, numbers: Numbers) -> Tensor:
        """See TensorPainter."""
        hole = numbers["mask"][None]
        return torch.cat([around * ((1 - hole) / 255) + hole * self._mean, hole])

    def painted(self, answer: Tensor, numbers: Numbers) -> Tensor:
        """See TensorPainter."""
        del numbers
        return _levels(answer)


def _levels(answer: Tensor) -> Tensor:
    """A network's answer in grey levels; 0 where it is no number."""
    return (255 * torch.nan_to_num(answer, 0, 0, 0)).clamp(0, 255)


class MouthDrawing:
    """From the picture so far to the picture with a mouth, in one square (see temporal.py, composite.py)."""

    def __init__(self, crop: MouthCrop, device: torch.device) -> None:
        self._columns, self._rows = grid(crop.value, crop.value, device)
        self._luma = torch.tensor(_LUMA, device=device)[:, None, None]
        self._last = torch.zeros(3, crop.value, crop.value, device=device)
        self._last_mask = torch.zeros(crop.value, crop.value, device=device)

    def around(self, picture: Tensor, numbers: Numbers) -> Tensor:
        """What a picture f32 [3,H,W] shows in the square, f32 [3,n,n] 0..255."""
        return sample(picture, *through(numbers["to_frame"], self._columns, self._rows), "border")

    def show(self, picture: Tensor, mouth: Tensor, numbers: Numbers) -> None:
        """Put a mouth f32 [3,n,n] 0..255 into a picture f32 [3,H,W], blended with the last one, in place."""
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
