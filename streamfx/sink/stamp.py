"""A moment of the monotonic clock, written into a picture's pixels and read back at whoever shows it.

Four rows of squares in the upper left corner, black and white: 64 bits of nanoseconds, 16 of a check. They
survive any conversion of colours.
"""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np

from streamfx.frames import U8

SQUARE: Final = 8
"""px"""
_BITS: Final = 64 + 16
_ROWS: Final = 4
_COLUMNS: Final = _BITS // _ROWS
_MIDDLE: Final = 128
SIZE: Final = (_COLUMNS * SQUARE, _ROWS * SQUARE)
"""(width, height) px of the stamp."""


def stamp(rgb: U8, moment_ns: int) -> None:
    """Write a moment into a picture, in place.

    Args:
        rgb: u8 [H,W,3], at least SIZE.
        moment_ns: 0 to 2**64 - 1.
    """
    data = moment_ns.to_bytes(8, "big")
    check = (zlib.crc32(data) & 0xFFFF).to_bytes(2, "big")
    bits = np.unpackbits(np.frombuffer(data + check, np.uint8)).reshape(_ROWS, _COLUMNS)
    squares = np.kron(bits, np.ones((SQUARE, SQUARE), np.uint8)) * np.uint8(255)
    rgb[: SIZE[1], : SIZE[0]] = squares[..., None]


def read_stamp(rgb: U8) -> int | None:
    """The moment in a picture, ns; None where there is none that can be read.

    Args:
        rgb: u8 [H,W,3], as large as when it was stamped.
    """
    if rgb.shape[0] < SIZE[1] or rgb.shape[1] < SIZE[0]:
        return None
    squares = rgb[: SIZE[1], : SIZE[0]].mean(2).reshape(_ROWS, SQUARE, _COLUMNS, SQUARE)
    inner = squares[:, 2:-2, :, 2:-2].mean((1, 3))
    data = np.packbits(inner.ravel() > _MIDDLE).tobytes()
    if (zlib.crc32(data[:8]) & 0xFFFF).to_bytes(2, "big") != data[8:]:
        return None
    return int.from_bytes(data[:8], "big")
