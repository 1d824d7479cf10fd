"""How a published picture came about; imports nothing, for clients know it too."""

from enum import StrEnum


class Quality(StrEnum):
    """How a frame came about, best first."""

    FULL = "FULL"
    """Warp and networks."""
    WARP_ONLY = "WARP_ONLY"
    """Warp and procedural mouth; no network ran."""
    HELD = "HELD"
    """The face was lost: the last motion is held or easing to rest."""
    IDLE = "IDLE"
    """No face drives the portrait: it rests."""
