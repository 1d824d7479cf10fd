"""`streamfx record`: what a driver does becomes a motion template, a small file of numbers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamfx.cli import add_json, options, outputs
from streamfx.cli.progress import frame_bar
from streamfx.cli.show import print_json
from streamfx.errors import UsageError

if TYPE_CHECKING:
    from streamfx.cli import Subparsers
    from streamfx.driving.film import Driver
    from streamfx.driving.template import MotionTemplate
    from streamfx.frames import Motion

DESCRIPTION: Final = """\
Track the face of a video or webcam and write its motion: expression, head, gaze, lips and lids as
numbers, no picture. Any portrait can be animated by it later, without tracking."""


def add_parser(subparsers: Subparsers) -> None:
    """Describe `record`."""
    text = "write the motion of a video or webcam as a template"
    parser = subparsers.add_parser(
        "record", help=text, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("driver", metavar="DRIVER", help="video, webcam (0, /dev/video0) or feed:NAME")
    add(
        "-o",
        "--output",
        metavar="MOTION",
        type=Path,
        required=True,
        help="motion template: .sfxm, or - for standard output",
    )
    outputs.add_yes(parser)
    options.add_film_rate(parser)
    options.add_allow_no_face(parser)
    add("--origin", default="", metavar="TEXT", help="who made it and how it may be used; kept in the file")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Track, write, and say what was written."""
    from streamfx.cli.fetch import fetch_models
    from streamfx.driving.film import (
        Kind,
        check_driving_file,
        check_length,
        kind_of,
        open_driver,
        require_face,
    )
    from streamfx.settings.source import TEMPLATE_SUFFIX
    from streamfx.telemetry import StageTimer

    kind = kind_of(arguments.driver)
    if kind is Kind.TEMPLATE:
        raise UsageError(f"{arguments.driver} is a motion template already", "Name a video or a webcam")
    check_length(arguments.driver, arguments.duration)
    inputs = [] if kind is Kind.CAMERA else [Path(arguments.driver)]
    outputs.check_outputs([(arguments.output, (TEMPLATE_SUFFIX,))], inputs, replace=arguments.yes)
    outputs.check_json(arguments, arguments.output)
    check_driving_file(arguments.driver)
    store = fetch_models()
    limits = {"fps": arguments.fps, "duration_s": arguments.duration}
    with open_driver(arguments.driver, store, StageTimer(), **limits) as driver:
        template = _record(driver, arguments.origin)
        if not arguments.allow_no_face:
            require_face(driver)
        if arguments.output == outputs.STANDARD:
            with outputs.lent_output() as file:
                file.write(template.encode())
                _tell(arguments, driver, template)
        else:
            template.save(arguments.output)
            _tell(arguments, driver, template)
    return 0


def _record(driver: Driver, origin: str) -> MotionTemplate:
    """The template of all that the driver does."""
    from streamfx.driving.template import MotionTemplate

    with frame_bar("recording", lambda: driver.expected) as tick, closing(driver.motions()) as motions:

        def counted() -> Iterator[Motion]:
            for motion in motions:
                tick()
                yield motion

        return MotionTemplate.from_motions(counted(), driver.fps, origin=origin, source=driver.name)


def _tell(arguments: argparse.Namespace, driver: Driver, template: MotionTemplate) -> None:
    account, size = driver.account(), len(template.encode())
    if arguments.json:
        facts = {"path": str(arguments.output), "bytes": size, "frames": len(template), "fps": template.fps}
        share = {"pictures": account.pictures, "tracked": account.tracked}
        print_json(facts | share | {"tracked_share": round(account.share, 4)})
        return
    length = len(template) / template.fps
    path = outputs.called(arguments.output)
    print(f"made {path}: {len(template)} frames, {length:.1f} s, {size / 1e3:.1f} kB")
    print(f"driver: {driver.name}, a face in {account.tracked} of {account.pictures} pictures")
    if arguments.output != outputs.STANDARD:
        print(f"next: streamfx render PHOTO {arguments.output} -o FILM.mp4")
