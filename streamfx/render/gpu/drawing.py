"""Drawing on tensors: the warped picture, eyeballs, the face crop, and what is put back into the picture."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from streamfx.frames import EyeLayer, Rig
from streamfx.render.base import Mode
from streamfx.render.gpu import raster
from streamfx.render.gpu.pixels import (
    Window,
    blurred,
    gaussian,
    grid,
    lay_over,
    lift,
    sample,
    softened,
    through,
    to_device,
)
from streamfx.render.gpu.steps import Numbers
from streamfx.render.rectify import CROP

_NOWHERE: Final = -4096.0
"""Source position of what no triangle covers: transparent, and in sheet mode the photo's corner (cpu.py)."""
_LIGHT_STEP, _LIGHT_BLUR, _LIGHT_REACH = 4, 1.5, 6  # see rectify.light_map
_INSET, _FEATHER_BLUR, _FEATHER_REACH = 5, 2.0, 5  # of half the crop: see composite
_EYES: Final = ("right", "left")


class Eyeballs:
    """Both eyeballs of a rig (see eyes.EyeDrawer)."""

    def __init__(self, rig: Rig, device: torch.device) -> None:
        self._layers = [_EyeTextures(layer, device) for layer in rig.eyes]

    def draw(self, picture: Tensor, numbers: Numbers) -> None:
        """Draw them into a picture f32 [3,H,W], in place."""
        for eye, layer in zip(_EYES, self._layers, strict=True):
            window = Window(numbers[f"{eye}_corner"], numbers[f"{eye}_mask"], picture)
            window.blend(layer.seen(window, numbers[f"{eye}_place"], numbers[f"{eye}_gaze"]))


class _EyeTextures:
    def __init__(self, layer: EyeLayer, device: torch.device) -> None:
        self._sclera, self._iris = to_device(layer.sclera, device), to_device(layer.iris, device)

    def seen(self, window: Window, place: Tensor, gaze: Tensor) -> Tensor:
        """The eyeball f32 [3,h,w] through a window."""
        u, v = through(place, window.x, window.y)
        height, width = self._iris.shape[1:]
        x, y = u - gaze[0], v - gaze[1]
        inside = (x >= 0) & (y >= 0) & (x < width - 1) & (y < height - 1)
        iris = sample(self._iris, x, y, "border") * inside
        return sample(self._sclera, u, v, "border") * (1 - iris[3:] / 255) + iris[:3]


class WarpedPhoto:
    """The whole picture, without the inner mouth (see cpu.CpuRenderer.warp)."""

    def __init__(self, rig: Rig, mode: Mode, eyes: Eyeballs, device: torch.device) -> None:
        self._size, self._eyes = rig.size, eyes
        self._sheet = to_device(rig.photo, device) if mode is Mode.SHEET else None
        self._layer, self._plate = to_device(rig.layer, device), to_device(rig.plate, device)
        width, height = rig.size
        self.alpha = torch.zeros(1, height, width, device=device) if mode is Mode.CUTOUT else None
        """f32 [1,H,W] 0..255 of the last picture; None where it has a background."""
        left, top, right, bottom = rig.stage.tolist()
        self._stage = torch.zeros(height, width, dtype=torch.bool, device=device)
        self._stage[top:bottom, left:right] = True

    def draw(self, picture: Tensor, numbers: Numbers) -> None:
        """Into f32 [3,H,W] 0..255."""
        tiles = (numbers["tile_rows"], numbers["tile_places"])
        drawn = raster.draw(numbers["corners"], numbers["triangles"], tiles, self._size)
        x, y = torch.where(drawn.covered, drawn.carry(numbers["sources"]), _NOWHERE)
        if self._sheet is not None:
            picture.copy_(sample(self._sheet, x, y, "border"))
        else:
            layer = softened(sample(self._layer, x, y, "zeros")) * self._stage
            picture.copy_(lay_over(layer, self._plate))
            if self.alpha is not None:
                self.alpha.copy_(layer[3:])
        self._eyes.draw(picture, numbers)

    def lifted(self, picture: Tensor) -> Tensor:
        """The finished picture f32 [3,H,W] 0..255; without its background where there is `alpha`."""
        return picture if self.alpha is None else lift(picture, self._plate, self.alpha)


