"""A process that reads damaged files as the product does, one after another, and tells how each came out.

One line of JSON in (the kind and the path), one out (`Verdict`). What it opens beside the named file,
starts, or connects to, is told by Python's own audit hook here, and by strace around it.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from streamfx.errors import StreamfxError
from streamfx.portrait.checks import Finding
from streamfx.portrait.photo import WORKING_PIXELS, load_photo
from streamfx.settings.daemon import load_config
from streamfx.source.file import FileSource

MARK = "/streamfx-mutations-begin"
"""Opened in vain when everything is imported: what is traced from here on belongs to a file."""
ACCEPTED, REFUSED, WRONG = "accepted", "refused", "wrong"
_SYSTEM = ("/sys/devices/system/cpu", "/proc/sys/vm/overcommit_memory")
_THIN = 100
"""px: of what is so thin nothing is left out by halves."""
_MOST_PICTURES = 150
_MOST_BLOCKS = 1000
_LONGEST_TEXT = 400
_EVENTS = ("open", "os.exec", "os.posix_spawn", "os.system", "socket.connect", "subprocess.Popen")


@dataclass
class Verdict:
    """How a file came out."""

    outcome: str
    told: str
    """The error's class and text, or what was read."""
    cpu_s: float = 0.0
    """Until the first picture, or the refusal."""
    peak_mb: float = 0.0
    """Of the process, at most, while the file was read."""
    pictures: int = 0


class Wrong(Exception):  # noqa: N818 - says what a reader gave that it must not
    """What was accepted makes no sense."""


# -- what is read --------------------------------------------------------------------------------------------


def image(path: Path) -> tuple[str, int, float]:
    """A photo, as the process reads it that looks at photos."""
    photo = load_photo(path)
    width, height = photo.size
    _check_pixels(photo.rgb)
    _require(width * height <= 1.01 * WORKING_PIXELS or min(photo.size) < _THIN, f"{width} x {height}")
    for finding in photo.findings:
        _check_finding(finding)
    return f"{width} x {height}", 1, time.process_time()


def video(path: Path) -> tuple[str, int, float]:
    """A driver, to its end or for some seconds of film; then its sound."""
    last, epoch, count = -1, 0, 0
    with FileSource(path) as source:
        info, begun = source.info, time.process_time()
        _require(0 < info.fps <= 1000, f"{info.fps} pictures a second")
        _require(info.duration_s is None or 0 < info.duration_s < math.inf, f"lasts {info.duration_s} s")
        _require(info.frames is None or info.frames > 0, f"{info.frames} pictures")
        for frame in source:
            _check_pixels(frame.rgb)
            _require(frame.captured_ns > last, f"picture {count} at {frame.captured_ns} ns, behind {last}")
            _require(frame.epoch >= epoch and frame.seq == count, f"epoch {frame.epoch}, number {frame.seq}")
            last, epoch, count = frame.captured_ns, frame.epoch, count + 1
            if count == _MOST_PICTURES:
                break
        sound = _sound(source) if info.has_audio else "silent"
    return f"{info.codec} {info.width} x {info.height}, {count} pictures, {sound}", count, begun


def _sound(source: FileSource) -> str:
    try:
        sound = source.sound()
    except StreamfxError as error:
        return f"sound refused: {error.cause}"
    assert sound is not None
    with closing(sound):
        for number, block in enumerate(sound):
            samples = block.samples
            _require(samples.shape[0] == sound.channels and samples.dtype == np.float32, f"{samples.shape}")
            _require(bool(np.isfinite(samples).all()), "samples are no numbers")
            _require(block.start_ns > -1e9 / sound.rate, f"sound at {block.start_ns} ns")
            if number == _MOST_BLOCKS:
                break
        return f"{sound.heard_s:.2f} s of sound"


def settings(path: Path) -> tuple[str, int, float]:
    """The daemon's settings."""
    read = load_config(path)
    return f"{read.session.settings.output.size}", 0, time.process_time()


