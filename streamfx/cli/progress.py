"""Progress bars: on stderr, and only where stderr is a terminal; what else is written there comes above."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

from streamfx.cli.show import is_quiet
from streamfx.cli.standing import above, another_stderr
from streamfx.models.store import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import ProgressColumn


@contextmanager
def bars() -> Iterator[Progress | None]:
    """A callback that draws one bar per model while something arrives; None where nobody would see it."""
    if is_quiet() or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import DownloadColumn, TaskID

    with _drawn(DownloadColumn()) as drawn:
        tasks: dict[str, TaskID] = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = drawn.add_task(f"fetching {name}")
            drawn.update(tasks[name], completed=done, total=total or None)

        yield progress


@contextmanager
def frame_bar(what: str, total: int | Callable[[], int | None]) -> Iterator[Callable[[], None]]:
    """A function to call after each of `total` frames; draws how many are done and the time that remains.

    Args:
        what: what is being done, shown from the first frame on; before it the driver is looked through.
        total: frames expected, or what tells them after each; None where that is not known.
    """
    if is_quiet() or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import MofNCompleteColumn

    def expected() -> int | None:
        return total if isinstance(total, int) else total()

    with _drawn(MofNCompleteColumn()) as drawn:
        task = drawn.add_task("looking at the driver", total=expected())
        done = count(1)

        def tick() -> None:
            made, most = next(done), expected()
            drawn.update(
                task, completed=made, total=None if most is None else max(made, most), description=what
            )

        yield tick


@contextmanager
def _drawn(amount: ProgressColumn) -> Iterator[Bars]:
    """Bars with a name, an amount and the time that remains, which go when the block ends."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    # A handle of their own: they are there before what else is written is held up, and go after it has come.
    with another_stderr() as terminal:
        console = Console(file=terminal)
        with Bars(*columns, console=console, transient=True) as drawn, above(_put_on(console)):
            yield drawn


def _put_on(console: Console) -> Callable[[str], None]:
    return lambda text: console.out(text, highlight=False, end="")
