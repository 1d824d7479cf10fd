"""Pictures in rows and columns with captions, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from streamfx.errors import OutputError
from streamfx.files import atomic_output
from streamfx.frames import U8
from streamfx.sink.panel import fitted
from streamfx.text import write

_GAP, _HEAD, _SIDE = 4, 26, 110
_PAPER, _INK = (250, 250, 248), (30, 30, 34)
_TEXT_PX = 14


def grid(tiles: Sequence[Sequence[U8 | None]], rows: Sequence[str], columns: Sequence[str], px: int) -> U8:
    """u8 [h,w,3]: one square of px for every tile, with a caption for each row and column.

    Args:
        tiles: u8 [H,W,3] each, or None for a square left empty; as many rows and columns as captions.
        rows, columns: one line each.
        px: side of a square.
    """
    step = px + _GAP
    sheet = np.full((_HEAD + len(rows) * step, _SIDE + len(columns) * step, 3), _PAPER, np.uint8)
    for column, name in enumerate(columns):
        write(sheet, name, (_SIDE + column * step, 18), _TEXT_PX, _INK)
    for row, name in enumerate(rows):
        top = _HEAD + row * step
        write(sheet, name, (_GAP, top + px // 2), _TEXT_PX, _INK)
        for column, tile in enumerate(tiles[row]):
            if tile is not None:
                left = _SIDE + column * step
                sheet[top : top + px, left : left + px] = fitted(tile, (px, px))
    return sheet


def save_png(path: Path, picture: U8) -> None:
    """Write u8 [H,W,3] as a PNG file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    done, code = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise OutputError(f"{path.name} could not be encoded", "Choose fewer pictures")
    with atomic_output(path) as part:
        part.write_bytes(code.tobytes())
