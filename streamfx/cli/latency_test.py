"""`streamfx latency-test`: how long a picture takes from us to a program that reads the virtual camera."""

from __future__ import annotations

import argparse
import threading
from typing import TYPE_CHECKING, Final

from streamfx.cli import add_json, options
from streamfx.cli.show import print_json

if TYPE_CHECKING:
    from streamfx.cli import Subparsers
    from streamfx.sink.camera import VirtualCamera

DESCRIPTION: Final = """\
Publish pictures that carry the time in their pixels to the virtual camera, read them back as a call's
program would, and tell how old they are. Close programs that use the camera first."""

_WARM: Final = 10
"""Pictures at the start that do not count: the reader opens the camera meanwhile."""


def add_parser(subparsers: Subparsers) -> None:
    """Describe `latency-test`."""
    text = "measure the delay of the virtual camera"
    parser = subparsers.add_parser(
        "latency-test",
        help=text,
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    what = "virtual camera: a v4l2loopback device (auto, the best at hand)"
    add("--camera", default="auto", metavar="WHAT", help=what)
    options.add_size(parser)
    options.add_live_rate(parser)
    add("--frames", type=options.count(10, 100_000), default=150, metavar="N", help="how many (150)")
    add_json(parser, reads=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Publish, read, tell."""
    from streamfx.errors import SourceUnreadable
    from streamfx.sink.camera import open_camera
    from streamfx.sink.publisher import percentiles

    camera = open_camera(arguments.camera, arguments.size, arguments.fps)
    stopping = threading.Event()
    sender = threading.Thread(target=_publish, args=(camera, arguments, stopping), daemon=True)
    sender.start()
    try:
        ages = _read(camera.device, arguments.frames)
    finally:
        stopping.set()
        sender.join()
        camera.close()
    if not ages:
        raise SourceUnreadable(
            f"No picture from {camera.device} carried its time", "Look at `streamfx doctor`"
        )
    p50, p95, p99 = percentiles(ages)
    if arguments.json:
        print_json(
            {"camera": camera.device, "frames": len(ages), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}
        )
    else:
        print(f"{camera.device}: {len(ages)} pictures, delay {p50:.1f} ms (95 %: {p95:.1f}, 99 %: {p99:.1f})")
    return 0


def _publish(camera: VirtualCamera, arguments: argparse.Namespace, stopping: threading.Event) -> None:
    """Idle pictures with their time, at an even rate, until told to stop."""
    from streamfx.realtime import Pacer
    from streamfx.sink.idle import IdlePlayer, silhouette
    from streamfx.sink.stamp import stamp

    player, pacer = IdlePlayer(silhouette(arguments.size)), Pacer(arguments.fps)
    while not stopping.is_set():
        pacer.wait()
        picture = player.at(_now())
        stamp(picture.rgb, _now())
        camera.publish(picture)


def _read(device: str, frames: int) -> list[float]:
    """Ages in ms of the pictures as they are read, the first ones left out."""
    from streamfx.sink.stamp import read_stamp
    from streamfx.source import open_source

    ages: list[float] = []
    with open_source(device) as source:
        for number, frame in enumerate(source):
            made = read_stamp(frame.rgb)
            if made is not None and number >= _WARM:
                ages.append((frame.captured_ns - made) / 1e6)
            if number >= frames + _WARM:
                break
    return ages


def _now() -> int:
    from time import monotonic_ns

    return monotonic_ns()
