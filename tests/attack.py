"""An attack on a running daemon from all sides, and what it costs.

That is the longest gap in the published pictures, and what the daemon keeps of the attack afterwards: memory,
descriptors, threads, children. As a program (scripts/live-attack): every phase, or those that are named.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import grpc
from grpc import aio
from live_stage import children_of, receive_ring, until
from mutated.mutations import case
from scenes import photo, store

from streamfx.api.v1 import portrait_service_pb2, session_service_pb2
from streamfx.api.values import SourceState
from streamfx.client import Client
from streamfx.errors import StreamfxError
from streamfx.ipc.ring import SlotReader

ROOT = Path(__file__).parents[1]
_PORTRAITS, _SESSIONS = "/streamfx.v1.PortraitService/", "/streamfx.v1.SessionService/"
PHOTO_BYTES = 20_000_000
DESCRIPTORS = 1024
"""That a desktop's login lets a program have."""
_POLL_S = 0.001
_SETTLE_S = 30.0
_CALM_S = 2.0
_CHILDREN = 3
"""Of a daemon with one session: the worker, the publisher, and the one that stands by."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    uploads: int = 200
    watchers: int = 400
    calls: int = 3000
    cancels: int = 2000
    connections: int = 1000
    sessions: int = 200
    damaged: int = 200
    updates: int = 60_000

    def scaled(self, share: float) -> Sizes:
        """A share of it, of everything something."""
        return Sizes(*(max(4, round(getattr(self, name) * share)) for name in vars(self)))


# The reader: a process of its own, which nothing of the attack can hold up.


@dataclass(frozen=True)
class Gaps:
    """What a reader saw, ms."""

    pictures: int
    seen: float
    """Longest time between two new pictures."""
    certain: float
    """Of that, what cannot be the reader's own doing: from its first look at one to its last look before the
    next."""
    pause: float
    """Longest between two looks of the reader."""


def read(path: str) -> None:
    """Look at a ring all the time, at real-time priority where permitted. Each line in: tell, begin anew."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(50))
    reader = SlotReader(receive_ring(path))
    written, changed, looked = reader.written, time.monotonic(), time.monotonic()
    pictures, seen, certain, pause = 0, 0.0, 0.0, 0.0
    while True:
        asked = select.select([0], [], [], _POLL_S)[0]
        now = time.monotonic()
        pause = max(pause, now - looked)
        if reader.written != written:
            seen, certain = max(seen, now - changed), max(certain, looked - changed)
            pictures += reader.written - written
            written, changed = reader.written, now
        looked = now
        if asked:
            if not os.read(0, 4096):
                return
            ongoing = now - changed  # a gap that has not ended counts, too
            figures = (pictures, 1e3 * max(seen, ongoing), 1e3 * max(certain, ongoing), 1e3 * pause)
            sys.stdout.write(json.dumps(figures) + "\n")
            sys.stdout.flush()
            pictures, seen, certain, pause = 0, 0.0, 0.0, 0.0


class Reader:
    """That process."""

    def __init__(self, path: Path) -> None:
        command = (sys.executable, __file__, "--read", str(path))
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.gaps()

    def gaps(self) -> Gaps:
        """Since the last question."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        return Gaps(*json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


# The daemon and what it holds.


@dataclass(frozen=True)
class Holdings:
    """Of the daemon's process."""

    resident_mb: float
    descriptors: int
    threads: int
    children: int

    @classmethod
    def of(cls, pid: int) -> Holdings:
        process = Path("/proc") / str(pid)
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return cls(
            int(status["VmRSS"].split()[0]) / 1024, len(list((process / "fd").iterdir())),
            int(status["Threads"]), len(children_of(pid)),
        )  # fmt: skip


