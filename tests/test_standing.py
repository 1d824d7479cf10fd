"""A line that stands on a real terminal, and progress bars: whatever is written has lines of its own."""

from __future__ import annotations

import os
import pty
import re
import signal
import sys

import pytest

PROGRAM = """
import logging, os, sys, threading
from streamfx.ipc import spawn
from streamfx.logs import log_to_stderr

log_to_stderr()

def write_all():
    logging.getLogger("streamfx.test").warning("of the log")
    thread = threading.Thread(target=lambda: print("of a thread", file=sys.stderr))
    thread.start()
    thread.join()
    spawn.run(("sh", "-c", "echo of a child >&2; printf 'of a child, in ' >&2; sleep .1; echo parts >&2"))
    os.write(2, b"of a library, two lines\\nand without an end")

{body}
print("the end")
print("the error", file=sys.stderr)
"""
LINE = """
from streamfx.cli.standing import StandingLine
with StandingLine(sys.{stream}) as terminal:
    terminal.draw("the line, for the first time, longer than all")
    write_all()
    terminal.say("said")
    terminal.draw("the line at last")
"""
BAR = """
from streamfx.cli.progress import frame_bar
with frame_bar("the bar", 3) as tick:
    for _ in range(3):
        tick()
    write_all()
"""
OF_ALL = [
    "of the log",
    "of a thread",
    "of a child",
    "of a child, in parts",
    "of a library, two lines",
    "and without an end",
]


def run_in_terminal(body: str, *, by: tuple[str, ...] = (), code: int = 0) -> str:
    """What a program sends to its terminal; `by` another one, as by a shell."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(  # noqa: S606
            (*by, sys.executable)[0],
            [*by, sys.executable, "-c", PROGRAM.format(body=body)],
            {**os.environ, "TERM": "xterm", "COLUMNS": "80"},
        )
    sent = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        sent += data
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code, sent.decode()
    return sent.decode()


def screen(sent: str) -> list[str]:
    """The lines that stand on the terminal afterwards."""
    rows, row, column = [""], 0, 0
    for one in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|.", sent, re.DOTALL):
        if one == "\r":
            column = 0
        elif one == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif one.startswith("\x1b"):
            if one[-1] == "K":
                rows[row] = "" if one == "\x1b[2K" else rows[row][:column]
            elif one[-1] == "A":
                row -= int(one[2:-1] or 1)
            else:
                assert one[-1] in "mlh", one
        else:
            rows[row] = rows[row][:column].ljust(column) + one + rows[row][column + 1 :]
            column += 1
    return [row.rstrip() for row in rows if row.strip()]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_whatever_is_written_stands_above_the_line(stream: str):
    rows = screen(run_in_terminal(LINE.format(stream=stream)))
    rows = [re.sub(r"^\S+ \S+ WARNING streamfx\.test: ", "", row) for row in rows]
    assert rows.index("said") < rows.index("the line at last")
    assert rows[-3:] == ["the line at last", "the end", "the error"]
    assert sorted(rows[:-3]) == sorted([*OF_ALL, "said"])


def test_whatever_is_written_stands_above_the_bar_which_goes():
    sent = run_in_terminal(BAR)
    assert "the bar" in sent
    rows = [re.sub(r"^\S+ \S+ WARNING streamfx\.test: ", "", row) for row in screen(sent)]
    assert rows[-2:] == ["the end", "the error"]
    assert sorted(rows[:-2]) == sorted(OF_ALL), sent


def test_the_bar_never_tells_more_than_all():
    """A joined file tells the length of its first film; more frames come."""
    more = "    for _ in range(4):\n        tick()\n    import time; time.sleep(0.3)\n"
    sent = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", run_in_terminal(BAR + more))
    told = [(int(done), int(total)) for done, total in re.findall(r"(\d+)/(\d+)", sent)]
    assert (7, 7) in told
    assert all(done <= total for done, total in told)


SHELL = ("/bin/sh", "-c", '"$@"; code=$?; sleep .5; exit $code', "sh")
"""Leads the terminal's session, as shells do: with its leader the terminal would be gone."""
ENDS = {
    "terminate": (
        'import ctypes; ctypes.CDLL("libstdc++.so.6")._ZSt9terminatev()',
        signal.SIGABRT,
        ["terminate called without an active exception"],
    ),
    "in pieces": (
        "import time; [(os.write(2, one), time.sleep(.004)) for one in (b'at ', b'last ', b'x')]; os.abort()",
        signal.SIGABRT,
        ["at last x"],
    ),
    "fault": (
        "import ctypes, faulthandler; faulthandler.enable(); ctypes.string_at(0)",
        signal.SIGSEGV,
        ["Fatal Python error: Segmentation fault"],
    ),
    "killed": (
        "import signal; os.write(2, b'so far\\n'); os.kill(os.getpid(), signal.SIGKILL)",
        signal.SIGKILL,
        ["so far"],
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the library's name there")
@pytest.mark.parametrize(
    # A neighbour would let the pieces come at any time.
    "end",
    [pytest.param(end, marks=[pytest.mark.alone] * (end == "in pieces")) for end in ENDS],
)
@pytest.mark.parametrize("stands", [LINE, BAR], ids=["line", "bar"])
def test_last_words_reach_the_terminal(stands: str, end: str):
    """Of a process that a library or another one ends, on a line of their own, with the cursor shown."""
    words, number, wanted = ENDS[end]
    body = stands.format(stream="stderr").replace("write_all()", words)
    sent = run_in_terminal(body, by=SHELL, code=128 + number)
    rows = [row.removesuffix("Aborted") for row in screen(sent)]  # which the shell says, sooner or later
    assert [row for row in rows if row in wanted] == wanted, sent
    assert sent.rpartition("\x1b[?25l")[2].count("\x1b[?25h"), sent


def test_what_outlives_a_program_ends_with_it():
    left = "import subprocess; print(subprocess.run(('pgrep', '-P', str(os.getpid()), 'sh')).returncode)"
    assert screen(run_in_terminal(LINE.format(stream="stderr") + left))[-3:] == ["1", "the end", "the error"]
