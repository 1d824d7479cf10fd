"""Damage to files, the same for the same seed and number: bits, lengths, the parts that formats have."""

from __future__ import annotations

import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 400_000
"""Bytes that a mutation may make of a few thousand."""
_NUMBERS = (
    *(0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF),
)


@dataclass(frozen=True)
class Case:
    """A damaged file."""

    name: str
    """Of the file, which may lie about its kind: the corpus file it comes from and its number stand in it."""
    data: bytes


class Part(NamedTuple):
    """A piece of a file that its format counts: chunk, segment, box, packet."""

    start: int
    end: int
    length_at: int = 0
    """Where its length is written, and in how many bytes (0: nowhere)."""
    length_bytes: int = 0
    little: bool = False


def seeds(kind: str) -> list[Path]:
    """The corpus of "images" or "videos"."""
    return sorted((CORPUS / kind).glob("*"))


def case(kind: str, seed: int, number: int) -> Case:
    """The mutation of that number; every file of the corpus has its turn."""
    files = seeds(kind)
    chance = random.Random(f"{kind} {seed} {number}")
    source = files[number % len(files)]
    data = source.read_bytes()
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 6))):
        other = chance.choice(files).read_bytes()
        data = chance.choice(_OPERATIONS)(data, chance, other)[:LONGEST]
        if not data:
            break
    if data.startswith(_PNG) and chance.random() < 0.9:
        data = _with_checksums(data)  # else a decoder sees no further than the first of them
    suffix = chance.choice(files).suffix if chance.random() < 0.1 else source.suffix
    return Case(f"{seed}-{number:05}-{source.stem}{suffix}", data)


# -- any bytes -----------------------------------------------------------------------------------------------


def _place(data: bytes, chance: random.Random) -> int:
    """Half of them near the beginning, where headers are."""
    return chance.randrange(min(len(data), 160) if chance.random() < 0.5 else len(data))


