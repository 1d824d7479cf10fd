"""A window that shows moving pictures: the only door to tkinter, which comes with most Pythons.

`python -m streamfx.cli.window SOCKET SESSION` is the window of `live --preview`, a process of its own:
a desktop that goes away takes no call with it. It exits with QUIT when the person pressed Q.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from streamfx.cli.keys import LEFT, RIGHT, ClientSteering, Pressed, press
from streamfx.errors import StreamfxError, UsageError

if TYPE_CHECKING:
    import subprocess

_ELSEWHERE = "or give --terminal, or --to FILE.jpg"
QUIT: Final = 3
"""Exit code of the process: Q was pressed; a window that is closed leaves the session alone."""
_SIDE: Final = 1920
"""px: of a picture."""
_QUALITY: Final = 90
_ARROWS: Final = {"Left": LEFT, "Right": RIGHT}
_TEXT_MS: Final = 4000
"""For which what a key did is shown."""


def open_window(socket: Path, session: str) -> subprocess.Popen[bytes]:
    """Start the process that shows what a session shows; why it cannot, it says on its standard error."""
    from streamfx.ipc import spawn

    command = spawn.own("streamfx.cli.window", str(socket), session)
    return spawn.start(command, stderr=spawn.PIPE)


def show(pictures: Iterator[bytes], title: str, hear: Callable[[str], Pressed] | None = None) -> bool:
    """Show pictures in a window until there are no more, or the person closes it.

    They set the pace: between two of them, at a call's rate, the window needs no other care.

    Args:
        pictures: JPEG, of one size as a rule; the window follows another.
        title: of the window.
        hear: does what a key stands for; Escape closes the window, and Q where nothing is to hear it.

    Returns:
        Whether Q was pressed.

    Raises:
        UsageError: this Python has no tkinter, or there is no display.
    """
    tk = _tkinter()
    from PIL import ImageTk

    try:
        window = tk.Tk(className="streamfx")
    except tk.TclError as error:
        raise UsageError(
            f"No window can be opened: {error}", f"Use a desktop's terminal, {_ELSEWHERE}"
        ) from None
    try:
        view = _View(tk, window, title, hear)
        for jpeg in pictures:
            with Image.open(io.BytesIO(jpeg)) as picture:
                shown = ImageTk.PhotoImage(picture, master=window)
            view.picture.configure(image=shown)
            window.update()
            if view.is_closed:
                break
        return view.quits
    finally:
        window.destroy()


class _View:
    """The picture, and under it what the last key did."""

    def __init__(self, tk: Any, window: Any, title: str, hear: Callable[[str], Pressed] | None) -> None:  # noqa: ANN401 - tkinter's
        self.is_closed = self.quits = False
        self._window, self._hear, self._until = window, hear, ""
        window.title(title)
        window.resizable(False, False)
        self.picture = tk.Label(window, borderwidth=0)
        self.picture.pack()
        self._text = tk.Label(window, anchor="w", justify="left", font="TkFixedFont")
        window.protocol("WM_DELETE_WINDOW", self._close)
        window.bind("<Escape>", lambda _event: self._close())
        window.bind("<Key>", self._press)

    def _close(self) -> None:
        self.is_closed = True

    def _press(self, event: Any) -> None:  # noqa: ANN401 - tkinter's
        key = _ARROWS.get(event.keysym, event.char)
        if not key or not (key in _ARROWS.values() or key.isprintable()):
            return
        pressed = self._hear(key) if self._hear else Pressed("", quits=key in "qQ")
        if pressed.quits:
            self.is_closed = self.quits = True
        elif pressed.said:
            self._say(pressed.said)

    def _say(self, text: str) -> None:
        self._text.configure(text=text, wraplength=self.picture.winfo_width())
        self._text.pack(fill="x")
        if self._until:
            self._window.after_cancel(self._until)
        self._until = self._window.after(_TEXT_MS, self._text.pack_forget)


def _tkinter() -> ModuleType:
    try:
        import tkinter as tk
    except ImportError:
        remedy = f"Install it (Debian, Ubuntu: apt install python3-tk), {_ELSEWHERE}"
        raise UsageError("This Python has no tkinter, which draws windows", remedy) from None
    return tk


def main() -> int:
    """Show a session's pictures, and let keys steer it, until it ends or the window is closed."""
    from streamfx.client import Client
    from streamfx.ipc.child import die_with_parent

    die_with_parent()
    socket, session = sys.argv[1:]
    try:
        with Client.connect(socket) as client:
            steering = ClientSteering(client, session)
            pictures = (one.jpeg for one in client.preview(session, max_side=_SIDE, quality=_QUALITY))
            title = f"streamfx: {session} (? shows the keys)"
            return QUIT if show(pictures, title, lambda key: press(key, steering)) else 0
    except StreamfxError as error:
        print(f"no preview: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
