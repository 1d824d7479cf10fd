"""The networks that invent the inside of the mouth: what they see, and the mouth they paint (ALGORITHM e)."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, U8, Deformation, Rig
from streamfx.render.base import MouthCrop, MouthView, Network
from streamfx.render.mouth import ProceduralMouth
from streamfx.render.network_kernels import show_mouth
from streamfx.render.rectify import LARGEST_DISPLACEMENT
from streamfx.render.refiner import finite

DATA_MEAN: Final = (0.63, 0.54, 0.51)
"""RGB 0..1: mean colour of the face crops of the training data (122 people): fills the completion's hole."""


class LiteNetworkPainter:
    """The lite profile: the procedural mouth, made to look like a real one."""

    crop: Final = MouthCrop.MOUTH

    def __init__(self, network: Network, rig: Rig) -> None:
        """Prepare the mouth that the network starts from.

        Args:
            network: f32 [96,96,10] (surroundings RGB 0..1, mask, procedural mouth RGB, the person's own
                teeth, M / 6; each but the last inside its part only) to RGB 0..1 f32 [96,96,3].
            rig: whose mouth.
        """
        self._network, self._procedural = network, ProceduralMouth(rig)
        size = self.crop.value
        self._input = np.zeros((size, size, 10), np.float32)

    def paint(self, view: MouthView, deformation: Deformation) -> U8:
        """See base.MouthPainter."""
        drawn = self._procedural.paint(view, deformation)
        own = self._procedural.own(view, deformation)
        unit = LARGEST_DISPLACEMENT
        show_mouth(self._input, view.rgb, view.mask, drawn, own, view.displacement, unit)
        return _to_u8(self._network(self._input))


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
        return _to_u8(self._network(cv2.merge([holed.astype(np.float32), view.mask], self._input)))


def _to_u8(rgb: F32) -> U8:
    """RGB 0..1 to 0..255."""
    out: U8 = np.clip(finite(rgb) * 255 + 0.5, 0, 255).astype(np.uint8)
    return out
