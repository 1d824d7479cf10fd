"""Drawing batches from crops: the networks' inputs as in the product, augmented, with what is true.

Augmentation acts on input and truth alike, as another camera would: mirror image (with the sign of M's x),
place and size, gain and gamma per colour, lost detail, JPEG. Only M may be missing (algorithm.md#training).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from streamfx.frames import U8
from streamfx.lab.training.crops import STEPS_OF_LIGHT, STEPS_PER_SIGMA, FaceCrops, MouthCrops
from streamfx.render.rectify import LARGEST_DISPLACEMENT

Rows = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly, and how often, crops are altered."""

    flip: float = 0.5
    place: float = 0.6
    """Share of samples moved, turned and scaled."""
    shift_px: float = 12.0
    """In the 256 px crop."""
    turn_deg: float = 5.0
    zoom: float = 0.05
    gain: float = 0.2
    """Per colour, 1 +- this."""
    gamma: float = 0.25
    """Logarithm of the exponent, +- this."""
    slope: float = 0.25
    """Light from one side: the logarithm of its change from the crop's middle to its edge, +- this."""
    soften: float = 0.25
    """Share of samples that lose detail."""
    jpeg: float = 0.15
    """Share of samples recompressed, at quality 50 to 95."""
    no_motion: float = 0.05
    """Share of samples whose M is taken away."""


NONE: Final = Augmentation(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class FaceBatch:
    """What the refining network learns from; f32 on the CPU."""

    photo: Tensor
    """[B,3,256,256] 0..1: the rest photo."""
    warped: Tensor
    """[B,3,256,256] 0..1: the warp alone, the inner mouth blanked."""
    inputs: Tensor
    """[B,6,256,256]: warped and relit RGB with the inner mouth blanked, its mask, M / 6."""
    truth: Tensor
    """[B,3,256,256], blanked alike."""
    face: Tensor
    """[B,1,256,256]: where losses look: the face without the inner mouth."""
    sharp: Tensor
    """[B,1,1,1]: 1 where detail is worth learning."""


@dataclass(frozen=True, slots=True)
class MouthBatch:
    """What the mouth's network learns from; f32 on the CPU."""

    inputs: Tensor
    """[B,10,96,96], as nets.lite.LiteMouth takes them."""
    truth: Tensor
    """[B,3,96,96]: the true mouth inside the mask, the inputs' surroundings outside."""
    mask: Tensor
    """[B,1,96,96]"""
    sharp: Tensor
    """[B,1,1,1]"""


class FaceSampler:
    """Turns rows of FaceCrops into batches; random only by the generator given."""

    def __init__(self, crops: FaceCrops, augmentation: Augmentation = Augmentation()) -> None:
        self._crops, self._augmentation = crops, augmentation

    def batch(self, rows: Rows, generator: torch.Generator) -> FaceBatch:
        """One sample a row."""
        crops = self._crops
        photo, warped, truth = (_pictures(one[rows]) for one in (crops.photo, crops.warped, crops.truth))
        mask, face = (_planes(one[rows]) for one in (crops.mask, crops.face))
        moved = _motion(crops.moved[rows])
        view = _View(self._augmentation, len(rows), generator)
        photo, warped, truth = (view.coloured(view.placed(one)) for one in (photo, warped, truth))
        mask, face, moved = view.placed(mask), view.placed(face), view.moved(moved)
        seen = 1 - mask
        bare = warped * seen
        inputs = torch.cat([bare * view.placed(_light(crops.light[rows])), mask, moved], 1)
        sharp = torch.from_numpy(np.asarray(crops.sharp[rows], np.float32)).view(-1, 1, 1, 1)
        return FaceBatch(photo, bare, inputs, truth * seen, (face * seen > 0.5).float(), sharp)

    def pair(self, rows: Rows, generator: torch.Generator) -> tuple[FaceBatch, FaceBatch]:
        """Neighbours in time, (before, now), altered alike; rows without a neighbour are their own."""
        before = np.where(self._crops.previous[rows] >= 0, self._crops.previous[rows], rows)
        state = generator.get_state()
        now = self.batch(rows, generator)
        generator.set_state(state)
        return self.batch(before, generator), now


class MouthSampler:
    """Turns rows of MouthCrops into batches."""

    def __init__(self, crops: MouthCrops, augmentation: Augmentation = Augmentation()) -> None:
        self._crops, self._augmentation = crops, augmentation

    def batch(self, rows: Rows, generator: torch.Generator) -> MouthBatch:
        """One sample a row."""
        crops = self._crops
        around, truth, drawn = (_pictures(one[rows]) for one in (crops.around, crops.truth, crops.drawn))
        mask, own = (_planes(one[rows]) for one in (crops.mask, crops.own))
        view = _View(self._augmentation, len(rows), generator)
        around, truth, drawn = (view.coloured(view.placed(one)) for one in (around, truth, drawn))
        mask, own, moved = view.placed(mask), view.placed(own), view.moved(_motion(crops.moved[rows]))
        inputs = torch.cat([around * (1 - mask), mask, drawn * mask, own * mask, moved], 1)
        sharp = torch.from_numpy(np.asarray(crops.sharp[rows], np.float32)).view(-1, 1, 1, 1)
        return MouthBatch(inputs, around * (1 - mask) + truth * mask, mask, sharp)

    def pair(self, rows: Rows, generator: torch.Generator) -> tuple[MouthBatch, MouthBatch]:
        """Neighbours in time, (before, now), altered alike; rows without a neighbour are their own."""
        before = np.where(self._crops.previous[rows] >= 0, self._crops.previous[rows], rows)
        state = generator.get_state()
        now = self.batch(rows, generator)
        generator.set_state(state)
        return self.batch(before, generator), now


class _View:
    """One random alteration a sample, applied to all its arrays alike."""

    def __init__(self, how: Augmentation, count: int, generator: torch.Generator) -> None:
        self._generator = generator
        self._flip = self._chance(count, how.flip)
        self._grid = self._places(how, count) if how.place else None
        self._gain = 1 + how.gain * self._signed(count, 3)
        self._gamma = torch.exp(how.gamma * self._signed(count, 1))
        self._slope = how.slope * self._signed(count, 2)
        self._soft = self._chance(count, how.soften)
        self._quality = torch.where(self._chance(count, how.jpeg), 50 + 45 * self._unit(count), 0)
        self._still = self._chance(count, how.no_motion)

    def placed(self, arrays: Tensor) -> Tensor:
        """[B,C,H,W] mirrored and moved."""
        out = torch.where(self._flip.view(-1, 1, 1, 1), arrays.flip(3), arrays)
        if self._grid is None:
            return out
        theta = self._grid
        grid = functional.affine_grid(theta, list(out.shape), align_corners=False)
        return functional.grid_sample(out, grid, padding_mode="border", align_corners=False)

    def moved(self, motion: Tensor) -> Tensor:
        """M [B,2,H,W] likewise; mirrored, its x changes sign; sometimes it is missing."""
        sign = torch.ones(len(motion), 2, 1, 1)
        sign[self._flip, 0] = -1
        kept = (~self._still).float().view(-1, 1, 1, 1)
        return self.placed(motion) * sign * kept

    def coloured(self, pictures: Tensor) -> Tensor:
        """[B,3,H,W] 0..1 as another camera would have it."""
        light = self._gain.view(-1, 3, 1, 1) * self._sloped(pictures.shape[2])
        lit = (pictures * light).clamp(0, 1) ** self._gamma.view(-1, 1, 1, 1)
        small = functional.avg_pool2d(lit, 2)
        lost = functional.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
        lit = torch.where(self._soft.view(-1, 1, 1, 1), lost, lit)
        for index in torch.nonzero(self._quality)[:, 0].tolist():
            lit[index] = _recompressed(lit[index], int(self._quality[index]))
        return lit

    def _sloped(self, size: int) -> Tensor:
        """[B,1,H,W]: light that comes from one side."""
        across = torch.linspace(-1, 1, size)
        x, y = self._slope[:, 0].view(-1, 1, 1, 1), self._slope[:, 1].view(-1, 1, 1, 1)
        return torch.exp(x * across.view(1, 1, 1, -1) + y * across.view(1, 1, -1, 1))

    def _places(self, how: Augmentation, count: int) -> Tensor:
        """[B,2,3]: for affine_grid."""
        acts = self._chance(count, how.place).float()
        turn = acts * np.radians(how.turn_deg) * self._signed(count, 1)[:, 0]
        zoom = 1 + acts * how.zoom * self._signed(count, 1)[:, 0]
        shift = acts[:, None] * self._signed(count, 2) * (how.shift_px / 128)
        cos, sin = torch.cos(turn) * zoom, torch.sin(turn) * zoom
        rows = [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)]
        return torch.stack(rows, 1)

    def _unit(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator)

    def _signed(self, *shape: int) -> Tensor:
        return 2 * self._unit(*shape) - 1

    def _chance(self, count: int, share: float) -> Tensor:
        return self._unit(count) < share


