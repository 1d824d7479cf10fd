"""What `streamfx ctl` does that lasts: watching, showing and recording a session."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from streamfx.cli import ctl_show, outputs
from streamfx.cli.ctl_actions import session_id
from streamfx.cli.show import print_json
from streamfx.cli.standing import StandingLine
from streamfx.errors import OutputError, ResourceUnready, UsageError
from streamfx.files import atomic_output
from streamfx.interrupts import until_ctrl_c

if TYPE_CHECKING:
    from rich.text import Text

    from streamfx.client import Client, Preview, Progress

T = TypeVar("T")

_SIDE: Final = 1920
"""px: of a picture that is kept."""
_COLUMNS: Final = 160
"""Characters at most that a preview in the terminal is wide."""
_TERMINAL_FPS: Final = 10.0
_RECORDED: Final = (".mp4",)
_PICTURES: Final = (".jpg", ".jpeg")


def watch(client: Client, arguments: argparse.Namespace) -> None:
    """One live line on a terminal; a line each elsewhere."""
    statuses = client.watch(session_id(client, arguments), arguments.interval)
    with StandingLine(sys.stdout) as terminal, closing(statuses):
        for status in _until(statuses, arguments.duration):
            if arguments.json:
                terminal.say(json.dumps(ctl_show.document(status), ensure_ascii=False))
            elif terminal.is_there:
                terminal.draw(ctl_show.line(status))
            else:
                terminal.say(ctl_show.line(status))


def preview(client: Client, arguments: argparse.Namespace) -> None:
    """One picture into a file, or the moving one into a window or the terminal."""
    if (arguments.to is not None) + arguments.window + arguments.terminal != 1:
        raise UsageError("A preview goes to one place", "Give --to FILE.jpg, --window or --terminal")
    if arguments.window:
        _open_window(client, arguments)
    elif arguments.to is None:
        _show_pictures(client, arguments)
    else:
        outputs.check_outputs([(arguments.to, _PICTURES)], [], replace=arguments.yes)
        outputs.check_json(arguments, arguments.to)
        _keep_picture(client, arguments)


def record(client: Client, arguments: argparse.Namespace) -> None:
    """Until the time is over, or Ctrl-C: the file is complete either way."""
    if Path(arguments.file).suffix.lower() not in _RECORDED:
        raise UsageError(f"{arguments.file} is no film", f"Use {', '.join(_RECORDED)}")
    id, path = session_id(client, arguments), arguments.file
    latest: list[Progress] = []
    # Ctrl-C is the way to end a recording without a duration.
    with closing(client.record(id, path, arguments.duration or 0.0)) as steps, until_ctrl_c():
        for step in steps:
            latest[:] = [step]
    if not latest:
        raise ResourceUnready("session", id, "The recording ended before it began", "Try again")
    (progress,) = latest
    if progress.trouble:
        raise OutputError(progress.trouble)
    if arguments.json:
        print_json({"path": path, **ctl_show.document(progress)})
    else:
        print(f"made {path}: {progress.frames} frames, {progress.elapsed_s:.1f} s")


def _keep_picture(client: Client, arguments: argparse.Namespace) -> None:
    with closing(client.preview(session_id(client, arguments), max_side=_SIDE, quality=95)) as pictures:
        picture = next(pictures, None)
    if picture is None:
        raise ResourceUnready("session", arguments.session, "The session has ended", "Begin another")
    if arguments.to == outputs.STANDARD:
        with outputs.lent_output() as file:
            file.write(picture.jpeg)
        return
    with atomic_output(arguments.to) as part:
        part.write_bytes(picture.jpeg)
    facts = {"path": str(arguments.to), "size": list(picture.size), "quality": picture.quality.value}
    if arguments.json:
        print_json(facts)
    elif not arguments.quiet:
        print(f"made {arguments.to}: {picture.size[0]}x{picture.size[1]} px, {picture.quality}")


def _open_window(client: Client, arguments: argparse.Namespace) -> None:
    from streamfx.cli.keys import ClientSteering, press
    from streamfx.cli.window import show

    id = session_id(client, arguments)
    steering = ClientSteering(client, id)
    with closing(client.preview(id, max_side=_SIDE, quality=90)) as pictures:
        jpegs = (picture.jpeg for picture in _until(pictures, arguments.duration))
        show(jpegs, f"streamfx: {id} (? shows the keys)", lambda key: press(key, steering))


def _show_pictures(client: Client, arguments: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.live import Live

    if not sys.stdout.isatty():
        raise UsageError("--terminal needs a terminal", "Give --window, or --to FILE.jpg")
    console = Console()
    pictures = client.preview(
        session_id(client, arguments), max_fps=_TERMINAL_FPS, max_side=4 * _COLUMNS, quality=90
    )
    with closing(pictures), Live(console=console, auto_refresh=False, transient=True) as live:
        for picture in _until(pictures, arguments.duration):
            live.update(half_blocks(picture, console.width, console.height - 1), refresh=True)


def half_blocks(picture: Preview, columns: int, rows: int) -> Text:
    """A picture as text: each character is two pixels, one above the other."""
    import io

    from PIL import Image
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

    with Image.open(io.BytesIO(picture.jpeg)) as opened:
        image = opened.convert("RGB")
    scale = min(min(columns, _COLUMNS) / image.width, 2 * rows / image.height)
    size = (max(1, round(image.width * scale)), 2 * max(1, round(image.height * scale / 2)))
    data = image.resize(size, Image.Resampling.BOX).tobytes()
    text = Text(no_wrap=True)
    for y in range(0, size[1], 2):
        for x in range(size[0]):
            upper, lower = ((size[0] * (y + below) + x) * 3 for below in (0, 1))
            above, under = (Color.from_rgb(*data[at : at + 3]) for at in (upper, lower))
            text.append("▀", Style(color=above, bgcolor=under))
        text.append("\n")
    return text


def _until(values: Iterator[T], duration_s: float | None) -> Iterator[T]:
    """The values that come within a time; all, without one."""
    end = None if duration_s is None else time.monotonic() + duration_s
    for value in values:
        yield value
        if end is not None and time.monotonic() >= end:
            return
