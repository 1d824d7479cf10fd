"""How numbers go to a GPU and pictures come back: the memory of each step, by name, type and shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamfx.frames import U8
from streamfx.render.base import Mode, MouthCrop, Picture
from streamfx.render.mesh import DrawnMesh
from streamfx.render.rectify import CROP
from streamfx.topology import FACE_VERTICES

Arrays = Mapping[str, npt.NDArray[Any]]

_ALIGNED: Final = 256
"""Bytes at which each array begins: what any type and any card's loads want."""
_ROOM: Final[Mapping[int, float]] = {1: 1.5, 2: 3.0}
"""How many times as long as its first content each side of a growing array's place is, by their number:
lists of tiles grow with the head's size, masks as lips and lids open. Outgrowing it costs a new recording."""
_KINDS: Final = ("float32", "int32", "uint8")


Form = tuple[str, tuple[int, ...]]
"""Of an array: name of its numpy type, and its sides."""


@dataclass(frozen=True, slots=True)
class Place:
    """Of one array."""

    kind: str
    """Name of its numpy type: float32, int32 or uint8."""
    shape: tuple[int, ...]
    start: int
    """Byte of the block."""

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * np.dtype(self.kind).itemsize


@dataclass(frozen=True, slots=True)
class Layout:
    """Places by the names of arrays, in the order in which they lie."""

    places: Mapping[str, Place]

    @classmethod
    def of(cls, arrays: Arrays, growing: frozenset[str], before: Layout | None = None) -> Layout:
        """For arrays like these.

        Args:
            arrays: the first content; f32, i32 or u8.
            growing: names of those whose sides may change, and get more room than they need now.
            before: the layout that was outgrown: no place becomes smaller.
        """
        shapes = {name: array.shape for name, array in arrays.items()}
        for name in growing.intersection(arrays):
            shape = arrays[name].shape
            least = before.places[name].shape if before else shape
            shapes[name] = tuple(
                old if side <= old and before else int(_ROOM[len(shape)] * side) + 1
                for side, old in zip(shape, least, strict=True)
            )
        return cls.placed({name: (array.dtype.name, shapes[name]) for name, array in arrays.items()})

    @classmethod
    def placed(cls, wanted: Mapping[str, Form]) -> Layout:
        """Of types and shapes, one after another.

        Raises:
            ValueError: a type is none of those that steps take, or a side is empty.
        """
        places, start = {}, 0
        for name, (kind, shape) in wanted.items():
            if kind not in _KINDS or any(side < 1 for side in shape):
                raise ValueError(f"no step takes {name} as {kind}{list(shape)}")
            places[name] = Place(kind, shape, start)
            start += -(-places[name].size // _ALIGNED) * _ALIGNED
        return cls(places)

    @property
    def size(self) -> int:
        """Bytes of the block."""
        return sum(-(-place.size // _ALIGNED) * _ALIGNED for place in self.places.values())

    def holds(self, arrays: Arrays) -> bool:
        """Whether there is room for these."""
        return all(
            len(array.shape) == len(self.places[name].shape)
            and all(side <= room for side, room in zip(array.shape, self.places[name].shape, strict=True))
            for name, array in arrays.items()
        )

    def resembles(self, other: Layout, growing: frozenset[str]) -> bool:
        """Whether both are of the same step: the same arrays, but for the sides of those that grow."""
        return list(self.places) == list(other.places) and all(
            mine.kind == its.kind
            and len(mine.shape) == len(its.shape)
            and (name in growing or mine.shape == its.shape)
            for (name, mine), its in zip(self.places.items(), other.places.values(), strict=True)
        )

    def views(self, block: U8) -> dict[str, npt.NDArray[Any]]:
        """The arrays that lie in a block u8 [size]."""
        return {
            name: block[place.start : place.start + place.size].view(place.kind).reshape(place.shape)
            for name, place in self.places.items()
        }


class Writer:
    """Writes the arrays of a step, frame after frame, to where the step reads them."""

    def __init__(self, growing: frozenset[str], place: Callable[[Layout], U8]) -> None:
        """Nothing is placed yet.

        Args:
            growing: names of arrays whose sides may change.
            place: makes room for a layout and gives its memory, u8 [size]; it holds until the next.
        """
        self._growing, self._place = growing, place
        self._layout: Layout | None = None
        self._views: dict[str, npt.NDArray[Any]] = {}

    def write(self, arrays: Arrays) -> None:
        """Write these; what is smaller than its place is filled up with 0, lists of i32 with -1."""
        if self._layout is None or not self._layout.holds(arrays):
            layout = Layout.of(arrays, self._growing, self._layout)
            self._views = layout.views(self._place(layout))
            self._layout = layout
        for name, array in arrays.items():
            view = self._views[name]
            if array.shape != view.shape:
                view.fill(-1 if view.dtype == np.int32 else 0)
            view[tuple(slice(side) for side in array.shape)] = array


WARP: Final = "warp"
REFINE: Final = "refine"
MOUTH: Final = "mouth"
"""The network's."""
PROCEDURAL: Final = "procedural"
"""The procedural mouth."""
STEPS: Final = (WARP, REFINE, MOUTH, PROCEDURAL)
"""In the order in which a frame takes them; a frame has one of the last two, or none."""

EYES: Final = ("right", "left")
GROWING: Final = frozenset(
    {"tile_rows", "tile_places", "lips_mask", *(f"{eye}_mask" for eye in EYES)},
)
"""Arrays whose sides change from frame to frame."""

_F32, _I32, _U8 = "float32", "int32", "uint8"


def forms(mesh: DrawnMesh, crop: MouthCrop) -> dict[str, Layout]:
    """How the arrays of each step lie, told from the mesh alone; of those that grow, one of each side.

    What comes from another process is compared with this: an index that leads out of an array costs a card
    its context, and every session its picture.

    Args:
        mesh: the rig's.
        crop: in which the network's mouth is painted.
    """
    eyes: dict[str, Form] = {}
    for eye in EYES:
        eyes |= {f"{eye}_mask": (_F32, (1, 1)), f"{eye}_corner": (_I32, (2,))}
        eyes |= {f"{eye}_place": (_F32, (2, 3)), f"{eye}_gaze": (_F32, (2,))}
    tiles: dict[str, Form] = {"tile_rows": (_I32, (1,)), "tile_places": (_I32, (1,))}
    vertices, face = len(mesh.sources), len(mesh.face)
    corners: Form = (_F32, (vertices, 2))
    wholes: dict[str, Form] = dict.fromkeys(("inner_mouth", "eyes", "face"), (_U8, (CROP, CROP)))
    return {
        name: Layout.placed(form)
        for name, form in {
            WARP: {
                "corners": corners,
                "sources": corners,
                "triangles": (_I32, (len(mesh.exterior) + face, 3)),
                **tiles,
                **eyes,
            },
            REFINE: {
                "corners": corners,
                "carried": (_F32, (vertices, 5)),
                "triangles": (_I32, (len(mesh.person) + face, 3)),
                **tiles,
                "from_frame": (_F32, (2, 3)),
                **wholes,
                "follows": (_F32, (1,)),
                **eyes,
            },
            MOUTH: _mouth_form(face, crop, tiles),
            PROCEDURAL: _mouth_form(face, MouthCrop.MOUTH, tiles),
        }.items()
    }


def _mouth_form(face: int, crop: MouthCrop, tiles: dict[str, Form]) -> dict[str, Form]:
    square = (crop.value, crop.value)
    drawn: dict[str, Form] = {"drawn": (_U8, (*square, 3)), "own": (_U8, square)}
    return {
        "corners": (_F32, (FACE_VERTICES, 2)),
        "moved": (_F32, (FACE_VERTICES, 2)),
        "triangles": (_I32, (face, 3)),
        **tiles,
        "from_frame": (_F32, (2, 3)),
        "to_frame": (_F32, (2, 3)),
        "mask": (_F32, square),
        "lips_mask": (_F32, (1, 1)),
        "lips_corner": (_I32, (2,)),
        "blends": (_F32, (1,)),
        **({} if crop is MouthCrop.FACE else drawn),
    }


_COLOURS = 3


def picture_bytes(size: tuple[int, int], mode: Mode) -> int:
    """Of a picture.

    Args:
        size: (width, height) px.
        mode: with Mode.CUTOUT there is alpha.
    """
    return size[0] * size[1] * (_COLOURS + (mode is Mode.CUTOUT))


def picture_in(memory: U8, size: tuple[int, int], mode: Mode) -> Picture:
    """The picture that lies in u8 [picture_bytes]; views, no copies."""
    width, height = size
    colours = width * height * _COLOURS
    alpha = memory[colours:].reshape(height, width) if mode is Mode.CUTOUT else None
    return Picture(memory[:colours].reshape(height, width, _COLOURS), alpha)
