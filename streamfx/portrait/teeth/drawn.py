"""Teeth, gums and tongue, drawn as textures for a mouth that the photo does not show (algorithm.md#mouth).

Textures lie in the head's frontal plane: x right, y down, in cm from the point where the closed lips meet.
Nothing here has seen the driver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32
from streamfx.geometry import Real

DENSITY: Final = 44
"""px per cm"""
SIZE: Final = (308, 194)
"""(width, height) px of a texture: 7.0 x 4.4 cm."""
WIDTH: Final = SIZE[0] / DENSITY
"""cm across a texture."""
DEPTH: Final = 0.5
"""cm behind the lips at which render/mouth.py lays textures: it makes the parallax of a turning head."""
_SHARPER = 2  # drawn finer, then averaged

ENAMEL: Final = np.array([0.99, 0.985, 0.965])
"""Colour of teeth under white light, RGB 0..1: the mean of 42 sitters, where white is that of tones.py."""
_GUM = np.array([0.65, 0.33, 0.33])
_TONGUE = np.array([0.61, 0.31, 0.31])

_CURVE = 0.028  # per cm: how the row of edges rises to the sides
_CORNER = 0.05  # cm by which a crown is rounded at its corners
_HEIGHTS = np.array(
    [0, 0.05, 0, 0.04, 0.06, 0.08]
)  # cm by which a tooth's edge stands back, from the midline


@dataclass(frozen=True, slots=True)
class Row:
    """One row of teeth, in cm projected on the frontal plane."""

    widths: tuple[float, ...]
    """Of the crowns, from the central incisor to the first molar."""
    lengths: tuple[float, ...]
    """The same of their lengths."""
    edge: float
    """cm below the closed lips: how far the incisors reach."""
    up: int
    """The side on which the roots are: -1 above, 1 below."""


UPPER: Final = Row((0.84, 0.66, 0.72, 0.56, 0.46, 0.36), (1.02, 0.92, 1.00, 0.86, 0.78, 0.70), 0.24, -1)
LOWER: Final = Row((0.52, 0.56, 0.62, 0.54, 0.46, 0.36), (0.86, 0.88, 0.94, 0.82, 0.74, 0.66), -0.06, 1)


def draw_teeth(row: Row, enamel: Real, white: F32) -> F32:
    """One row of teeth with its gum: f32 [h,w,4] premultiplied 0..255.

    Args:
        row: which.
        enamel: [3] RGB 0..255: colour of its teeth in the photo's light.
        white: f32 [3] RGB 0..255: white in the photo's light.
    """
    x, y = grid(_SHARPER)
    side, up = np.abs(x), row.up
    tooth, across = _tooth(row, side)
    # The arch rises to the sides; each crown is rounded at its corners and longer in its middle.
    bite = row.edge + up * (_CURVE * side**2) + up * _CORNER * np.abs(across) ** 4 + up * _HEIGHTS[tooth]
    root = bite + up * np.array(row.lengths)[tooth] * (1 - 0.16 * np.abs(across) ** 3)
    inside = side < np.cumsum(row.widths)[-1]
    crown = smooth_step((y - bite) * up, 0.025) * smooth_step((root - y) * up, 0.03) * inside
    gum = smooth_step((y - bite) * up - 0.35, 0.05) * (1 - crown) * inside
    shade = _crown_shade(side, across, (y - bite) * up)
    reach = np.clip(1 - (np.abs(y - root) / 0.9) ** 2, 0.2, 1) * np.clip(1.05 - 0.06 * side**2, 0.2, 1)
    rgb = crown[..., None] * shade[..., None] * enamel + gum[..., None] * reach[..., None] * (white * _GUM)
    return _averaged(np.dstack([rgb, 255 * np.maximum(crown, gum)]))


def _tooth(row: Row, side: F32) -> tuple[Real, Real]:
    """Number of the tooth at a distance from the midline, and the place across it: -1 to 1."""
    ends = np.cumsum(row.widths)
    tooth = np.minimum(np.searchsorted(ends, side), len(row.widths) - 1)
    start = np.concatenate([[0.0], ends])[tooth]
    return tooth, np.clip((side - start) / np.array(row.widths)[tooth] * 2 - 1, -1, 1)


def _crown_shade(side: F32, across: Real, above: Real) -> Real:
    """Light on the crowns, about 1: rounded across, dark between them, fading into the cheeks."""
    rounded = (1 - 0.12 * across**2) * (1 - 0.24 * smooth_step(np.abs(across) - 0.95, 0.04))
    into_cheek = np.clip(1.04 - 0.014 * side - 0.045 * side**2, 0.25, 1)
    shade: Real = rounded * into_cheek * (0.90 + 0.10 * np.clip(above / 0.35, 0, 1))
    return shade


def draw_tongue(white: F32) -> F32:
    """f32 [h,w,4] premultiplied 0..255: a rounded tongue behind the lower teeth, darker towards the throat.

    Args:
        white: f32 [3] RGB 0..255: white in the photo's light.
    """
    x, y = grid(_SHARPER)
    top = -0.42 + 0.07 * np.exp(-((x / 0.30) ** 2))
    body = smooth_step(1 - (x / 2.0) ** 2 - ((y - top - 1.3) / 1.3) ** 2, 0.10)
    groove = 1 - 0.15 * np.exp(-((x / 0.17) ** 2))
    light = np.clip(0.36 + 0.60 * (y - top), 0.34, 0.95) * groove * (1 - 0.07 * x**2)
    rgb = (body * light)[..., None] * (white * _TONGUE)
    return _averaged(np.dstack([rgb, 255 * body]))


def grid(finer: int = 1) -> tuple[F32, F32]:
    """x and y in cm of each texture px, f32 [h,w] each; `finer` px for one of a texture."""
    density = DENSITY * finer
    x, y = ((np.arange(n * finer, dtype=np.float32) + 0.5) / density - n / (2 * DENSITY) for n in SIZE)
    gx, gy = np.meshgrid(x, y)
    return gx.astype(np.float32), gy.astype(np.float32)


def smooth_step(edge: Real, softness: float) -> F32:
    """f32 like `edge`: 0 below -softness, 1 above +softness, smooth between."""
    t = np.clip(edge / (2 * softness) + 0.5, 0, 1)
    smooth: F32 = (t * t * (3 - 2 * t)).astype(np.float32)
    return smooth


def _averaged(fine: Real) -> F32:
    out: F32 = cv2.resize(fine.astype(np.float32), SIZE, interpolation=cv2.INTER_AREA)
    return out
