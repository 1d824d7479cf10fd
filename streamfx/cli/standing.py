"""A line that stands at the end of a terminal and is drawn anew; whatever else is written comes above it.

Not only this process writes to standard error: so do its children, and libraries in C. While a line stands,
all of that goes through a pipe, and is written in whole lines where the line stood, before it is drawn again.
What this process says right before it is killed, or a library ends it (abort, a segmentation fault), stays
in the pipe: another program, which outlives it, writes that.
"""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Final, TextIO

from streamfx.interrupts import held
from streamfx.ipc import spawn

_STDERR: Final = 2
_CLEAR: Final = "\r\x1b[K"
_LESS: Final = "…"
_END: Final = b"\0streamfx: the line is gone\0"
"""Ends what is read from the pipe: children may have it open for longer, so that it has no end of its own."""
_CHUNK: Final = 65536
"""Bytes that are read at once, and the longest line that is waited for."""
_JOIN_S: Final = 2.0
_SETTLE_S: Final = 0.02
"""What stands in the pipe for less is not read: of last words, which are written in pieces, none is lost."""
_SHELL: Final = "/bin/sh"
_OUTLIVE: Final = r"read -r _ <&1 || { printf '\r\n\033[?25h'; exec cat; } >&2"
"""Waits for a line, or the end, at descriptor 1. At the end it goes to a new line, shows the cursor, which
bars hide, and writes what is left."""


class StandingLine(AbstractContextManager["StandingLine"]):
    """The last line of a terminal, from entering to leaving; for any threads. Elsewhere it is never drawn."""

    def __init__(self, stream: TextIO) -> None:
        """Nothing is drawn yet.

        Args:
            stream: standard output or error.
        """
        self.is_there = stream.isatty()
        """Whether there is a terminal."""
        self._stream = self._out = stream
        self._errors: TextIO = sys.stderr
        self._text = ""
        self._lock = threading.RLock()
        """Lines do not come into one another."""
        self._leaving = ExitStack()

    def __enter__(self) -> StandingLine:
        if self.is_there:
            with held():
                self._errors = self._leaving.enter_context(above(self._put_above))
                self._out = self._errors if self._stream is sys.stderr else self._stream
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.close()
        self._out = self._stream
        self.leave()

    def draw(self, text: str) -> None:
        """Stand there from now on, as far as the terminal shows it without a break."""
        with self._lock:
            self._text = text
            self._draw()

    def say(self, text: str) -> None:
        """Lines that stay, above."""
        with self._lock:
            print(f"{_CLEAR if self._text else ''}{text}", file=self._out, flush=True)
            self._draw()

    def leave(self) -> None:
        """Let the line be as it is; what is written next stands below."""
        with self._lock, suppress(OSError):  # the terminal is gone
            if self._text:
                self._text = ""
                print(file=self._out, flush=True)

    def _put_above(self, text: str) -> None:
        with self._lock:
            if self._text:
                print(end=_CLEAR, file=self._out, flush=True)
            self._errors.write(text)
            self._errors.flush()
            self._draw()

    def _draw(self) -> None:
        if self._text:
            shown = fitted(self._text, shutil.get_terminal_size().columns)
            print(end=f"{_CLEAR}{shown}", file=self._out, flush=True)


@contextmanager
def above(put: Callable[[str], None]) -> Iterator[TextIO]:
    """While the block runs, what anything writes to standard error is given to a function, in whole lines.

    Where that is no terminal, or the system is Windows, it stays as it is, and nothing is given.

    Args:
        put: called in a thread of its own, with text that ends with a line break.

    Yields:
        Standard error itself, for the function, and for what is to stand below.
    """
    if sys.platform == "win32" or not sys.stderr.isatty():
        yield sys.stderr
        return
    with held():
        sys.stderr.flush()
        terminal = another_stderr()
        reading, writing = os.pipe()
        outlives = _outliving(reading, terminal)
        reader = threading.Thread(target=_hand_on, args=(reading, put), name="streamfx-stderr", daemon=True)
        reader.start()
        os.dup2(writing, _STDERR)
        os.close(writing)
    try:
        yield terminal
    finally:
        with held(), terminal:
            sys.stderr.flush()
            os.write(_STDERR, _END)
            os.dup2(terminal.fileno(), _STDERR)
            reader.join(_JOIN_S)
            outlives()


def _outliving(reading: int, terminal: TextIO) -> Callable[[], None]:
    """Have a program write what stands in a pipe when this process is ended; what is returned ends it."""
    waits, tells = os.pipe()
    try:
        with os.fdopen(waits, "rb") as told:
            # Not in our process group: Ctrl-C is for us.
            program = spawn.start(
                (_SHELL, "-c", _OUTLIVE),
                stdin=reading,
                stdout=told,
                stderr=terminal.fileno(),
                process_group=0,
            )
    except OSError:  # no shell, or no more processes: then last words are lost
        os.close(tells)
        return lambda: None

    def end() -> None:
        with suppress(OSError):  # it was killed
            os.write(tells, b"\n")
        os.close(tells)
        with suppress(subprocess.TimeoutExpired):
            program.wait(_JOIN_S)

    return end


def another_stderr() -> TextIO:
    """A handle of standard error that leads where it leads now, the caller's to close."""
    return os.fdopen(os.dup(_STDERR), "w", encoding=sys.stderr.encoding, errors="replace")


def fitted(text: str, columns: int) -> str:
    """As much of a line as a terminal shows without a break; whole, where it shows all."""
    from rich.cells import cell_len, set_cell_size

    plain = "".join(c if c.isprintable() else "?" for c in text)
    room = max(columns - 1, 1)  # in the last column some terminals break already
    return plain if cell_len(plain) <= room else set_cell_size(plain, room - 1).rstrip() + _LESS


def _hand_on(descriptor: int, put: Callable[[str], None]) -> None:
    """Read until the end is told; also when nothing can be put any more: who writes would wait for ever."""
    waiting = selectors.DefaultSelector()
    waiting.register(descriptor, selectors.EVENT_READ)
    rest, ended = b"", False
    while not ended:
        waiting.select()
        time.sleep(_SETTLE_S)
        data = os.read(descriptor, _CHUNK)
        text, end, _ = (rest + data).partition(_END)
        ended = bool(end) or not data
        lines, line_break, rest = text.rpartition(b"\n")
        if ended or len(rest) > _CHUNK:
            lines, line_break, rest = lines + line_break + rest, b"", b""
        if lines or line_break:
            with suppress(OSError, ValueError):  # the terminal is gone, or its stream closed
                put(lines.decode(errors="replace") + "\n")
    waiting.close()
    os.close(descriptor)
