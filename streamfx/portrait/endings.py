"""Photo files that lost their end, by an interrupted copy or download: what of the picture is still there.

Viewers decode such a file as far as it goes. Here it is given several different ends: where the pictures that
come of them agree, the file itself says what is to be seen, and elsewhere it is missing.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.random import default_rng  # here: later it would be looked for while a photo is read

from streamfx.errors import PhotoUnreadable
from streamfx.frames import U8
from streamfx.portrait.checks import Finding

_BLOCK: Final = 16  # px of a side of what a JPEG's decoder makes at a time
_FLAT: Final = 2  # grey levels within which a side is of a single colour
_SAME: Final = 8  # grey levels by which pictures may differ where the file says what is to be seen
_MOST_MISSING: Final = 0.005  # of the picture that may be missing, and is filled
_COPY_AGAIN: Final = "Copy or download the photo again"
_MOST_ADDED: Final = 60 * 2**20  # bytes
_MOST_PIXELS: Final = 240 * 2**20  # bytes of a PNG's pixels
_UNWRITTEN: Final = 64  # zero bytes at a file's end, from which on they were never written
_SPARE: Final = 65536  # bytes beyond what is missing, where it is not known or a decoder looks ahead
_NOISES: Final = 4  # ends that are tried: decoders refuse some
_NOISE: Final = 512  # bytes of noise between two restart markers
_RESTARTS: Final = 2000
_SOF_PROGRESSIVE, _EOI, _SOS, _DRI = 0xC2, 0xD9, 0xDA, 0xDD  # JPEG markers (ITU-T T.81, table B.1)
_SOFS: Final = (0xC0, 0xC1, _SOF_PROGRESSIVE)
_LAST_REFINEMENT: Final = (
    0x10  # of successive approximation (T.81, B.2.3): from the second lowest bit to the lowest
)
_FRAME, _SCAN = 8, 6  # least bytes of a frame's and a scan's header
_NEXT_MARKER: Final = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_RESTART: Final = re.compile(rb"\xff([\xd0-\xd7])")
_PLAIN: Final = rb"(?s)BM|P[1-6]\s|II\*\x00..\x00\x00|MM\x00\*\x00\x00"
"""Their pixels stand at the end, as they are; a TIFF's, if its description stands before them."""


_Read = Callable[[bytes, str], tuple[U8, tuple[Finding, ...]] | None]


