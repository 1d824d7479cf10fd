"""Being told to stop is heard, wherever it comes in between. Each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

HEAD = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from streamfx import interrupts
interrupts.listen()
"""


def ended(body: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = HEAD.format(root=str(ROOT)) + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )


SIGNALS = [("SIGTERM", "StopRequested"), ("SIGHUP", "StopRequested"), ("SIGINT", "CtrlC")]


@pytest.mark.parametrize(("name", "kind"), SIGNALS)
def test_it_is_an_exception(name: str, kind: str, tmp_path: Path):
    done = ended(
        f"""
        try:
            os.kill(os.getpid(), signal.{name})
            time.sleep(5)
        except interrupts.StopRequested as told:
            interrupts.hear(told)
            print(type(told).__name__, told.name, told.exit_code)
        """,
        tmp_path,
    )
    code = 128 + signal.Signals[name]
    assert (done.stdout, done.stderr) == (f"{kind} {name} {code}\n", "")


def test_swallowed_by_whatever_it_comes_again(tmp_path: Path):
    done = ended(
        """
        try:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            except BaseException:
                print("swallowed")
            time.sleep(5)
        except interrupts.StopRequested as told:
            interrupts.hear(told)
            print("heard")
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("swallowed\nheard\n", "")


def test_an_import_is_not_torn(tmp_path: Path):
    (tmp_path / "slow.py").write_text(
        "import os, signal, time\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "class Named:\n"
        "    def __set_name__(self, owner, name):\n"
        "        time.sleep(.3)\n"
        "class Owner:\n"
        "    one = Named()\n"
        "print('imported')\n"
    )
    done = ended(
        """
        sys.path.insert(0, os.getcwd())
        try:
            import slow
            time.sleep(5)
        except interrupts.StopRequested as told:
            interrupts.hear(told)
            print("heard", "slow" in sys.modules)
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("imported\nheard True\n", "")


def test_what_must_be_whole_is_finished_first(tmp_path: Path):
    done = ended(
        """
        try:
            with interrupts.held(), interrupts.held():
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(.2)
                print("whole")
            time.sleep(5)
        except interrupts.StopRequested as told:
            interrupts.hear(told)
            print("heard")
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("whole\nheard\n", "")


def test_what_it_was_turned_into_is_not_told(tmp_path: Path):
    done = ended(
        """
        try:
            with interrupts.unmasked():
                try:
                    os.kill(os.getpid(), signal.SIGTERM)
                    time.sleep(5)
                except BaseException as error:
                    raise RuntimeError("on the way out") from error
        except interrupts.StopRequested as told:
            interrupts.hear(told)
            print("heard")
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("heard\n", "")


def test_other_errors_stay_what_they_are(tmp_path: Path):
    done = ended(
        """
        with interrupts.unmasked():
            raise RuntimeError("its own")
        """,
        tmp_path,
    )
    assert done.stderr.rstrip().endswith("RuntimeError: its own")


def test_ctrl_c_ends_only_what_it_is_meant_for(tmp_path: Path):
    done = ended(
        """
        with interrupts.until_ctrl_c():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        time.sleep(.3)
        print("on")
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("on\n", "")


def test_what_was_ignored_stays_ignored(tmp_path: Path):
    program = HEAD.format(root=str(ROOT)) + "os.kill(os.getpid(), signal.SIGHUP)\nprint('on')"
    done = subprocess.run(
        ["/bin/sh", "-c", 'trap "" HUP; exec "$0" -c "$1"', sys.executable, program],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False, env=os.environ,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("on\n", "")


@pytest.mark.parametrize("way", ["check_writable(film)", "atomic_output(film).__enter__()"])
def test_a_file_that_was_just_made_is_not_left(way: str, tmp_path: Path):
    """StopRequested between the making of a hidden file and the noting of its name."""
    done = ended(
        f"""
        from pathlib import Path
        from streamfx import files
        make, film = files._create_part, Path("film.mp4")

        def made_and_told(target):
            part = make(target)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)
            return part

        files._create_part = made_and_told
        try:
            kept = files.{way}
            time.sleep(5)
        except interrupts.StopRequested as told:
            interrupts.hear(told)
            print("told")
            del kept
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("told\n", "")
    assert list(tmp_path.iterdir()) == []
