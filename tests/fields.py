"""H.264 whose pictures are coded field by field (PAFF), as broadcasts are and no encoder at hand does it.

Uncompressed macroblocks (I_PCM) need no arithmetic. ITU-T H.264: parameter sets 7.3.2, slice header 7.3.3,
macroblock 7.3.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_GREY = b"\x80" * 128
"""The chroma of a macroblock."""


class _Bits:
    def __init__(self) -> None:
        self._bits: list[int] = []

    def u(self, value: int, count: int = 1) -> _Bits:
        """An unsigned number of so many bits."""
        self._bits += [value >> place & 1 for place in reversed(range(count))]
        return self

    def ue(self, *values: int) -> _Bits:
        """Exponential Golomb codes."""
        for value in values:
            length = (value + 1).bit_length()
            self.u(value + 1, 2 * length - 1)
        return self

    def bytes(self, data: bytes) -> _Bits:
        """Bytes, after bits that fill up the one before."""
        self._bits += [0] * (-len(self._bits) % 8)
        self._bits += np.unpackbits(np.frombuffer(data, np.uint8)).tolist()
        return self

    def nal(self, kind: int, ref: int) -> bytes:
        """The finished unit, its start code before it (no zeros in a row: nothing needs to be escaped)."""
        raw = self.u(1).bytes(b"")._bits
        return b"\0\0\0\1" + bytes([ref << 5 | kind]) + np.packbits(raw).tobytes()


def _parameters(columns: int, rows: int) -> bytes:
    """Main profile, level 3; so many macroblocks in a field."""
    sps = _Bits().u(77, 8).u(0, 8).u(30, 8).ue(0, 0, 0, 4, 1).u(0).ue(columns - 1, rows - 1)
    sps.u(0, 2).u(1).u(0, 2)  # fields, no mixture of both within a picture; no cropping, no more about use
    pps = _Bits().ue(0, 0).u(0, 2).ue(0, 0, 0).u(0, 3).ue(0, 0, 0).u(1).u(0, 2)
    return sps.nal(7, 3) + pps.nal(8, 3)


def _field(luma: np.ndarray, number: int) -> bytes:
    """u8 [H,W] as one slice; the first of a file may be jumped to."""
    first = number == 0
    bits = _Bits().ue(0, 7, 0).u(number // 2 % 16, 4).u(1).u(number % 2)
    if first:
        bits.ue(0)
    bits.u(number % 256, 8).u(0, 2 if first else 1).ue(0, 1)
    for y in range(0, luma.shape[0], 16):
        for x in range(0, luma.shape[1], 16):
            bits.ue(25).bytes(luma[y : y + 16, x : x + 16].tobytes() + _GREY)
    return bits.nal(5 if first else 1, 3 if first else 1)


def write_fields(path: Path, frames: Sequence[np.ndarray]) -> Path:
    """Frames u8 [H,W] (H of 32, W of 16 px), 25 a second, each as two packets: its upper rows first."""
    height, width = frames[0].shape
    stream = _parameters(width // 16, height // 32)
    for number in range(2 * len(frames)):
        stream += _field(frames[number // 2][number % 2 :: 2], number)
    bare = path.with_suffix(".h264")
    bare.write_bytes(stream)
    with av.open(str(bare)) as fields, av.open(str(path), "w") as film:
        track = film.add_stream_from_template(fields.streams.video[0])
        for number, packet in enumerate(fields.demux(video=0)):
            if packet.size:
                packet.pts = packet.dts = number
                packet.duration, packet.time_base, packet.stream = 1, Fraction(1, 50), track
                film.mux(packet)
    return path
