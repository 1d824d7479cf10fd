"""The named vertices of the 478-point face mesh (MediaPipe's numbering; right and left are the subject's)."""

from __future__ import annotations

from typing import Final

FACE_VERTICES: Final = 468
"""Vertices of the canonical mesh; 468..477 are the two irises."""

FACE_OVAL: Final = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""The mesh's boundary, closed, from the forehead over the subject's left cheek to the chin and back."""

CHIN: Final = 152
FOREHEAD: Final = 10
NOSE_TIP: Final = 1

INNER_MOUTH: Final = (
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
)  # fmt: skip
"""The inner lip line, closed: right corner, upper lip, left corner, lower lip."""

MOUTH_CORNERS: Final = (78, 308)
LIP_UPPER: Final = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LIP_LOWER: Final = (95, 88, 178, 87, 14, 317, 402, 318, 324)
"""Pairs of inner lip points that meet when the mouth closes (same index, same pair)."""

RIGHT_EYE: Final = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
LEFT_EYE: Final = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
"""Lid line, closed: outer corner, upper lid, inner corner, lower lid."""

EYES: Final = (RIGHT_EYE, LEFT_EYE)
EYE_CORNERS: Final = ((33, 133), (263, 362))
"""(outer, inner) corner of the right and the left eye."""

LID_UPPER: Final = ((246, 161, 160, 159, 158, 157, 173), (466, 388, 387, 386, 385, 384, 398))
LID_LOWER: Final = ((7, 163, 144, 145, 153, 154, 155), (249, 390, 373, 374, 380, 381, 382))
"""Pairs of lid points that meet when the eye closes, outer to inner, for the right and the left eye."""

IRIS: Final = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))
"""(centre, four points of the rim) of the right and the left iris."""

INTEROCULAR: Final = (33, 263)
"""The outer eye corners: the distance that scales errors and translations."""