class FaceCrop:
    """The refiner's crop (see base.Rectified, whose fields these are), and the way back into the picture."""

    def __init__(self, rig: Rig, outside: int, eyes: Eyeballs, device: torch.device) -> None:
        """Make room.

        Args:
            rig: whose face.
            outside: triangles before those of the face.
            eyes: its eyeballs.
            device: where.
        """
        self._photo, self._outside, self._eyes = to_device(rig.photo, device), outside, eyes
        self._light_blur = gaussian(_LIGHT_BLUR, _LIGHT_REACH, device)
        self._feather_blur = gaussian(_FEATHER_BLUR, _FEATHER_REACH, device)
        width, height = rig.size
        self._frame = grid(height, width, device)
        self.rgb = torch.zeros(3, CROP, CROP, device=device)
        """0..1, the inner mouth blanked."""
        self.moved = torch.zeros(2, CROP, CROP, device=device)
        """M in sigmas."""
        self.light = torch.ones(1, CROP, CROP, device=device)
        self.inner_mouth, self.drawn, self.face = torch.zeros(3, 1, CROP, CROP, device=device)
        """0..1; drawn: eyes and mouth, no refiner's business."""

    def draw(self, numbers: Numbers) -> None:
        """Fill the fields."""
        tiles = (numbers["tile_rows"], numbers["tile_places"])
        drawn = raster.draw(numbers["corners"], numbers["triangles"], tiles, (CROP, CROP))
        x, y, right, down, light = drawn.carry(numbers["carried"])
        of_face = (drawn.covered & (drawn.row >= self._outside)).to(torch.float32)
        x, y = (torch.where(drawn.covered, at, _NOWHERE) for at in (x, y))
        rgb = sample(self._photo, x, y, "zeros")
        self._eyes.draw(rgb, numbers)
        inner, eyes, face = (numbers[name][None] / 255.0 for name in ("inner_mouth", "eyes", "face"))
        self.rgb.copy_(rgb * (1 - inner) / 255)
        self.inner_mouth.copy_(inner)
        self.face.copy_(face)
        self.drawn.copy_(torch.maximum(functional.max_pool2d(inner, 3, stride=1, padding=1), eyes))
        self.moved.copy_(torch.stack([right, down]) * of_face)
        self.light.copy_(self._smooth_light(light * of_face))

    def _smooth_light(self, light: Tensor) -> Tensor:
        coarse = light[None, ::_LIGHT_STEP, ::_LIGHT_STEP]
        smooth = torch.exp(blurred(coarse, self._light_blur))
        return functional.interpolate(smooth[None], scale_factor=_LIGHT_STEP, mode="bilinear")[0]

    def add(self, picture: Tensor, residual: Tensor, numbers: Numbers) -> None:
        """picture += 255 residual, feathered towards the face's edge, in place (composite.add_residual).

        Args:
            picture: f32 [3,H,W] 0..255.
            residual: f32 [3,256,256], -1..1.
            numbers: those of the crop.
        """
        weighed = residual * (255 * self._feather())
        x, y = through(numbers["from_frame"], *self._frame)
        picture.add_(sample(weighed, x, y, "zeros")).clamp_(0, 255)

    def _feather(self) -> Tensor:
        """f32 [1,256,256]: the face's share, 0 before its edge."""
        half = functional.avg_pool2d(self.face, 2)
        inset = 1 - functional.max_pool2d(1 - half, 2 * _INSET + 1, stride=1, padding=_INSET)
        soft = blurred(inset, self._feather_blur)
        return functional.interpolate(soft[None], scale_factor=2, mode="bilinear")[0]
