"""The terminal of a live session: its line, its keys, the preview's window; in a thread beside the work."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, suppress
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final

from streamfx import interrupts
from streamfx.cli import keys
from streamfx.cli.keyboard import Keyboard
from streamfx.cli.live_line import line

if TYPE_CHECKING:
    import subprocess

    from streamfx.cli.standing import StandingLine
    from streamfx.session.session import Session

_EVERY_S: Final = 0.5
_LINE_EVERY_S: Final = 5.0
"""Where there is no terminal to rewrite a line on."""
_JOIN_S: Final = 2.0
_CLOSED: Final = "the preview's window is closed; another: streamfx ctl preview --window"


class Console(AbstractContextManager["Console"]):
    """Follows a session from entering to leaving it, both by the main thread."""

    def __init__(
        self, session: Session, terminal: StandingLine, window: subprocess.Popen[bytes] | None = None
    ) -> None:
        """Nothing is shown yet.

        Args:
            session: that is followed.
            terminal: standard output.
            window: process that shows the preview (cli/window.py); it is ended with the console.
        """
        self.task = ""
        """What is done before a portrait can be shown; written by the main thread."""
        self._session, self._terminal, self._window = session, terminal, window
        self._steering = keys.HereSteering(session)
        self._keyboard = Keyboard()
        self._told_s, self._news = -_LINE_EVERY_S, ("", "")
        self._notes: set[str] = set()
        """Of sources, that were said."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streamfx-console", daemon=True)

    def start(self) -> None:
        """Show the line and take the keys; inside the `with` block, so that a stop now, too, ends both."""
        self._keyboard.__enter__()
        hint = "? shows the keys, Q quits" if self._keyboard.is_there else "Ctrl-C ends it"
        self._terminal.say(f"{hint}; from another terminal: streamfx ctl --help")
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with interrupts.held():  # told a second time, the terminal must still be given back
            self._closing.set()
            self._keyboard.__exit__(kind, error, trace)
        with suppress(RuntimeError):  # it was never started
            self._thread.join(_JOIN_S)
        self._terminal.leave()
        if self._window is not None and self._window.poll() is None:
            self._window.terminate()

    def wait(self, seconds: float | None) -> None:
        """Follow for so long; None until this process is told to stop."""
        self._closing.wait(seconds)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._show()
                for key in self._keyboard.wait(_EVERY_S):
                    self._press(key)
                self._look_at_window()
        except OSError:  # nobody reads standard output any more: the main thread meets the same
            interrupts.stop()

    def _press(self, key: str) -> None:
        pressed = keys.press(key, self._steering)
        if pressed.quits:
            interrupts.stop()
        elif pressed.said:
            self._terminal.say(pressed.said)

    def _show(self) -> None:
        status = self._session.status()
        text = line(status, self._session.settings, self.task)
        self._note(status.source.note)
        if self._terminal.is_there:
            self._terminal.draw(text)
        elif monotonic() - self._told_s >= _LINE_EVERY_S or (status.trouble, self.task) != self._news:
            self._told_s, self._news = monotonic(), (status.trouble, self.task)
            self._terminal.say(text)

    def _note(self, note: str) -> None:
        """Say once what is worth knowing of what drives."""
        for one in note.split("; ") if note else ():
            if one not in self._notes:
                self._notes.add(one)
                self._terminal.say(f"note: {one}")

    def _look_at_window(self) -> None:
        from streamfx.cli.window import QUIT

        code = None if self._window is None else self._window.poll()
        if self._window is None or code is None:
            return
        assert self._window.stderr is not None  # noqa: S101
        said, self._window = self._window.stderr.read().decode(errors="replace").strip(), None
        if code == QUIT:
            interrupts.stop()
        elif not self._closing.is_set():
            self._terminal.say(said or _CLOSED)
