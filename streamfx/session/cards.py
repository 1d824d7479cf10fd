"""Whether a session can be had on the graphics card: asked before it begins, answered with figures."""

from __future__ import annotations

import json
from typing import Final

from streamfx.errors import DeviceUnavailable, LimitReached
from streamfx.ipc.failure import Failure
from streamfx.ipc.spawn import own, run
from streamfx.worker.protocol import Card

COMMAND: Final = own("streamfx.worker.card")
"""Looks at the card; tests put others in its place."""
FIRST_MIB: Final = 1024
"""Of the GPU's memory that must be free for the first session: the CUDA context, networks, its target."""
FURTHER_MIB: Final = 256
"""For each further one: its target, and its share of larger batches."""
_LOOK_S: Final = 60.0
"""The first import of torch may be slow; a driver that hangs is given up."""


def admit(id: str, needed_mib: int = FIRST_MIB, command: tuple[str, ...] = COMMAND) -> None:
    """Let a session that needs so much of its memory begin on the card, or say why not.

    Raises:
        DeviceUnavailable: there is no card, no driver, or torch is not installed.
        LimitReached: the card's memory is full.
    """
    card = look(command)
    if card.free_mib < needed_mib:
        cause = (
            f"{card.name} has {card.free_mib} of {card.total_mib} MiB free, and a session takes {needed_mib}"
        )
        raise LimitReached("session", id, cause, "Delete a session, or take the device cpu")


def look(command: tuple[str, ...] = COMMAND) -> Card:
    """What is said of the card.

    Raises:
        DeviceUnavailable: it cannot be used, or nothing is said.
    """
    try:
        _, said, _ = run(command, limit_s=_LOOK_S)
        facts = json.loads(said)
        failure = Failure.told(facts)
        if failure is None:
            return Card(**facts)
    except TimeoutError as error:
        cause = f"The card's driver gave no answer in {_LOOK_S:.0f} s"
        raise DeviceUnavailable(cause, "See nvidia-smi") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DeviceUnavailable("Looking at the card broke off", "See what nvidia-smi says") from error
    raise DeviceUnavailable(failure.cause, failure.remedy)
