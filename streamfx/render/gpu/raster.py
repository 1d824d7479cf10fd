"""Drawing a mesh with tensors: which triangle each pixel shows, and what the triangle carries there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from streamfx.render.gpu.tiles import TILE
from streamfx.render.kernels import FLAT

_EDGE: Final = 1e-3
"""px: a pixel this near to a triangle belongs to it (as kernels.rasterise)."""
_NOBODY: Final = -1


@dataclass(frozen=True, slots=True)
class Drawn:
    """A mesh in a picture."""

    corners: Tensor
    """f32 [T,3,2] px: of the triangles in the picture."""
    triangles: Tensor
    """i64 [T,3]: vertices of each."""
    row: Tensor
    """i64 [H,W]: the triangle that each pixel shows, 0 where there is none."""
    covered: Tensor
    """bool [H,W]"""

    def carry(self, values: Tensor) -> Tensor:
        """What the vertices carry, linear over each triangle: f32 [V,C] to f32 [C,H,W]."""
        a, b, c = self.corners.unbind(1)
        at_a, at_b, at_c = values[self.triangles].unbind(1)
        ab, ac, u, v = b - a, c - a, at_b - at_a, at_c - at_a
        area = (ab[:, :1] * ac[:, 1:] - ab[:, 1:] * ac[:, :1]).clamp(min=FLAT)
        along_x = (u * ac[:, 1:] - v * ab[:, 1:]) / area
        along_y = (v * ab[:, :1] - u * ac[:, :1]) / area
        carried = values.shape[1]
        seen = torch.cat([a, at_a, along_x, along_y], 1)[self.row]
        height, width = self.row.shape
        x = torch.arange(width, device=values.device)[None, :, None] - seen[..., 0:1]
        y = torch.arange(height, device=values.device)[:, None, None] - seen[..., 1:2]
        start, right, down = seen[..., 2:].view(height, width, 3, carried).unbind(2)
        found: Tensor = start + right * x + down * y
        return found.permute(2, 0, 1)


def draw(corners: Tensor, triangles: Tensor, tiles: tuple[Tensor, Tensor], size: tuple[int, int]) -> Drawn:
    """Draw triangles over one another in their order.

    Every pixel of every tile that a triangle may reach is tried; where several lie over a pixel, the last one
    wins, which is a maximum, and so needs no order among those that try.

    Args:
        corners: f32 [V,2] px.
        triangles: i32 [T,3].
        tiles: i32 [P], [P]: see tiles.Tiles; filled up with -1.

    Numbers that no mesh has (another process may have written them) lead to a wrong picture, never out of
    bounds: that would cost every session on the card.
        size: (width, height) of the picture.
    """
    width, height = size
    across, down = -(-width // TILE), -(-height // TILE)
    vertices = triangles.long().clamp(0, len(corners) - 1)
    seen = corners[vertices]
    candidate, tile = tiles
    row = candidate.clamp(0, len(triangles) - 1).long()
    place = tile.clamp(0, across * down - 1).long()
    inside = _inside(_edges(seen)[row], place % across, place // across)
    tried = torch.where(inside & (candidate >= 0)[:, None], row[:, None].int(), _NOBODY)
    owner = torch.full((across * down, TILE * TILE), _NOBODY, dtype=torch.int32, device=corners.device)
    owner.scatter_reduce_(0, place[:, None].expand_as(tried), tried, "amax")
    whole = owner.view(down, across, TILE, TILE).permute(0, 2, 1, 3).reshape(down * TILE, across * TILE)
    shown = whole[:height, :width]
    return Drawn(seen, vertices, shown.clamp(min=0).long(), shown >= 0)


def _edges(seen: Tensor) -> Tensor:
    """f32 [T,3,3]: for each edge the plane whose value at (x, y, 1) is the distance inwards, px."""
    along = seen.roll(-1, 1) - seen
    along = along / along.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    inwards = torch.stack([-along[..., 1], along[..., 0]], -1)
    return torch.cat([inwards, -(inwards * seen).sum(-1, keepdim=True)], -1)


def _inside(edges: Tensor, column: Tensor, line: Tensor) -> Tensor:
    """bool [P,64]: which pixels of a tile lie in a triangle of edges f32 [P,3,3]."""
    within = torch.arange(TILE, device=edges.device)
    x = (column[:, None] * TILE + within).to(edges.dtype)[:, None, None, :]
    y = (line[:, None] * TILE + within).to(edges.dtype)[:, None, :, None]
    a, b, c = edges[:, :, :, None, None].unbind(2)
    return (a * x + b * y + c >= -_EDGE).all(1).flatten(1)