def _recompressed(picture: Tensor, quality: int) -> Tensor:
    """[3,H,W] 0..1 through JPEG."""
    pixels = np.ascontiguousarray((picture.permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8))
    _, code = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    back = cv2.imdecode(code, cv2.IMREAD_UNCHANGED)
    assert back is not None, "what OpenCV wrote it reads"  # noqa: S101
    return torch.from_numpy(back).permute(2, 0, 1).float() / 255


def _pictures(u8: U8) -> Tensor:
    """[B,3,H,W] 0..1 of u8 [B,H,W,3]."""
    return torch.from_numpy(np.ascontiguousarray(u8)).permute(0, 3, 1, 2).float() / 255


def _planes(u8: U8) -> Tensor:
    """[B,1,H,W] 0..1 of u8 [B,H,W]."""
    return torch.from_numpy(np.ascontiguousarray(u8))[:, None].float() / 255


def _light(steps: npt.NDArray[np.int8]) -> Tensor:
    """The light's factor [B,1,H,W] of i8 [B,H,W]."""
    return torch.exp(torch.from_numpy(np.ascontiguousarray(steps))[:, None].float() / STEPS_OF_LIGHT)


def _motion(steps: npt.NDArray[np.int8]) -> Tensor:
    """M / 6 [B,2,H,W] of i8 [B,H,W,2]."""
    unit = STEPS_PER_SIGMA * LARGEST_DISPLACEMENT
    return torch.from_numpy(np.ascontiguousarray(steps)).permute(0, 3, 1, 2).float() / unit
