"""Another program's pictures as the driver: read as they were written, or refused; lost and back."""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from control_stage import Stage
from feeder import Feed
from live_stage import Watcher, canary_clip, children_of, until
from scenes import photo, store

from streamfx.__main__ import main
from streamfx.api.values import DeviceKind, SourceState, State
from streamfx.client import Client
from streamfx.daemon.devices import list_devices
from streamfx.driving.template import MotionTemplate
from streamfx.errors import (
    SettingRefused,
    SourceError,
    SourceLost,
    SourceMissing,
    SourceUnreadable,
    UsageError,
)
from streamfx.feeds import list_feeds
from streamfx.frames import U8, Frame
from streamfx.ipc.ring import HANDOVER, RingForm, create_ring
from streamfx.quality import Quality
from streamfx.session.portraits import Portraits
from streamfx.session.session import Session
from streamfx.session.sessions import Sessions
from streamfx.settings.daemon import parse_config
from streamfx.settings.session import Output, SessionSettings, check
from streamfx.settings.source import SourceKind, SourceSpec
from streamfx.source import open_source
from streamfx.source.feed import FeedSource

SIZE = (64, 48)
FORM = RingForm(*SIZE, 30.0)
BAD_NAMES = [
    "",
    ".",
    "..",
    "../obs",
    "a/b",
    "/etc/passwd",
    "-a",
    ".a",
    "a b",
    "a\n",
    "\n",
    "ä",
    "a" * 64,
    "a\0",
]


def picture(number: int, size: tuple[int, int] = SIZE) -> U8:
    return np.full((size[1], size[0], 3), number, np.uint8)


@contextmanager
def shown_all_along(feed: Feed, size: tuple[int, int] = SIZE) -> Iterator[None]:
    """Ever new pictures, a hundred a second."""
    ending = threading.Event()

    def show() -> None:
        number = 0
        while not ending.wait(0.01):
            feed.show(picture(number % 256, size))
            number += 1

    thread = threading.Thread(target=show)
    thread.start()
    yield
    ending.set()
    thread.join()


@pytest.fixture
def feed(short_folder: Path) -> Iterator[Feed]:
    with Feed(short_folder / "obs.feed", SIZE) as made:
        yield made


@pytest.fixture
def source(short_folder: Path, feed: Feed) -> Iterator[FeedSource]:
    """The first picture waits in it, and nothing more is shown than a test shows."""
    with shown_all_along(feed):
        made = FeedSource("obs", short_folder, silence_s=1.0)
    with made:
        next(made)
        drain(made)
        yield made


def drain(source: FeedSource) -> None:
    """Forget what was shown."""
    source._ring.seen = source._ring.written


