"""What this machine has, and the one-line remedy for what it lacks: the checks behind `streamfx doctor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from streamfx.checks import Check, State
from streamfx.doctor.machine import CHECKS
from streamfx.errors import StreamfxError
from streamfx.limits import is_shortage, shortage


def examine(*, fix: bool = False) -> Iterator[Check]:
    """Make all checks, in the order in which a person should mend things; each is told once it is made.

    Args:
        fix: mend what needs no root.
    """
    from streamfx.doctor.camera import examine_camera
    from streamfx.doctor.card import examine_card
    from streamfx.doctor.daemon import examine_daemon

    groups: dict[str, Callable[[], Sequence[Check]]] = {
        "card": examine_card,
        "virtual": partial(examine_camera, fix=fix),
        "settings": partial(examine_daemon, fix=fix),
    }
    for name in CHECKS:
        yield from guarded(name, partial(_one, name))
    for name, group in groups.items():
        yield from guarded(name, group)


def _one(name: str) -> list[Check]:
    return [CHECKS[name](name)]


def guarded(name: str, checks: Callable[[], Sequence[Check]]) -> Sequence[Check]:
    """Checks that meet one of our own errors, or a shortage of the system, become a failed one."""
    try:
        return checks()
    except StreamfxError as error:
        return [Check(name, State.FAIL, error.cause, error.remedy)]
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        if not is_shortage(error):
            raise
        return [Check(name, State.FAIL, *shortage("The system gives too little", error))]
