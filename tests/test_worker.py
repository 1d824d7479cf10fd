"""A worker that fails in a way that nobody foresaw says why before it ends: the daemon starts another one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import os, sys, threading, time
from streamfx.worker import work
from streamfx.worker.__main__ import take_stdout
from streamfx.worker.channel import Channel

def fail(*_):
    raise ZeroDivisionError("unforeseen")

def fail_in_a_thread(*_):
    threading.Thread(target=fail).start()
    time.sleep(20)

work._beginning = {failing}
sys.exit(work.serve(Channel(os.fdopen(0, "rb", closefd=False), take_stdout())))
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
