"""Being told to stop, heard between two steps instead of in the middle of one."""

from __future__ import annotations

import signal
from time import monotonic
from types import FrameType
from typing import Any, Final, Self

_HEARD: Final = ("SIGINT", "SIGTERM", "SIGHUP")
_ECHO_S: Final = 2.0
"""Signals this soon after the first are the same: torchrun repeats what its terminal sends to all."""


class Stopping:
    """While it is open, a signal to stop is noted; one more, a little later, acts as it would have.

    Only the main thread can hear; in any other nothing changes.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._noted = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        try:
            for name in _HEARD:
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        except ValueError:  # not the main thread
            self._before.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self._number is not None

    def act(self) -> None:
        """Let the signal that came do what it would have done; nothing, where none came to this process."""
        self._restore()
        if self._number is not None:
            signal.raise_signal(self._number)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._number is None:
            self._number, self._noted = number, monotonic()
        elif monotonic() - self._noted > _ECHO_S:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
