"""The sample sheet: photo, picture without the network and with it, truth, for a few unseen people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from streamfx.frames import U8
from streamfx.lab.training.recipes.base import View, as_pixels
from streamfx.sink.panel import fitted
from streamfx.text import write

PEOPLE: Final = 8
COLUMNS: Final = ("photo", "without", "with", "truth", "difference x4")

_TILE: Final = 192
_GAP, _HEAD = 4, 28
_PAPER, _INK = (250, 250, 248), (30, 30, 34)
_TEXT_PX: Final = 14


def draw_samples(views: Iterable[View], title: str) -> U8:
    """u8 [h,w,3]: a row of COLUMNS for each of the first PEOPLE pictures.

    Args:
        views: at least one; no more are taken than are drawn.
        title: one line.
    """
    rows: list[list[U8]] = []
    for view in views:
        rows += _rows(view)
        if len(rows) >= PEOPLE:
            break
    rows = rows[:PEOPLE]
    step = _TILE + _GAP
    sheet = np.full((_HEAD * 2 + len(rows) * step, len(COLUMNS) * step + _GAP, 3), _PAPER, np.uint8)
    write(sheet, title, (_GAP, 19), _TEXT_PX, _INK)
    for column, name in enumerate(COLUMNS):
        write(sheet, name, (_GAP + column * step, _HEAD + 19), _TEXT_PX, _INK)
        for row, tiles in enumerate(rows):
            top, left = 2 * _HEAD + row * step, _GAP + column * step
            sheet[top : top + _TILE, left : left + _TILE] = fitted(tiles[column], (_TILE, _TILE))
    return sheet


def _rows(view: View) -> list[list[U8]]:
    columns = [as_pixels(one) for one in (view.photo, view.before, view.after, view.truth)]
    apart = 0.5 + 4 * (view.after - view.truth) * view.mask
    return [list(tiles) for tiles in zip(*columns, as_pixels(apart), strict=True)]
