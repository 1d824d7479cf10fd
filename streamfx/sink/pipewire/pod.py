"""SPA pods, PipeWire's binary values, as far as a camera says them.

A pod is u32 size of the body, u32 type, the body, zeros up to a multiple of 8 bytes; native byte order.
The numbers are those of PipeWire's headers (spa/utils/type.h, spa/param/); they never change.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

_ID: Final = 3
_INT: Final = 4
_RECTANGLE: Final = 10
_FRACTION: Final = 11
_OBJECT: Final = 15
_CHOICE: Final = 19

_CHOICE_RANGE: Final = 1
_CHOICE_FLAGS: Final = 4

_HEAD: Final = struct.Struct("=II")
_CHOICE_HEAD: Final = struct.Struct("=IIII")
"""Kind and flags of the choice, size and type of each of its values."""


def _pod(kind: int, body: bytes) -> bytes:
    return _HEAD.pack(len(body), kind) + body + bytes(-len(body) % 8)


def ident(value: int) -> bytes:
    """A member of an enumeration."""
    return _pod(_ID, struct.pack("=I", value))


def integer(value: int) -> bytes:
    """An i32."""
    return _pod(_INT, struct.pack("=i", value))


def rectangle(width: int, height: int) -> bytes:
    """A size in px."""
    return _pod(_RECTANGLE, struct.pack("=II", width, height))


def fraction(value: Fraction) -> bytes:
    """A rate."""
    return _pod(_FRACTION, struct.pack("=II", value.numerator, value.denominator))


def integer_range(default: int, least: int, most: int) -> bytes:
    """Any i32 between two, the default preferred."""
    values = struct.pack("=iii", default, least, most)
    return _pod(_CHOICE, _CHOICE_HEAD.pack(_CHOICE_RANGE, 0, 4, _INT) + values)


def integer_flags(allowed: int) -> bytes:
    """Any of the bits that are set."""
    return _pod(_CHOICE, _CHOICE_HEAD.pack(_CHOICE_FLAGS, 0, 4, _INT) + struct.pack("=i", allowed))


def build_object(kind: int, role: int, properties: Mapping[int, bytes]) -> bytes:
    """An object: its type, the parameter that it stands for, and pods by key."""
    body = b"".join(_HEAD.pack(key, 0) + value for key, value in properties.items())
    return _pod(_OBJECT, _HEAD.pack(kind, role) + body)
