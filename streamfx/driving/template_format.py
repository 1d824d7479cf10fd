"""The bytes of a motion template: numbers only, little-endian, bounded before anything is allocated.

    magic "SFXM", version u16, reserved u16, frames u32, tick_ns u32, fps f32,
    basis version 16 bytes, basis sha256 32 bytes,
    origin length u16, source length u16, body length u32, crc u32
    origin and source, UTF-8
    body: one zlib stream of the columns in `COLUMNS`, each as [values per frame, frames]

The crc32 is over the header (with the crc field zero), the texts and the body as stored.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from streamfx.errors import MotionUnreadable, OutputError
from streamfx.settings.motion import RANGES

Column = npt.NDArray[np.generic]

MAGIC: Final = b"SFXM"
VERSION: Final = 1
MAX_FRAMES: Final = 216_000
"""One hour at 60 frames a second."""
MAX_TEXT_BYTES: Final = 4096
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
TICK_NS: Final = 1000
"""Unit in which times are written; other files may use another."""
MAX_TICK_NS: Final = 1_000_000_000
FPS_RANGE: Final = (1.0, 240.0)

_HEADER = struct.Struct("<4sHHIIf16s32sHHII")
_CRC_AT = _HEADER.size - 4
MAX_FILE_BYTES: Final = _HEADER.size + 2 * MAX_TEXT_BYTES + MAX_BODY_BYTES


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """How one quantity is stored: dtype, values per frame, and the range that the numbers must keep."""

    dtype: str
    width: int
    low: float
    high: float


def _numbers(name: str, dtype: str) -> ColumnSpec:
    allowed = RANGES[name]
    return ColumnSpec(dtype, allowed.counts[-1], allowed.low, allowed.high)


# Half precision is finer than the tracker for all but the head's place, which would step by 0.2 px at 20 cm.
COLUMNS: Final = {
    "ticks": ColumnSpec("<u4", 1, 0, 2**32 - 1),
    "held": ColumnSpec("u1", 1, 0, 1),
    "presence": ColumnSpec("u1", 1, 0, 255),
    "coefficients": _numbers("coefficients", "<f2"),
    "rotation": _numbers("rotation", "<f4"),
    "translation": _numbers("translation", "<f4"),
    "scale": _numbers("scale", "<f4"),
    "gaze": _numbers("gaze", "<f2"),
    "lip_gaps": _numbers("lip_gaps", "<f2"),
    "lid_closure": _numbers("lid_closure", "<f2"),
}
FRAME_BYTES: Final = sum(np.dtype(spec.dtype).itemsize * spec.width for spec in COLUMNS.values())

_RECORD_AGAIN = "Record the motion again with `streamfx record`"


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """What a file holds."""

    columns: dict[str, Column] = field(repr=False)
    """[frames, width] per name in `COLUMNS`, in the stored dtype."""
    tick_ns: int
    fps: float
    basis_version: str
    basis_sha256: str
    origin: str
    source: str


def encode(content: Content) -> bytes:
    """The file's bytes. Numbers are clipped to the ranges in `COLUMNS`, texts cut to 4096 bytes.

    Raises:
        OutputError: more frames or a longer time than the format holds.
    """
    _check_length(content.columns["ticks"])
    body = zlib.compress(b"".join(_stored(content.columns[name], spec) for name, spec in COLUMNS.items()), 9)
    origin, source = _cut(content.origin), _cut(content.source)
    header = _HEADER.pack(
        MAGIC,
        VERSION,
        0,
        len(content.columns["ticks"]),
        content.tick_ns,
        content.fps,
        content.basis_version.encode(),
        bytes.fromhex(content.basis_sha256),
        len(origin),
        len(source),
        len(body),
        0,
    )
    crc = zlib.crc32(header + origin + source + body)
    return header[:_CRC_AT] + struct.pack("<I", crc) + origin + source + body


def decode(data: bytes) -> Content:
    """The content of a file's bytes.

    Raises:
        MotionUnreadable: with the malformation and its figures.
    """
    if len(data) < _HEADER.size:
        raise _damaged(f"it has {len(data)} bytes, fewer than the {_HEADER.size} of its header")
    magic, version, reserved, frames, tick_ns, fps, basis, sha, *lengths, body_bytes, crc = (
        _HEADER.unpack_from(data)
    )
    _check_kind(magic, version, reserved)
    _check_limits(frames, tick_ns, fps, lengths, body_bytes)
    expected = _HEADER.size + sum(lengths) + body_bytes
    if len(data) != expected:
        raise _damaged(f"it has {len(data)} bytes, its header says {expected}")
    if zlib.crc32(data[_HEADER.size :], zlib.crc32(data[:_CRC_AT] + bytes(4))) != crc:
        raise _damaged("its checksum does not match its content")
    texts = _HEADER.size + lengths[0]
    return Content(
        columns=_columns(_inflate(data[-body_bytes:], frames * FRAME_BYTES), frames),
        tick_ns=tick_ns,
        fps=fps,
        basis_version=_text(basis.rstrip(b"\0"), "basis version"),
        basis_sha256=sha.hex(),
        origin=_text(data[_HEADER.size : texts], "origin"),
        source=_text(data[texts : texts + lengths[1]], "source"),
    )


def _check_length(ticks: Column) -> None:
    last = float(ticks[-1])
    if len(ticks) > MAX_FRAMES or last > COLUMNS["ticks"].high:
        raise OutputError(
            f"A motion of {len(ticks)} frames and {last:.0f} clock ticks is too long for a template "
            f"(at most {MAX_FRAMES} frames and {COLUMNS['ticks'].high:.0f} ticks)",
            "Record a shorter piece",
        )


def _damaged(what: str) -> MotionUnreadable:
    return MotionUnreadable(f"The motion template is damaged: {what}", _RECORD_AGAIN)


def _stored(column: Column, spec: ColumnSpec) -> bytes:
    """One column's bytes; value-major, because neighbours in time are alike and compress."""
    clipped = np.clip(column.reshape(-1, spec.width), spec.low, spec.high)
    return np.ascontiguousarray(clipped.T, spec.dtype).tobytes()