def _flip_bits(data: bytes, chance: random.Random, _other: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(chance.choice((1, 2, 8, 64))):
        out[_place(data, chance)] ^= 1 << chance.randrange(8)
    return bytes(out)


def _cut_off(data: bytes, chance: random.Random, _other: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def _write_number(data: bytes, chance: random.Random, _other: bytes) -> bytes:
    at, width = _place(data, chance), chance.choice((1, 2, 4, 8))
    number = chance.choice((*_NUMBERS, len(data), len(data) - at, chance.getrandbits(16)))
    value = (number & ((1 << 8 * width) - 1)).to_bytes(width, chance.choice(("big", "little")))
    return data[:at] + value + data[at + width :]


def _run(data: bytes, chance: random.Random, _other: bytes) -> bytes:
    """A stretch of one value, or of noise."""
    at = _place(data, chance)
    length = min(chance.choice((4, 32, 256, 2000)), len(data) - at)
    value = chance.choice((b"\0" * length, b"\xff" * length, chance.randbytes(length)))
    return data[:at] + value + data[at + length :]


def _leave_out(data: bytes, chance: random.Random, _other: bytes) -> bytes:
    at = _place(data, chance)
    return data[:at] + data[at + chance.choice((1, 4, 64, 1000)) :]


def _repeat(data: bytes, chance: random.Random, _other: bytes) -> bytes:
    at = _place(data, chance)
    stretch = data[at : at + chance.choice((1, 8, 64, 1000))]
    return data[:at] + stretch * chance.choice((2, 3, 50)) + data[at + len(stretch) :]


def _insert(data: bytes, chance: random.Random, _other: bytes) -> bytes:
    at = _place(data, chance)
    return data[:at] + chance.randbytes(chance.choice((1, 3, 16, 200))) + data[at:]


def _splice(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """The beginning of one file and the end of another."""
    return data[: chance.randrange(len(data))] + other[chance.randrange(max(1, len(other))) :]


def _endless(data: bytes, chance: random.Random, _other: bytes) -> bytes:
    """A header, and then more of it, or nothing, for a long time."""
    head = data[: chance.choice((16, 64, 200, len(data)))]
    more = chance.choice((b"\0", b"\xff", head, data[len(head) // 2 : len(head)] or b"\0"))
    return head + more * (chance.choice((10_000, LONGEST)) // len(more))


_WORDS = (
    b"-1", b"1e999", b"nan", b"inf", b"9" * 400, b"9" * 5000, b"true", b"{}", b"[" * 3000, b"[[1], 'a']",
    b"\"\\u0000\"",
    b"\"~nobody/x\"", b"1979-05-27T07:32:00Z", b"\"\"", b"'" + b"x" * 5000 + b"'", b"\"\\u202e\\u0007\"",
    b"../" * 50,
    b"file:///etc/hostname", b"http://127.0.0.1:9/", b"\xff\xfe", b"",
)  # fmt: skip


def _write_word(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """In a text: something else for one of its words, or for what stands behind an equals sign."""
    if not data.isascii():
        return _flip_bits(data, chance, other)
    words = [found.span() for found in re.finditer(rb"(?<== )[^\n]+|[\w./:~-]+", data)]
    start, end = chance.choice(words or [(0, 0)])
    return data[:start] + chance.choice(_WORDS) + data[end:]


# -- parts ---------------------------------------------------------------------------------------------------

_PNG = b"\x89PNG\r\n\x1a\n"
_BOXES_WITHIN = frozenset(
    b"moov trak mdia minf stbl edts udta dinf moof traf mvex iprp ipco meta stsd rmra rmda jp2h".split()
)
_MASTERS = frozenset((0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE, 0xE0, 0xE1, 0x1C53BB6B, 0xA0, 0xBB, 0xB7))
"""Matroska's elements that hold others: segment, cluster, tracks, track, picture, sound, cues ..."""

_DEEPEST = 12
"""Parts within parts that are looked at."""


def parts(data: bytes) -> list[Part]:
    """What a file is made of, by its first bytes; none where nothing is known of the format."""
    for pattern, split in _FORMATS:
        if re.match(pattern, data, re.DOTALL):
            return [part for part in split(data) if part.start < part.end <= len(data)]
    return []


def _png(data: bytes) -> Iterator[Part]:
    at = 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        yield Part(at, end, at, 4)
        at = end


def _jpeg(data: bytes) -> Iterator[Part]:
    for found in re.finditer(rb"\xff[\xc0-\xcf\xda-\xef\xfe]", data, re.DOTALL):
        at = found.start()
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield Part(at, at + 2 + length, at + 2, 2)


def _riff(data: bytes, at: int = 0, end: int | None = None, depth: int = 0) -> Iterator[Part]:
    end = len(data) if end is None else end
    while at + 8 <= end:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        after = at + 8 + size + (size & 1)
        yield Part(at, min(after, end), at + 4, 4, little=True)
        if data[at : at + 4] in (b"RIFF", b"LIST") and depth < _DEEPEST:
            yield from _riff(data, at + 12, min(after, end), depth + 1)
        at = after


def _boxes(data: bytes, at: int = 0, end: int | None = None, depth: int = 0) -> Iterator[Part]:
    end = len(data) if end is None else end
    while at + 8 <= end:
        size = int.from_bytes(data[at : at + 4], "big") or end - at
        if size < 8:
            return
        name = data[at + 4 : at + 8]
        yield Part(at, min(at + size, end), at, 4)
        if name in _BOXES_WITHIN and depth < _DEEPEST:
            inside = {b"meta": 12, b"stsd": 16}.get(name, 8)
            yield from _boxes(data, at + inside, min(at + size, end), depth + 1)
        at += size


def _ebml(data: bytes, at: int = 0, end: int | None = None, depth: int = 0) -> Iterator[Part]:
    end = len(data) if end is None else end
    while at + 2 <= end:
        name_bytes, sized_at = 9 - data[at].bit_length(), at + 9 - data[at].bit_length()
        if name_bytes > 4 or sized_at >= end or not data[sized_at]:
            return
        size_bytes = 9 - data[sized_at].bit_length()
        content = sized_at + size_bytes
        value = int.from_bytes(data[sized_at:content], "big") & ((1 << 7 * size_bytes) - 1)
        unknown = value == (1 << 7 * size_bytes) - 1
        after = end if unknown else min(content + value, end)
        yield Part(at, after, sized_at, size_bytes)
        if int.from_bytes(data[at:sized_at], "big") in _MASTERS and depth < _DEEPEST:
            yield from _ebml(data, content, after, depth + 1)
        at = after


def _tiff(data: bytes) -> Iterator[Part]:
    order = ">" if data[:2] == b"MM" else "<"
    if len(data) < 8 or data[2:4] in (b"+\0", b"\0+"):
        return
    at = struct.unpack_from(order + "I", data, 4)[0]
    for _ in range(4):
        if not at or at + 2 > len(data):
            return
        count = struct.unpack_from(order + "H", data, at)[0]
        for entry in range(at + 2, min(at + 2 + 12 * count, len(data) - 12), 12):
            yield Part(entry, entry + 12, entry + _field(entry), 4, little=order == "<")
        following = at + 2 + 12 * count
        at = struct.unpack_from(order + "I", data, following)[0] if following + 4 <= len(data) else 0


def _field(entry: int) -> int:
    """Of a TIFF's entries every other has its count as its length, the others their value or place."""
    return 4 if entry // 12 % 2 else 8


def _packets(data: bytes) -> Iterator[Part]:
    for at in range(0, len(data) - 187, 188):
        yield Part(at, at + 188, at + 1, 2)


def _flv(data: bytes) -> Iterator[Part]:
    at = 13
    while at + 15 <= len(data):
        end = at + 15 + int.from_bytes(data[at + 1 : at + 4], "big")
        yield Part(at, end, at + 1, 3)
        at = end


def _units(data: bytes) -> Iterator[Part]:
    """Of raw streams: what stands between start codes."""
    starts = [found.start() for found in re.finditer(rb"\0\0\x01", data)]
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        yield Part(start, end)


def _pages(data: bytes) -> Iterator[Part]:
    starts = [found.start() for found in re.finditer(rb"OggS", data)]
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        yield Part(start, end, start + 26, 1)


def _frames(data: bytes) -> Iterator[Part]:
    at = 32
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "little")
        yield Part(at, end, at, 4, little=True)
        at = end


def _lines(data: bytes) -> Iterator[Part]:
    at = 0
    for line in data.splitlines(keepends=True):
        yield Part(at, at + len(line))
        at += len(line)


def _objects(data: bytes) -> Iterator[Part]:
    """ASF: a name of 16 bytes and a length of 8, the first one holding others."""
    at = 0
    while at + 24 <= len(data):
        size = int.from_bytes(data[at + 16 : at + 24], "little")
        if size < 24:
            return
        yield Part(at, at + size, at + 16, 8, little=True)
        at += 30 if at == 0 else size


_FORMATS: tuple[tuple[bytes, Callable[[bytes], Iterator[Part]]], ...] = (
    (rb"\x89PNG\r\n", _png),
    (rb"\xff\xd8", _jpeg),
    (rb"RIFF", _riff),
    (rb"....(ftyp|jP  |wide|moov)", _boxes),
    (rb"\x1a\x45\xdf\xa3", _ebml),
    (rb"II[*+]|MM.[*+]", _tiff),
    (rb"\x47.{187}\x47", _packets),
    (rb"FLV", _flv),
    (rb"OggS", _pages),
    (rb"DKIF", _frames),
    (rb"\x30\x26\xb2\x75", _objects),
    (rb"\0\0\0?\x01", _units),
    (rb"[#<vP[]", _lines),
)


def _change_part(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """One part lost, doubled, moved, swapped, wrongly long, damaged inside, or another file's."""
    known = parts(data)
    if not known:
        return _flip_bits(data, chance, other)
    one, two = chance.choice(known), chance.choice(known)
    return chance.choice(_PART_OPERATIONS)(data, chance, one, two, other)


def _lose(data: bytes, _chance: random.Random, one: Part, _two: Part, _other: bytes) -> bytes:
    return data[: one.start] + data[one.end :]


def _double(data: bytes, chance: random.Random, one: Part, _two: Part, _other: bytes) -> bytes:
    return data[: one.end] + data[one.start : one.end] * chance.choice((1, 2, 100)) + data[one.end :]


def _move(data: bytes, _chance: random.Random, one: Part, two: Part, _other: bytes) -> bytes:
    rest = data[: one.start] + data[one.end :]
    at = min(two.start, len(rest))
    return rest[:at] + data[one.start : one.end] + rest[at:]


def _swap(data: bytes, _chance: random.Random, one: Part, two: Part, _other: bytes) -> bytes:
    first, second = sorted((one, two))
    if first.end > second.start:
        return data[: first.start] + data[second.start : second.end] + data[first.end :]
    return b"".join(
        (
            data[: first.start], data[second.start : second.end], data[first.end : second.start],
            data[first.start : first.end], data[second.end :],
        )
    )  # fmt: skip


def _wrong_length(data: bytes, chance: random.Random, one: Part, _two: Part, other: bytes) -> bytes:
    if not one.length_bytes:
        return _double(data, chance, one, one, other)
    order = "little" if one.little else "big"
    told = int.from_bytes(data[one.length_at : one.length_at + one.length_bytes], order)
    bit = 1 << chance.randrange(8 * one.length_bytes)
    length = chance.choice((0, 1, told - 1, told + 1, told * 2, told ^ bit, *_NUMBERS[-4:]))
    value = (length & ((1 << 8 * one.length_bytes) - 1)).to_bytes(one.length_bytes, order)
    return data[: one.length_at] + value + data[one.length_at + one.length_bytes :]


def _damage_inside(data: bytes, chance: random.Random, one: Part, _two: Part, other: bytes) -> bytes:
    inside = data[one.start : one.end]
    change = chance.choice((_flip_bits, _write_number, _run))
    return data[: one.start] + change(inside, chance, other) + data[one.end :]


def _of_another(data: bytes, chance: random.Random, one: Part, _two: Part, other: bytes) -> bytes:
    foreign = parts(other)
    put = chance.choice(foreign) if foreign else Part(0, min(len(other), 500))
    return data[: one.start] + other[put.start : put.end] + data[one.end :]


_PART_OPERATIONS = (
    _lose, _double, _move, _swap, _of_another, _wrong_length, _wrong_length, _damage_inside, _damage_inside,
)  # fmt: skip
_OPERATIONS = (
    _flip_bits, _flip_bits, _cut_off, _write_number, _write_number, _run, _leave_out, _repeat, _insert,
    _splice, _endless, _write_word, _write_word, *(_change_part,) * 9,
)  # fmt: skip


def _with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks' checksums are right again."""
    out = bytearray(data)
    for part in parts(data):
        checksum = zlib.crc32(data[part.start + 4 : part.end - 4])
        out[part.end - 4 : part.end] = struct.pack(">I", checksum)
    return bytes(out)
