"""Commands, and a live session, where the system gives little: open files, memory, room for files.

As a program (scripts/live-limits): every limit alone, at sizes that suffice and that do not. What must hold:
it works, or is refused in a line that names cause and remedy; no traceback, no torn file, no hang; and the
camera goes on.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from attack import ROOT, Gaps, Reader, Stand, attacked
from live_stage import children_of, until
from media import read_video
from scenes import face_clip, photo

from streamfx.api.values import PreviewFormat, State
from streamfx.client import Client
from streamfx.errors import StreamfxError
from streamfx.ipc.handed import OFFER
from streamfx.settings.session import Output, SessionSettings

_CGROUPS = Path("/sys/fs/cgroup")
_LONGEST_S = 90.0
"""Longest that a command may take here."""
_LIVE_S = 8.0


@dataclass(frozen=True)
class Limit:
    """What a command is run within."""

    name: str
    shell: str
    """Done by the shell that becomes the command."""
    alone: bool = False
    """Whether it needs mounts of its own."""
    user: int = 0
    """Who runs it, with the right to read and write what this user may; 0 for this user."""

    def and_(self, other: Limit) -> Limit:
        """Both."""
        both = f"{self.shell}; {other.shell}"
        return Limit(f"{self.name}, {other.name}", both, self.alone or other.alone)

    @property
    def command(self) -> list[str]:
        """The beginning of the command line."""
        shell = ["bash", "-ec", f'{self.shell}; exec "$@"', "sh"]  # others count processes by -p, or not
        if self.user:
            rights, number = "+dac_override,+dac_read_search", str(self.user)
            as_user = ("--reuid", number, "--clear-groups", "--inh-caps", rights, "--ambient-caps", rights)
            return ["setpriv", *as_user, *shell]
        return ["unshare", "-rm", *shell] if self.alone else shell


def open_files(most: int) -> Limit:
    return Limit(f"{most} open files", f"ulimit -n {most}")


def size(kilobytes: int) -> Limit:
    return Limit(f"files of {kilobytes} kB", f"ulimit -f {kilobytes}")


def processes(most: int) -> Limit:
    """For a user of its own, whose programs are these alone: root is given any number."""
    return Limit(f"{most} processes", f"ulimit -u {most}", user=4242)


def addresses(megabytes: int) -> Limit:
    return Limit(f"{megabytes} MB of addresses", f"ulimit -v {1000 * megabytes}")


def full_shared_memory() -> Limit:
    shell = "mount -t tmpfs -o size=4k none /dev/shm; cat /dev/zero > /dev/shm/full 2>/dev/null || true"
    return Limit("/dev/shm full", shell, alone=True)


def can_mount() -> bool:
    """Whether a full /dev/shm can be had."""
    with suppress(OSError):
        return subprocess.run([*full_shared_memory().command, "true"], check=False).returncode == 0
    return False


@contextmanager
def memory(megabytes: int) -> Iterator[Limit]:
    """A control group with so much memory, of version 2 or 1, and no swap.

    Raises:
        OSError: none can be made here.
    """
    is_new = "memory" in _read(_CGROUPS / "cgroup.controllers").split()
    place = (_CGROUPS if is_new else _CGROUPS / "memory") / f"streamfx-limits-{os.getpid()}"
    place.mkdir()
    try:
        names = ("memory.max", "memory.swap.max") if is_new else ("memory.limit_in_bytes",)
        for name, value in zip(names, (megabytes << 20, 0), strict=False):
            (place / name).write_text(str(value))
        yield Limit(f"{megabytes} MB of memory", f"echo $$ > {shlex.quote(str(place / 'cgroup.procs'))}")
    finally:
        until(lambda: not _read(place / "cgroup.procs").split(), 10, "an empty control group")
        place.rmdir()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def most_memory(pids: Sequence[int]) -> float:
    """MB that processes take together: what they share is counted once."""
    lines = [line for pid in pids for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


# A command, and what came of it.


@dataclass(frozen=True)
class Outcome:
    """Of a command."""

    code: int
    said: str
    faults: tuple[str, ...]
    """What must not be."""

    @property
    def line(self) -> str:
        """The line that a person needs."""
        lines = self.said.strip().splitlines() or [""]
        return next((one for one in lines if "error: " in one or one.startswith("fail")), lines[-1])


def judge(code: int, said: str) -> tuple[str, ...]:
    """What in a command's end, or a log, must not be."""
    faults = [
        f"{word}: {said[-1500:]}" for word in ("Traceback", "RAW:", "dumped", "never awaited") if word in said
    ]
    if code < 0 or code >= 128:
        faults.append(f"it ended by a signal: {code}")
    elif code and "streamfx: error: " not in said and "fail " not in said:
        faults.append(f"code {code} without a reason: {said[-300:]!r}")
    return tuple(faults)


