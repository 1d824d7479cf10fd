"""What live tests share: a canary for camera pixels, and a reader of published pictures."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from media import read_video, write_pictures
from scenes import face_clip

from streamfx.frames import U8, Rendered
from streamfx.ipc.ring import SlotReader
from streamfx.ipc.ring_server import MAGIC
from streamfx.quality import Quality
from streamfx.sink.ring import RingReader, read_form

FROZEN_MS = 2000.0
"""A picture that stands still for that long is frozen, however busy the machine is. Gaps are reported."""
TIMES = int(os.environ.get("STREAMFX_FAULTS", "2"))
"""How often each fault is made."""
TILE = 8
"""px of the canary's squares."""
ONE, OTHER = (255, 0, 255), (0, 255, 0)
_NEAR = 70
"""Levels by which a pixel may differ from the canary's colours, after a lossy codec and half a blend."""
_ROW = 512
"""Pixels in a row of which half are the canary's: none of other data."""
_NUMBERS = re.compile(
    r"(?:\b\d{1,3}\b[\s,\[\]]+){16}"  # bytes
    r"|(?:-?\d+\.\d+(?:e[-+]?\d+)?[\s,\[\]]+){6}"  # coordinates
    r"|(?:\\x[0-9a-f]{2}){6}|[0-9a-f]{96,}|[A-Za-z0-9+/]{160,}"  # bytes' own text, hexadecimal, base64
)
SINGS = 0.002
"""Share of the picture in the canary's colours that counts as a leak; portraits have none."""


def paint_canary(rgb: U8) -> U8:
    """A copy with a border of magenta and green squares that leaves the face free."""
    height, width = rgb.shape[:2]
    rows, columns = np.indices((height, width)) // TILE
    board = np.where(((rows + columns) % 2 == 0)[..., None], ONE, OTHER).astype(np.uint8)
    edge = np.ones((height, width), bool)
    edge[height // 10 : -height // 10, width // 10 : -width // 10] = False
    return np.where(edge[..., None], board, rgb)


def sings(rgb: U8) -> bool:
    """Whether camera pixels show in a published picture."""
    small = cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.int16)
    share = 0.0
    for colour in (ONE, OTHER):
        share += float((np.abs(small - np.array(colour, np.int16)).max(2) < _NEAR).mean())
    return share > SINGS


def holds_canary(data: bytes) -> bool:
    """Whether camera pixels, raw or as a picture file, are in a file's bytes."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if picture is not None and sings(picture):  # red and blue are alike in the canary
        return True
    for start in range(3):
        pixels = np.frombuffer(data[start : start + (len(data) - start) // 3 * 3], np.uint8)
        pixels = pixels.reshape(-1, 3).astype(np.int16)
        near = [np.abs(pixels - np.array(colour, np.int16)).max(1) < _NEAR for colour in (ONE, OTHER)]
        rows = (near[0] | near[1])[: len(pixels) // _ROW * _ROW].reshape(-1, _ROW)
        if len(rows) and rows.mean(1).max() > 0.5:
            return True
    return False


def tells_numbers(text: str) -> list[str]:
    """Lines of a log with what pixels or landmarks look like there: rows of numbers, or bytes as text."""
    return [line for line in text.splitlines() if _NUMBERS.search(line)]


def canary_clip(folder: Path) -> Path:
    """A real face with the canary around it, as a film."""
    pictures = [paint_canary(rgb) for rgb in read_video(face_clip())]
    assert all(sings(rgb) for rgb in pictures)
    return write_pictures(folder / "driver.mp4", pictures)


def receive_ring(path: Path | str, seconds: float = 10.0) -> int:
    """The descriptor that a session's socket hands over."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(seconds)
        client.connect(str(path))
        data, descriptors, _, _ = socket.recv_fds(client, 64, 1)
    assert data == MAGIC
    return descriptors[0]


@dataclass
class Seen:
    """What a watcher saw."""

    pictures: int = 0
    leaks: int = 0
    opaque: int = 0
    disordered: int = 0
    """Moving pictures that show an earlier moment than one before them."""
    worst_gap_ms: float = 0.0
    qualities: dict[Quality, int] = field(default_factory=dict)
    last: Rendered | None = None
    _latest_ns: tuple[int, int] = (0, 0)
    _read_ns: int = 0

    def note(self, shown: Rendered, now_ns: int) -> None:
        """Count a picture in, in the order in which they are read.

        The idle portrait is not asked for order: it shows the moment of its tick, and the driver's next
        picture was captured before that.
        """
        if self._read_ns:
            self.worst_gap_ms = max(self.worst_gap_ms, (now_ns - self._read_ns) / 1e6)
        self._read_ns = now_ns
        self.pictures += 1
        self.leaks += sings(shown.rgb)
        self.opaque += shown.alpha is None
        self.qualities[shown.quality] = self.qualities.get(shown.quality, 0) + 1
        self.last = shown
        if shown.quality is not Quality.IDLE:
            times = shown.captured_ns, shown.rendered_ns
            self.disordered += any(now < then for now, then in zip(times, self._latest_ns, strict=True))
            self._latest_ns = times


class Watcher:
    """Reads every published picture, as the OBS plugin would; looks for the canary and at the order."""

    def __init__(self, socket_path: Path) -> None:
        self.seen = Seen()
        self._descriptor = receive_ring(socket_path)
        self._form = read_form(self._descriptor)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)
        os.close(self._descriptor)

    @property
    def is_as_announced(self) -> bool:
        """Whether the ring still has the size and form that this reader was told."""
        return read_form(self._descriptor) == self._form

    def forget_gaps(self) -> None:
        """Judge gaps from now on."""
        self.seen.worst_gap_ms = 0.0

    def _run(self) -> None:
        with RingReader(self._descriptor) as reader:
            while not self._stop.wait(0.003):
                shown = reader.newest()
                if shown is not None:
                    self.seen.note(shown, time.monotonic_ns())


def until(true: Callable[[], object], seconds: float = 30.0, what: str = "") -> None:
    """Wait until something is true; fail if it does not become so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what or true}"
        time.sleep(0.02)


def pictures_in_memory(pid: int) -> Iterator[U8]:
    """Every picture in shared memory that a process has open: all slots of all rings, also of the dead."""
    for entry in (Path("/proc") / str(pid) / "fd").iterdir():
        try:
            is_ours = str(entry.readlink()).startswith("/memfd:streamfx")
            descriptor = os.open(entry, os.O_RDONLY) if is_ours else -1
        except OSError:  # it was closed meanwhile
            continue
        if is_ours:
            with closing(SlotReader(descriptor)) as ring:
                yield from (slot.rgb.copy() for slot in ring._memory.slots)
            os.close(descriptor)


def children_of(pid: int) -> list[int]:
    """Process numbers of the living children of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            state, parent = text.rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(entry.name))
    return found


def runs(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
