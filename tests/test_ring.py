"""The ring of pictures in shared memory: what is written is read, and what is broken is refused."""

from __future__ import annotations

import fcntl
import mmap
import os
import random
import socket
import struct
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from live_stage import receive_ring, until

from streamfx.errors import RingUnreadable
from streamfx.frames import Rendered
from streamfx.ipc.ring_server import MAGIC, RingServer
from streamfx.quality import Quality
from streamfx.sink.ring import RingForm, RingReader, RingWriter, create_ring, read_form

FORM = RingForm(64, 48, 30.0)


def picture(seq: int, quality: Quality = Quality.FULL) -> Rendered:
    rgb = np.full((48, 64, 3), seq % 251, np.uint8)
    return Rendered(rgb, 1000 + seq, 2000 + seq, seq, quality)


@pytest.fixture
def ring():
    with RingWriter(FORM, create_ring(FORM)) as writer:
        yield writer


def test_the_newest_picture_is_read_once_with_all_that_belongs_to_it(ring: RingWriter):
    with RingReader(ring.descriptor) as reader:
        assert reader.form == FORM
        assert reader.newest() is None
        for seq in range(11):
            ring.write(picture(seq, Quality.HELD))
        seen = reader.newest()
        assert seen is not None
        assert (seen.seq, seen.captured_ns, seen.rendered_ns, seen.quality) == (10, 1010, 2010, Quality.HELD)
        assert (seen.rgb == 10).all()
        assert reader.newest() is None
        assert reader.written == 11


def test_alpha_is_read_as_it_was_written_and_only_with_its_picture(ring: RingWriter):
    alpha = np.random.default_rng(1).integers(0, 256, (48, 64), np.uint8)
    cut_out = [replace(picture(seq, Quality.IDLE), alpha=np.roll(alpha, seq)) for seq in range(9)]
    with RingReader(ring.descriptor) as reader:
        for seq, one in enumerate(cut_out):
            ring.write(one)
            seen = reader.newest()
            assert seen is not None
            assert (seen.seq, seen.quality) == (seq, Quality.IDLE)
            assert np.array_equal(seen.alpha, one.alpha)
            ring.write(picture(seq))
            opaque = reader.newest()
            assert opaque is not None
            assert opaque.alpha is None
            assert opaque.quality is Quality.FULL


def test_an_opaque_picture_leaves_the_plane_of_alpha_alone(ring: RingWriter):
    size = 48 * 64
    with mmap.mmap(ring.descriptor, FORM.size, access=mmap.ACCESS_READ) as memory:
        ring.write(replace(picture(7), alpha=np.full((48, 64), 9, np.uint8)))
        for seq in range(FORM.slots):
            ring.write(picture(seq))
        slots = [memory[start : start + FORM.stride] for start in range(4096, FORM.size, FORM.stride)]
    planes = [set(slot[64 + 3 * size : 64 + 4 * size]) for slot in slots]
    assert planes == [{9}, {0}, {0}, {0}]


