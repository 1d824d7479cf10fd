"""Per-pixel loops around the networks: laying out what they see, fitting in their answer. See kernels.py."""

from __future__ import annotations

import numpy as np

from streamfx.frames import F32, U8, Mask
from streamfx.render.kernels import compiled

_OVER = 1.8  # over-relaxation: right for a face of some 30 cells


@compiled
def blank(crop: U8, hidden: F32, out: F32) -> None:
    """out = crop / 255, 0 where hidden.

    Args:
        crop: u8 [h,w,3].
        hidden: f32 [h,w] 0..1.
        out: f32 [h,w,3], overwritten.
    """
    for y in range(crop.shape[0]):
        for x in range(crop.shape[1]):
            share = (1 - hidden[y, x]) / np.float32(255)
            for c in range(3):
                out[y, x, c] = crop[y, x, c] * share


@compiled
def show_face(out: F32, face: F32, light: F32, mouth: F32, displacement: F32, unit: float, last: F32) -> None:
    """Lay out what the lite refiner sees.

    Args:
        out: f32 [n,n,9], overwritten.
        face: f32 [n,n,3] 0..1.
        light: f32 [n,n]: factor of the face.
        mouth: f32 [n,n]: the opening between the lips.
        displacement: f32 [n,n,2]
        unit: of the displacement.
        last: f32 [n,n,3]: the last residual.
    """
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for c in range(3):
                out[y, x, c] = face[y, x, c] * light[y, x]
                out[y, x, 6 + c] = last[y, x, c]
            out[y, x, 3] = mouth[y, x]
            out[y, x, 4] = displacement[y, x, 0] / unit
            out[y, x, 5] = displacement[y, x, 1] / unit


@compiled
def with_light(answer: F32, face: F32, light: F32, hidden: F32, out: F32) -> None:
    """What is to be added to the face where it is seen: the network's answer and the change of light.

    Args:
        answer: f32 [n,n,3].
        face, light: as in `show_face`.
        hidden: f32 [n,n] 0..1: where nothing is to be added.
        out: f32 [n,n,3], overwritten.
    """
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            seen, change = 1 - hidden[y, x], light[y, x] - 1
            for c in range(3):
                out[y, x, c] = seen * (answer[y, x, c] + face[y, x, c] * change)


@compiled
def show_mouth(out: F32, view: U8, mask: F32, drawn: U8, own: U8, displacement: F32, unit: float) -> None:
    """Lay out what the lite mouth network sees.

    Args:
        out: f32 [n,n,10], overwritten.
        view: u8 [n,n,3]: the picture around the mouth.
        mask: f32 [n,n] 0..1: the opening between the lips.
        drawn, own: u8 [n,n,3], [n,n]: the procedural mouth, and where its teeth are the person's own.
        displacement: f32 [n,n,2]
        unit: of the displacement.
    """
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            inside = mask[y, x] / 255
            for c in range(3):
                out[y, x, c] = view[y, x, c] * (1 / 255 - inside)
                out[y, x, 4 + c] = drawn[y, x, c] * inside
            out[y, x, 3] = mask[y, x]
            out[y, x, 7] = own[y, x] * inside
            out[y, x, 8] = displacement[y, x, 0] / unit
            out[y, x, 9] = displacement[y, x, 1] / unit


@compiled
def relax(cells: F32, known: Mask, sweeps: int) -> None:
    """Let each unknown cell become the mean of its neighbours (successive over-relaxation), in place.

    Args:
        cells: f32 [n,n,C]
        known: bool [n,n]: cells that stay as they are.
        sweeps: over the whole grid.
    """
    height, width, channels = cells.shape
    for _ in range(sweeps):
        for y in range(height):
            above, below = max(y - 1, 0), min(y + 1, height - 1)
            for x in range(width):
                if known[y, x]:
                    continue
                left, right = max(x - 1, 0), min(x + 1, width - 1)
                for c in range(channels):
                    beside = cells[y, left, c] + cells[y, right, c] + cells[above, x, c] + cells[below, x, c]
                    cells[y, x, c] += _OVER * (beside / 4 - cells[y, x, c])
