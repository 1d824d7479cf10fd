"""How a portrait is framed: how much of the photo the frame shows, and where, as a user chooses it.

A value that everybody knows; portrait/framing.py makes the map from photo to frame of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ZOOMS: Final = (0.5, 3.0)
SHIFTS: Final = (-0.5, 0.5)


class FramingKind(StrEnum):
    """How much of the photo is shown."""

    AUTO = "auto"
    """Head and shoulders: filled with the photo where the head has room in it, else extended."""
    PHOTO = "photo"
    """The whole photo."""
    CLOSE = "close"
    """The face, large."""
    WIDE = "wide"
    """As much of the person and the surroundings as the photo shows."""


@dataclass(frozen=True, slots=True)
class Framing:
    """How much of the photo is shown, and what the user changed about it."""

    kind: FramingKind = FramingKind.AUTO
    zoom: float = 1.0
    """Within ZOOMS: above 1 closer, about the middle of the face."""
    x: float = 0.0
    """Within SHIFTS: of the frame's width that the picture is moved to the right."""
    y: float = 0.0
    """Within SHIFTS: of the frame's height that the picture is moved down."""


AS_IT_FITS: Final = Framing()
