"""Pictures in shared memory: the newest of a few slots, read without locks, whatever dies meanwhile.

The worker gives its pictures to the daemon this way, and the daemon gives what it publishes to the OBS plugin
and to recordings (sink/ring.py); other programs give what is to drive (source/feed.py). One writer, and any
number of readers; no reader can hold up the writer or harm it. Both rooms share what is here: the layout, and
the memory, of which a reader believes nothing unchecked.

Layout, version 2, little-endian; all offsets in bytes:

    0    magic "SFXRING\\0"      8 bytes
    8    version                u32  = 2
    12   header                 u32  offset of the first slot, 4096
    16   slots                  u32  2 to 16
    20   stride                 u32  from slot to slot, a multiple of 64
    24   width, height          u32  px
    32   row                    u32  from pixel row to pixel row, 3 * width
    36   format                 u32  1 = R8 G8 B8, then a plane of alpha
    40   rate                   u32  frames per 1,000 seconds; 0 as they come
    64   beat                   u64  grows while the writer is alive and making progress
    72   written                u64  pictures so far; the newest lies in slot (written - 1) % slots
    128                              end of the fields; 0 to `header`

    slot:
    0    lock                   u64  odd while the slot is being written (seqlock)
    8    seq                    u64  of the picture
    16   captured_ns            u64  monotonic clock: when what it shows was captured
    24   rendered_ns            u64  monotonic clock: when it was finished
    32   quality                u32  0 FULL, 1 WARP_ONLY, 2 HELD, 3 IDLE
    36   alpha                  u32  1: the plane of alpha says how much each pixel covers of what is behind,
                                     255 all of it, and colours are premultiplied by that; 0: the picture is
                                     opaque, and the plane means nothing
    64   pixels                 height rows of `row` bytes; after them the plane of alpha, height rows of
                                `width` bytes

Version 1 had no alpha: a reader of either version refuses the other.

A reader copies the newest slot and looks whether `lock` is even and unchanged; else it takes what is newest
by then. The memory is a sealed memfd: nobody can shrink it under a reader, and whoever is handed the
descriptor maps it read-only. Where there are no memfds (macOS, Windows) it is a file in a private folder.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from streamfx.errors import RingUnreadable
from streamfx.frames import U8
from streamfx.ipc.memory import seal, shared_memory

MAGIC: Final = b"SFXRING\0"
VERSION: Final = 2
HANDOVER: Final = b"SFXRING %d" % VERSION
"""The packet beside a ring's descriptor (SCM_RIGHTS): who reads another version of it is told at once."""
SLOTS: Final = 4
"""Three more than the newest: a reader has that many frame times for its copy."""

_FIELDS: Final = struct.Struct("<8s9I")
_HEADER: Final = 4096
BEAT, WRITTEN = 8, 9
"""Places among RingMemory.counters."""
_PIXELS: Final = 64
_ALIGNMENT: Final = 64
_MOST_SLOTS: Final = 16
_LARGEST_SIDE: Final = 8192
_ATTEMPTS: Final = 4
"""Reads of a slot that was overwritten meanwhile, before giving up until the next picture."""
_ANOTHER: Final = "Restart streamfx and what reads it in the same version"

_RGB: Final = 1
_CHANNELS: Final = 3
HAS_ALPHA: Final = 1 << 32
"""Of the number that holds quality and alpha: they are read and written as one."""

_FENCE = threading.Lock()
"""Taking it orders this core's memory accesses: processors other than x86 may otherwise show a slot's lock to
a reader before its pixels."""