def run(limit: Limit, folder: Path, *words: str) -> Outcome:
    """A command of ours within a limit."""
    command = [*limit.command, sys.executable, "-m", "streamfx", *words]
    try:
        done = subprocess.run(
            command, env=environment(folder), capture_output=True, text=True, timeout=_LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Outcome(-1, "", (f"it hangs: {words[0]}",))
    said = done.stdout + done.stderr
    return Outcome(done.returncode, said, judge(done.returncode, said))


def environment(folder: Path) -> dict[str, str]:
    """With folders of its own; the models and what was compiled are the account's."""
    named = {"XDG_RUNTIME_DIR": "", "XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "config"}
    places = {name: str(folder / below) for name, below in named.items()}
    return {**os.environ, **places, "PYTHONPATH": str(ROOT)}


def render(limit: Limit, folder: Path, driver: Path | None = None) -> Outcome:
    """A film of a second: whole, or not there, and nothing beside it."""
    out = folder / "out"
    out.mkdir()
    film = out / "film.mp4"
    words = ("render", str(photo()), str(driver or face_clip()), "-o", str(film), "--duration", "1")
    done = run(limit, folder, *words)
    faults = list(done.faults)
    if film.exists() != (done.code == 0):
        faults.append(f"code {done.code}, and the film is {'' if film.exists() else 'not '}there")
    if film.exists() and len(list(read_video(film))) < 25:
        faults.append("the film is torn")
    faults += [f"{one.name} is left" for one in out.iterdir() if one != film]
    return Outcome(done.code, done.said, tuple(faults))


def live(limit: Limit, folder: Path, driver: Path | None = None) -> tuple[Outcome, Gaps | None]:
    """`live` with a new photo, read all along; the gaps are of its last seconds."""
    words = (
        "live",
        str(photo()),
        "--source",
        str(driver or face_clip()),
        "--camera",
        "none",
        "--duration",
        str(_LIVE_S),
    )
    ring, log = folder / "streamfx" / "session-1.ring", folder / "log"
    gaps: Gaps | None = None
    with log.open("wb") as out:
        command = [*limit.command, sys.executable, "-m", "streamfx", *words]
        program = subprocess.Popen(command, env=environment(folder), stdout=out, stderr=out)
        try:
            until(lambda: ring.exists() or program.poll() is not None, _LONGEST_S)
            if ring.exists():
                with closing(Reader(ring)) as reader:
                    time.sleep(_LIVE_S / 2)  # `live` ends by itself that long after all is ready, or later
                    gaps = reader.gaps()
            code = program.wait(_LONGEST_S)
        except subprocess.TimeoutExpired:
            return Outcome(-1, log.read_text(), ("it hangs: live",)), gaps
        finally:
            program.kill()
            program.wait()
    said = log.read_text(errors="replace")
    return Outcome(code, said, judge(code, said)), gaps


# A daemon, and everybody at once.


def crowd(stand: Stand, share: float = 1.0) -> Counter[str]:
    """Readers of the ring and files handed over by the hundred stay, while others ask for all there is; then
    connections that say nothing."""
    codes = Counter[str]()
    ring, files = stand.folder / "streamfx" / "session-1.ring", Path(f"{stand.socket}.files")
    with ExitStack() as held:
        for kind, path, style, count in (
            ("readers", ring, socket.SOCK_SEQPACKET, 100),
            ("handing over", files, socket.SOCK_SEQPACKET, 60),
            ("connections", stand.socket, socket.SOCK_STREAM, 150),
        ):
            if style == socket.SOCK_STREAM:
                with ThreadPoolExecutor(8) as pool:
                    codes.update(pool.map(partial(_asked, stand), (*_ASKED, *["a preview"] * 3)))
            for _ in range(round(share * count)):
                codes[f"{kind}: {_connect(held, path, style)}"] += 1
        time.sleep(1)
        codes[_asked(stand, "a list").replace("a list", "a list, all connections taken")] += 1
    return codes


def _connect(held: ExitStack, path: Path, style: int) -> str:
    """Connect and stay; of files, hand over as many as may be."""
    one = held.enter_context(socket.socket(socket.AF_UNIX, style))
    one.settimeout(0.5)
    try:
        one.connect(str(path))
        if path.suffix == ".files":
            with photo().open("rb") as file:
                for _ in range(8):
                    socket.send_fds(one, [OFFER + b"/photo"], [file.fileno()])
                    one.recv(4096)
        elif style == socket.SOCK_SEQPACKET:
            for descriptor in socket.recv_fds(one, 64, 1)[1]:
                os.close(descriptor)
    except OSError as error:
        return type(error).__name__
    return "connected"


def _asked(stand: Stand, what: str) -> str:
    """What came of it."""
    try:
        with Client.connect(stand.socket) as client:
            _ASKED[what](client)
    except StreamfxError as error:
        return f"{what}: {type(error).__name__}: {error}"
    return f"{what}: OK"


def _preview(client: Client) -> None:
    for _, _ in zip(range(15), client.preview("session-1", format=PreviewFormat.H264), strict=False):
        pass


def _record(client: Client) -> None:
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        last = [*client.record("session-1", film, 1.0)][-1]
        assert last.finished
        assert not last.trouble
        assert len(list(read_video(film))) > 10


_ASKED: Final[dict[str, Callable[[Client], object]]] = {
    "a list": lambda client: client.list_sessions(),
    "a session": lambda client: client.create_session(SessionSettings(Output("none"), "none"), "more"),
    "a portrait": lambda client: client.create_portrait(photo(), name="two"),
    "a recording": _record,
    "a preview": _preview,
}
"""What takes files of the daemon."""


def lives(stand: Stand, seconds: float = 30.0) -> bool:
    """Whether the portrait is driven, soon, and calls are answered."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(StreamfxError), Client.connect(stand.socket) as client:
            status = client.get_session("session-1").status
            if status.state is State.LIVE and not status.readying:
                return True
        time.sleep(0.2)
    return False


def own_children(stand: Stand, module: str) -> list[int]:
    """Process numbers of the daemon's children that run a module."""
    return [pid for pid in children_of(stand.pid) if f"'{module}'" in _read(Path(f"/proc/{pid}/cmdline"))]


@dataclass(frozen=True)
class Session:
    """What came of a daemon with a session, within a limit."""

    gaps: Gaps
    """While it is live, everybody asks, and the worker is killed."""
    memory_mb: float
    """Of all its processes."""
    codes: Counter[str]
    faults: tuple[str, ...]


def serve(limit: Limit, folder: Path, share: float = 1.0) -> Session:
    """A daemon whose session is live, asked by a crowd; its worker dies meanwhile."""
    with attacked(folder, str(face_clip()), limit.command) as stand:
        faults = [] if lives(stand) else ["it was not live"]
        stand.reader.gaps()
        codes = crowd(stand, share)
        faults += _wrongly_spared(stand)
        for pid in own_children(stand, "streamfx.worker"):
            os.kill(pid, signal.SIGKILL)
        time.sleep(1)
        if not lives(stand):
            faults.append("it was not live again")
        for what in ("a portrait", "a recording", "a preview"):
            codes[f"afterwards {_asked(stand, what)}"] += 1
        used = most_memory([stand.pid, *children_of(stand.pid)])
        gaps = stand.reader.gaps()
        faults += stand_still(stand)
        if not stand.runs:
            faults.append("the daemon has ended")
        faults += judge(0, stand.log())
    return Session(gaps, used, codes, tuple(faults))


def stand_still(stand: Stand, seconds: float = 3.0) -> list[str]:
    """Stop all of its processes for a while, as a machine that sleeps does: none may be replaced for it."""
    pids, before = [stand.pid, *children_of(stand.pid)], _restarts(stand)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
    faults = [] if lives(stand) else ["it was not live after it had stood still"]
    time.sleep(1)  # whatever is to be replaced is by then
    replaced = _restarts(stand) - before
    return [*faults, f"{replaced} processes were replaced for having stood still"] if replaced else faults


def _restarts(stand: Stand) -> int:
    with Client.connect(stand.socket) as client:
        return client.get_session("session-1").status.counters.restarts


def _wrongly_spared(stand: Stand) -> list[str]:
    """Whether Linux, out of memory, would rather end the daemon or what publishes than a worker."""
    daemon = _oom_score(stand.pid)
    workers = [_oom_score(pid) for pid in own_children(stand, "streamfx.worker")]
    publishers = [_oom_score(pid) for pid in own_children(stand, "streamfx.worker.publisher")]
    if not workers or not publishers or min(workers) <= max(daemon, *publishers):
        return [f"who goes first: daemon {daemon}, publishers {publishers}, workers {workers}"]
    return []


def _oom_score(pid: int) -> int:
    return int(_read(Path(f"/proc/{pid}/oom_score_adj")) or 0)


# All of it.


def main() -> int:
    """Every limit; 1 if anything was that must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the crowd (1)")
    share = parser.parse_args().share
    faults = 0
    for most in (1024, 64, 63, 40, 24, 16, 15, 10):
        faults += _commands(open_files(most))
    for kilobytes in (100_000, 8_000, 4_000, 1_000, 10):
        faults += _commands(size(kilobytes))
    for megabytes in (1600, 1000):
        faults += _commands(addresses(megabytes))
    if can_mount():
        faults += _commands(full_shared_memory())
    else:
        _say("/dev/shm full: cannot be had here (unshare -rm)")
    for megabytes in (1024, 700, 500, 400, 200):
        try:
            with memory(megabytes) as limit:
                faults += _commands(limit)
        except OSError as error:
            _say(f"{megabytes} MB of memory: cannot be had here ({error})")
            break
    for most in (1024, 64):
        faults += _session(open_files(most), share)
    with suppress(OSError), memory(1024) as limit:
        faults += _session(limit, share)
        faults += _session(limit.and_(open_files(64)).and_(full_shared_memory()), share)
    return min(faults, 1)


def _commands(limit: Limit) -> int:
    faults = 0
    for name, what in (
        ("doctor", lambda folder: (run(limit, folder, "doctor"), None)),
        ("render", lambda folder: (render(limit, folder), None)),
        ("live", lambda folder: live(limit, folder)),
    ):
        with tempfile.TemporaryDirectory(prefix="sfx-") as folder:
            done, gaps = what(Path(folder))
        seen = f"  gap {gaps.seen:.0f} ms, {gaps.pictures} pictures" if gaps else ""
        _say(f"{limit.name}: {name}: code {done.code}{seen}: {done.line[:200]}")
        faults += _tell(done.faults)
    return faults


def _session(limit: Limit, share: float) -> int:
    with tempfile.TemporaryDirectory(prefix="sfx-") as folder:
        done = serve(limit, Path(folder), share)
    seen = f"gap {done.gaps.seen:.0f} ms (certain {done.gaps.certain:.0f}), memory {done.memory_mb:.0f} MB"
    _say(f"{limit.name}: serve: {seen}, {dict(done.codes)}")
    return _tell(done.faults)


def _tell(faults: Sequence[str]) -> int:
    for fault in faults:
        _say(f"  MUST NOT BE: {fault}")
    return len(faults)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
