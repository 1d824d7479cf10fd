"""The priority of a thread that must not be late: what the system grants to this user."""

from __future__ import annotations

NORMAL = "normal"


def take(wanted: str) -> str:
    return NORMAL
