"""A window that shows moving pictures: the only door to tkinter, which comes with most Pythons."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import ModuleType

from PIL import Image

from streamfx.errors import UsageError

_ELSEWHERE = "or give --terminal, or --to FILE.jpg"


def show(pictures: Iterator[bytes], title: str) -> None:
    """Show pictures in a window until there are no more, or the person closes it.

    They set the pace: between two of them, at a call's rate, the window needs no other care.

    Args:
        pictures: JPEG, of one size as a rule; the window follows another.
        title: of the window.

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
        window.title(title)
        window.resizable(False, False)
        label = tk.Label(window, borderwidth=0)
        label.pack()
        is_closed = tk.BooleanVar(window, value=False)
        window.protocol("WM_DELETE_WINDOW", lambda: is_closed.set(True))
        for key in ("<Escape>", "q"):
            window.bind(key, lambda _event: is_closed.set(True))
        for jpeg in pictures:
            with Image.open(io.BytesIO(jpeg)) as picture:
                shown = ImageTk.PhotoImage(picture, master=window)
            label.configure(image=shown)
            window.update()
            if is_closed.get():
                return
    finally:
        window.destroy()


def _tkinter() -> ModuleType:
    try:
        import tkinter as tk
    except ImportError:
        remedy = f"Install it (Debian, Ubuntu: apt install python3-tk), {_ELSEWHERE}"
        raise UsageError("This Python has no tkinter, which draws windows", remedy) from None
    return tk
