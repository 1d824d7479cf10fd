"""A worker that fails in a way that nobody foresaw says why before it ends: the daemon starts another one."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import pytest
from scenes import store

from streamfx.errors import (
    OutputError,
    PhotoUnsuitable,
    ResourceBusy,
    SettingRefused,
    SourceLost,
    StreamfxError,
    UsageError,
)
from streamfx.frames import Motion
from streamfx.ipc.failure import Failure
from streamfx.source.base import SourceStatistics
from streamfx.telemetry import StageTimer
from streamfx.worker import driving as driving_module

ROOT = Path(__file__).parents[1]
PROGRAM = """
import threading, time
from streamfx.ipc.child import child_main
from streamfx.worker import process
from streamfx.worker.channel import Channel

def fail(*_):
    raise ZeroDivisionError("unforeseen")

def fail_in_a_thread(*_):
    threading.Thread(target=fail).start()
    time.sleep(20)

process._beginning = {failing}
child_main("worker", lambda reader, writer: process.serve(Channel(reader, writer)))
"""


@pytest.mark.parametrize("failing", ["fail", "fail_in_a_thread"])
def test_it_tells_and_ends(failing: str):
    program = PROGRAM.format(failing=failing)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, input=b"", capture_output=True, timeout=15, check=False
    )
    assert done.returncode == 1
    assert b'{"kind":"failed","cause":"The worker failed: unforeseen","remedy":"","error":""}' in done.stdout
    assert b"ZeroDivisionError" in done.stderr, "its log says where"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's own")
@pytest.mark.parametrize("spared", [False, True])
def test_it_leaves_no_core_file_and_cannot_be_read_and_goes_before_the_publisher(spared: bool):
    program = (
        "import ctypes, resource; from streamfx.ipc.child import die_with_parent;"
        f"die_with_parent(spared={spared});"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE),"
        "open('/proc/self/oom_score_adj').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    dumpable, core, score = done.stdout.split(maxsplit=1)[0], "(0, 0)" in done.stdout, done.stdout.split()[-1]
    assert (dumpable, core) == ("0", True)
    ours = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(score) == (ours if spared else min(1000, ours + 300))


@pytest.mark.skipif(sys.platform == "win32", reason="there the pipe tells")
def test_it_does_nothing_for_one_that_died_before_it_began():
    code = "from streamfx.ipc.child import die_with_parent as go; input(); go(); input()"
    program = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert program.stdin is not None
    assert program.stdout is not None
    with program:
        program.stdout.close()
        program.stdin.write(b"begin\n")
        program.stdin.flush()
        assert program.wait(15) == 1


class Flickering:
    """A camera of which one picture comes before it is gone again."""

    name, pictures, tracked, turned, statistics = "flickering", 0, 0, 0, SourceStatistics(0)

    def motions(self) -> Generator[Motion]:
        yield Motion.rest()
        raise SourceLost("The camera is gone", "Plug it in")

    def close(self) -> None:
        """Nothing is open."""


def test_each_loss_is_waited_for_from_the_start(monkeypatch: pytest.MonkeyPatch):
    """Whatever it took to come back the last time."""
    pauses: list[float | None] = []
    enough = threading.Event()
    missing = iter([True, True, True, False, True, True, False])

    class Pauses(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if threading.current_thread().name == "streamfx-driver":
                pauses.append(timeout)
                if len(pauses) == 7:
                    enough.set()
                    self.set()
                return self.is_set()
            return super().wait(timeout)

    def opened(*_: object) -> Flickering:
        if next(missing):
            raise SourceLost("There is no camera", "Plug one in")
        return Flickering()

    monkeypatch.setattr(driving_module, "open_live", opened)
    driving = driving_module.Driving(store(), StageTimer(), lambda _: None, nullcontext())
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Event", Pauses)
        driving.follow("0")
    assert enough.wait(10)
    driving.stop()
    assert pauses == [0.5, 1.0, 2.0, 0.5, 1.0, 2.0, 0.5]


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        (PhotoUnsuitable("There is no face", "Use another photo"), PhotoUnsuitable),
        (SettingRefused("output.camera", "there is none", "Name another"), UsageError),
        (ResourceBusy("camera", "cam", "It is in use", "Close it"), StreamfxError),
        (type("Stranger", (StreamfxError,), {})("Something failed"), OutputError),
    ],
)
def test_an_error_is_the_same_in_the_next_process(told: StreamfxError, heard: type[StreamfxError]):
    failure = Failure.told(json.loads(json.dumps({"failed": asdict(Failure.of(told))})))
    assert failure is not None
    error = failure.as_error(OutputError)
    assert type(error) is heard
    assert (error.cause, error.remedy, error.exit_code) == (told.cause, told.remedy, told.exit_code)
