"""Progress bars: on stderr, and only where stderr is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamfx.cli.show import is_quiet
from streamfx.models.store import Progress


@contextmanager
def bars() -> Iterator[Progress | None]:
    """A callback that draws one bar per model while something arrives; None where nobody would see it."""
    if is_quiet() or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as drawn:
        tasks: dict[str, TaskID] = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = drawn.add_task(f"fetching {name}")
            drawn.update(tasks[name], completed=done, total=total or None)

        yield progress


@contextmanager
def frame_bar(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """A function to call after each of `total` frames; draws how many are done and the time that remains.

    Args:
        what: what is being done, shown from the first frame on; before it the driver is looked through.
        total: frames expected; None where that is not known.
    """
    if is_quiet() or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task("looking at the driver", total=total)
        yield lambda: drawn.update(task, advance=1, description=what)
