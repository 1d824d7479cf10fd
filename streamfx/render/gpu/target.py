"""Where a rig's picture stands on a device while it is made: textures, steps, and what frames leave behind.

    numbers -> warped photo -> face crop -> (network) -> residual -> mouth crop -> (network) -> mouth

Networks are not the target's: it asks, and whoever draws several targets together asks for all at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import torch
from torch import Tensor

from streamfx.frames import U8, Rig
from streamfx.models.weights import NetworkName, Profile
from streamfx.render.base import Mode, Networks, Picture
from streamfx.render.gpu.drawing import Eyeballs, FaceCrop, WarpedPhoto
from streamfx.render.gpu.layout import MOUTH, PROCEDURAL, REFINE, WARP, Layout, picture_bytes, picture_in
from streamfx.render.gpu.mouths import (
    LiteTensorPainter,
    MouthDrawing,
    PaperTensorPainter,
    ProceduralTensorPainter,
    TensorPainter,
)
from streamfx.render.gpu.networks import Ask, Batch
from streamfx.render.gpu.refining import LiteTensorRefiner, PaperTensorRefiner, TensorRefiner
from streamfx.render.gpu.steps import Numbers, Program, Step
from streamfx.render.rectify import CROP

_COLOURS: Final = 3


class TensorTarget:
    """One rig's, on one device."""

    def __init__(
        self,
        rig: Rig,
        outside: int,
        networks: Networks,
        device: torch.device,
        *,
        mode: Mode = Mode.LAYER,
        recorded: bool = True,
    ) -> None:
        """Bring the rig's textures to the device.

        Args:
            rig: the portrait.
            outside: triangles before those of the face in its crop (Geometry.outside).
            networks: which it will ask.
            device: where its pictures are made.
            mode: what is drawn.
            recorded: whether steps are played back as CUDA graphs (Program).
        """
        self.device = device
        eyes, (width, height) = Eyeballs(rig, device), rig.size
        self._warped = WarpedPhoto(rig, mode, eyes, device)
        self._face = FaceCrop(rig, outside, eyes, device)
        self._picture = torch.zeros(_COLOURS, height, width, device=device)
        down = partial(torch.zeros, picture_bytes(rig.size, mode), dtype=torch.uint8)
        self._shown, self._here = down(device=device), down(pin_memory=device.type == "cuda")
        self._form = rig.size, mode
        self._finish = Program(self._round, device, recorded=recorded)
        step = partial(Step, device=device, recorded=recorded)
        self._steps = {WARP: step([partial(self._warped.draw, self._picture)])}
        self.asks: dict[str, Ask] = {}
        """What each step asks of a network between its two parts."""
        if networks.refine is not None:
            lite = networks.refine is Profile.LITE
            refiner = LiteTensorRefiner(device) if lite else PaperTensorRefiner(device)
            self._steps[REFINE] = step(self._refining(refiner))
        procedural = ProceduralTensorPainter()
        drawings = {procedural.crop: MouthDrawing(procedural.crop, device)}
        self._steps[PROCEDURAL] = step(self._painting(PROCEDURAL, procedural, drawings[procedural.crop]))
        if networks.mouth is not None:
            lite = networks.mouth is Profile.LITE
            painter = LiteTensorPainter() if lite else PaperTensorPainter(device)
            drawing = drawings.get(painter.crop) or MouthDrawing(painter.crop, device)
            self._steps[MOUTH] = step(self._painting(MOUTH, painter, drawing))

    @property
    def steps(self) -> frozenset[str]:
        """Names of those that it can draw."""
        return frozenset(self._steps)

    def place(self, step: str, layout: Layout) -> U8:
        """Make room for a step's numbers, laid out so; u8 [layout.size], where they are to be written."""
        return self._steps[step].place(layout)

    def begin(self, step: str) -> None:
        """Send a step's numbers up and draw, until its network is to be asked."""
        self._steps[step].send()
        self._steps[step].run(0)

    def end(self, step: str) -> None:
        """Draw the rest of a step."""
        self._steps[step].run(1)

    def finish(self) -> None:
        """Send the picture down; it is there when the device has done all that it was told."""
        self._finish()
        self._here.copy_(self._shown, non_blocking=True)

    @property
    def sent(self) -> U8:
        """u8 [planes.picture_bytes]: the memory of what was sent down."""
        sent: U8 = self._here.numpy()
        return sent

    @property
    def shown(self) -> Picture:
        """What was sent down, until the next."""
        return picture_in(self.sent, *self._form)

    def _ask(self, step: str, network: NetworkName, channels: int, side: int) -> Ask:
        shape, device = (side, side), self.device
        seen, answer = (torch.zeros(count, *shape, device=device) for count in (channels, _COLOURS))
        self.asks[step] = Ask(network, seen, answer)
        return self.asks[step]

    def _refining(self, refiner: TensorRefiner) -> list[partial[None]]:
        ask = self._ask(REFINE, refiner.network, refiner.channels, CROP)
        return [partial(self._see_face, refiner, ask.seen), partial(self._add_residual, refiner, ask.answer)]

    def _see_face(self, refiner: TensorRefiner, seen: Tensor, numbers: Numbers) -> None:
        self._face.draw(numbers)
        seen.copy_(refiner.see(self._face, numbers))

    def _add_residual(self, refiner: TensorRefiner, answer: Tensor, numbers: Numbers) -> None:
        self._face.add(self._picture, refiner.residual(self._face, answer), numbers)

    def _painting(self, step: str, painter: TensorPainter, drawing: MouthDrawing) -> list[partial[None]]:
        if painter.network is None:
            return [partial(self._show_mouth, painter, drawing, self._picture)]
        ask = self._ask(step, painter.network, painter.channels, painter.crop.value)
        return [
            partial(self._see_mouth, painter, drawing, ask.seen),
            partial(self._show_mouth, painter, drawing, ask.answer),
        ]

    def _see_mouth(
        self, painter: TensorPainter, drawing: MouthDrawing, seen: Tensor, numbers: Numbers
    ) -> None:
        seen.copy_(painter.see(drawing.around(self._picture, numbers), numbers))

    def _show_mouth(
        self, painter: TensorPainter, drawing: MouthDrawing, answer: Tensor, numbers: Numbers
    ) -> None:
        drawing.show(self._picture, painter.painted(answer, numbers), numbers)

    def _round(self) -> None:
        colours, alpha = self._warped.lifted(self._picture), self._warped.alpha
        rgb = self._shown[: colours.numel()].view(*colours.shape[1:], _COLOURS)
        rgb.copy_((colours + 0.5).clamp(0, 255).permute(1, 2, 0))
        if alpha is not None:
            self._shown[colours.numel() :].copy_((alpha + 0.5).clamp(0, 255).flatten())


def render_batch(step: str, targets: Sequence[TensorTarget], networks: Mapping[NetworkName, Batch]) -> None:
    """Draw a step of several targets, asking each network once for all of them.

    Raises:
        DeviceExhausted, DeviceLost: inside `device_errors`; no target has drawn the step to its end.
    """
    asked: dict[NetworkName, list[Ask]] = {}
    for target in targets:
        target.begin(step)
        if ask := target.asks.get(step):
            asked.setdefault(ask.network, []).append(ask)
    for network, asks in asked.items():
        networks[network](asks)
    for target in targets:
        target.end(step)
