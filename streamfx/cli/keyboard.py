"""The terminal's keys, one by one and without echo; afterwards the terminal is as it was."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from contextlib import AbstractContextManager, suppress
from types import FrameType, TracebackType
from typing import Any, Final

from streamfx.cli.keys import LEFT, RIGHT

_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.)?")
"""What one of the keys without a character sends (ECMA-48), or the Escape key."""
_ARROWS: Final = {"C": RIGHT, "D": LEFT}
_MOST_BYTES: Final = 256
_WINDOWS_POLL_S: Final = 0.05
_SUSPENDING: Final = ("SIGTSTP", "SIGQUIT")


class Keyboard(AbstractContextManager["Keyboard"]):
    """Keys of the terminal that this process was started in; where there is none, no key ever comes.

    The main thread enters and leaves it; one other may wait for keys. While the process is in the
    background, stopped, or its output goes elsewhere, the terminal is left alone.
    """

    def __init__(self) -> None:
        self._saved: Any = None
        """The terminal's modes before they were changed first."""
        self._is_ours = False
        """Whether they are changed now."""
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._handlers: dict[int, Any] = {}
        self.is_there = _is_terminal(0) and sys.stdout.isatty()
        """Whether there is a terminal of which keys may come."""

    def __enter__(self) -> Keyboard:
        if self.is_there and sys.platform != "win32":
            for name in _SUSPENDING:
                self._handle(getattr(signal, name), self._suspend)
            self._handle(signal.SIGCONT, self._continued)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._restore()

    def wait(self, seconds: float) -> list[str]:
        """The keys that are pressed within a time: as soon as there are some, or none at its end."""
        if not self.is_there:
            self._closed.wait(seconds)
            return []
        if sys.platform == "win32":
            return self._wait_windows(seconds)
        if not self._take():
            self._closed.wait(seconds)
            return []
        return self._read(seconds)

    def _read(self, seconds: float) -> list[str]:
        import select

        ready, _, _ = select.select([0], [], [], seconds)
        if not ready or self._closed.is_set() or not _is_foreground():
            return []
        try:
            data = os.read(0, _MOST_BYTES)
        except OSError:  # the terminal is gone: SIGHUP tells, or has told
            data = b""
        if not data:
            self.is_there = False
        return parsed(data.decode(errors="ignore"))

    def _wait_windows(self, seconds: float) -> list[str]:
        """By looking again and again: the console's keys cannot be waited for together with a time."""
        import msvcrt

        found, end = "", time.monotonic() + seconds
        while not found and time.monotonic() < end and not self._closed.wait(_WINDOWS_POLL_S):
            while msvcrt.kbhit():  # type: ignore[attr-defined, unused-ignore]
                key: str = msvcrt.getwch()  # type: ignore[attr-defined, unused-ignore]
                if key in "\0\xe0":  # an arrow or function key, named by the next
                    code: str = msvcrt.getwch()  # type: ignore[attr-defined, unused-ignore]
                    key = {"K": "\x1b[D", "M": "\x1b[C"}.get(code, "")
                found += key
        return parsed(found)

    def _take(self) -> bool:
        """Have keys come one by one and unseen, if the terminal is ours to change now."""
        if sys.platform == "win32":
            return True
        import termios

        with self._lock:
            if self._is_ours or self._closed.is_set():
                return self._is_ours
            if not _is_foreground():
                return False
            with suppress(termios.error):
                modes = termios.tcgetattr(0)
                self._saved = self._saved or termios.tcgetattr(0)
                modes[3] &= ~(termios.ICANON | termios.ECHO)
                modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
                _set(modes)
                self._is_ours = True
            return self._is_ours

    def _restore(self) -> None:
        with self._lock:
            # In the background the shell has set its own modes, which are not ours to change.
            if self._is_ours and self._saved is not None and _is_foreground():
                _set(self._saved)
            self._is_ours = False

    def _suspend(self, number: int, _frame: FrameType | None) -> None:
        """Ctrl-Z, and Ctrl-backslash: as without us, but with the terminal as it was."""
        self._restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._suspend)

    def _continued(self, _number: int, _frame: FrameType | None) -> None:
        """The modes may be another's now: `_take` sets ours again once we are in front."""
        self._is_ours = False

    def _handle(self, number: int, handler: Any) -> None:  # noqa: ANN401 - as signal.signal takes them
        before = signal.getsignal(number)
        if before is not signal.SIG_IGN and threading.current_thread() is threading.main_thread():
            self._handlers[number] = signal.signal(number, handler)


def parsed(text: str) -> list[str]:
    """The keys in what a terminal sent: characters, LEFT, RIGHT; others without a character are left out."""
    keys, place = [], 0
    while place < len(text):
        found = _SEQUENCE.match(text, place)
        if found is None:
            keys.append(text[place])
            place += 1
            continue
        if (key := _ARROWS.get(found[0][-1])) and len(found[0]) == len("\x1b[C"):
            keys.append(key)
        place = found.end()
    return [key for key in keys if key in (LEFT, RIGHT) or key.isprintable()]


def _set(modes: Any) -> None:  # noqa: ANN401 - as termios has them
    """Set the terminal's modes; one that is gone has none."""
    if sys.platform == "win32":
        return
    import termios

    # Set from the background, which a race may make of the foreground, it would stop this process.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    try:
        with suppress(termios.error):
            termios.tcsetattr(0, termios.TCSANOW, modes)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTTOU])


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _is_foreground() -> bool:
    """Whether the terminal's keys come to this process, and not to the shell or another job."""
    if sys.platform == "win32":
        return True
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # it is not the terminal that controls us, or it is gone
        return False
