"""Made-up crops, as the networks see real ones: what graphs are compared on where there is no photo.

A face-coloured field with light from one side, darker features and grain; a mouth, cut out; a smooth motion.
It resembles nobody, but its numbers lie where a face's do: rounding errors come out as on photos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np

from streamfx.errors import ModelMissing
from streamfx.frames import F32
from streamfx.models.weights import NetworkName

_FACE, _MOUTH = 256, 96
"""Sides of the crops that the two networks see (render.rectify)."""
_FACE_CELL, _MOUTH_CELL = 4, 2
_DOWN, _ACROSS = 2, 8
"""Cells around the face that are left out (nets.lite)."""
_SKIN: Final = np.array([0.72, 0.52, 0.44], np.float32)[:, None, None]
_TEETH: Final = np.array([0.75, 0.7, 0.62], np.float32)[:, None, None]


def made_up_crops(name: NetworkName, count: int, seed: int) -> F32:
    """Inputs of a lite network, f32 [count,C,H,W], packed in cells.

    Raises:
        ModelMissing: nobody made up any for this network.
    """
    if name not in _MAKERS:
        raise ModelMissing(f"There is nothing to judge engines of {name} by", "Use the lite profile")
    rng = np.random.default_rng(seed)
    return np.stack([_MAKERS[name](rng) for _ in range(count)])


def _face(rng: np.random.Generator) -> F32:
    """Colours, inner-mouth mask, motion and the last residual (nets.lite.LiteRefiner)."""
    mask = _ellipse(_FACE, rng.uniform(0.66, 0.74), 0.5, rng.uniform(0.01, 0.08), rng.uniform(0.08, 0.13))
    colours = _skin(_FACE, rng)
    for across in (0.33, 0.67):  # eyes
        eye = _ellipse(_FACE, rng.uniform(0.36, 0.42), across, 0.03, 0.07)
        colours = colours * (1 - eye) + eye * rng.uniform(0.05, 0.6, (3, 1, 1)).astype(np.float32)
    smooth = np.concatenate([mask, 0.15 * _smooth(2, _FACE, rng), 0.04 * _smooth(3, _FACE, rng)])
    means = smooth.reshape(len(smooth), _FACE // _FACE_CELL, _FACE_CELL, -1, _FACE_CELL).mean((2, 4))
    cells = np.concatenate([_cells(colours * (1 - mask), _FACE_CELL), means])
    return np.asarray(cells[:, _DOWN:-_DOWN, _ACROSS:-_ACROSS], np.float32)


def _mouth(rng: np.random.Generator) -> F32:
    """Surroundings, mask, the drawn mouth, own teeth and motion (nets.lite.LiteMouth)."""
    mask = _ellipse(_MOUTH, 0.5, 0.5, rng.uniform(0.05, 0.3), rng.uniform(0.25, 0.38))
    teeth = _ellipse(_MOUTH, rng.uniform(0.3, 0.45), 0.5, 0.12, 0.3) * mask
    drawn = (teeth * _TEETH + (mask - teeth) * _SKIN * 0.3) * rng.uniform(0.5, 1.1)
    own = teeth * rng.integers(0, 2)
    planes = [_skin(_MOUTH, rng) * (1 - mask), mask, drawn, own, 0.15 * _smooth(2, _MOUTH, rng)]
    return _cells(np.concatenate(planes).astype(np.float32), _MOUTH_CELL)


_MAKERS: Final[Mapping[NetworkName, Callable[[np.random.Generator], F32]]] = MappingProxyType(
    {NetworkName.REFINE_LITE: _face, NetworkName.MOUTH_LITE: _mouth}
)


def _skin(side: int, rng: np.random.Generator) -> F32:
    """f32 [3,side,side] 0..1."""
    tone = _SKIN * rng.uniform(0.35, 1.2) + rng.normal(0, 0.03, (3, 1, 1))
    light, hue, grain = _smooth(1, side, rng), _smooth(3, side, rng), rng.normal(0, 0.012, (3, side, side))
    lit: F32 = np.clip(tone * (1 + 0.25 * light) + 0.03 * hue + grain, 0, 1).astype(np.float32)
    return lit


def _smooth(count: int, side: int, rng: np.random.Generator) -> F32:
    """f32 [count,side,side] about -1..1, without edges."""
    coarse = rng.normal(0, 0.5, (count, 6, 6)).astype(np.float32)
    fine: F32 = np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in coarse])
    return fine


def _ellipse(side: int, down: float, across: float, high: float, wide: float) -> F32:
    """f32 [1,side,side], 1 inside and 0 outside, with a soft rim; centre and radii in sides."""
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side
    far = np.hypot((rows - down) / high, (columns - across) / wide)
    inside: F32 = np.clip((1.1 - far) * 5, 0, 1).astype(np.float32)[None]
    return inside


def _cells(planes: F32, cell: int) -> F32:
    """f32 [C,H,W] to [C cell^2,H/cell,W/cell], as torch's pixel_unshuffle packs."""
    channels, height, width = planes.shape
    parts = planes.reshape(channels, height // cell, cell, width // cell, cell).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(parts).reshape(-1, height // cell, width // cell)
