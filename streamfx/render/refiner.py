"""The networks that refine the warped face: what they see, what becomes of it (algorithm.md#refining).

Both profiles end in a Residual, so that the picture keeps its own detail and gets the network's at any size.
"""

from __future__ import annotations

from math import exp, sqrt
from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, Deformation
from streamfx.render.base import Network, Rectified, Residual
from streamfx.render.network_kernels import FACE_ACROSS, FACE_CELL, FACE_DOWN, relax, show_face, with_light
from streamfx.render.rectify import CROP, LARGEST_DISPLACEMENT

RIM: Final = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (17, 17))
"""8 px along the face's edge in which network and warp must show the same colours."""
_LIP_LINE: Final = np.ones((3, 3), np.uint8)
"""No network is judged by the inside of the mouth: what it says there must not show at its edge either."""
AWAKE: Final = 0.5
"""Sigmas of movement, rms over the face, at which six tenths of the residual show: small movements change the
light less than the network, which was taught by smiles, believes."""
RISE: Final = 3
"""How steeply it comes in."""
STRIDE: Final = 4
"""px: liveliness is told by every fourth pixel."""
_CELLS: Final = 32
"""Side of the grid on which their difference is filled in: it is smooth."""
_SWEEPS: Final = 30
"""Sweeps of relaxation over that grid: what is left is under a hundredth."""


class LiteNetworkRefiner:
    """The lite profile: light that stays in the room as the head turns, then the network's residual.

    The network sees the relit face, and its own last residual, so that details do not flicker. A face at rest
    is the photo itself: what the network adds fades in as expression moves the skin.

    The past is forgotten where the film is cut: at a new epoch, and where a lost face is found again.
    """

    def __init__(self, network: Network) -> None:
        """Start without a past.

        Args:
            network: f32 [60,48,54] (cells of 4x4 px, the crop's middle: face RGB 0..1; means of inner mouth,
                M / 6, last residual) to a residual f32 [60,48,48]. Layout: nets.lite.LiteRefiner.
        """
        self._network = network
        cells = (CROP // FACE_CELL - 2 * FACE_DOWN, CROP // FACE_CELL - 2 * FACE_ACROSS)
        self._input = np.zeros((*cells, 3 * FACE_CELL**2 + 6), np.float32)
        self._nothing = np.zeros((*cells, 3 * FACE_CELL**2), np.float32)
        self._last = self._nothing
        self._past = Past()

    def refine(self, face: Rectified, deformation: Deformation) -> Residual:
        """See base.Refiner."""
        if not self._past.holds(deformation):
            self._last = self._nothing
        unit = LARGEST_DISPLACEMENT
        show_face(self._input, face.rgb, face.light, face.inner_mouth, face.displacement, unit, self._last)
        self._last = answered(
            self._network(self._input), self._nothing.shape
        )  # read before the network writes the next there
        whole = np.empty_like(face.rgb)
        with_light(self._last, liveliness(face), face.rgb, face.light, drawn(face), whole)
        return Residual(whole)


class Past:
    """Whether what was seen in the last frame still holds in the next."""

    def __init__(self) -> None:
        self._epoch, self._held = 0, True

    def holds(self, deformation: Deformation) -> bool:
        """Not across a cut, nor when a lost face is found again; remembers this frame for the next."""
        found_again = self._held and not deformation.held
        follows = deformation.epoch == self._epoch and not found_again
        self._epoch, self._held = deformation.epoch, deformation.held
        return follows


def drawn(face: Rectified) -> F32:
    """f32 [256,256] 0..1: what is drawn, not warped, and no refiner's business.

    The inner mouth is drawn later. Eyeballs are there already, and networks that saw few wide eyes veil them.
    """
    return np.asarray(cv2.max(cv2.dilate(face.inner_mouth, _LIP_LINE), face.eyes), np.float32)


def liveliness(face: Rectified) -> float:
    """0 at rest, near 1 from eight tenths of a sigma of movement, by the mean square of M over the face."""
    moved = face.displacement[::STRIDE, ::STRIDE]
    area = max(float(face.face[::STRIDE, ::STRIDE].sum()), 1.0)
    moved_rms = sqrt(float(np.square(moved).sum()) / area)
    return 1.0 - exp(-((moved_rms / AWAKE) ** RISE))


class PaperNetworkRefiner:
    """The paper's profile: the network paints the face anew, and its colours are fitted to the warp's."""

    def __init__(self, network: Network) -> None:
        """Keep the network: f32 [256,256,5] (face RGB 0..1, M / 6) to RGB 0..1 f32 [256,256,3]."""
        self._network = network
        self._input = np.zeros((CROP, CROP, 5), np.float32)

    def refine(self, face: Rectified, deformation: Deformation) -> Residual:
        """See base.Refiner."""
        seen = cv2.merge([face.rgb, _in_units(face.displacement)], self._input)
        missing = face.rgb - answered(self._network(seen), face.rgb.shape)
        return Residual((membrane(missing, face.face) - missing) * (1 - drawn(face))[..., None])


def _in_units(displacement: F32) -> F32:
    """M, -1..1."""
    return displacement * np.float32(1 / LARGEST_DISPLACEMENT)


def answered(values: F32, shape: tuple[int, ...]) -> F32:
    """A network's answer; 0 where it is no number, for one bad frame must not spoil those that follow.

    Raises:
        ValueError: it has another shape than the loops after it take.
    """
    if values.shape != shape:
        raise ValueError(f"the network gives {list(values.shape)}, not {list(shape)}")
    if np.isfinite(np.vdot(values, values)):  # a quarter of the time that a sum takes
        return values
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def membrane(values: F32, mask: F32) -> F32:
    """A surface that takes the values at the mask's rim and is as smooth as can be inside.

    Laplace's equation with the rim as its boundary: adding it is Poisson cloning with constant guidance.

    Args:
        values: f32 [256,256,3]; used at the rim only.
        mask: f32 [256,256] 0 or 1.

    Returns:
        f32 [256,256,3]

    Source: Perez et al., "Poisson image editing", 2003; algorithm.md#refining.
    """
    rim = mask - cv2.erode(mask, RIM)
    weight = _shrunk(rim)
    known = (weight > 0)[..., None]
    summed = _shrunk(values * rim[..., None])
    total = summed.sum((0, 1)) / max(float(weight.sum()), 1.0 / CROP**2)
    cells = np.where(known, summed / np.maximum(weight, 1e-6)[..., None], total).astype(np.float32)
    relax(cells, known[..., 0], _SWEEPS)
    return np.asarray(cv2.resize(cells, (CROP, CROP), interpolation=cv2.INTER_LINEAR), np.float32)


def _shrunk(plane: F32) -> F32:
    return np.asarray(cv2.resize(plane, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA), np.float32)
