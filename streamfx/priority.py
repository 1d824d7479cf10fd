"""The priority of a thread that must not be late: what the system grants to this user.

A user may have it by limits (ulimit -r, -e), or be given it by rtkit, the service that sound servers ask over
D-Bus (org.freedesktop.RealtimeKit1). Its rules are kept here: no inheritance, at most 200 ms at a stretch.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from streamfx.ipc.spawn import PIPE, run

AUTO, NORMAL, HIGH, REALTIME = "auto", "normal", "high", "realtime"
CHOICES: Final = (AUTO, NORMAL, HIGH, REALTIME)
"""AUTO is REALTIME where that is granted, and nothing is said where it is not: as sound servers have it."""

_NICE: Final = -10
_BACK: Final = 4
_LEVEL: Final = 10
"""Of real time, 1 to 99: below sound servers (20), above everything that is not real time."""
_STRETCH_US: Final = (100_000, 200_000)
"""Limits of a stretch at real time: at the first it goes back to normal, at the second it is killed."""
_ASK_S: Final = 3.0
_SERVICE: Final = "org.freedesktop.RealtimeKit1"

_log = logging.getLogger(__name__)


def take(wanted: str, thread: int) -> str:
    """Raise the priority of one of this process's threads; what was granted. May wait seconds for rtkit.

    To be called after the process has told what it does with SIGXCPU (`fall_back`).

    Args:
        wanted: one of CHOICES. Where a named one is not granted, the log says why.
        thread: its number with the system (`threading.get_native_id`).
    """
    if wanted == NORMAL or sys.platform != "linux":
        return NORMAL
    level = REALTIME if wanted == AUTO else wanted
    if level == REALTIME:
        _limit_stretches()
    try:
        _take_directly(level, thread)
    except OSError:
        why = _ask_rtkit(level, thread)
        if why:
            _log.log(
                logging.DEBUG if wanted == AUTO else logging.WARNING,
                "the priority %r is not granted: %s", level, why,
            )  # fmt: skip
            return NORMAL
    return level


def for_itself() -> None:
    """Give this process, a group of its own, a session of its own.

    Linux shares the processors out among sessions (sched_autogroup) before it does among threads. While
    children start they belong to the daemon's and take from its share; one that is at work has its own, and
    no crowd makes it late: beside ten busy sessions on two cores a tick came up to 124 ms late, beside one
    session of six busy processes 11.
    """
    if sys.platform == "win32" or os.getsid(0) == os.getpid():
        return
    with suppress(OSError):  # it goes without
        os.setpgid(0, os.getpgid(os.getppid()))  # who leads a group cannot leave for a session
        os.setsid()


def step_back() -> None:
    """Let whatever else is busy go first, for this process's life."""
    if sys.platform != "win32":
        with suppress(OSError):
            os.nice(_BACK)


def fall_back() -> None:
    """Let threads that run too long at real time go back to normal, not be killed. Before any is started.

    A thread waits for the signal: Python's handlers wait for the main thread, which may be waiting itself.
    """
    if sys.platform == "linux":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGXCPU})
        threading.Thread(target=_watch, name="streamfx-stretches", daemon=True).start()


def trouble(wanted: str) -> str:
    """Why a priority would not be granted; empty if it would. Tried in a thread that ends with it."""
    if wanted == NORMAL:
        return ""
    if sys.platform != "linux":
        return "only Linux grants it to streamfx"
    level = REALTIME if wanted == AUTO else wanted
    why: list[str] = []

    def attempt() -> None:
        try:
            _take_directly(level, threading.get_native_id())
        except OSError:
            why.append(_ask_rtkit(level, threading.get_native_id()))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return "".join(why)


def _take_directly(level: str, thread: int) -> None:
    if sys.platform != "linux":
        return
    if level == HIGH:
        os.setpriority(os.PRIO_PROCESS, thread, _NICE)  # on Linux of the thread, not of its process
    else:
        os.sched_setscheduler(thread, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(_LEVEL))


def _ask_rtkit(level: str, thread: int) -> str:
    """Ask for a thread of this process; why not, if it is refused."""
    ask = shutil.which("dbus-send")
    if ask is None:
        return "no limit of this user allows it, and there is no dbus-send to ask rtkit with"
    method, value = (
        ("MakeThreadHighPriorityWithPID", f"int32:{_NICE}")
        if level == HIGH
        else ("MakeThreadRealtimeWithPID", f"uint32:{_LEVEL}")
    )
    command = (
        ask, "--system", "--print-reply", f"--dest={_SERVICE}", "/org/freedesktop/RealtimeKit1",
        f"{_SERVICE}.{method}", f"uint64:{os.getpid()}", f"uint64:{thread}", value,
    )  # fmt: skip
    try:
        code, _, said = run(command, limit_s=_ASK_S, stderr=PIPE)
    except (OSError, TimeoutError) as error:
        return f"rtkit cannot be asked: {error}"
    return "" if code == 0 else f"rtkit: {said.decode('utf-8', 'replace').strip() or code}"


def _limit_stretches() -> None:
    if sys.platform != "linux":
        return
    import resource

    with suppress(OSError, ValueError):  # a lower limit is in force already
        resource.setrlimit(resource.RLIMIT_RTTIME, _STRETCH_US)


def _watch() -> None:
    if sys.platform == "linux":
        while signal.sigwait({signal.SIGXCPU}):
            _to_normal()


def _to_normal() -> None:
    if sys.platform != "linux":
        return
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            if os.sched_getscheduler(int(thread.name)) & ~os.SCHED_RESET_ON_FORK:
                os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))
    _log.warning("the publisher took too long at real-time priority, and goes on at normal")
