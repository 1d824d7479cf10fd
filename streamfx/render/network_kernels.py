"""Per-pixel loops around the networks: laying out what they see, fitting in their answer. See kernels.py."""

from __future__ import annotations

from typing import Final

import numpy as np

from streamfx.frames import F32, U8, Mask
from streamfx.render.compiler import compiled

FACE_CELL: Final = 4
"""px: side of a cell of the lite refiner (nets.lite.LiteRefiner.FACTOR)."""
FACE_DOWN: Final = 2
FACE_ACROSS: Final = 8
"""Cells above and below, left and right of those that the lite refiner looks at (LiteRefiner)."""
MOUTH_CELL: Final = 2
"""px: side of a cell of the lite mouth network (nets.lite.LiteMouth.FACTOR)."""

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
    """Lay out what the lite refiner sees, in cells of FACE_CELL px a side (nets.lite.LiteRefiner.pack).

    Args:
        out: f32 [60,48,54], overwritten: the 48 colours of a cell, red first; means of mouth, M and `last`.
        face: f32 [n,n,3] 0..1.
        light: f32 [n,n]: factor of the face.
        mouth: f32 [n,n]: the opening between the lips.
        displacement: f32 [n,n,2]
        unit: of the displacement.
        last: f32 [60,48,48]: the last residual, in cells.
    """
    pixels = FACE_CELL * FACE_CELL
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            cell, before = out[y, x], last[y, x]
            opening = right = down = np.float32(0)
            for i in range(FACE_CELL):
                for j in range(FACE_CELL):
                    v, u = (y + FACE_DOWN) * FACE_CELL + i, (x + FACE_ACROSS) * FACE_CELL + j
                    pixel = i * FACE_CELL + j
                    lit = light[v, u]
                    cell[pixel] = face[v, u, 0] * lit
                    cell[pixels + pixel] = face[v, u, 1] * lit
                    cell[2 * pixels + pixel] = face[v, u, 2] * lit
                    opening += mouth[v, u]
                    right += displacement[v, u, 0]
                    down += displacement[v, u, 1]
            cell[3 * pixels] = opening / pixels
            cell[3 * pixels + 1] = right / (pixels * unit)
            cell[3 * pixels + 2] = down / (pixels * unit)
            for c in range(3):
                total = np.float32(0)
                for pixel in range(c * pixels, (c + 1) * pixels):
                    total += before[pixel]
                cell[3 * pixels + 3 + c] = total / pixels


@compiled
def with_light(answer: F32, share: float, face: F32, light: F32, hidden: F32, out: F32) -> None:
    """What is to be added to the face where it is seen: the network's answer and the change of light.

    Args:
        answer: f32 [60,48,48], in cells; 0 around them.
        share: of the answer that shows.
        face, light: as in `show_face`.
        hidden: f32 [n,n] 0..1: where nothing is to be added.
        out: f32 [n,n,3], overwritten.
    """
    pixels, part = FACE_CELL * FACE_CELL, np.float32(share)
    rows, columns = answer.shape[0], answer.shape[1]
    for y in range(out.shape[0]):
        row = y // FACE_CELL - FACE_DOWN
        for x in range(out.shape[1]):
            seen = 1 - hidden[y, x]
            change = seen * (light[y, x] - 1)
            for c in range(3):
                out[y, x, c] = change * face[y, x, c]
        if row < 0 or row >= rows:
            continue
        for column in range(columns):
            cell = answer[row, column]
            for j in range(FACE_CELL):
                u, pixel = (column + FACE_ACROSS) * FACE_CELL + j, y % FACE_CELL * FACE_CELL + j
                shown = part * (1 - hidden[y, u])
                out[y, u, 0] += shown * cell[pixel]
                out[y, u, 1] += shown * cell[pixels + pixel]
                out[y, u, 2] += shown * cell[2 * pixels + pixel]


@compiled
def weigh(values: F32, weight: F32, unit: float, out: F32) -> None:
    """out = values * weight * unit.

    Args:
        values: f32 [h,w,3].
        weight: f32 [h,w].
        unit: of the values.
        out: f32 [h,w,3], overwritten.
    """
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            factor = weight[y, x] * unit
            for c in range(3):
                out[y, x, c] = values[y, x, c] * factor


@compiled
def show_mouth(out: F32, view: U8, mask: F32, drawn: U8, own: U8, displacement: F32, unit: float) -> None:
    """Lay out what the lite mouth network sees, in cells of MOUTH_CELL px a side (nets.lite.LiteMouth).

    Args:
        out: f32 [n/2,n/2,40], overwritten.
        view: u8 [n,n,3]: the picture around the mouth.
        mask: f32 [n,n] 0..1: the opening between the lips.
        drawn, own: u8 [n,n,3], [n,n]: the procedural mouth, and where its teeth are the person's own.
        displacement: f32 [n,n,2]
        unit: of the displacement.
    """
    pixels = MOUTH_CELL * MOUTH_CELL
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            cell = out[y // MOUTH_CELL, x // MOUTH_CELL]
            i = y % MOUTH_CELL * MOUTH_CELL + x % MOUTH_CELL
            inside = mask[y, x] / 255
            for c in range(3):
                cell[c * pixels + i] = view[y, x, c] * (1 / 255 - inside)
                cell[(4 + c) * pixels + i] = drawn[y, x, c] * inside
            cell[3 * pixels + i] = mask[y, x]
            cell[7 * pixels + i] = own[y, x] * inside
            cell[8 * pixels + i] = displacement[y, x, 0] / unit
            cell[9 * pixels + i] = displacement[y, x, 1] / unit


@compiled
def take_mouth(answer: F32, out: U8) -> None:
    """A mouth as the lite network gives it, in cells, as a picture.

    Args:
        answer: f32 [n/2,n/2,12]: RGB 0..1, red first.
        out: u8 [n,n,3], overwritten.
    """
    pixels = MOUTH_CELL * MOUTH_CELL
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            cell = answer[y // MOUTH_CELL, x // MOUTH_CELL]
            i = y % MOUTH_CELL * MOUTH_CELL + x % MOUTH_CELL
            for c in range(3):
                value = cell[c * pixels + i] * np.float32(255) + np.float32(0.5)
                out[y, x, c] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))


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
