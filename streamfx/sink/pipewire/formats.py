"""How pictures lie in the camera's buffers, and the parameters by which PipeWire programs agree to that.

One layout is offered: YUY2, what nearly every webcam gives and so every program takes. All readers of a node
share one layout, and one that wants another is refused while the first reads: with I420 as well, a browser
would choose that, and OBS, which does not know it, could not join.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import cv2

from streamfx.frames import U8
from streamfx.sink.pipewire import pod

FORMAT: Final = 4
_ENUM_FORMAT: Final = 3
_BUFFERS: Final = 5
_META: Final = 6
"""Kinds of parameter: what was agreed on, what is possible, and what the buffers are to be like."""

_OBJECT_FORMAT: Final = 0x40003
_OBJECT_BUFFERS: Final = 0x40004
_OBJECT_META: Final = 0x40005

_MEDIA_TYPE, _MEDIA_SUBTYPE = 1, 2
_VIDEO, _RAW = 2, 1
_PIXELS, _SIZE, _RATE = 0x20001, 0x20003, 0x20004
_YUY2: Final = 4
_COLOR_RANGE, _COLOR_MATRIX = 0x2000C, 0x2000D
_16_TO_235, _BT601 = 2, 4
"""What OpenCV makes of RGB, and what browsers assume of cameras."""

META_HEADER: Final = 1
META_HEADER_SIZE: Final = 32
_MEMORY: Final = 1 << 1 | 1 << 2
"""Buffers in plain memory or in a memfd; never in a graphics card."""


def stride(size: tuple[int, int]) -> int:
    """Bytes from a row to the next."""
    return 2 * size[0]


def picture_bytes(size: tuple[int, int]) -> int:
    """Bytes of a picture."""
    return stride(size) * size[1]


def write(rgb: U8, target: U8) -> None:
    """Convert a picture.

    Args:
        rgb: u8 [H,W,3]
        target: u8 [2 H W], written in place.
    """
    height, width = rgb.shape[:2]
    cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_YUY2, dst=target.reshape(height, width, 2))


def offer(size: tuple[int, int], rate: Fraction) -> bytes:
    """The EnumFormat parameter; of plain values, since browsers read no ranges."""
    values = {
        _MEDIA_TYPE: pod.ident(_VIDEO),
        _MEDIA_SUBTYPE: pod.ident(_RAW),
        _PIXELS: pod.ident(_YUY2),
        _SIZE: pod.rectangle(*size),
        _RATE: pod.fraction(rate),
        _COLOR_RANGE: pod.ident(_16_TO_235),
        _COLOR_MATRIX: pod.ident(_BT601),
    }
    return pod.build_object(_OBJECT_FORMAT, _ENUM_FORMAT, values)


def buffer_wishes(size: tuple[int, int]) -> list[bytes]:
    """The Buffers and Meta parameters: a few plain buffers of one picture each, with a time stamp."""
    buffers = {
        1: pod.integer_range(4, 2, 8),  # how many
        2: pod.integer(1),  # blocks
        3: pod.integer(picture_bytes(size)),
        4: pod.integer(stride(size)),
        6: pod.integer_flags(_MEMORY),
    }
    meta = {1: pod.ident(META_HEADER), 2: pod.integer(META_HEADER_SIZE)}
    return [
        pod.build_object(_OBJECT_BUFFERS, _BUFFERS, buffers),
        pod.build_object(_OBJECT_META, _META, meta),
    ]
