"""Measure and print: see the package."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Final

import torch

from streamfx.errors import StreamfxError
from streamfx.lab import card
from streamfx.lab.card.common import SIZES
from streamfx.lab.card.frames import tell_frames, ways
from streamfx.lab.card.parts import tell_down, tell_raster
from streamfx.lab.card.sessions import serve, session, tell_growth, tell_sessions
from streamfx.render.gpu.gpu_device import GpuDevice
from streamfx.rendering import check_renderer

PARTS: Final = ("raster", "down", "frames", "memory", "sessions")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print, a line each."""
    parser = argparse.ArgumentParser(prog="python -m streamfx.lab.card", description=card.__doc__)
    add = parser.add_argument
    add("--device", default="", help="a device of torch's: cpu rehearses (the card)")
    add("--frames", type=int, default=300, metavar="N", help="per measurement (300)")
    add("--size", type=_size, action="append", metavar="WxH", help="px; may be repeated")
    what = "frames over which memory must not grow (10000)"
    add("--long", type=int, default=10_000, metavar="N", help=what)
    add("--sessions", type=int, default=32, metavar="N", help="on one card (32)")
    add("--only", choices=PARTS, action="append", help="one part of it; may be repeated")
    add("--one", metavar="CARD", help=argparse.SUPPRESS)
    add("--serve", type=int, metavar="SOCKET", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        device = torch.device(options.device) if options.device else None
        if options.one:
            print(json.dumps(session(options.one)))
            return 0
        if options.serve is not None:
            serve(options.serve, device)
        _measure(device, options)
    except StreamfxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _size(text: str) -> tuple[int, int]:
    width, height = (int(side) for side in text.split("x"))
    return width, height


def _measure(asked: torch.device | None, options: argparse.Namespace) -> None:
    studio = GpuDevice(check_renderer, asked)
    device, parts = studio.device, options.only or PARTS
    on_card = device.type == "cuda"
    print(f"{torch.cuda.get_device_name() if on_card else 'rehearsal on the CPU'}, torch {torch.__version__}")
    drawn = list(ways(asked)) if "frames" in parts else []
    with torch.no_grad():
        for size in options.size or SIZES:
            if "raster" in parts:
                tell_raster(size, options.frames, device)
            if "down" in parts:
                tell_down(size, options.frames, device)
            for way in drawn:
                tell_frames(way, size, options.frames)
    if "memory" in parts:
        tell_growth(studio, options.long)
    if "sessions" in parts:
        tell_sessions(options.device, options.sessions)


if __name__ == "__main__":
    sys.exit(main())