def planted(path: Path) -> tuple[str, int, float]:
    """What must be noticed: the file's name says which."""
    faults: dict[str, Callable[[], object]] = {
        "crash": os.abort,
        "hang": lambda: time.sleep(600),
        "memory": lambda: np.ones(400_000_000, np.uint8),
        "traceback": lambda: {}[1],
        "nonsense": lambda: _require(condition=False, what="a picture of no pixels"),
        "opens": lambda: Path("/etc/hostname").read_bytes(),
        "connects": lambda: socket.socket().connect_ex(("127.0.0.1", 9)),
        "speaks": lambda: os.write(2, b"a library's own words\n"),
    }
    faults[path.stem]()
    return path.stem, 0, time.process_time()


def _check_pixels(rgb: np.ndarray) -> None:
    form = f"{rgb.dtype} {rgb.shape} {rgb.strides}"
    _require(rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.size > 0, form)
    _require(rgb.flags.c_contiguous, form)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise Wrong(what)


def _check_finding(finding: Finding) -> None:
    _check_text(finding.cause)


def _check_text(text: str) -> None:
    _require(text.isprintable() and 0 < len(text) <= _LONGEST_TEXT, f"its text is {text!r}")


KINDS: dict[str, Callable[[Path], tuple[str, int, float]]] = {
    "images": image, "videos": video, "settings": settings, "planted": planted,
}  # fmt: skip

# -- how it is watched ---------------------------------------------------------------------------------------


class Watch:
    """What Python itself opens, starts and connects to while a file is read."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._named: str | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._named is None or event not in _EVENTS:
            return
        if event == "open" and is_allowed(str(arguments[0]), self._named):
            return
        self.seen.append(f"{event} {arguments[0]!r}")

    @contextmanager
    def of(self, path: str) -> Iterator[None]:
        """Nothing but `path` may be opened in the block."""
        self.seen, self._named = [], path
        try:
            yield
        finally:
            self._named = None


def is_allowed(opened: str, named: str) -> bool:
    """The file itself; what Python imports late; what the C library asks of processors and memory."""
    libraries = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2] / "streamfx"))
    late = opened.startswith(libraries) and opened.endswith((".py", ".pyc", ".so", "__pycache__"))
    return opened == named or late or opened.startswith(_SYSTEM)


class Peak:
    """The most memory that this process held since `begin`."""

    def __init__(self) -> None:
        self._clear = os.open("/proc/self/clear_refs", os.O_WRONLY)
        self._status = os.open("/proc/self/status", os.O_RDONLY)

    def begin(self) -> None:
        os.write(self._clear, b"5")

    def mb(self) -> float:
        for line in os.pread(self._status, 4096, 0).splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) / 1024
        return 0.0


def examined(kind: str, path: Path, watch: Watch, peak: Peak) -> Verdict:
    """Read one file."""
    peak.begin()
    said_before, started = os.fstat(2).st_size, time.process_time()
    begun = 0.0
    pictures = 0
    unforeseen: BaseException | None = None
    with watch.of(str(path)):
        try:
            told, pictures, begun = KINDS[kind](path)
            outcome = ACCEPTED
        except StreamfxError as error:
            outcome, told = REFUSED, f"{type(error).__name__}: {error.cause}. {error.remedy}"
        except Wrong as wrong:
            outcome, told = WRONG, str(wrong)
        except BaseException as error:  # noqa: BLE001 - that is what is looked for
            outcome, told, unforeseen = WRONG, "", error
    if unforeseen is not None:
        told = "".join(traceback.format_exception(unforeseen))
    cpu_s = (begun or time.process_time()) - started
    if outcome == REFUSED and not (told.isprintable() and len(told) <= _LONGEST_TEXT and told[-1] != " "):
        outcome = WRONG  # no line, or no remedy
    if watch.seen:
        outcome, told = WRONG, f"it reached for {watch.seen}"
    if (said := os.fstat(2).st_size) != said_before:
        outcome, told = WRONG, f"it wrote {os.pread(2, said - said_before, said_before)!r}; {told}"
    return Verdict(outcome, told, cpu_s, peak.mb(), pictures)


def main() -> None:
    """Warm up with every file that follows on the command line, then read what is asked for."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print must not print between
    watch, peak = Watch(), Peak()
    for kind, path in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        examined(kind, Path(path), watch, peak)
    try:
        os.open(MARK, os.O_RDONLY)
    except FileNotFoundError:
        out.write("ready\n")
        out.flush()
    for line in sys.stdin:
        kind, name = json.loads(line)
        out.write(json.dumps(asdict(examined(kind, Path(name), watch, peak))) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