@dataclass(frozen=True, slots=True)
class RingForm:
    """What a ring holds; constant for its life."""

    width: int
    """px"""
    height: int
    """px"""
    fps: float = 0.0
    """Pictures a second; 0 as they come."""
    slots: int = SLOTS

    @property
    def row(self) -> int:
        """Bytes from pixel row to pixel row."""
        return self.width * _CHANNELS

    @property
    def stride(self) -> int:
        """Bytes from slot to slot."""
        size = _PIXELS + self.height * (self.row + self.width)
        return -(-size // _ALIGNMENT) * _ALIGNMENT

    @property
    def size(self) -> int:
        """Bytes in all."""
        return _HEADER + self.slots * self.stride

    def packed(self) -> bytes:
        """The header's fields."""
        rate = round(1000 * self.fps)
        return _FIELDS.pack(
            MAGIC, VERSION, _HEADER, self.slots, self.stride, self.width, self.height, self.row,
            _RGB, rate,
        )  # fmt: skip


class RingMemory:
    """The memory, mapped, and views of its parts."""

    def __init__(self, descriptor: int, form: RingForm, *, writable: bool) -> None:
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self.form = form
        memory = mmap.mmap(descriptor, form.size, access=access)
        self.counters = np.frombuffer(memory, np.uint64, _HEADER // 8)
        self.slots = [self._slot(memory, index) for index in range(form.slots)]

    def _slot(self, memory: mmap.mmap, index: int) -> Slot:
        start, form = _HEADER + index * self.form.stride, self.form
        size, pixels = form.height * form.row, start + _PIXELS
        rgb = np.frombuffer(memory, np.uint8, size, pixels)
        alpha = np.frombuffer(memory, np.uint8, form.height * form.width, pixels + size)
        numbers = np.frombuffer(memory, np.uint64, 5, start)
        shape = (form.height, form.width)
        return Slot(numbers, rgb.reshape(*shape, _CHANNELS), alpha.reshape(shape))

    def close(self) -> None:
        """Let go of the memory; it is unmapped when nobody copies from it any more. May be called twice."""
        self.slots = []
        self.counters = np.zeros(_HEADER // 8, np.uint64)


@dataclass(frozen=True, slots=True)
class Slot:
    """Views of one slot."""

    numbers: npt.NDArray[np.uint64]
    """[5]: lock, seq, captured_ns, rendered_ns, quality (its upper half: alpha)."""
    rgb: U8
    alpha: U8


def create_ring(form: RingForm) -> int:
    """The descriptor of a new, empty ring, the caller's to close. No name of it can be left behind.

    Raises:
        OSError: there is no memory for it.
    """
    descriptor = shared_memory(form.size)
    try:
        os.write(descriptor, form.packed())
        seal(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@dataclass(frozen=True, slots=True)
class SlotPicture:
    """A slot's content, copied: whole, but as its writer chose it."""

    rgb: U8
    """u8 [height,width,3]"""
    alpha: U8 | None
    """u8 [height,width]; None if the picture is opaque."""
    seq: int
    captured_ns: int
    rendered_ns: int
    """u64 of the slot, unchecked."""
    quality: int
    """What stands beside the bit of alpha, unchecked."""


class SlotReader:
    """Reads a ring. One thread at a time; the counters may be read by others."""

    def __init__(self, descriptor: int) -> None:
        """Map it read-only; the descriptor stays the caller's.

        Raises:
            RingUnreadable: it is no ring, one of another version, or its figures contradict one another.
        """
        self.form = read_form(descriptor)
        self._memory = RingMemory(descriptor, self.form, writable=False)
        self.seen = 0
        """`written` of the picture that was taken last."""
        self.overtaken = 0
        """Pictures that the one taken last overtook."""

    @property
    def beats(self) -> int:
        """Grows while the writer makes progress."""
        return int(self._memory.counters[BEAT])

    @property
    def written(self) -> int:
        """Pictures written so far; 0 after `close`."""
        return int(self._memory.counters[WRITTEN])

    def newest(self) -> SlotPicture | None:
        """The newest picture that was not taken yet, copied; None if there is none."""
        for _ in range(_ATTEMPTS):
            written = self.written
            if written == self.seen:
                return None
            picture = _copied(self._memory.slots[(written - 1) % self.form.slots])
            if picture is not None:
                self.overtaken, self.seen = written - self.seen - 1, written
                return picture
        return None

    def close(self) -> None:
        """Let the memory go. May be called twice."""
        self._memory.close()


def _copied(slot: Slot) -> SlotPicture | None:
    """A slot's picture; None if it was being written."""
    lock = int(slot.numbers[0])
    fence()
    if lock & 1:
        return None
    rgb = slot.rgb.copy()
    _, seq, captured_ns, rendered_ns, about = slot.numbers.tolist()
    alpha = slot.alpha.copy() if about & HAS_ALPHA else None
    fence()
    if int(slot.numbers[0]) != lock:
        return None
    return SlotPicture(rgb, alpha, seq, captured_ns, rendered_ns, about & ~HAS_ALPHA)


def read_form(descriptor: int) -> RingForm:
    """What a ring holds, every figure checked against the others and against the memory's size.

    Raises:
        RingUnreadable: see SlotReader.
    """
    size = os.fstat(descriptor).st_size
    if size < _HEADER:
        raise RingUnreadable(f"The shared memory has {size} bytes, fewer than a ring's header", _ANOTHER)
    with mmap.mmap(descriptor, _HEADER, access=mmap.ACCESS_READ) as memory:
        fields = _FIELDS.unpack(memory[: _FIELDS.size])
    magic, version, header, slots, stride, width, height, row, form, rate = fields
    if magic != MAGIC:
        raise RingUnreadable("The shared memory holds no pictures of streamfx", _ANOTHER)
    if version != VERSION:
        raise RingUnreadable(f"The ring is of version {version}, this streamfx reads {VERSION}", _ANOTHER)
    if form != _RGB or not (1 <= width <= _LARGEST_SIDE and 1 <= height <= _LARGEST_SIDE):
        raise RingUnreadable(
            f"The ring's pictures, {width} x {height} of format {form}, make no sense", _ANOTHER
        )
    told = RingForm(width, height, rate / 1000, slots)
    if not 2 <= slots <= _MOST_SLOTS or (header, stride, row) != (_HEADER, told.stride, told.row):
        raise RingUnreadable("The ring's figures contradict one another", _ANOTHER)
    if size < told.size:
        raise RingUnreadable(f"The ring has {size} of {told.size} bytes", _ANOTHER)
    return told


def fence() -> None:
    """Let memory accesses before this be done before those after it."""
    with _FENCE:
        pass
