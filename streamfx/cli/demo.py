"""`streamfx demo`: a free photo and the motion that ships with streamfx become a film."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamfx import config
from streamfx.cli import options, outputs
from streamfx.cli.progress import frame_bar
from streamfx.errors import OutputError

if TYPE_CHECKING:
    from streamfx.cli import Subparsers
    from streamfx.cli.film import Production
    from streamfx.driving.film import Driver
    from streamfx.pipeline import Portrait
    from streamfx.render.base import PortraitRenderer
    from streamfx.telemetry import StageTimer

SIZE: Final = (640, 480)
FPS: Final = 30
PHOTO: Final = "astronaut"
TITLE: Final = "streamfx demo: Eileen Collins (NASA, public domain), animated by demo.sfxm"

NEXT: Final = """\
next:
  streamfx render YOUR-PHOTO.jpg YOUR-CLIP.mp4 -o film.mp4       your photo, your motion
  streamfx render YOUR-PHOTO.jpg 0 -o film.mp4 --duration 10     the same by webcam, for ten seconds
  streamfx bench                                                 how fast this machine is
  streamfx doctor                                                what this machine lacks, if anything"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe `demo`."""
    text = "animate a free photo by a motion that ships with streamfx"
    parser = subparsers.add_parser("demo", help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("out"), metavar="FOLDER", help="where they go (out)"
    )
    outputs.add_yes(parser)
    options.add_networks(parser)
    options.add_references(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make demo.mp4 and demo.png; say what they are, how fast they were made, and what to do next."""
    from streamfx.cli.fetch import fetch_models
    from streamfx.cli.film import made_line, prepare, speed_lines, write_sheet
    from streamfx.driving.film import open_driver
    from streamfx.telemetry import StageTimer

    film, sheet = (_folder(arguments.output) / f"demo{suffix}" for suffix in (".mp4", ".png"))
    made_here = [(film, (".mp4",)), (sheet, (".png",))]
    outputs.check_outputs(made_here, arguments.reference, replace=arguments.yes)
    networks, render_device = options.networks(arguments), options.render_device(arguments)
    store, timer = fetch_models(PHOTO), StageTimer()
    photo = store.path(PHOTO)
    portrait = prepare(photo, SIZE, store, arguments.reference)
    with open_driver(str(config.demo_motion_file()), store, timer, fps=FPS) as driver:
        made = _animate(film, portrait, driver, render_device.renderer(portrait.rig, networks), timer)
    write_sheet(sheet, photo, made, TITLE)
    print(made_line(film, portrait, made))
    print(f"made {sheet}: the photo, {len(made.variety.shots())} frames of the film, the stage times")
    print(options.networks_line(arguments, networks))
    for line in speed_lines(made):
        print(line)
    print(NEXT)
    return 0


def _folder(path: Path) -> Path:
    """The output folder, made if it is not there. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cause = f"The folder {path} cannot be made: {error.strerror or error}"
        raise OutputError(cause, "Name another with -o FOLDER") from error
    return path


def _animate(
    film: Path,
    portrait: Portrait,
    driver: Driver,
    renderer: PortraitRenderer,
    timer: StageTimer,
) -> Production:
    from streamfx.cli.film import produce
    from streamfx.pipeline import Animator
    from streamfx.sink.film import FilmWriter

    animator = Animator(portrait.rig, renderer=renderer, timer=timer)
    with FilmWriter(film, SIZE, FPS) as writer, frame_bar("rendering", lambda: driver.expected) as tick:
        return produce(driver, animator, timer, writer.write, tick)