class Stand:
    """A daemon whose session shows a driven portrait, and who reads it."""

    def __init__(
        self, folder: Path, source: str = "demo", within: Sequence[str] = (), priority: str = "auto"
    ) -> None:
        """Start it; `within` begins the command line that it is run by, in place of a desktop's limit."""
        store()
        self.folder = folder
        self.socket = folder / "streamfx" / "control.sock"
        self.address = f"unix:{self.socket}"
        self._log = (folder / "log").open("wb")
        self._program = subprocess.Popen(
            [*within, sys.executable, "-m", "streamfx", "serve", "-c", str(self._config(source, priority))],
            env={
                **os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(folder),
                "XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config"),
            },
            stdout=self._log, stderr=self._log,
        )  # fmt: skip
        if not within:
            hard = resource.prlimit(self._program.pid, resource.RLIMIT_NOFILE)[1]
            resource.prlimit(self._program.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
        until(lambda: self.socket.exists() or self._program.poll() is not None, 60)
        asyncio.run(self._prepare())
        self.reader = Reader(folder / "streamfx" / "session-1.ring")

    def _config(self, source: str, priority: str) -> Path:
        path = self.folder / "config.toml"
        path.write_text(
            f'[session]\nsource = "{source}"\ncamera = "none"\non_demand = false\n'
            f'[limits]\nsessions = 4\npriority = "{priority}"\n'
        )
        return path

    async def _prepare(self) -> None:
        request = portrait_service_pb2.CreatePortraitRequest(id="one", display_name="One")
        request.photo.content = photo().read_bytes()
        async with self.channel() as channel:
            code = await unary(channel, _PORTRAITS + "CreatePortrait", request.SerializeToString(), 120)
            assert code is grpc.StatusCode.OK, code
            ask = session_service_pb2.GetSessionRequest(session_id="session-1").SerializeToString()
            call = channel.unary_unary(_SESSIONS + "GetSession")
            for _ in range(900):  # a busy machine takes its time
                answer = session_service_pb2.GetSessionResponse.FromString(await call(ask))
                status = answer.session.status
                is_whole = self.holdings().children == _CHILDREN
                if is_whole and status.portrait_id == "one" and not status.readying:
                    return
                await asyncio.sleep(0.1)
        raise AssertionError(f"no portrait is shown: {status}")

    def channel(self) -> aio.Channel:
        """A connection of its own."""
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", 1 << 26))
        return aio.insecure_channel(self.address, options=options)

    @property
    def pid(self) -> int:
        return self._program.pid

    @property
    def runs(self) -> bool:
        return self._program.poll() is None

    def holdings(self) -> Holdings:
        return Holdings.of(self.pid)

    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "log").read_text(errors="replace")

    def settled(self, before: Holdings, calm_s: float = _CALM_S) -> Holdings:
        """What it holds once it is at rest again, and twice so long at rest."""
        gc.collect()  # channels of ours that were closed, but hold their sockets
        time.sleep(calm_s)
        end = time.monotonic() + _SETTLE_S
        while time.monotonic() < end:
            now = self.holdings()
            if now.descriptors <= before.descriptors and now.children <= before.children:
                break
            time.sleep(0.2)
        time.sleep(calm_s)
        return self.holdings()

    def close(self) -> None:
        self.reader.close()
        self._program.send_signal(signal.SIGTERM)
        try:
            self._program.wait(10)
        finally:
            self._program.kill()
            self._program.wait()
            self._log.close()


@contextmanager
def attacked(
    folder: Path, source: str = "demo", within: Sequence[str] = (), priority: str = "auto"
) -> Iterator[Stand]:
    """A stand, for the block."""
    stand = Stand(folder, source, within, priority)
    try:
        yield stand
    finally:
        stand.close()


# The phases.


