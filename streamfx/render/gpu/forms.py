"""The steps of a frame, and what each is told: its arrays, types and shapes (geometry.py fills them)."""

from __future__ import annotations

from typing import Final

from streamfx.render.base import MouthCrop
from streamfx.render.gpu.layout import Form, Layout
from streamfx.render.mesh import DrawnMesh
from streamfx.render.rectify import CROP
from streamfx.topology import FACE_VERTICES

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
