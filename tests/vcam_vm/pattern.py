"""The picture that senders show and readers check: eight bars of colour, above them its number."""

from __future__ import annotations

import time

import numpy as np

from streamfx.frames import U8, Rendered
from streamfx.quality import Quality

BARS = np.array(
    [
        (200, 200, 200),
        (200, 200, 20),
        (20, 200, 200),
        (20, 200, 20),
        (200, 20, 200),
        (200, 20, 20),
        (20, 20, 200),
        (60, 60, 60),
    ]
)
_BITS = 16
_STRIP = 32
"""Height of the strip that holds the number, px."""


def picture(number: int, size: tuple[int, int]) -> Rendered:
    """The bars with a number, up to 65535, in black and white fields."""
    width, height = size
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:] = BARS[np.arange(width) * len(BARS) // width]
    stamp(rgb, number)
    now = time.monotonic_ns()
    return Rendered(rgb, captured_ns=now, rendered_ns=now, seq=number, quality=Quality.FULL)


def stamp(rgb: U8, number: int) -> None:
    """Write a number into the strip."""
    bits = (number >> (np.arange(rgb.shape[1]) * _BITS // rgb.shape[1])) & 1
    rgb[:_STRIP] = np.where(bits, 235, 16)[:, None]


def read_stamp(luma: U8) -> int:
    """The number in a picture's brightness."""
    fields = luma[8 : _STRIP - 8].mean(0).reshape(_BITS, -1).mean(1)
    return int(((fields > 125) << np.arange(_BITS)).sum())


def colour_error(rgb: U8) -> int:
    """The largest deviation inside of any bar, 0 to 255."""
    height, width = rgb.shape[:2]
    bar = width // len(BARS)
    columns = [rgb[_STRIP * 2 : height - 16, i * bar + 8 : (i + 1) * bar - 8] for i in range(len(BARS))]
    return max(int(abs(one.astype(int) - colour).max()) for one, colour in zip(columns, BARS, strict=True))
