"""The networks that invent the inside of the mouth: what they see and paint (algorithm.md#mouth)."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from streamfx.frames import U8, Deformation, Rig
from streamfx.render.base import MouthCrop, MouthView, Network
from streamfx.render.mouth import ProceduralMouth
from streamfx.render.network_kernels import MOUTH_CELL, show_mouth, take_mouth
from streamfx.render.rectify import LARGEST_DISPLACEMENT
from streamfx.render.refiner import answered

DATA_MEAN: Final = (0.63, 0.54, 0.51)
"""RGB 0..1: mean colour of the face crops of the training data (122 people): fills the completion's hole."""


class LiteNetworkPainter:
    """The lite profile: the procedural mouth, made to look like a real one."""

    crop: Final = MouthCrop.MOUTH

    def __init__(self, network: Network, rig: Rig) -> None:
        """Prepare the mouth that the network starts from.

        Args:
            network: f32 [48,48,40] (cells of 2x2 px: surroundings RGB 0..1, mask, procedural mouth RGB, the
                person's own teeth, M / 6; each but the last inside its part only) to RGB 0..1 f32 [48,48,12].
                Layout: nets.lite.LiteMouth.
            rig: whose mouth.
        """
        self._network, self._procedural = network, ProceduralMouth(rig)
        side = self.crop.value // MOUTH_CELL
        self._input = np.zeros((side, side, 10 * MOUTH_CELL**2), np.float32)
        self._cells = (side, side, 3 * MOUTH_CELL**2)

    def paint(self, view: MouthView, deformation: Deformation) -> U8:
        """See base.MouthPainter."""
        drawn = self._procedural.paint(view, deformation)
        own = self._procedural.own(view, deformation)
        unit = LARGEST_DISPLACEMENT
        show_mouth(self._input, view.rgb, view.mask, drawn, own, view.displacement, unit)
        mouth = np.empty_like(view.rgb)
        take_mouth(answered(self._network(self._input), self._cells), mouth)
        return mouth


class PaperNetworkPainter:
    """The paper's profile: the face with a hole for a mouth, completed."""

    crop: Final = MouthCrop.FACE

    def __init__(self, network: Network) -> None:
        """Keep the network: f32 [256,256,4] (RGB 0..1, the hole DATA_MEAN; the hole) to RGB 0..1."""
        self._network = network
        size = self.crop.value
        self._input = np.zeros((size, size, 4), np.float32)

    def paint(self, view: MouthView, deformation: Deformation) -> U8:
        """See base.MouthPainter."""
        hole = view.mask[..., None]
        holed = view.rgb * ((1 - hole) / 255) + hole * np.array(DATA_MEAN, np.float32)
        answer = self._network(cv2.merge([holed.astype(np.float32), view.mask], self._input))
        mouth: U8 = np.clip(answered(answer, view.rgb.shape) * 255 + 0.5, 0, 255).astype(np.uint8)
        return mouth
