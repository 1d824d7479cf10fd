"""`streamfx devices list`: the cameras of this machine."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from streamfx.cli import add_json
from streamfx.cli.show import print_columns, print_json

if TYPE_CHECKING:
    from streamfx.cli import Subparsers
    from streamfx.source import CameraInfo


def add_parser(subparsers: Subparsers) -> None:
    """Describe `devices list`."""
    text = "list the cameras of this machine, and programs that feed pictures"
    parser = subparsers.add_parser("devices", help=text, description="The cameras of this machine.")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    one = actions.add_parser(
        "list", help=text, description="List the cameras and feeds, without opening any of them."
    )
    add_json(one, reads=True)
    one.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List the cameras and feeds; none is no failure."""
    from streamfx.feeds import list_feeds
    from streamfx.source import list_cameras

    cameras, feeds = list_cameras(), list_feeds()
    if arguments.json:
        print_json({"cameras": [asdict(camera) for camera in cameras], "feeds": feeds})
    elif cameras or feeds:
        rows = [(camera.spec, _kind(camera), camera.name) for camera in cameras]
        rows += [(spec, "feed", "fed by another program") for spec in feeds]
        print_columns([("CAMERA", "STATE", "NAME"), *rows])
    else:
        print("no camera found; a video file can drive the portrait as well")
    return 0


def _kind(camera: CameraInfo) -> str:
    if not camera.permitted:
        return "no permission"
    return "virtual" if camera.virtual else "ok"
