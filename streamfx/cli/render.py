"""`streamfx render`: a photo and a driver become a film."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from math import isclose
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO, Final

from streamfx.cli import add_json, options, outputs
from streamfx.cli.progress import frame_bar
from streamfx.cli.show import print_json
from streamfx.config import demo_motion_file
from streamfx.errors import UsageError

if TYPE_CHECKING:
    from streamfx.cli import Subparsers
    from streamfx.cli.film import Production
    from streamfx.driving.film import Driver
    from streamfx.frames import Frame, Rendered
    from streamfx.pipeline import Portrait
    from streamfx.render.base import Networks, PortraitRenderer
    from streamfx.sink.writer import PictureWriter
    from streamfx.source import SoundReader, Source
    from streamfx.telemetry import StageTimer

FORMATS: Final = ("mkv", "mp4", "mov", "webm", "gif", "webp")
"""Of a film on standard output."""

DESCRIPTION: Final = """\
Animate a portrait photo by a video, a webcam or a motion template, and write the film.
The film shows the photo only; the driver's picture is in it only with --compare."""

EPILOG: Final = """\
examples:
  streamfx render me.jpg clip.mp4 -o film.mp4 --sheet film.png
  streamfx render me.jpg 0 -o film.mp4 --duration 10      the first webcam, ten seconds
  streamfx render me.jpg motion.sfxm -o film.webm --size 720p
  streamfx render me.jpg clip.mp4 -o me.gif --size 320x320 --duration 3
  streamfx render me.jpg clip.mp4 -o - | mpv -              play it while it is made"""


_PHOTOS: Final = (".jpg", ".jpeg", ".png", ".webp")


