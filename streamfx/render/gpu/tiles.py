"""Which triangles may be seen in which tile of a picture: the part of rasterising that the CPU does best."""

from __future__ import annotations

from typing import Final

import numpy as np

from streamfx.frames import F32, I32
from streamfx.render.compiler import compiled
from streamfx.render.kernels import FLAT

TILE: Final = 8
"""px: side of a tile."""

_Pair = tuple[I32, I32]


@compiled
def _outside(ax: float, ay: float, bx: float, by: float, left: int, top: int, side: int) -> bool:
    """Whether a tile lies beyond the edge from a to b of a triangle of positive winding."""
    right, down = bx - ax, by - ay
    # The corner of the tile that lies farthest inwards.
    x = left - 0.5 if down > 0 else left + side - 0.5
    y = top + side - 0.5 if right > 0 else top - 0.5
    beyond: bool = right * (y - ay) - down * (x - ax) < 0
    return beyond


@compiled
def _fill(corners: F32, triangles: I32, size: tuple[int, int], side: int, out: I32) -> int:
    """See `tiles_of`; the number of pairs, of which `out` [2,N] takes as many as it has room for."""
    width, height = size
    across, down = (width + side - 1) // side, (height + side - 1) // side
    count = 0
    for t in range(triangles.shape[0]):
        ax, ay = corners[triangles[t, 0], 0], corners[triangles[t, 0], 1]
        bx, by = corners[triangles[t, 1], 0], corners[triangles[t, 1], 1]
        cx, cy = corners[triangles[t, 2], 0], corners[triangles[t, 2], 1]
        if (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) <= FLAT:
            continue
        first_x = max(0, int(np.floor(min(ax, bx, cx))) // side)
        last_x = min(across - 1, int(np.ceil(max(ax, bx, cx))) // side)
        first_y = max(0, int(np.floor(min(ay, by, cy))) // side)
        last_y = min(down - 1, int(np.ceil(max(ay, by, cy))) // side)
        for y in range(first_y, last_y + 1):
            for x in range(first_x, last_x + 1):
                left, top = x * side, y * side
                if (
                    _outside(ax, ay, bx, by, left, top, side)
                    or _outside(bx, by, cx, cy, left, top, side)
                    or _outside(cx, cy, ax, ay, left, top, side)
                ):
                    continue
                if count < out.shape[1]:
                    out[0, count], out[1, count] = t, y * across + x
                count += 1
    return count


class Tiles:
    """Finds the tiles of one mesh in pictures of one size."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Keep the size, (width, height) px."""
        self._size = size
        self._room = np.empty((2, 4096), np.int32)

    def of(self, corners: F32, triangles: I32) -> _Pair:
        """Every pair of a triangle and a tile that it may reach into.

        Args:
            corners: f32 [V,2] px.
            triangles: i32 [T,3]; those turned away or flat are left out.

        Returns:
            i32 [P], [P]: row of the triangle; tile, row by row. Overwritten by the next call.
        """
        count = _fill(corners, triangles, self._size, TILE, self._room)
        if count > self._room.shape[1]:
            self._room = np.empty((2, count + count // 2), np.int32)
            _fill(corners, triangles, self._size, TILE, self._room)
        return self._room[0, :count], self._room[1, :count]
