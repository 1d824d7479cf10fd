"""Options that several commands share: their types, and the checks that are made before any work."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from streamfx.errors import UsageError
from streamfx.files import check_writable, same_file

SIZES: Final = (64, 4096)
"""px: smallest and largest side of a film."""
RATES: Final = (1.0, 240.0)
"""Frames per second."""


def frame_size(text: str) -> tuple[int, int]:
    """`640x480` as (width, height); even, within SIZES."""
    low, high = SIZES
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it as 640x480") from None
    if not (low <= width <= high and low <= height <= high):
        raise argparse.ArgumentTypeError(f"{text} is outside {low}x{low} to {high}x{high}")
    if width % 2 or height % 2:
        raise argparse.ArgumentTypeError(
            f"{text} has an odd side; both must be even, as {width // 2 * 2}x{height // 2 * 2}"
        )
    return width, height


def number(low: float, high: float) -> Callable[[str], float]:
    """The type of an option that takes a number from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is outside {low:g} to {high:g}")
        return value

    return parse


def count(low: int, high: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return int(text)

    return parse


fps = number(*RATES)
gain = number(0.0, 1.5)
seconds = number(0.04, 24 * 3600)


def check_outputs(outputs: Sequence[tuple[Path, Sequence[str]]], inputs: Sequence[Path]) -> None:
    """Find before the work starts what would fail after it.

    Args:
        outputs: each file to be written, and the suffixes it may have.
        inputs: files that must survive.

    Raises:
        UsageError: a suffix that is not among them; an output that is an input, or another output.
        OutputError: the file cannot be written.
    """
    for index, (path, suffixes) in enumerate(outputs):
        if path.suffix.lower() not in suffixes:
            kind = f"cannot be written as '{path.suffix}'" if path.suffix else "has no suffix"
            raise UsageError(f"{path} {kind}", f"Use {', '.join(suffixes)}")
        for other in (*inputs, *(path for path, _ in outputs[:index])):
            if same_file(path, other):
                raise UsageError(
                    f"{path} and {other} are the same file", "Choose another name for the output"
                )
        check_writable(path)
