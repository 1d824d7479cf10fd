"""How the suite is run by several processes: what is alone comes after them, and nothing is missed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("xdist", reason="pytest-xdist shares the tests out")

CONFTEST = """
from alone import AloneAfterwards

def pytest_configure(config):
    config.addinivalue_line("markers", "alone: a")
    config.addinivalue_line("markers", "slow: s")
    config.pluginmanager.register(AloneAfterwards(config))
"""
BESIDE = """
import os, pathlib, pytest

@pytest.mark.parametrize("n", range(3))
def test_beside(n):
    assert "PYTEST_XDIST_WORKER" in os.environ
    pathlib.Path(f"{n}.ran").touch()
"""
ALONE = """
import os, pathlib, pytest

@pytest.mark.alone
def test_alone():
    assert "PYTEST_XDIST_WORKER" not in os.environ
    assert len(list(pathlib.Path().glob("*.ran"))) == 3, "all others are through"
    children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    assert children == "", "and their processes gone"
"""
DYING = """
import os

def test_dies():
    os._exit(3)

def test_after():
    pass
"""


def summary(folder: Path, *options: str, **files: str) -> str:
    """What pytest tells of a run of these files by two processes."""
    search = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    for name, text in {"conftest": search + CONFTEST, **files}.items():
        (folder / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "-rA"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, *options],
        cwd=folder, env=outside, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="children are counted by /proc")
def test_what_is_alone_comes_when_the_processes_are_gone(tmp_path: Path):
    told = summary(tmp_path, test_alone=ALONE, test_beside=BESIDE)
    assert re.search(r"= 4 passed in ", told), told
    assert "= 1 passed in " in summary(tmp_path, "-k", "test_alone")


def test_tests_of_a_process_that_died_fail(tmp_path: Path):
    told = summary(tmp_path, "--max-worker-restart", "0", test_alone="", test_dying=DYING)
    assert "FAILED test_dying.py::test_dies - worker" in told
    assert "FAILED test_dying.py::test_after - was not run" in told
    assert "= 2 failed in " in told
