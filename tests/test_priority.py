"""The priority of what publishes: taken where limits allow it, asked of rtkit, or told; not the worker's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from live_stage import until
from scenes import store

from streamfx import priority
from streamfx.session.portraits import Portraits
from streamfx.session.sessions import Sessions
from streamfx.settings.session import Output, SessionSettings

UNTITLED = ("setpriv", "--bounding-set", "-sys_nice")
"""Runs a program without the right to any priority."""
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user, or take any priority")


def raised(pid: int) -> list[tuple[int, int]]:
    """Policy and niceness of those threads of a process that have others than any thread has."""
    threads = [int(task.name) for task in (Path("/proc") / str(pid) / "task").iterdir()]
    found = [(os.sched_getscheduler(one), os.getpriority(os.PRIO_PROCESS, one)) for one in threads]
    return [one for one in found if one != (os.SCHED_OTHER, 0)]


@is_root
@pytest.mark.parametrize("wanted", [priority.AUTO, priority.HIGH, priority.REALTIME])
def test_the_threads_that_publish_have_it_and_the_worker_has_not(tmp_path: Path, wanted: str):
    store()
    sessions = Sessions(Portraits(tmp_path, (320, 240)), priority=wanted)
    try:
        session = sessions.create(SessionSettings(Output("none", (320, 240)), "none"))
        until(lambda: session.status().counters.published > 5)
        granted = priority.REALTIME if wanted == priority.AUTO else wanted
        until(lambda: session._publishing.report().priority == granted)
        until(lambda: len(raised(session._publishing.pid)) == 3)  # each thread asks for its own
        publisher, worker = raised(session._publishing.pid), raised(session.status().worker_pid)
    finally:
        sessions.close()
    realtime = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    assert publisher == 3 * [(realtime, 0) if granted == priority.REALTIME else (os.SCHED_OTHER, -10)]
    assert not worker


@pytest.mark.alone
@is_root
def test_one_that_runs_too_long_at_real_time_goes_back_to_normal_and_lives():
    code = (
        "import os, threading, time\n"
        "from streamfx import priority\n"
        "priority.fall_back()\n"
        "def spin():\n"
        "    assert priority.take('realtime', threading.get_native_id()) == 'realtime'\n"
        "    end = time.monotonic() + 1\n"
        "    while time.monotonic() < end: pass\n"
        "    print('lives', os.sched_getscheduler(0))\n"
        "thread = threading.Thread(target=spin)\n"
        "thread.start()\n"
        "thread.join()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.strip() == f"lives {os.SCHED_OTHER}", done


@is_root
def test_where_it_is_not_granted_the_reason_is_told(tmp_path: Path):
    """Without the right, without limits, and with no system bus."""
    told = _asked("realtime", tmp_path)
    assert told.stdout.startswith("normal "), told
    assert "rtkit" in told.stdout
    assert re.search(r"'realtime' is not granted: .*rtkit", told.stderr)
    quiet = _asked(priority.AUTO, tmp_path)
    assert quiet.stdout.startswith("normal "), quiet
    assert not quiet.stderr


def _asked(wanted: str, folder: Path) -> subprocess.CompletedProcess[str]:
    code = (
        "import threading\n"
        "from streamfx import priority\n"
        f"print(priority.take({wanted!r}, threading.get_native_id()), priority.trouble('high'))"
    )
    return subprocess.run(
        [*UNTITLED, sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/none"},
    )  # fmt: skip


def test_normal_asks_for_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(priority, "_take_directly", lambda *_: pytest.fail("asked"))
    assert priority.take(priority.NORMAL, threading.get_native_id()) == priority.NORMAL
    assert priority.trouble(priority.NORMAL) == ""
    assert threading.current_thread() is threading.main_thread()
