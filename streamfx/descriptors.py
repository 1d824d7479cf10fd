"""How many files and connections this process may have open at the same time."""

from __future__ import annotations

import sys
from typing import Final

_ENOUGH: Final = 1 << 16
_UNTOLD: Final = 1024
"""Where the system does not tell."""


def allow_many() -> None:
    """Take as many as the system lets this user have: logins begin with 1024."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most() -> int:
    """As many as that."""
    if sys.platform == "win32":
        return _UNTOLD
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft
