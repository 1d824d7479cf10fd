"""Being told to stop: Ctrl-C, SIGTERM and SIGHUP as an exception that does not get lost.

A handler's exception is raised wherever the main thread happens to be. In a destructor, or in C code that
clears errors, it is dropped; inside an import it becomes some other error; between making a file and noting
its name, the file is left. So none is raised during an import, nor while it is `held`, and one that is
dropped before anybody heard it is raised again.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import FrameType, TracebackType
from typing import Final

from streamfx.errors import Interrupted

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP")
_BY_SIGNAL: Final = 128
"""What a shell adds to a signal's number to make an exit code."""
_AGAIN_S: Final = 0.05
_IMPORTING: Final = "<frozen importlib._bootstrap>"


class StopRequested(BaseException):
    """Somebody said stop. Like KeyboardInterrupt, it is no error; whoever ends it calls `hear`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.heard = False
        self.name = signal.Signals(number).name
        self.exit_code = _BY_SIGNAL + number
        self._number = number

    def __del__(self) -> None:
        if not self.heard:
            _raise_later(self._number)


class CtrlC(StopRequested, KeyboardInterrupt):
    """The person at the terminal said stop."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.exit_code = Interrupted.exit_code


def listen() -> None:
    """Raise `StopRequested` in the main thread, which must call this, at each signal that was not ignored."""
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        # A program started by nohup must go on ignoring it; only the main thread may ask.
        with suppress(ValueError):
            if number is not None and signal.getsignal(number) in (
                signal.SIG_DFL,
                signal.default_int_handler,
            ):
                signal.signal(number, _tell)
    report = sys.unraisablehook

    def keep_quiet(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, StopRequested):
            report(lost)

    sys.unraisablehook = keep_quiet


@contextmanager
def until_ctrl_c() -> Iterator[None]:
    """Ctrl-C ends what is inside, and nothing else."""
    try:
        yield
    except KeyboardInterrupt as stop:
        hear(stop)


@contextmanager
def until_told() -> Iterator[None]:
    """Being told to stop is how what is inside is meant to end."""
    try:
        with unmasked():
            yield
    except (StopRequested, KeyboardInterrupt) as stop:
        hear(stop)


def hear(stop: StopRequested | KeyboardInterrupt) -> None:
    """It was acted upon, and must not come again."""
    if isinstance(stop, StopRequested):
        stop.heard = True


@contextmanager
def held() -> Iterator[None]:
    """What is inside is done whole: being told to stop waits until after it. For what takes a moment only."""
    global _held  # noqa: PLW0603 - the main thread's alone, as signals are
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _held += 1
    try:
        yield
    finally:
        _held -= 1


_held = 0


class _Unmasked(AbstractContextManager[None]):
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        behind = error
        while behind is not None and not isinstance(behind, StopRequested):
            behind = behind.__cause__ or behind.__context__
        if behind is not None and behind is not error and not behind.heard:
            raise behind from None


def unmasked() -> AbstractContextManager[None]:
    """Where being told to stop led to some other error on the way out, raise what it was: `StopRequested`."""
    return _Unmasked()


def stop() -> None:
    """Tell the main thread to stop, as Ctrl-C would; from any thread."""
    _raise_later(signal.SIGINT)


def _tell(number: int, frame: FrameType | None) -> None:
    if _held:
        _raise_later(number)
        return
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            _raise_later(number)
            return
        frame = frame.f_back
    raise CtrlC(number) if number == signal.SIGINT else StopRequested(number)


def _raise_later(number: int) -> None:
    """By a bare thread: those of `threading` take locks that the main thread may hold just now."""

    main = threading.main_thread().ident or 0

    def raise_it() -> None:
        time.sleep(_AGAIN_S)
        if sys.platform == "win32":
            signal.raise_signal(number)
        else:  # to the main thread itself, so that what it waits for is interrupted
            signal.pthread_kill(main, number)

    _thread.start_new_thread(raise_it, ())
