"""Parts of a frame, divided otherwise between card and CPU: what that takes, and how far off it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from streamfx.frames import F32, I32, U8
from streamfx.lab.card.common import motions, recorded, rig_of, timed, told
from streamfx.portrait.deform import deform
from streamfx.render.base import Mode
from streamfx.render.gpu.raster import draw
from streamfx.render.gpu.tiles import Tiles
from streamfx.render.kernels import rasterise
from streamfx.render.mesh import DrawnMesh
from streamfx.telemetry import StageTime

_NOWHERE = -4096.0
"""Source position of what no triangle covers."""
_MOTIONS = 100
"""Of the demo, each drawn several times."""
YUV = torch.tensor([[65.738, 129.057, 25.064], [-37.945, -74.494, 112.439], [112.439, -94.154, -18.285]])
"""256ths of R, G and B in Y, U and V: BT.601, limited range."""


@dataclass(frozen=True, slots=True)
class Posed:
    """A mesh as one frame draws it."""

    corners: F32
    """f32 [V,2] px of the frame."""
    sources: F32
    """f32 [V,2] px of the photo."""
    triangles: I32
    """i32 [T,3]"""


def posed(size: tuple[int, int], count: int) -> Iterator[Posed]:
    """The demo's portrait, as it moves."""
    rig = rig_of(size)
    mesh = DrawnMesh(rig, Mode.LAYER)
    for motion in islice(motions(), count):
        deformation = deform(rig, motion)
        triangles = np.concatenate([mesh.exterior, mesh.pose(deformation)])
        yield Posed(deformation.vertices.copy(), mesh.sources.copy(), triangles)


class OnCard:
    """The product's way: lists of tiles from the CPU, the map by the card (raster.py)."""

    def __init__(self, size: tuple[int, int], meshes: list[Posed], device: torch.device) -> None:
        self._tiles, self._device = Tiles(size), device
        room = max(self._tiles.of(one.corners, one.triangles)[0].size for one in meshes)
        first, pinned = meshes[0], device.type == "cuda"
        shapes = (first.corners.shape, first.sources.shape, first.triangles.shape, (room,), (room,))
        kinds = (torch.float32, torch.float32, torch.int32, torch.int32, torch.int32)
        self._here = [
            torch.zeros(shape, dtype=kind, pin_memory=pinned)
            for shape, kind in zip(shapes, kinds, strict=True)
        ]
        self._there = [one.to(device) for one in self._here]
        self.map = torch.zeros(2, size[1], size[0], device=device)
        """f32 [2,H,W] px of the photo."""

        def operations() -> None:
            corners, sources, triangles, rows, places = self._there
            drawn = draw(corners, triangles, (rows, places), size)
            self.map.copy_(torch.where(drawn.covered, drawn.carry(sources), _NOWHERE))

        self._draw = recorded(operations, device)

    def __call__(self, mesh: Posed) -> None:
        """Make the map of a mesh."""
        rows, places = self._tiles.of(mesh.corners, mesh.triangles)
        arrays = (mesh.corners, mesh.sources, mesh.triangles, rows, places)
        for here, there, array in zip(self._here, self._there, arrays, strict=True):
            here[: len(array)] = torch.from_numpy(array)
            here[len(array) :] = -1  # what a list of tiles has too much room for
            there.copy_(here, non_blocking=True)
        self._draw()


class FromCpu:
    """The map by the CPU, sent up in half precision: as offsets, whose figures are small, or as positions."""

    def __init__(self, size: tuple[int, int], device: torch.device, *, offsets: bool = True) -> None:
        width, height = size
        self._offsets = offsets
        self._drawn = np.empty((height, width, 2), np.float32)
        self._here = torch.zeros(height, width, 2, dtype=torch.float16, pin_memory=device.type == "cuda")
        self._there = self._here.to(device)
        x, y = torch.arange(width, device=device), torch.arange(height, device=device)
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy")).float()
        base = grid if offsets else torch.zeros_like(grid)
        self.map = torch.zeros(2, height, width, device=device)
        """f32 [2,H,W] px of the photo."""

        def operations() -> None:
            torch.add(self._there.permute(2, 0, 1), base, out=self.map)

        self._place = recorded(operations, device)

    def __call__(self, mesh: Posed) -> None:
        """Make the map of a mesh."""
        self._drawn.fill(_NOWHERE)
        values = mesh.sources - mesh.corners if self._offsets else mesh.sources
        rasterise(mesh.corners, values, mesh.triangles, self._drawn)
        self._here.copy_(torch.from_numpy(self._drawn))
        self._there.copy_(self._here, non_blocking=True)
        self._place()