@contextmanager
def handing(path: Path, packet: bytes, descriptors: Sequence[int]) -> Iterator[None]:
    """A program that hands over whatever it is told to; nothing, without a packet, until it is done."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen(8)
        kept = []

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                kept.append(client)
                if packet:
                    socket.send_fds(client, [packet], list(descriptors))
                    client.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for client in kept:
            client.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# -- reading -------------------------------------------------------------------------------------------------


def test_the_newest_picture_comes_with_its_own_time(source: FeedSource, feed: Feed):
    drain(source)
    dropped = source.statistics.dropped
    for number in (7, 8, 9):
        feed.show(picture(number), told := time.monotonic_ns())
    frame = next(source)
    assert (frame.rgb == 9).all()
    assert (frame.captured_ns, frame.seq, frame.epoch) == (told, 1, 0)
    statistics = source.statistics
    assert (statistics.decoded, statistics.dropped - dropped, statistics.reopened) == (2, 2, 0)
    info = source.info
    assert (info.name, info.width, info.height, info.fps, info.live) == ("feed:obs", *SIZE, 30.0, True)


def test_what_was_shown_before_we_came_is_not_taken(feed: Feed, short_folder: Path):
    feed.show(picture(1))
    with pytest.raises(SourceUnreadable, match="stands still"):
        FeedSource("obs", short_folder, silence_s=0.7)


@pytest.mark.parametrize("told", [0, 1, 2**63, 2**64 - 1])
def test_a_time_that_cannot_be_is_that_of_its_arrival(source: FeedSource, feed: Feed, told: int):
    before = time.monotonic_ns()
    feed.show(picture(3), told)
    assert before < next(source).captured_ns <= time.monotonic_ns()


def test_times_always_grow(source: FeedSource, feed: Feed):
    times = []
    for _ in range(20):
        feed.show(picture(1), time.monotonic_ns() - 5_000_000 * (len(times) % 3))
        times.append(next(source).captured_ns)
    assert times == sorted(set(times))


def test_a_picture_that_is_being_written_is_not_taken(source: FeedSource, feed: Feed):
    feed.show(picture(1))
    slot = 4096 + (feed.writer.form.stride * ((source._ring.written - 1) % 4))
    with mmap.mmap(feed.writer.descriptor, FORM.size) as memory:
        memory[slot] |= 1
        with pytest.raises(SourceLost, match="stands still"):
            next(source)
        feed.show(picture(2))
        assert (next(source).rgb == 2).all()


def test_a_counter_that_leaps_leaves_sensible_statistics(source: FeedSource, feed: Feed):
    with mmap.mmap(feed.writer.descriptor, FORM.size) as memory:
        for leap in (2**64 - 1, 0, 2**63):
            before = source.statistics.dropped
            struct.pack_into("<Q", memory, 72, leap)
            assert next(source).rgb.shape == (48, 64, 3)
            assert before <= source.statistics.dropped < 5000


def test_it_ends_when_it_is_interrupted(source: FeedSource):
    told: list[Frame] = []
    reader = threading.Thread(target=lambda: told.extend(source))
    reader.start()
    source.interrupt()
    reader.join(5)
    assert not reader.is_alive()
    source.close()
    source.close()
    assert source.statistics.decoded == 1


def test_it_is_opened_by_its_name(feed: Feed, short_folder: Path, monkeypatch: pytest.MonkeyPatch):
    with shown_all_along(feed), open_source("feed:obs", feeds=short_folder) as source:
        assert source.info.width == SIZE[0]
        assert [next(source).seq for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SourceMissing):
        open_source(Path("feed:obs"), feeds=short_folder)  # a file
    monkeypatch.setattr("streamfx.source.feed.can_hand_over", lambda: False)
    with pytest.raises(SourceMissing, match="feeds need Linux"):
        open_source("feed:obs", feeds=short_folder)


# -- lost and back -------------------------------------------------------------------------------------------


def test_a_ring_of_another_size_is_found(source: FeedSource, feed: Feed, short_folder: Path):
    feed.close()
    with Feed(short_folder / "obs.feed", (32, 24)) as other, shown_all_along(other, (32, 24)):
        frame = next(source)
        assert (frame.rgb.shape, frame.epoch) == ((24, 32, 3), 1)
        assert source.statistics.reopened == 1
        assert source.info.height == 24


@pytest.mark.alone
def test_a_feed_that_pauses_goes_on_as_it_was(source: FeedSource, feed: Feed):
    late = threading.Timer(0.8, feed.show, (picture(5),))
    late.start()
    frame = next(source)
    late.join()
    assert (frame.epoch, int(frame.rgb[0, 0, 0])) == (0, 5)


def test_a_feed_that_ended_is_lost_and_says_so(source: FeedSource, feed: Feed):
    feed.close()
    with pytest.raises(SourceLost, match=r"No program feeds pictures as feed:obs\. Start what feeds it: OBS"):
        next(source)


def test_a_feed_that_lives_without_pictures_is_lost(source: FeedSource, feed: Feed):
    ending = threading.Event()

    def beat() -> None:
        while not ending.wait(0.05):
            feed.writer.beat()

    thread = threading.Thread(target=beat)
    thread.start()
    with pytest.raises(SourceLost, match="shows no pictures"):
        next(source)
    ending.set()
    thread.join()


def test_a_ring_that_is_replaced_by_nonsense_is_lost(source: FeedSource, feed: Feed, short_folder: Path):
    feed.close()
    with (
        handing(short_folder / "obs.feed", HANDOVER, [0]),
        pytest.raises(SourceLost, match="could take away"),
    ):
        next(source)


# -- refusing ------------------------------------------------------------------------------------------------


def memory_of(data: bytes, size: int, *, sealed: bool = True) -> int:
    descriptor = os.memfd_create("hostile", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    os.pwrite(descriptor, data, 0)
    if sealed:
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return descriptor


def header(offset: int, value: int) -> bytes:
    data = bytearray(FORM.packed())
    struct.pack_into("<I", data, offset, value)
    return bytes(data)


HOSTILE: dict[str, tuple[Callable[[], int], str]] = {
    "unsealed": (lambda: memory_of(FORM.packed(), FORM.size, sealed=False), "could take away"),
    "device": (lambda: os.open("/dev/zero", os.O_RDONLY), "could take away"),
    "file": (lambda: os.open(__file__, os.O_RDONLY), "could take away"),
    "empty": (lambda: memory_of(b"", 0), "fewer than a ring's header"),
    "magic": (lambda: memory_of(b"SFXRINK\0" + FORM.packed()[8:], FORM.size), "holds no pictures"),
    "version": (lambda: memory_of(header(8, 3), FORM.size), "of version 3, this streamfx reads 2"),
    "short": (lambda: memory_of(FORM.packed(), FORM.size - 1), "bytes"),
    "slots": (lambda: memory_of(header(16, 1), FORM.size), "contradict"),
    "many slots": (lambda: memory_of(header(16, 2**32 - 1), FORM.size), "contradict"),
    "stride": (lambda: memory_of(header(20, 64), FORM.size), "contradict"),
    "width": (lambda: memory_of(header(24, 2**31), FORM.size), "make no sense"),
    "height": (lambda: memory_of(header(28, 0), FORM.size), "make no sense"),
    "row": (lambda: memory_of(header(32, 0), FORM.size), "contradict"),
    "format": (lambda: memory_of(header(36, 2), FORM.size), "make no sense"),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_hostile_memory_is_refused_and_not_kept(short_folder: Path, fault: str):
    make, told = HOSTILE[fault]
    descriptor = make()
    before = open_files()
    given = handing(short_folder / "obs.feed", HANDOVER, [descriptor])
    with given, pytest.raises(SourceUnreadable, match=told):
        FeedSource("obs", short_folder)
    assert open_files() == before
    os.close(descriptor)


@pytest.mark.parametrize(
    ("packet", "descriptors", "told"),
    [
        (b"SFXRING 3", 1, "of version '3', this streamfx reads 'SFXRING 2'"),
        (b"SFXRING 2" + b" " * 99, 1, "of version"),
        (b"SFXRING \xff\x1b[31m", 1, "of version"),
        (b"hello", 1, "hands nothing over that is a ring"),
        (HANDOVER, 0, "hands nothing over that is a ring"),
        (HANDOVER, 2, "hands nothing over that is a ring"),
        (HANDOVER, 9, "hands nothing over that is a ring"),
        (b"", 0, "hands nothing over"),
    ],
)
def test_hostile_packets_are_refused_and_nothing_is_kept(
    short_folder: Path, packet: bytes, descriptors: int, told: str
):
    ring = create_ring(FORM)
    before = open_files()
    with handing(short_folder / "obs.feed", packet, [ring] * descriptors):
        with pytest.raises(SourceUnreadable, match=told) as refused:
            FeedSource("obs", short_folder)
        assert str(refused.value).isprintable()
    until(lambda: open_files() == before, 5)
    os.close(ring)


def test_a_feed_that_nobody_serves_is_missing(short_folder: Path):
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stale.bind(str(short_folder / "stale.feed"))
    stale.close()
    (short_folder / "file.feed").touch()
    for name in ("absent", "stale", "file"):
        with pytest.raises(SourceMissing, match=f"No program feeds pictures as feed:{name}"):
            FeedSource(name, short_folder)
    with pytest.raises(SourceError, match="cannot be connected to"):
        FeedSource("obs", short_folder / ("long" * 30))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.bind(str(short_folder / "stream.feed"))
        stream.listen()
        with pytest.raises(SourceUnreadable, match="cannot be connected to"):
            FeedSource("stream", short_folder)


def test_a_feed_that_hangs_is_told_apart_from_none(short_folder: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(short_folder / "obs.feed"))
        listener.listen(0)
        for _ in range(3):  # the last find no place in its queue
            with pytest.raises(SourceUnreadable, match="hands nothing over"):
                FeedSource("obs", short_folder)


def test_another_users_feed_is_refused(feed: Feed, short_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(SourceMissing, match="fed by another user"):
        FeedSource("obs", short_folder)


# -- names ---------------------------------------------------------------------------------------------------


def test_names():
    for name in ("obs", "A", "0", "obs.1_b-C", "a" * 63):
        assert SourceSpec.parse(f"feed:{name}").name == name
    for other in ("", "obs", "feed", "FEED:obs", "camera:feed:obs", "./feed:obs", Path("feed:obs")):
        assert SourceSpec.parse(other).kind is not SourceKind.FEED


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_refused_everywhere(
    name: str, stage: Stage, client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    spec = f"feed:{name}"
    with pytest.raises(UsageError, match="names no feed"):
        open_source(spec)
    with pytest.raises(SettingRefused, match="source"):
        check(SessionSettings(source=spec))
    with pytest.raises(SettingRefused, match="source"):
        parse_config(f"[session]\nsource = {json.dumps(spec)}")
    with pytest.raises(SettingRefused) as refused:
        client.create_session(SessionSettings(source=spec))
    assert refused.value.field == "source"
    film, motion = str(tmp_path / "film.mp4"), str(tmp_path / "motion.sfxm")
    for words in (
        ["live", "--portrait", str(photo()), "--source", spec],
        ["ctl", "sessions", "create", "--source", spec, "--address", str(stage.server.socket)],
        ["record", spec, "-o", motion, "--duration", "1"],
        ["render", str(photo()), spec, "-o", film, "--duration", "1"],
    ):
        capsys.readouterr()
        assert main(words) == 2
        told = capsys.readouterr().err
        assert "names no feed" in told or "not printable" in told


def test_a_feed_is_taken_as_a_source_by_the_api_and_the_settings(client: Client):
    session = client.create_session(SessionSettings(source="feed:obs"))
    assert client.get_session(session.id).settings.source == "feed:obs"
    changed = replace(session.settings, source="feed:other")
    assert client.update_session(session.id, changed, ["source"]).settings.source == "feed:other"
    assert parse_config('[session]\nsource = "feed:obs"').session.settings.source == "feed:obs"


# -- lists and films -----------------------------------------------------------------------------------------


@pytest.fixture
def runtime(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runtime folder, in the environment."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_folder))
    (short_folder / "streamfx").mkdir()
    return short_folder / "streamfx"


def test_feeds_are_listed(runtime: Path, capsys: pytest.CaptureFixture[str]):
    with Feed(runtime / "obs.feed", SIZE), Feed(runtime / "two.feed", SIZE):
        (runtime / "file.feed").touch()
        (runtime / "-bad.feed").touch()
        (runtime / "gone.feed").symlink_to(runtime / "absent")  # as one that is removed meanwhile
        assert list_feeds() == list_feeds(runtime) == ["feed:obs", "feed:two"]
        listed = [one for one in list_devices() if one.spec.startswith("feed:")]
        assert [(one.kind, one.name) for one in listed] == [
            (DeviceKind.DRIVING, "obs (fed by another program)"),
            (DeviceKind.DRIVING, "two (fed by another program)"),
        ]
        assert main(["devices", "list", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["feeds"] == ["feed:obs", "feed:two"]
        assert main(["devices", "list"]) == 0
        assert "feed:obs" in capsys.readouterr().out
    assert list_feeds() == []
    assert list_feeds(runtime / "absent") == []


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return canary_clip(tmp_path_factory.mktemp("canary"))


class Feeder:
    """The feeding program, in a process of its own."""

    def __init__(self, path: Path, clip: Path) -> None:
        program = Path(__file__).with_name("feeder.py")
        paths = os.pathsep.join((str(program.parents[1]), str(program.parent)))
        command = [sys.executable, str(program), str(path), str(clip)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
        )
        self.inode = self._told()

    def halve(self) -> None:
        """Let it make a smaller ring."""
        self._process.send_signal(signal.SIGUSR1)
        self.inode = self._told()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _told(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def feeding(path: Path, clip: Path) -> Iterator[Feeder]:
    feeder = Feeder(path, clip)
    yield feeder
    feeder.kill()


@pytest.mark.alone
def test_its_motion_is_recorded_for_as_long_as_is_told(
    runtime: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    motion = tmp_path / "motion.sfxm"
    assert main(["record", "feed:obs", "-o", str(motion)]) == 2
    assert "feed:obs has no end" in capsys.readouterr().err
    assert main(["record", "feed:obs", "-o", str(motion), "--duration", "1"]) == 1
    assert "No program feeds pictures as feed:obs" in capsys.readouterr().err
    with feeding(runtime / "obs.feed", clip):
        assert main(["record", "feed:obs", "-o", str(motion), "--duration", "1"]) == 0
    template = MotionTemplate.load(motion)
    assert len(template) > 20
    assert not any(one.held for one in list(template.frames())[-10:])
    film = ["render", str(photo()), "feed:obs", "-o", str(tmp_path / "film.mp4"), "--duration", "1"]
    assert main([*film, "--compare"]) == 2


# -- live ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Portraits:
    store()
    known = Portraits(tmp_path_factory.mktemp("portraits") / "kept", (320, 240))
    known.add(photo(), id="astro")
    return known


@pytest.fixture
def session(portraits: Portraits, short_folder: Path) -> Iterator[Session]:
    """Driven by a feed that is not there yet."""
    sessions = Sessions(portraits, runtime=short_folder)
    output = Output("none", (320, 240), 30.0)
    yield sessions.create(SessionSettings(output, "feed:obs", ("astro",)), "one")
    sessions.close()
    assert not children_of(os.getpid())


def is_live(session: Session) -> bool:
    status = session.status()
    return status.state is State.LIVE and status.quality in (Quality.FULL, Quality.WARP_ONLY)


def has(pid: int, inode: int) -> bool:
    """Whether a process has the memory of that number, mapped or by a descriptor."""
    process = Path("/proc") / str(pid)
    if any(line.split()[4] == str(inode) for line in (process / "maps").read_text().splitlines()):
        return True
    return any(one.stat().st_ino == inode for one in process.joinpath("fd").iterdir() if one.exists())


def test_a_feed_drives_is_lost_and_drives_again(session: Session, short_folder: Path, clip: Path):
    path = short_folder / "obs.feed"
    with Watcher(short_folder / "one.ring") as watcher:
        until(lambda: session.status().source.state is SourceState.LOST)
        assert "No program feeds pictures as feed:obs. Start what feeds it" in session.status().trouble
        for _ in range(2):
            with feeding(path, clip) as feeder:
                until(lambda: is_live(session))
                until(lambda: session.status().source.tracked > 0.9)
                status = session.status()
                assert (status.source.name, status.trouble) == ("feed:obs", "")
                assert status.latency_ms is not None
                assert 1 < status.latency_ms.p50 < 1000
                assert has(status.worker_pid, feeder.inode)
                assert not has(os.getpid(), feeder.inode), "the daemon never has camera pictures"
            until(lambda: session.status().source.state is SourceState.LOST)
            until(lambda: session.status().quality is Quality.IDLE)
            assert "No program feeds pictures" in session.status().trouble
            path.unlink()
        assert session.status().counters.restarts == 0
    assert watcher.seen.leaks == 0


def test_a_feed_that_changes_its_size_goes_on_driving(session: Session, short_folder: Path, clip: Path):
    with Watcher(short_folder / "one.ring") as watcher, feeding(short_folder / "obs.feed", clip) as feeder:
        until(lambda: is_live(session))
        states, before, memory = set(), watcher.seen.pictures, feeder.inode
        feeder.halve()
        assert feeder.inode != memory

        def goes_on() -> bool:
            states.add(session.status().source.state)
            return has(session.status().worker_pid, feeder.inode) and watcher.seen.pictures > before + 60

        until(goes_on)
        until(lambda: is_live(session))
        assert states == {SourceState.OPEN}
        assert not has(session.status().worker_pid, memory), "the old ring is let go"
    assert watcher.seen.leaks == 0