def _cut(text: str) -> bytes:
    return text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore").encode()


def _check_kind(magic: bytes, version: int, reserved: int) -> None:
    if magic != MAGIC:
        raise MotionUnreadable(
            f"The file is no motion template: it starts with {magic!r}, not {MAGIC!r}",
            "Choose a file that `streamfx record` wrote",
        )
    if version != VERSION:
        raise MotionUnreadable(
            f"The motion template has version {version}, this streamfx reads version {VERSION}",
            "Use the streamfx that wrote it, or record the motion again",
        )
    if reserved:
        raise _damaged(f"its reserved field is {reserved}, not 0")


def _check_limits(frames: int, tick_ns: int, fps: float, lengths: list[int], body_bytes: int) -> None:
    if not 1 <= frames <= MAX_FRAMES:
        raise _damaged(f"it claims {frames} frames, allowed are 1 to {MAX_FRAMES}")
    if not 1 <= tick_ns <= MAX_TICK_NS:
        raise _damaged(f"its clock tick is {tick_ns} ns, allowed are 1 to {MAX_TICK_NS}")
    if not FPS_RANGE[0] <= fps <= FPS_RANGE[1]:
        raise _damaged(f"it claims {fps} frames a second, allowed are {FPS_RANGE[0]:g} to {FPS_RANGE[1]:g}")
    if max(lengths) > MAX_TEXT_BYTES:
        raise _damaged(f"it claims a text of {max(lengths)} bytes, allowed are {MAX_TEXT_BYTES}")
    if not 1 <= body_bytes <= MAX_BODY_BYTES:
        raise _damaged(f"it claims a body of {body_bytes} bytes, allowed are 1 to {MAX_BODY_BYTES}")


def _inflate(body: bytes, expected: int) -> bytes:
    """The body decompressed, never to more than `expected` bytes and one."""
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(body, expected + 1)
    except zlib.error as error:
        raise _damaged(f"its body cannot be decompressed ({error})") from error
    if len(raw) != expected:
        more = "more than " if len(raw) > expected else ""
        raise _damaged(f"its body holds {more}{min(len(raw), expected)} bytes, its frames need {expected}")
    if not inflater.eof or inflater.unused_data:
        raise _damaged("its body does not end where its compressed stream ends")
    return raw


def _columns(raw: bytes, frames: int) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    start = 0
    for name, spec in COLUMNS.items():
        flat = np.frombuffer(raw, spec.dtype, frames * spec.width, start)
        start += flat.nbytes
        _check_range(flat, name, spec)
        columns[name] = flat.reshape(spec.width, frames).T
    ticks = columns["ticks"][:, 0].astype(np.int64)
    if ticks[0] != 0 or (np.diff(ticks) <= 0).any():
        raise _damaged("its times do not rise from 0")
    return columns


def _check_range(values: npt.NDArray[np.generic], name: str, spec: ColumnSpec) -> None:
    """Written so that a number that is not one fails too."""
    number = values.astype(np.float64)
    inside = (number >= spec.low) & (number <= spec.high)
    if not inside.all():
        worst = number[~inside][0]
        raise _damaged(f"its {name} holds {worst:g}, allowed are {spec.low:g} to {spec.high:g}")


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _damaged(f"its {name} is not UTF-8") from error
