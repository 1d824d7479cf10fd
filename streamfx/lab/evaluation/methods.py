"""What is compared: the warp alone, and the warp with networks, as the pipeline would show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from streamfx.frames import U8, Deformation, Rig
from streamfx.render.base import MouthPainter, Refiner
from streamfx.render.cpu import CpuRenderer
from streamfx.render.mouth import ProceduralMouth

COPY: Final = "copy"
"""The photo as it is, put where the true head is."""
WARP: Final = "warp"
"""The pipeline without networks."""


class Placing(StrEnum):
    """Where a method's vertices lie, and where it is looked at."""

    CROP = "crop"
    """Where the truth has them, in the network's own crop: not resampled into the frame and back."""

    SHOWN = "shown"
    """Where the product puts them."""
    MOTION = "motion"
    """The same without the smoothing of motion."""
    EXACT = "exact"
    """Where the truth has them: what no motion can surpass."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way of animating; networks that remember are made anew for every portrait."""

    name: str
    refiner: Callable[[], Refiner] | None = None
    painter: Callable[[Rig], MouthPainter] = ProceduralMouth


WARP_ONLY: Final = Method(WARP)


class Show:
    """Draws deformations of one portrait by one method, with the product's renderer."""

    def __init__(self, rig: Rig, method: Method) -> None:
        self.method, self._rig = method, rig
        self.again()

    @property
    def remembers(self) -> bool:
        """Whether the face depends on the pictures before."""
        return self.method.refiner is not None

    def again(self) -> None:
        """Forget the pictures so far: the next one follows none."""
        self._refiner = self.method.refiner() if self.method.refiner else None
        painter = self.method.painter(self._rig)
        self._renderer = CpuRenderer(self._rig, refiner=self._refiner, painter=painter)

    def picture(self, deformation: Deformation) -> U8:
        """u8 [H,W,3], finished."""
        return self.layers(deformation)[1]

    def layers(self, deformation: Deformation) -> tuple[U8, U8]:
        """u8 [H,W,3] twice: without the inside of the mouth, and finished."""
        self._renderer.warp(deformation)
        self._renderer.refine(deformation)
        face = self._renderer.picture().copy().rgb
        self._renderer.draw_mouth(deformation, networks=True)
        return face, self._renderer.picture().rgb

    def crop(self, deformation: Deformation) -> U8:
        """u8 [256,256,3]: the face in the refiner's crop, as the refiner leaves it."""
        face = self._renderer.rectify(deformation)
        rgb = face.rgb
        if self._refiner is not None:
            rgb = rgb + self._refiner.refine(face, deformation).rgb
        return (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8)
