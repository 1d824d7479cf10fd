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
from streamfx.session.settings import Output, SessionSettings

UNTITLED = ("setpriv", "--bounding-set", "-sys_nice")
"""Runs a program without the right to any priority."""
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user, or take any priority")


def schedules(pid: int) -> dict[str, tuple[int, int]]:
    """Policy and niceness of a process's threads, by name; threads of one name by their highest."""
    found: dict[str, tuple[int, int]] = {}
    for task in (Path("/proc") / str(pid) / "task").iterdir():
        name = (task / "comm").read_text().strip()
        own = (os.sched_getscheduler(int(task.name)), os.getpriority(os.PRIO_PROCESS, int(task.name)))
        found[f"{name} {task.name}"] = own
    return found


@is_root
@pytest.mark.parametrize("wanted", [priority.HIGH, priority.REALTIME])
def test_the_threads_that_publish_have_it_and_the_worker_has_not(tmp_path: Path, wanted: str):
    store()
    sessions = Sessions(Portraits(tmp_path, (320, 240)), priority=wanted)
    try:
        session = sessions.create(SessionSettings(Output("none", (320, 240)), "none"))
        until(lambda: session.status().counters.published > 5)
        assert session._publishing.report().priority == wanted
        publisher, worker = schedules(session._publishing.pid), schedules(session.status().worker_pid)
    finally:
        sessions.close()
    raised = [one for one in publisher.values() if one != (os.SCHED_OTHER, 0)]
    realtime = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    assert raised == 3 * [(realtime, 0) if wanted == priority.REALTIME else (os.SCHED_OTHER, -10)]
    assert set(worker.values()) == {(os.SCHED_OTHER, 0)}


@is_root
def test_one_that_runs_too_long_at_real_time_goes_back_to_normal_and_lives():
    code = (
        "import os, threading, time\n"
        "from streamfx import priority\n"
        "priority.fall_back()\n"
        "def spin():\n"
        "    assert priority.take('realtime') == 'realtime'\n"
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
    code = "from streamfx import priority\nprint(priority.take('realtime'), priority.trouble('high'))"
    done = subprocess.run(
        [*UNTITLED, sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"},
    )  # fmt: skip
    assert done.stdout.startswith("normal "), done
    assert "rtkit" in done.stdout
    assert re.search(r"'realtime' is not granted: .*rtkit", done.stderr)


def test_normal_asks_for_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(priority, "_take_directly", lambda _wanted: pytest.fail("asked"))
    assert priority.take(priority.NORMAL) == priority.NORMAL
    assert priority.trouble(priority.NORMAL) == ""
    assert threading.current_thread() is threading.main_thread()
