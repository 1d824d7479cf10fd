"""The pixel layouts that the camera offers, and the parameters by which PipeWire programs agree on one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import cv2

from streamfx.frames import U8
from streamfx.sink.pipewire import pod

ENUM_FORMAT: Final = 3
FORMAT: Final = 4
_BUFFERS: Final = 5
_META: Final = 6
"""Kinds of parameter: what is possible, what was agreed on, and what the buffers are to be like."""

_OBJECT_FORMAT: Final = 0x40003
_OBJECT_BUFFERS: Final = 0x40004
_OBJECT_META: Final = 0x40005

_MEDIA_TYPE, _MEDIA_SUBTYPE = 1, 2
_VIDEO, _RAW = 2, 1
_PIXELS, _SIZE, _RATE = 0x20001, 0x20003, 0x20004
_COLOR_RANGE, _COLOR_MATRIX = 0x2000C, 0x2000D
_LIMITED, _FULL = 2, 1
_BT601, _RGB = 4, 1

META_HEADER: Final = 1
META_HEADER_SIZE: Final = 32
_MEMORY: Final = 1 << 1 | 1 << 2
"""Buffers in plain memory or in a memfd; never in a graphics card."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a picture lies in a buffer."""

    name: str
    ident: int
    """SPA_VIDEO_FORMAT_*"""
    row: Fraction
    """Bytes of the first plane per px of width."""
    share: Fraction
    """Bytes of the whole picture per px."""
    planes: Callable[[int, int], tuple[int, ...]] = field(repr=False)
    """Width and height to the shape of the array that OpenCV writes."""
    conversion: int
    """OpenCV's code, from RGB."""
    colors: tuple[int, int]
    """Range and matrix: OpenCV's YUV is BT.601, 16 to 235."""

    def stride(self, size: tuple[int, int]) -> int:
        """Bytes from a row to the next."""
        return int(self.row * size[0])

    def bytes(self, size: tuple[int, int]) -> int:
        """Bytes of a picture."""
        return int(self.share * size[0] * size[1])

    def write(self, rgb: U8, target: U8) -> None:
        """Convert a picture.

        Args:
            rgb: u8 [H,W,3]
            target: u8 [bytes], written in place.
        """
        height, width = rgb.shape[:2]
        cv2.cvtColor(rgb, self.conversion, dst=target.reshape(self.planes(width, height)))


LAYOUTS: Final = (
    Layout(
        "I420", 2, Fraction(1), Fraction(3, 2), lambda w, h: (h * 3 // 2, w),
        cv2.COLOR_RGB2YUV_I420, (_LIMITED, _BT601),
    ),
    Layout("BGRx", 8, Fraction(4), Fraction(4), lambda w, h: (h, w, 4), cv2.COLOR_RGB2BGRA, (_FULL, _RGB)),
    Layout(
        "YUY2", 4, Fraction(2), Fraction(2), lambda w, h: (h, w, 2),
        cv2.COLOR_RGB2YUV_YUY2, (_LIMITED, _BT601),
    ),
)  # fmt: skip
"""Best first: browsers want I420, OBS takes BGRx without loss, YUY2 is what programs for webcams know."""


def offers(size: tuple[int, int], rate: Fraction) -> list[bytes]:
    """One EnumFormat parameter per layout, each of one size and rate: browsers read no ranges."""
    return [
        pod.build_object(
            _OBJECT_FORMAT,
            ENUM_FORMAT,
            {
                _MEDIA_TYPE: pod.ident(_VIDEO),
                _MEDIA_SUBTYPE: pod.ident(_RAW),
                _PIXELS: pod.ident(layout.ident),
                _SIZE: pod.rectangle(*size),
                _RATE: pod.fraction(rate),
                _COLOR_RANGE: pod.ident(layout.colors[0]),
                _COLOR_MATRIX: pod.ident(layout.colors[1]),
            },
        )
        for layout in LAYOUTS
    ]


def agreed(parameter: bytes) -> Layout | None:
    """The layout that a Format parameter names; None if it was never offered."""
    wanted = pod.read_idents(parameter).get(_PIXELS)
    return next((layout for layout in LAYOUTS if layout.ident == wanted), None)


def buffer_wishes(layout: Layout, size: tuple[int, int]) -> list[bytes]:
    """The Buffers and Meta parameters: a few plain buffers of one picture each, with a time stamp."""
    buffers = {
        1: pod.integer_range(4, 2, 8),  # how many
        2: pod.integer(1),  # blocks
        3: pod.integer(layout.bytes(size)),
        4: pod.integer(layout.stride(size)),
        6: pod.integer_flags(_MEMORY),
    }
    meta = {1: pod.ident(META_HEADER), 2: pod.integer(META_HEADER_SIZE)}
    return [
        pod.build_object(_OBJECT_BUFFERS, _BUFFERS, buffers),
        pod.build_object(_OBJECT_META, _META, meta),
    ]
