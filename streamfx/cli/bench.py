"""`streamfx bench`: how fast this machine animates, from decoding a picture to the finished frame."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamfx.cli import add_json, options
from streamfx.cli.show import print_columns, print_json

if TYPE_CHECKING:
    from streamfx.cli import Subparsers
    from streamfx.lab.speed import Speed
    from streamfx.telemetry import StageTime

SIZES: Final = ((640, 480), (1280, 720), (1920, 1080))
DEMO: Final = "a clip made from the demo (its photo and motion): no video was named"

DESCRIPTION: Final = """\
Measure decoding, tracking and rendering, frame by frame in one thread, then as `render` runs them,
tracking ahead of rendering; beside it, in the same run, a plain thin-plate-spline warp of the same photo
by the same motion. Nothing is encoded."""


def add_parser(subparsers: Subparsers) -> None:
    """Describe `bench`."""
    parser = subparsers.add_parser(
        "bench",
        help="measure how fast this machine animates",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--portrait", type=Path, metavar="PHOTO", help="photo to animate (the demo's)")
    add("--driver", type=Path, metavar="VIDEO", help="video that drives (one made from the demo)")
    what = "width and height in px, or lines; may be repeated (640x480, 720p, 1080p)"
    add("--size", type=options.frame_size, action="append", metavar="WxH", help=what)
    add("--frames", type=options.count(20, 4000), default=300, metavar="N", help="per pass (300)")
    options.add_networks(parser)
    options.add_references(parser)
    add_json(parser, reads=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure each size, then show the tables."""
    from streamfx.cli.fetch import fetch_models
    from streamfx.cli.film import prepare
    from streamfx.files import PHOTO, check_readable
    from streamfx.lab.speed import Drawn, measure
    from streamfx.rendering import open_device

    networks, render_device = options.networks(arguments), options.render_device(arguments)
    render_devices = {
        arguments.device: render_device,
        options.DEVICES[0]: open_device(),
    }  # the CPU beside a card
    store = fetch_models("astronaut")
    photo = arguments.portrait or store.path("astronaut")
    for path in (photo, *arguments.reference):  # before a driver is made
        check_readable(path, PHOTO)
    with _clip(arguments.driver) as clip:
        found = []
        for size in arguments.size or SIZES:
            portrait = prepare(photo, size, store, arguments.reference)
            for device, render_device in render_devices.items():
                drawn = Drawn(portrait.rig, networks, render_device, device)
                found.append(measure(drawn, clip, store, arguments.frames))
    driver = arguments.driver.name if arguments.driver else DEMO
    if arguments.json:
        print_json(_document(found, photo.name, driver) | options.describe(networks))
    else:
        _show(found, photo.name, driver)
        print(options.networks_line(arguments, networks))
    return 0


@contextmanager
def _clip(named: Path | None) -> Iterator[Path]:
    from streamfx.lab.demo_clip import demo_clip

    if named is not None:
        yield named
        return
    with tempfile.TemporaryDirectory() as folder:
        yield demo_clip(Path(folder))


def _document(found: list[Speed], photo: str, driver: str) -> dict[str, object]:
    from streamfx.cli.machine import machine, versions
    from streamfx.lab.baseline import DESCRIPTION as BASELINE

    return {
        "machine": machine(),
        "versions": versions(),
        "photo": photo,
        "driver": driver,
        "baseline": BASELINE,
        "sizes": [asdict(speed) | {"fps": speed.fps} for speed in found],
    }


def _show(found: list[Speed], photo: str, driver: str) -> None:
    from streamfx.cli.machine import cpu_cores, cpu_name
    from streamfx.lab.baseline import DESCRIPTION as BASELINE

    print(f"{cpu_name()}, {cpu_cores()} cores")
    print(f"{photo} driven by {driver}; {found[0].whole.count} frames a pass, after a warm-up")
    for speed in found:
        width, height = speed.size
        where = f" on {speed.device}" if len({one.device for one in found}) > 1 else ""
        print(f"\n{width}x{height}{where}: {speed.fps:.1f} frames a second, decode to finished frame")
        print(f"  decoder: {speed.decoder}")
        whole = [speed.geometry, speed.whole, speed.interval, speed.baseline]
        beside = {time.stage: time for time in speed.beside}
        rows = [(*_row(time), *_row(beside[time.stage])[1:]) for time in speed.stages]
        print_columns(
            [("", "MEDIAN", "P95", "PIPELINED", "P95"), *rows, *((*_row(time), "", "") for time in whole)]
        )
        print(f"  memory, at most so far: {speed.peak_mb:.0f} MB")
    print("\ngeometry is motion + deform + warp; whole frame is all stages in one thread;")
    print(BASELINE)


def _row(time: StageTime) -> tuple[str, str, str]:
    return f"  {time.stage}", f"{time.median_ms:6.2f}", f"{time.p95_ms:6.2f} ms"