def test_the_layout_is_the_one_that_other_programs_read(ring: RingWriter):
    """Read by hand, byte for byte as docs and plugin have it."""
    alpha = np.arange(48 * 64, dtype=np.uint32).astype(np.uint8).reshape(48, 64)
    ring.write(replace(picture(5, Quality.HELD), alpha=alpha))
    ring.write(picture(6, Quality.HELD))
    size = 48 * 64
    with mmap.mmap(ring.descriptor, FORM.size, access=mmap.ACCESS_READ) as memory:
        assert memory[:8] == b"SFXRING\0"
        stride = -(-(64 + 4 * size) // 64) * 64
        assert struct.unpack_from("<9I", memory, 8) == (2, 4096, 4, stride, 64, 48, 192, 1, 30_000)
        assert struct.unpack_from("<Q", memory, 72) == (2,)
        assert struct.unpack_from("<QQQQII", memory, 4096) == (2, 5, 1005, 2005, 2, 1)
        assert memory[4096 + 64 : 4096 + 64 + 3 * size] == picture(5).rgb.tobytes()
        assert memory[4096 + 64 + 3 * size : 4096 + 64 + 4 * size] == alpha.tobytes()
        assert struct.unpack_from("<QQQQII", memory, 4096 + stride) == (2, 6, 1006, 2006, 2, 0)


@pytest.mark.parametrize("about", [2 << 32, 1 << 33 | 1, 4, 1 << 32 | 4, 2**64 - 1])
def test_a_slot_that_makes_no_sense_is_not_shown(ring: RingWriter, about: int):
    ring.write(picture(1))
    with mmap.mmap(ring.descriptor, FORM.size, access=mmap.ACCESS_WRITE) as memory:
        struct.pack_into("<Q", memory, 4096 + 32, about)
    with RingReader(ring.descriptor) as reader:
        assert reader.newest() is None


@pytest.mark.parametrize("version", [0, 1, 3])
def test_a_ring_of_another_version_is_refused_by_name(version: int):
    data = bytearray(FORM.packed())
    struct.pack_into("<I", data, 8, version)
    descriptor = os.memfd_create("other")
    os.ftruncate(descriptor, FORM.size)
    os.pwrite(descriptor, bytes(data), 0)
    with pytest.raises(RingUnreadable, match=f"of version {version}, this streamfx reads 2") as refused:
        read_form(descriptor)
    assert "same version" in refused.value.remedy
    os.close(descriptor)


@pytest.mark.parametrize(
    ("size", "alpha"), [((48, 62), None), ((48, 64), (48, 62)), ((48, 64), (48, 64, 1)), ((48, 64), (1, 64))]
)
def test_a_picture_of_another_size_is_refused(ring: RingWriter, size: tuple, alpha: tuple | None):
    rgb = np.zeros((*size, 3), np.uint8)
    plane = None if alpha is None else np.zeros(alpha, np.uint8)
    with pytest.raises(ValueError, match="the ring holds"):
        ring.write(Rendered(rgb, 0, 0, 0, Quality.FULL, plane))


def test_the_beat_is_seen(ring: RingWriter):
    with RingReader(ring.descriptor) as reader:
        before = reader.beats
        ring.beat()
        assert reader.beats == before + 1


def test_a_slot_in_the_middle_of_being_written_is_not_read(ring: RingWriter):
    """As a writer leaves it that is killed there."""
    with RingReader(ring.descriptor) as reader:
        ring.write(picture(1))
        with mmap.mmap(ring.descriptor, FORM.size) as memory:
            memory[4096] |= 1
            assert reader.newest() is None
        ring.write(picture(2))
        seen = reader.newest()
        assert seen is not None
        assert seen.seq == 2


def test_no_reader_sees_half_a_picture():
    """A writer as fast as it can be, a reader as fast as it can be: every picture is of one colour."""
    with RingWriter(FORM, create_ring(FORM)) as ring, RingReader(ring.descriptor) as reader:
        done = threading.Event()

        def write():
            for seq in range(20_000):
                ring.write(picture(seq))
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        seen = 0
        while not done.is_set():
            shown = reader.newest()
            if shown is not None:
                seen += 1
                assert (shown.rgb == shown.seq % 251).all(), "torn"
        writer.join()
    assert seen > 10


def test_the_memory_can_neither_shrink_nor_grow(ring: RingWriter):
    for size in (FORM.size - 1, FORM.size + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(ring.descriptor, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(ring.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_the_memory_outlives_its_writer_and_leaves_nothing(ring: RingWriter):
    with RingReader(ring.descriptor) as reader:
        ring.write(picture(5))
        ring.close()
        seen = reader.newest()
        assert seen is not None
        assert seen.seq == 5
    assert not list(Path("/dev/shm").glob("streamfx*"))


def test_another_process_reads_what_is_handed_over_but_cannot_write(ring: RingWriter, short_folder: Path):
    handover = RingServer(short_folder / "a.ring", ring.descriptor)
    try:
        assert (short_folder / "a.ring").stat().st_mode & 0o777 == 0o600
        ring.write(picture(9))
        code = f"""
import mmap, sys
from live_stage import receive_ring, until
from streamfx.sink.ring import RingReader
descriptor = receive_ring({str(short_folder / "a.ring")!r})
with RingReader(descriptor) as reader:
    print(reader.newest().seq)
try:
    mmap.mmap(descriptor, {FORM.size}, access=mmap.ACCESS_WRITE)
except PermissionError:
    print("refused")
"""
        tests = Path(__file__).parent
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": f"{tests}:{tests.parent}"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout.split() == ["9", "refused"], done.stderr
    finally:
        handover.close()
    assert not (short_folder / "a.ring").exists()


def test_a_stalled_reader_of_the_socket_holds_up_nobody(ring: RingWriter, short_folder: Path):
    handover = RingServer(short_folder / "b.ring", ring.descriptor)
    try:
        idle = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        idle.connect(str(short_folder / "b.ring"))  # and never receives
        descriptor = receive_ring(short_folder / "b.ring")
        os.close(descriptor)
        idle.close()
    finally:
        handover.close()
    assert len(MAGIC) == 9


def test_who_stays_connected_is_counted_until_it_goes(ring: RingWriter, short_folder: Path):
    handover = RingServer(short_folder / "c.ring", ring.descriptor)
    try:
        with ExitStack() as opened:
            for count in (1, 2):
                reader = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                reader.connect(str(handover.path))
                until(lambda count=count: handover.readers == count)
        until(lambda: handover.readers == 0)
        last = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        last.connect(str(handover.path))
        until(lambda: handover.readers == 1)
    finally:
        handover.close()
    with last:
        last.settimeout(5)
        data, descriptors, _, _ = socket.recv_fds(last, 64, 1)
        os.close(descriptors[0])
        assert (data, last.recv(1)) == (MAGIC, b""), "a daemon that ends hangs up"


def test_every_mutation_of_a_header_is_refused_or_harmless():
    """2,000 of them: no crash, no read beyond the memory."""
    good = bytearray(FORM.packed())
    chance = random.Random(3)
    refused = 0
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        refused += _is_refused(bytes(data))
    assert refused > 1900


@pytest.mark.parametrize(
    ("index", "value"),
    [(0, 1), (0, 3), (2, 0), (2, 17), (2, 2**32 - 1), (3, 64), (4, 0), (4, 2**31), (5, 8193), (6, 1), (7, 2)],
)
def test_figures_that_contradict_one_another_are_refused(index: int, value: int):
    data = bytearray(FORM.packed())
    struct.pack_into("<I", data, 8 + 4 * index, value)
    assert _is_refused(bytes(data))


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, FORM.size - 1])
def test_memory_that_is_too_small_is_refused(size: int):
    descriptor = os.memfd_create("small")
    os.ftruncate(descriptor, size)
    os.pwrite(descriptor, FORM.packed()[:size], 0)
    with pytest.raises(RingUnreadable):
        read_form(descriptor)
    os.close(descriptor)


def _is_refused(header: bytes) -> bool:
    descriptor = os.memfd_create("mutant")
    try:
        os.ftruncate(descriptor, FORM.size)
        os.pwrite(descriptor, header, 0)
        with RingReader(descriptor) as reader:
            reader.newest()
    except RingUnreadable:
        return True
    finally:
        os.close(descriptor)
    return False