def add_parser(subparsers: Subparsers) -> None:
    """Describe `render`."""
    parser = subparsers.add_parser(
        "render",
        help="animate a photo by a video, a webcam or a motion template",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("portrait", metavar="PHOTO", type=Path, help="photo of one face turned to the camera")
    add(
        "driver",
        metavar="DRIVER",
        type=_driver,
        help="video, motion template (.sfxm), webcam (0, /dev/video0), feed:NAME or demo",
    )
    what = "film: .mp4 .mov .mkv .webm .gif .webp, or - for standard output"
    add("-o", "--output", metavar="FILM", type=Path, required=True, help=what)
    add("--format", choices=FORMATS, help="of the film on standard output (mkv)")
    outputs.add_yes(parser)
    options.add_size(parser)
    options.add_film_rate(parser)
    add("--audio", action="store_true", help="keep the sound of the driver's video")
    add("--sheet", type=Path, metavar="PNG", help="also write a contact sheet")
    add("--title", metavar="TEXT", help="headline of the sheet (the names of photo and driver)")
    add("--report", type=Path, metavar="JSON", help="also write how the film was made")
    add("--compare", action="store_true", help="show the driver's video beside the result")
    add("--mode", choices=("layer", "sheet"), default="layer", help="still background (layer), or all moves")
    options.add_allow_no_face(parser)
    options.add_framing(parser)
    options.add_gains(parser)
    options.add_networks(parser)
    options.add_references(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the film, and what else was asked for; then say what was made."""
    _check(arguments)
    if arguments.output != outputs.STANDARD:
        return _make(arguments, None)
    with outputs.lent_output() as pipe:
        return _make(arguments, pipe)


def _make(arguments: argparse.Namespace, pipe: BinaryIO | None) -> int:
    from streamfx.cli.fetch import fetch_models
    from streamfx.cli.film import prepare, write_sheet
    from streamfx.cli.report import film_report, save_report
    from streamfx.driving.film import open_driver
    from streamfx.render.base import Mode
    from streamfx.sink.animation import shown_rate
    from streamfx.telemetry import StageTimer

    networks, render_device = options.networks(arguments), options.render_device(arguments)
    store, timer = fetch_models(), StageTimer()
    limits = {"fps": arguments.fps, "duration_s": arguments.duration}
    limits["shown"] = partial(shown_rate, _suffix(arguments))
    decoding = options.hardware(arguments)
    with open_driver(arguments.driver, store, timer, hardware=decoding, **limits) as driver:
        framing = options.framing(arguments)
        portrait = prepare(arguments.portrait, arguments.size, store, arguments.reference, framing)
        renderer = render_device.renderer(portrait.rig, networks, Mode(arguments.mode))
        made = _animate(arguments, driver, portrait, renderer, timer, pipe)
        settings = _settings(arguments, networks)
        report = film_report(made, driver, portrait, store, networks, settings, arguments.output)
        if arguments.sheet:
            title = arguments.title or f"{arguments.portrait.name} by {driver.name}"
            write_sheet(arguments.sheet, arguments.portrait, made, title)
        if arguments.report:
            save_report(arguments.report, report)
        if arguments.json:
            print_json(report)
        else:
            _tell(arguments, driver, portrait, networks, made)
    return 0


def _driver(text: str) -> str:
    """As `live --source` takes it: a file of that name is ./demo."""
    return str(demo_motion_file()) if text == "demo" else text


def _check_order(arguments: argparse.Namespace) -> None:
    """Raises UsageError where a video stands in the photo's place, and a photo in its."""
    from streamfx.sink.film import CONTAINERS

    photo, driver = arguments.portrait, Path(arguments.driver)
    if photo.suffix.lower() in CONTAINERS and driver.suffix.lower() in _PHOTOS:
        cause = f"{photo} is named as the photo, and {driver} as what drives it"
        raise UsageError(cause, "Name the photo first: streamfx render PHOTO VIDEO -o FILM")


def _check(arguments: argparse.Namespace) -> None:
    """Everything that can be wrong with the command line and its files, before any work."""
    from streamfx.driving.film import Kind, check_driving_file, check_length, kind_of
    from streamfx.files import PHOTO, check_readable
    from streamfx.sink import animation
    from streamfx.sink.film import CONTAINERS

    _check_order(arguments)
    kind = kind_of(arguments.driver)
    for name in ("audio", "compare"):
        if getattr(arguments, name) and kind is not Kind.VIDEO:
            raise UsageError(
                f"--{name} needs a video, and the driver is a {kind.value}", f"Leave out --{name}"
            )
    for photo in (arguments.portrait, *arguments.reference):
        check_readable(photo, PHOTO)
    driver = [] if kind is Kind.CAMERA else [Path(arguments.driver)]
    inputs = [arguments.portrait, *arguments.reference, *driver]
    extra = ((arguments.sheet, (".png",)), (arguments.report, (".json",)))
    films = (*CONTAINERS, *animation.SUFFIXES)
    wanted = [(arguments.output, films), *((path, kinds) for path, kinds in extra if path)]
    outputs.check_outputs(wanted, inputs, replace=arguments.yes)
    outputs.check_json(arguments, arguments.output)
    if arguments.format and arguments.output != outputs.STANDARD:
        raise UsageError("--format is for standard output (-o -)", "Name the film by its suffix instead")
    if arguments.audio and _suffix(arguments) in animation.SUFFIXES:
        raise UsageError(f"A {_suffix(arguments)} film has no sound", "Leave out --audio, or use .mp4")
    check_driving_file(arguments.driver)
    check_length(arguments.driver, arguments.duration)
    if arguments.sheet:
        _check_title(arguments.title or f"{arguments.portrait.name} {Path(arguments.driver).name}")


def _check_title(text: str) -> None:
    from streamfx.text import check_text

    try:
        check_text(text)
    except UsageError as error:
        remedy = f"Give it another with --title TEXT, or {error.remedy[:1].lower()}{error.remedy[1:]}"
        raise UsageError(f"The sheet's headline cannot be drawn: {error.cause}", remedy) from error


def _animate(
    arguments: argparse.Namespace,
    driver: Driver,
    portrait: Portrait,
    renderer: PortraitRenderer,
    timer: StageTimer,
    pipe: BinaryIO | None,
) -> Production:
    from streamfx.cli.film import FilmSound, produce
    from streamfx.driving.film import require_face
    from streamfx.pipeline import Animator
    from streamfx.settings.session import Gains

    gains = Gains(head=arguments.head, expression=arguments.expression, gaze=arguments.gaze)
    animator = Animator(
        portrait.rig,
        renderer=renderer,
        gains=gains,
        timer=timer,
    )
    with ExitStack() as resources:
        sound = FilmSound(driver, Path(arguments.driver)) if arguments.audio else None
        if sound:
            resources.callback(sound.close)
        writer = _writer(arguments, driver.fps, pipe, sound.reader if sound else None)
        with writer as write, frame_bar("rendering", lambda: driver.expected) as tick:
            made = produce(driver, animator, timer, write, tick)
            if not arguments.allow_no_face:
                require_face(driver)  # here, where no film has come to be yet
        return replace(made, sound=sound.account(made.seconds)) if sound else made


@contextmanager
def _writer(
    arguments: argparse.Namespace, fps: float, pipe: BinaryIO | None, sound: SoundReader | None
) -> Iterator[Callable[[Rendered], None]]:
    """The film, open; with --compare one that holds the driver's pictures as well."""
    from streamfx.sink.comparison import Comparison
    from streamfx.source import open_source

    width, height = arguments.size
    if not arguments.compare:
        with _film(arguments, (width, height), fps, pipe, sound) as film:
            yield film.write
        return
    with (
        open_source(arguments.driver, hardware=options.hardware(arguments)) as source,
        _film(arguments, (2 * width, height), fps, pipe, sound) as film,
    ):
        pictures, both = PicturesByTime(source), Comparison(film, arguments.size)
        yield lambda rendered: both.write_pair(rendered, pictures.at(rendered.captured_ns))


@contextmanager
def _film(
    arguments: argparse.Namespace,
    size: tuple[int, int],
    fps: float,
    pipe: BinaryIO | None,
    sound: SoundReader | None,
) -> Iterator[PictureWriter]:
    """What takes the pictures, by the film's suffix and by where it goes."""
    from streamfx.sink import animation
    from streamfx.sink.film import FilmStream, FilmWriter

    suffix = _suffix(arguments)
    if suffix not in animation.SUFFIXES:
        with (
            FilmStream(pipe, suffix, size, fps, sound=sound)
            if pipe
            else FilmWriter(arguments.output, size, fps, sound=sound)
        ) as film:
            yield film
    elif pipe is None:
        with animation.animation(arguments.output, size, fps) as film:
            yield film
    else:  # written when the last picture is known
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"film{suffix}"
            with animation.animation(path, size, fps) as film:
                yield film
            pipe.write(path.read_bytes())


def _suffix(arguments: argparse.Namespace) -> str:
    """The film's, whatever it is called."""
    if arguments.output == outputs.STANDARD:
        return f".{arguments.format or FORMATS[0]}"
    suffix: str = arguments.output.suffix.lower()
    return suffix


class PicturesByTime:
    """The pictures of a video as a player shows them: each until the next one's time.

    Args:
        source: a video file of its own, read alongside the one that drives.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._shown = next(source)
        self._next: Frame | None = next(source, None)

    def at(self, time_ns: int) -> Frame:
        """The picture shown at a time of the video; times must not fall."""
        while self._next is not None and self._next.captured_ns <= time_ns:
            self._shown, self._next = self._next, next(self._source, None)
        return self._shown


def _settings(arguments: argparse.Namespace, networks: Networks) -> dict[str, object]:
    names = ("fps", "duration", "audio", "compare", "mode", "framing", "zoom", "x", "y",
             "expression", "head", "gaze")  # fmt: skip
    return {
        "size": list(arguments.size),
        **{name: getattr(arguments, name) for name in names},
        **options.describe(networks),
        "references": [str(photo) for photo in arguments.reference],
    }


def _tell(
    arguments: argparse.Namespace, driver: Driver, portrait: Portrait, networks: Networks, made: Production
) -> None:
    """What was made, how well, and what to do next."""
    from streamfx.cli.film import driver_line, made_line, quality_line, sound_lines, speed_lines

    print(made_line(arguments.output, portrait, made))
    if arguments.fps and not isclose(driver.fps, arguments.fps):
        print(f"note: a GIF cannot have {arguments.fps:g} frames a second; {driver.fps:.4g} is next below")
    for name in ("sheet", "report"):
        if path := getattr(arguments, name):
            print(f"made {path}, the {name}")
    print(driver_line(driver, made))
    for line in sound_lines(made):
        print(line)
    print(quality_line(made))
    print(options.networks_line(arguments, networks))
    for line in speed_lines(made):
        print(line)
    for finding in portrait.findings:
        print(f"warning: {finding}")
    if not arguments.sheet:
        print("next: add --sheet SHEET.png for a contact sheet, --compare to judge it beside the driver")
