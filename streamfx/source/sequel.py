"""Films behind the film: files that were joined by `cat` hold more than FFmpeg reads of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Final

from streamfx.files import DRIVER, open_regular

_PIECE: Final = 1 << 20
_OVERLAP: Final = 256
_BEGINNINGS: Final = {
    "mov": re.compile(rb"\0\0\0[\x0c-\x80]ftyp"),
    "flv": re.compile(rb"FLV\x01[\x01\x04\x05]\0\0\0\x09"),
    "asf": re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"),
}
"""How a file of a container begins, which FFmpeg reads to the end of its first."""
_PROGRAMMES: Final = re.compile(
    rb"\x47[\x40\x60]\0[\x10-\x1f]\0\0\xb0([\x0d-\xa0])..[\xc0-\xff]\0\0", re.DOTALL
)
"""The packet of an MPEG transport stream that lists its programmes (ISO 13818-1, 2.4.4.3), up to that list.

FFmpeg goes on where a programme's tracks are other ones, but not where another programme begins.
"""


def share_of_sequel(path: Path, container: str, end: int) -> float:
    """The share of a file that another film takes, which begins behind the one that was read; 0 if none does.

    Args:
        path: the file.
        container: FFmpeg's name of its format.
        end: byte at which the last packet began.

    Raises:
        SourceError: the file cannot be opened any more.
    """
    if not end:
        return 0.0
    with open_regular(path, DRIVER) as file:
        size = file.seek(0, 2)
        begins = _other_programme(file, end) if container == "mpegts" else _beginning(file, container, end)
    return 0.0 if begins is None else 1 - begins / size


def _beginning(file: FileIO, container: str, end: int) -> int | None:
    pattern = _BEGINNINGS.get(container.split(",")[0])
    if pattern is None:
        return None
    return next(
        (at + found.start() for at, data in _pieces(file, end) for found in pattern.finditer(data)), None
    )


def _other_programme(file: FileIO, end: int) -> int | None:
    first = next((programmes for _, programmes in _lists(file, 0)), None)
    return next((at for at, programmes in _lists(file, end) if programmes != first), None)


def _lists(file: FileIO, start: int) -> Iterator[tuple[int, bytes]]:
    """Where programmes are listed, and that list."""
    for at, data in _pieces(file, start):
        for found in _PROGRAMMES.finditer(data):
            length = found[1][0] - 9  # without what follows the length up to the list, and the checksum
            yield at + found.start(), data[found.end() : found.end() + length]


def _pieces(file: FileIO, start: int) -> Iterator[tuple[int, bytes]]:
    """What follows a place, in pieces that overlap a little; each with its own place."""
    at = start
    while True:
        file.seek(at)
        data = file.read(_PIECE)
        yield at, data
        if len(data) <= _OVERLAP:
            return
        at += len(data) - _OVERLAP