def tell_raster(size: tuple[int, int], frames: int, device: torch.device) -> None:
    """Print what the map takes both ways (the CPU's as offsets), and how far apart the maps are."""
    meshes = list(posed(size, min(frames, _MOTIONS)))
    here, offsets = OnCard(size, meshes, device), FromCpu(size, device)
    positions = FromCpu(size, device, offsets=False)

    def each(way: OnCard | FromCpu, name: str) -> StageTime:
        return timed(name, lambda number: way(meshes[number % len(meshes)]), frames, device)

    times = each(here, "by the card"), each(offsets, "by the CPU, sent up in half precision")
    print(f"{size[0]}x{size[1]} map of the mesh: {'; '.join(map(told, times))}")
    for name, way in (("offsets", offsets), ("positions", positions)):
        print(f"  sent as {name}: {apart(here, way, meshes[:: max(1, len(meshes) // 10)])}")


@dataclass(frozen=True, slots=True)
class Apart:
    """How far two ways' maps are apart, in px of the photo, where both cover the frame."""

    mean: float
    nearly_all: float
    """That of 999 pixels in 1000 is smaller: the rest may lie on an edge, and show another triangle."""
    most: float
    uncovered: float
    """Share of the frame's pixels that only one of them covers."""

    def __str__(self) -> str:
        far = f"{self.mean:.4f} px off on average, {self.nearly_all:.3f} in 99.9 %, {self.most:.3f} at most"
        return f"{far}; {self.uncovered:.3%} covered by one of them only"


def apart(one: OnCard, other: FromCpu, meshes: list[Posed]) -> Apart:
    """Compare two ways' maps of the same meshes."""
    found = []
    for mesh in meshes:
        one(mesh)
        other(mesh)
        covered, there = ((way.map > _NOWHERE / 2).all(0) for way in (one, other))
        off = (one.map - other.map).norm(dim=0)[covered & there]
        sorted_off = off.sort().values
        nearly_all = sorted_off[int(0.999 * (len(off) - 1))]
        uncovered = (covered != there).float().mean()
        found.append([float(value) for value in (off.mean(), nearly_all, sorted_off[-1], uncovered)])
    means, nearly, most, uncovereds = np.array(found).T
    return Apart(float(means.mean()), float(nearly.max()), float(most.max()), float(uncovereds.mean()))


def nv12(picture: Tensor, weights: Tensor) -> Tensor:
    """A picture f32 [3,H,W] 0..255 of even sides as u8 [H*3/2,W]: Y, then U and V in turns.

    Args:
        picture: R, G, B.
        weights: YUV, where the picture lies: nothing may go up to a card while a graph is recorded.
    """
    y = torch.einsum("c,chw->hw", weights[0], picture) / 256 + 16
    small = functional.avg_pool2d(picture, 2)
    uv = torch.einsum("kc,chw->hwk", weights[1:], small) / 256 + 128
    return (torch.cat([y, uv.flatten(1)]) + 0.5).clamp(0, 255).to(torch.uint8)


def rgb(picture: Tensor) -> Tensor:
    """u8 [H,W,3] of f32 [3,H,W] 0..255, as the product sends it down."""
    return (picture + 0.5).clamp(0, 255).permute(1, 2, 0).to(torch.uint8).contiguous()


class Down:
    """A finished picture on its way to the CPU."""

    def __init__(self, picture: Tensor, *, as_nv12: bool) -> None:
        device = picture.device
        make = partial(nv12, weights=YUV.to(device)) if as_nv12 else rgb
        self._there = make(picture)
        self._here = torch.zeros_like(self._there, device="cpu", pin_memory=device.type == "cuda")

        def operations() -> None:
            self._there.copy_(make(picture))

        self._convert = recorded(operations, device)

    @property
    def bytes(self) -> int:
        """Of one picture."""
        return self._there.nbytes

    def __call__(self, _: int = 0) -> None:
        """Convert and copy it."""
        self._convert()
        self._here.copy_(self._there, non_blocking=True)

    def picture(self) -> U8:
        """What arrived."""
        arrived: U8 = self._here.numpy()
        return arrived


def tell_down(size: tuple[int, int], frames: int, device: torch.device) -> None:
    """Print what it takes to have a finished picture as RGB, and as NV12, which is half as many bytes."""
    width, height = size
    picture = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)).to(device) * 255
    ways = [("RGB", Down(picture, as_nv12=False)), ("NV12", Down(picture, as_nv12=True))]
    times = [told(timed(f"as {name} ({way.bytes / 1e6:.2f} MB)", way, frames, device)) for name, way in ways]
    print(f"{width}x{height} picture down: {'; '.join(times)}")
