"""Little of what the system gives: enough, or refused by name. scripts/live-limits is the whole."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
from contextlib import closing
from pathlib import Path

import limits as trial
import pytest
from control_stage import Stage
from live_stage import until
from scenes import MOTION, photo

from streamfx import limits
from streamfx.__main__ import main
from streamfx.cli import doctor
from streamfx.client import Client
from streamfx.errors import LimitReached, ModelUnusable, WorkerFailed
from streamfx.models.network import _openvino_errors
from streamfx.session import process
from streamfx.session.process import ChildProcess
from streamfx.session.publishing import Publishing
from streamfx.sink.ring import RingForm, SharedRing
from streamfx.worker.protocol import Stop

LONGEST_GAP_MS = 400.0
"""What is certain of a gap, not the reader's own, while a worker is killed, too; machines that run tests are
noisy, and scripts/live-limits tells the figures."""


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_session_lives_with_64_files_a_gigabyte_and_a_full_dev_shm_whoever_comes(short_folder: Path):
    """At once what scripts/live-limits tries alone; what cannot be had here is left out, but the files."""
    limit = trial.open_files(64)
    if trial.can_mount():
        limit = limit.and_(trial.full_shared_memory())
    try:
        with trial.memory(1024) as memory:
            done = trial.serve(limit.and_(memory), short_folder, 0.3)
    except OSError:
        done = trial.serve(limit, short_folder, 0.3)
    assert done.faults == ()
    assert done.gaps.certain < LONGEST_GAP_MS
    assert done.codes["a list: OK"] == 1
    for what in ("a portrait", "a recording", "a preview"):
        assert done.codes[f"afterwards {what}: OK"] == 1, done.codes
    assert done.codes["readers: connected"] == 30
    for refused in (code for code in done.codes if ": OK" not in code and ": connected" not in code):
        words = (
            "as many",
            "limit of sessions",
            "64 files",
            "Too many",
            "hung up",
            "ConnectionResetError",
            "BrokenPipeError",
        )
        assert any(word in refused for word in words), refused


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (trial.open_files(63), "only 63 files open, and it needs 64. Raise the limit: ulimit -n 1024"),
        (trial.open_files(12), "only 12 files open, and it needs 16. Raise the limit: ulimit -n 1024"),
        (trial.size(4000), "shared memory can be had: files may have at most 4.1 MB here (ulimit -f)"),
        (trial.addresses(1000), "lets this program map only 1024 MB of memory, and it needs 1500. Raise the"),
    ],
    ids=["files", "few files", "size", "addresses"],
)
def test_live_is_refused_by_name(limit: trial.Limit, words: str, short_folder: Path):
    done, gaps = trial.live(limit, short_folder, MOTION)
    assert done.faults == ()
    assert done.code == 1
    assert gaps is None
    assert words in done.said


@pytest.mark.skipif(not (shutil.which("setpriv") and os.geteuid() == 0), reason="needs another user")
def test_where_threads_are_few_all_are_refused_by_name(short_folder: Path):
    few, some = trial.processes(14), trial.processes(30)
    film = trial.render(few, short_folder, MOTION)
    other = [trial.run(some, short_folder, *command) for command in (("live", str(photo())), ("serve",))]
    for done in (film, *other):
        assert done.faults == ()
        assert "threads and processes more, and" in done.said
        assert "Close programs, or allow more: ulimit -u unlimited" in done.said
    assert (
        "fail  threads    The system lets this user have only" in trial.run(some, short_folder, "doctor").said
    )


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EAGAIN])
def test_a_network_that_lacks_memory_or_threads_is_not_to_blame(number: int):
    reason = {errno.ENOMEM: "can't alloc", errno.EAGAIN: os.strerror(errno.EAGAIN)}[number]
    with pytest.raises(ModelUnusable, match="Close programs, or allow more") as refused, _openvino_errors():
        raise RuntimeError(f"Exception from src/x.cpp:1\n{reason}\n")
    assert "ulimit" in refused.value.remedy


def test_a_film_is_refused_in_a_container_that_is_too_small(short_folder: Path):
    try:
        with trial.memory(200) as limit:
            done = trial.render(limit, short_folder, MOTION)
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    assert done.faults == ()
    assert "may have 210 MB of memory, and 220 are needed. Allow it 1 GB: docker run -m 1g" in done.said


@pytest.mark.parametrize("sessions", [1, 4, 64])
@pytest.mark.parametrize("most", [64, 65, 100, 256, 1024, 1 << 16])
def test_what_all_may_take_is_never_more_than_there_is(most: int, sessions: int):
    for addresses in (1, 2):
        share = limits.shares(sessions, addresses, most)
        assert 1 <= share.sessions <= sessions
        assert min(share.connections, share.handed, share.readers) >= 1
        own = limits._BASE + limits._PASSING + share.sessions * limits._SESSION
        taken = share.connections * addresses + share.handed + share.readers * share.sessions
        assert own + taken <= most, share


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (
            errno.EMFILE,
            f"this program may have only {limits.most_files()} files open. Raise the limit: ulimit -n",
        ),
        (errno.ENFILE, "all programs together have too many files open. Close programs"),
        (errno.ENOMEM, "no memory is left for it. Close programs"),
        (errno.EFBIG, "it is too large. Raise the limit: ulimit -f"),
        (0, "no memory is left for it. Close programs"),
    ],
)
def test_wherever_it_lacks_a_person_and_a_client_are_told(
    number: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: Stage,
):
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number)) if number else MemoryError

    monkeypatch.setattr(doctor, "run", refuse)
    assert main(["doctor"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("streamfx: error: ")
    assert words in said
    monkeypatch.setattr(stage.sessions, "list", refuse)
    with Client.connect(stage.server.socket) as client, pytest.raises(LimitReached) as refused:
        client.list_sessions()
    assert words in str(refused.value)


def test_a_ring_that_cannot_be_made_leaves_nothing_open():
    opened, soft_and_hard = Path("/proc/self/fd"), resource.getrlimit(resource.RLIMIT_FSIZE)
    before = len(list(opened.iterdir()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, soft_and_hard[1]))
    try:
        with pytest.raises(WorkerFailed, match=r"0\.1 MB here \(ulimit -f\)"):
            Publishing(RingForm(640, 480, 30.0), "", cut_out=False, priority="auto")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, soft_and_hard)
    assert len(list(opened.iterdir())) == before


def test_a_process_that_was_ended_for_memory_says_so(monkeypatch: pytest.MonkeyPatch):
    kills = [3]
    monkeypatch.setattr(process, "memory_kills", lambda: kills[0])
    with closing(SharedRing(RingForm(16, 12, 30.0))) as ring:
        for more, words in ((0, "ended by signal 9"), (1, "memory ran out. Close programs")):
            child = ChildProcess(("sleep", "60"), lambda _: Stop(), (ring,), lambda _: None)
            kills[0] += more
            os.kill(child.pid, signal.SIGKILL)
            until(lambda child=child: child.ended(), 5)
            assert words in child.ended()
            child.end(gently=False)


def test_the_kernel_tells_whom_it_ended_and_what_a_group_may_have(tmp_path: Path):
    assert limits.memory_kills() >= 0
    assert not limits.is_shortage(BlockingIOError(errno.EAGAIN, "of a pipe that is full"))
    one, two = tmp_path / "own", tmp_path / "other"
    one.write_text("0::/user/service\n")
    two.write_text("9:cpu:/\n4:memory:/docker/abc\n")
    for name, text in (
        ("user/memory.max", "1000\n"),
        ("user/service/memory.max", "max\n"),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("memory/docker/abc/memory.limit_in_bytes", "2000\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert limits.memory_allowed(tmp_path, one) == 1000
    assert limits.memory_allowed(tmp_path, two) == 2000
    assert limits.memory_allowed(tmp_path, tmp_path / "absent") is None