async def unary(channel: aio.Channel, path: str, data: bytes, timeout: float = 60) -> grpc.StatusCode:
    """Make a call; how it ended."""
    try:
        await channel.unary_unary(path)(data, timeout=timeout)
    except aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of grey pixels, small as a file."""
    packer = zlib.compressobj(9)
    row = bytes(width + 1)
    packed = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def photos() -> list[bytes]:
    """A photo of the largest size, noise of it, and bombs."""
    good = photo().read_bytes()
    noise = b"\xff\xd8\xff\xe0" + random.Random(1).randbytes(PHOTO_BYTES - 4)
    text = zlib.compress(bytes(1 << 26), 9)
    bomb = png_bomb(5000, 4900)  # within the pixels that are allowed
    tells = bomb[:33] + _chunk(b"zTXt", b"Comment\0\0" + text) * 50 + bomb[33:]
    return [good + bytes(PHOTO_BYTES - len(good)), noise, png_bomb(30_000, 30_000), tells, bomb]


async def uploads(stand: Stand, count: int) -> Counter[str]:
    """Photos of 20 MB and decompression bombs, eight at a time; what was taken is deleted."""
    contents, codes, free = photos(), Counter[str](), asyncio.Semaphore(8)

    async def upload(number: int) -> None:
        request = portrait_service_pb2.CreatePortraitRequest(id=f"p{number}", display_name="p")
        request.photo.content = contents[number % len(contents)]
        data = request.SerializeToString()
        async with free, stand.channel() as channel:
            code = await unary(channel, _PORTRAITS + "CreatePortrait", data, 120)
            codes[code.name] += 1
            if code is grpc.StatusCode.OK:
                gone = portrait_service_pb2.DeletePortraitRequest(portrait_id=f"p{number}")
                await _taken_out(stand, channel, gone.SerializeToString())

    await asyncio.gather(*(upload(number) for number in range(count)))
    return codes


async def _taken_out(stand: Stand, channel: aio.Channel, data: bytes) -> None:
    assert await unary(channel, _PORTRAITS + "DeletePortrait", data) is grpc.StatusCode.OK


async def watchers(stand: Stand, count: int) -> Counter[str]:
    """Watchers of status and pictures; half of them stop reading."""
    codes = Counter[str]()

    async def watch(number: int) -> None:
        path = _SESSIONS + ("WatchPreview" if number % 2 else "WatchSession")
        request = session_service_pb2.WatchSessionRequest(session_id="session-1").SerializeToString()
        async with stand.channel() as channel:
            call = channel.unary_stream(path)(request, timeout=15)
            try:
                while await call.read() is not aio.EOF:
                    if number % 4 > 1:
                        await asyncio.sleep(15)
            except aio.AioRpcError as error:
                codes[error.code().name] += 1
            except asyncio.CancelledError:
                codes["CANCELLED"] += 1

    await asyncio.gather(*(watch(number) for number in range(count)))
    return codes


async def calls(stand: Stand, count: int) -> Counter[str]:
    """All at once, over thirty connections."""
    about = {"session_id": "session-1"}
    requests = (
        (_SESSIONS + "GetSession", session_service_pb2.GetSessionRequest(**about)),
        (_SESSIONS + "ListSessions", session_service_pb2.ListSessionsRequest()),
        (_SESSIONS + "HideSession", session_service_pb2.HideSessionRequest(**about)),
        (_SESSIONS + "SelectPortrait", session_service_pb2.SelectPortraitRequest(**about, index=1)),
        (
            _PORTRAITS + "GetPortraitThumbnail",
            portrait_service_pb2.GetPortraitThumbnailRequest(portrait_id="one"),
        ),
        ("/streamfx.v1.DeviceService/ListDevices", None),
    )
    channels = [stand.channel() for _ in range(30)]

    async def one(number: int) -> str:
        path, request = requests[number % len(requests)]
        data = b"" if request is None else request.SerializeToString()
        return (await unary(channels[number % len(channels)], path, data)).name

    try:
        return Counter(await asyncio.gather(*(one(number) for number in range(count))))
    finally:
        for channel in channels:
            await channel.close()


async def cancels(stand: Stand, count: int) -> Counter[str]:
    """Calls of every kind, given up after a random moment."""
    chance, codes, free = random.Random(3), Counter[str](), asyncio.Semaphore(100)
    session = session_service_pb2.CreateSessionRequest()
    session.settings.output.camera, session.settings.source = "none", "none"
    portrait = portrait_service_pb2.CreatePortraitRequest(display_name="p")
    portrait.photo.content = bytes(2_000_000)
    watch = session_service_pb2.WatchSessionRequest(session_id="session-1").SerializeToString()
    kinds = (
        *((_SESSIONS + name, watch) for name in ("WatchSession", "GetSession", "WatchPreview")),
        (_SESSIONS + "CreateSession", session.SerializeToString()),
        (_PORTRAITS + "CreatePortrait", portrait.SerializeToString()),
    )  # fmt: skip
    channels = [stand.channel() for _ in range(10)]

    async def one(number: int) -> None:
        path, data = kinds[number % len(kinds)]
        async with free:
            call = channels[number % len(channels)].unary_stream(path)(data)
            await asyncio.sleep(chance.random() * chance.choice((0.001, 0.02, 0.2)))
            call.cancel()
            with suppress(asyncio.CancelledError):
                codes[(await call.code()).name] += 1

    try:
        await asyncio.gather(*(one(number) for number in range(count)))
        await _delete_all(stand, channels[0])
    finally:
        for channel in channels:
            await channel.close()
    return codes


async def _delete_all(stand: Stand, channel: aio.Channel) -> None:
    """Sessions that were begun before their caller left; others the daemon has ended by itself."""
    await asyncio.sleep(1)
    answer = await channel.unary_unary(_SESSIONS + "ListSessions")(b"")
    for session in session_service_pb2.ListSessionsResponse.FromString(answer).sessions:
        if session.id != "session-1":
            gone = session_service_pb2.DeleteSessionRequest(session_id=session.id)
            await unary(channel, _SESSIONS + "DeleteSession", gone.SerializeToString())


async def connections(stand: Stand, count: int) -> Counter[str]:
    """That say nothing, or begin to; the daemon answers others meanwhile."""
    codes, held = Counter[str](), []
    for number in range(count):
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(0.2)
        try:
            one.connect(str(stand.socket))
            if number % 2:
                one.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[: number % 24 + 1])
            codes["connected"] += 1
            held.append(one)
        except OSError as error:
            codes[type(error).__name__] += 1
            one.close()
        await asyncio.sleep(0)
    await asyncio.sleep(3)
    async with stand.channel() as channel:
        codes["asked meanwhile: " + (await unary(channel, _SESSIONS + "ListSessions", b"", 5)).name] += 1
    for one in held:
        one.close()
    return codes


async def sessions(stand: Stand, count: int) -> Counter[str]:
    """Made and deleted, three at a time."""
    codes, free = Counter[str](), asyncio.Semaphore(3)

    async def one(number: int, channel: aio.Channel) -> None:
        made = session_service_pb2.CreateSessionRequest(id=f"s{number}")
        made.settings.output.camera, made.settings.source = "none", "none"
        gone = session_service_pb2.DeleteSessionRequest(session_id=f"s{number}")
        async with free:
            code = await unary(channel, _SESSIONS + "CreateSession", made.SerializeToString())
            codes["made " + code.name] += 1
            code = await unary(channel, _SESSIONS + "DeleteSession", gone.SerializeToString())
            codes["deleted " + code.name] += 1

    async with stand.channel() as channel:
        await asyncio.gather(*(one(number, channel) for number in range(count)))
    return codes


async def damaged(stand: Stand, count: int) -> Counter[str]:
    """Mutated videos drive the session, one after another; mutated photos are added meanwhile."""
    return await asyncio.to_thread(_damaged, stand, count)


def _damaged(stand: Stand, count: int) -> Counter[str]:
    codes, folder = Counter[str](), Path(tempfile.mkdtemp(dir=stand.folder))
    with Client.connect(stand.socket) as client:
        settings = client.get_session("session-1").settings
        for number in range(count):
            video, image = case("videos", 1, number), case("images", 1, number)
            (folder / video.name).write_bytes(video.data)
            driven = replace(settings, source=str(folder / video.name))
            codes["source " + _told(partial(client.update_session, "session-1", driven, ["source"]))] += 1
            if number % 8 == 0:
                codes["photo " + _told(partial(client.create_portrait, image.data or b"!", name="p"))] += 1
            time.sleep(0.3)
        client.update_session("session-1", replace(settings, source="demo"), ["source"])
        until(lambda: client.get_session("session-1").status.source.state is SourceState.OPEN)
        client.update_session("session-1", settings, ["source"])
    codes["drives again"] = 1
    return codes


async def updates(stand: Stand, count: int) -> Counter[str]:
    """A thousand changes a second, or as many as we can ask for; the last one stays."""
    channels, codes, under_way = (
        [stand.channel() for _ in range(10)],
        Counter[str](),
        set[asyncio.Task[None]](),
    )

    async def one(number: int, badge: str) -> None:
        request = session_service_pb2.UpdateSessionRequest(session_id="session-1")
        request.settings.badge = badge
        data = request.SerializeToString()
        codes[(await unary(channels[number % 10], _SESSIONS + "UpdateSession", data)).name] += 1

    try:
        start = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, start + number / 1000 - time.monotonic()))
            task = asyncio.create_task(one(number, str(number % 1000)))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        codes["a second"] = round(count / (time.monotonic() - start))
        await asyncio.gather(*under_way)
        await one(0, "last")
        ask = session_service_pb2.GetSessionRequest(session_id="session-1").SerializeToString()
        answer = await channels[0].unary_unary(_SESSIONS + "GetSession")(ask)
        shown = session_service_pb2.GetSessionResponse.FromString(answer).session.settings.badge
        codes["the last stays"] = int(shown == "last")
        await one(0, "")
    finally:
        for channel in channels:
            await channel.close()
    return codes


def _told(call: Callable[[], object]) -> str:
    try:
        call()
    except StreamfxError as error:
        return type(error).__name__
    return "OK"


PHASES: dict[str, Callable[[Stand, int], Awaitable[Counter[str]]]] = {
    phase.__name__: phase
    for phase in (uploads, watchers, calls, cancels, connections, sessions, damaged, updates)
}


@dataclass(frozen=True)
class Result:
    """Of one phase."""

    phase: str
    seconds: float
    codes: Counter[str]
    gaps: Gaps
    before: Holdings
    after: Holdings

    def line(self) -> str:
        before, after, gaps = self.before, self.after, self.gaps
        return (
            f"{self.phase:12} {self.seconds:5.0f} s  gap {gaps.seen:4.0f} ms (certain {gaps.certain:.0f}, "
            f"reader paused {gaps.pause:.0f})  {gaps.pictures} pictures  "
            f"memory {before.resident_mb:.0f} -> {after.resident_mb:.0f} MB  "
            f"descriptors {before.descriptors} -> {after.descriptors}  "
            f"threads {before.threads} -> {after.threads}  children {before.children} -> {after.children}\n"
            f"             {dict(self.codes)}\n"
        )


def attack(stand: Stand, phase: str, count: int, calm_s: float = _CALM_S) -> Result:
    """Run a phase and let the daemon come to rest for that long."""
    before = stand.holdings()
    stand.reader.gaps()
    start = time.monotonic()
    codes = asyncio.run(PHASES[phase](stand, count))
    seconds = time.monotonic() - start
    after = stand.settled(before, calm_s)
    return Result(phase, seconds, Counter(codes), stand.reader.gaps(), before, after)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """That many loops beside it."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("phases", nargs="*", help=f"of {', '.join(PHASES)} (all)")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size (1)")
    parser.add_argument("--busy", type=int, default=0, help="loops that take the processors meanwhile (0)")
    parser.add_argument("--source", default="demo", help="what drives meanwhile (demo)")
    parser.add_argument(
        "--priority", default="auto", help="of the publisher: auto, normal, high, realtime (auto)"
    )
    parser.add_argument("--read", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.read)
        return 0
    sizes = Sizes().scaled(arguments.share)
    with (
        tempfile.TemporaryDirectory(prefix="sfx-") as name,
        attacked(Path(name), arguments.source, priority=arguments.priority) as stand,
    ):
        time.sleep(_CALM_S)
        sys.stdout.write(f"at rest: {stand.holdings()}, {stand.reader.gaps()}\n")
        with busy(arguments.busy):
            for phase in arguments.phases or PHASES:
                sys.stdout.write(attack(stand, phase, getattr(sizes, phase)).line())
                sys.stdout.flush()
        sys.stdout.write(stand.log()[-2000:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