def may_be_cut(data: bytes, rgb: U8) -> bool:
    """Whether a file that could be read may lack its end all the same.

    Decoders take zeros that were never written for data, and paint what is missing before an end in one
    colour: one side of the picture, whichever way it was turned.
    """
    depth = max(1, min(_BLOCK, *rgb.shape[:2]) // 2)
    sides = (rgb[:depth], rgb[-depth:], rgb[:, :depth], rgb[:, -depth:])
    return _is_unwritten(data) or any(int(np.ptp(side, axis=(0, 1)).max()) <= _FLAT for side in sides)


def mended(data: bytes, name: str, read: _Read) -> tuple[U8, tuple[Finding, ...]] | None:
    """A photo whose file lost its end, as far as viewers show it; None for a file that cannot be read so.

    Args:
        data: the file.
        name: what messages call it.
        read: gives u8 [H,W,3] of a file and findings, or None where it cannot be read.

    Raises:
        PhotoUnreadable: too much of the picture is missing.
    """
    ends = _ends(data)
    if ends is None:
        return None
    versions = (one for version in ends.files if (one := read(version, name)))
    still = next(versions, None)
    other = still if ends.refining else next(versions, None)
    if still is None or other is None:
        if _is_unwritten(data):
            raise PhotoUnreadable(f"{name} is cut short: it ends in zeros", _COPY_AGAIN)
        return None
    rgb, findings = still
    missing = (cv2.absdiff(rgb, other[0]).max(2) > _SAME).astype(np.uint8)
    share = float(missing.mean())
    if share > _MOST_MISSING:
        percent = max(1, round(100 * share))
        raise PhotoUnreadable(f"{name} is cut short: {percent} % of its picture are missing", _COPY_AGAIN)
    if not share:
        return still
    whole = cv2.morphologyEx(missing, cv2.MORPH_CLOSE, np.ones((_BLOCK, _BLOCK), np.uint8))
    filled = np.asarray(cv2.inpaint(rgb, whole, _BLOCK / 4, cv2.INPAINT_TELEA), np.uint8)
    part = f"{max(0.01, 100 * share):.2f} %"
    cause = f"the file is cut short: {part} of its picture are missing and were filled from beside them"
    return filled, (*findings, Finding(cause, _COPY_AGAIN))


@dataclass(frozen=True, slots=True)
class _Ends:
    """A photo's file with different ends."""

    files: Iterator[bytes] = field(repr=False)
    """The first has what changes the picture least, as viewers do it; the others, noise."""
    refining: bool = False
    """What is missing are finer shades of a picture that is there as a whole: no comparison is needed."""


def _ends(data: bytes) -> _Ends | None:
    """Give a file that lost its end others; None where it did not, or where too little is left of it."""
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG"):
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if re.match(_PLAIN, data):
        return _Ends(data + fill for fill in _fills(_SPARE))
    if re.match(rb"(?s)....ftypavi[fs]", data):
        kept = _written(data)
        missing = _boxes_end(data) - len(kept)
        return _Ends(kept + fill for fill in _fills(missing)) if 0 < missing <= _MOST_ADDED else None
    return None


def _is_unwritten(data: bytes) -> bool:
    """Whether a file ends in nothing, as one that was made at its full length before it was filled."""
    return data.endswith(bytes(_UNWRITTEN))


def _written(data: bytes) -> bytes:
    return data.rstrip(b"\0") if _is_unwritten(data) else data


def _boxes_end(data: bytes) -> int:
    """Where the last box ends (ISO 14496-12, 4.2); 0 where that is not said."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        if size < 8:  # to the file's end, of a 64-bit length, or no box
            return 0
        at += size
    return at


def _webp(data: bytes) -> _Ends | None:
    """The chunk that is not whole becomes longer than it was: libwebp refuses to look beyond its end."""
    kept, at = _written(data), 12
    while at + 8 <= len(kept):
        length = int(struct.unpack_from("<I", kept, at + 4)[0])
        missing = at + 8 + length + length % 2 - len(kept)
        if missing > _MOST_ADDED:
            return None
        if missing > 0:
            added = missing + _SPARE
            head = b"".join((
                b"RIFF", struct.pack("<I", len(kept) + added - 8), kept[8 : at + 4],
                struct.pack("<I", len(kept) + added - at - 8), kept[at + 8 :],
            ))  # fmt: skip
            return _Ends(head + fill for fill in _fills(added))
        at += 8 + length + length % 2
    return None


def _jpeg(data: bytes) -> _Ends | None:
    at, frame, scan = 2, b"", b""
    components, fine, restarts = set[int](), False, False
    head, tail = _written(data).rstrip(b"\xff"), b"\xff\xd9"
    while found := _NEXT_MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker == _EOI:
            head, tail = data[: found.start()], data[found.start() :]
            break
        part = data[at : at + int.from_bytes(data[at : at + 2])]
        at += max(len(part), 2)
        restarts |= marker == _DRI
        if marker in _SOFS and len(part) > _FRAME:
            frame = bytes((marker,)) + part
        if marker == _SOS and len(part) >= _SCAN and frame:
            scan = part
            components |= set(part[3:-3:2])
            fine |= _is_fine(frame, part)
    if not fine or len(components) < frame[8]:
        return None
    noises = (_between_restarts(head, noise) if restarts else noise for noise in _noises(_NOISE * _RESTARTS))
    return _Ends(_each(head, noises, tail), refining=scan[-1] == _LAST_REFINEMENT)


def _is_fine(frame: bytes, scan: bytes) -> bool:
    """Whether a scan brings the brightness to its lowest bit: before that, the whole picture is coarse."""
    whole = frame[0] != _SOF_PROGRESSIVE
    return whole or (scan[3] == frame[9] and scan[-3] > 0 and not scan[-1] & 15)


def _each(head: bytes, noises: Iterable[bytes], tail: bytes) -> Iterator[bytes]:
    yield head + tail
    for noise in noises:
        yield head + noise + tail


def _between_restarts(head: bytes, noise: bytes) -> bytes:
    """Each stretch of noise lasts until the next restart."""
    last = (_RESTART.findall(head)[-1:] or [b"\xd7"])[0][0]
    return b"".join(
        noise[k * _NOISE : (k + 1) * _NOISE] + bytes((0xFF, 0xD0 + (last + 1 + k) % 8))
        for k in range(_RESTARTS)
    )


def _png(data: bytes) -> _Ends | None:
    """The pixels that can be unpacked, packed again with more behind them."""
    head, packed, at = b"", [], 8
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"IDAT":
            packed.append(data[at + 8 : at + 8 + length])
        elif not packed:
            head = data[: at + 12 + length]
        at += 12 + length
    unpacker = zlib.decompressobj()
    try:
        pixels = unpacker.decompress(_written(b"".join(packed)), _MOST_PIXELS)
    except zlib.error:
        return None
    if unpacker.eof or unpacker.unconsumed_tail or not pixels:
        return None
    # Each line begins with its filter: 0 takes the bytes as they are, 1 adds them to those on their left.
    return _Ends(head + _idat(pixels + bytes((filler,)) * max(_SPARE, len(pixels))) for filler in (0, 1))


def _idat(pixels: bytes) -> bytes:
    return b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IDAT", zlib.compress(pixels, 1)), (b"IEND", b""))
    )


def _fills(count: int) -> Iterator[bytes]:
    yield bytes(count)
    yield from _noises(count)


def _noises(count: int) -> Iterator[bytes]:
    """Without a byte 255, which begins markers."""
    for seed in range(_NOISES):
        yield default_rng(seed).integers(0, 255, count, np.uint8).tobytes()
