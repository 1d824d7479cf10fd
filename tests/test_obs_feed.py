"""Pictures from OBS to the worker: the ring that the plugin writes, its socket, and all of it in a real OBS."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from streamfx.session.handover import MAGIC
from streamfx.sink.ring import RingReader

PLUGIN = Path(__file__).parents[1] / "plugins" / "obs"
OBS_HEADERS = Path("/usr/include/obs")
STRICT = ("-std=gnu17", "-Wall", "-Wextra", "-Werror", "-g", "-O1", "-fno-sanitize-recover=all")
SANITIZERS = {"memory": ("-fsanitize=address,undefined",), "threads": ("-fsanitize=thread", "-Wno-tsan")}
ALONE = ("ring.c", "ring-writer.c", "feed-server.c", "handover.c", "exchange.c")
TEAR_S, SWAP_S = 3.0, 1.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the plugin is for Linux")


def built(folder: Path, sanitizer: str) -> str:
    """The C harness; skips where there is nothing to build it with."""
    compiler = shutil.which("cc")
    if compiler is None or not OBS_HEADERS.exists():
        pytest.skip("not installed: a C compiler, libobs-dev")
    program = str(folder / "feed-test")
    sources = ["test/feed-test.c", *(f"src/{name}" for name in ALONE)]
    done = subprocess.run(
        [compiler, *STRICT, *SANITIZERS[sanitizer], f"-isystem{OBS_HEADERS}", "-o", program, *sources, "-lobs",
         "-pthread"], cwd=PLUGIN, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "cannot find" in done.stderr and "san" in done.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return built(tmp_path_factory.mktemp("memory"), "memory")


def said(*command: str) -> str:
    """What a clean run printed; a sanitizer's report ends the program with an error."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    sys.stdout.write(done.stdout)
    return done.stdout


def asked(path: Path) -> RingReader | None:
    """The ring that is handed over there, as the worker asks for it; None if there is none."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as caller:
        caller.settimeout(2.0)
        try:
            caller.connect(str(path))
        except OSError:
            return None
        packet, descriptors, _, _ = socket.recv_fds(caller, 64, 4)
    if not packet:
        return None
    assert packet == MAGIC
    (descriptor,) = descriptors
    with open(descriptor, "rb", closefd=True):
        return RingReader(descriptor)


@contextmanager
def serving(program: str, folder: Path, *options: str) -> Iterator[RingReader]:
    """A writer in C, and our reader of its ring."""
    process = subprocess.Popen(
        [program, "serve", str(folder), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "serving\n"
        reader = asked(folder / "test.feed")
        assert reader is not None
        with reader:
            yield reader
            _, err = process.communicate("", timeout=30)
            assert (process.returncode, err) == (0, "")
            assert reader.newest() is None, "what was fed is wiped at the end"
        assert not (folder / "test.feed").exists()
    finally:
        process.kill()
        process.wait()


def painted(width: int, height: int, number: int) -> np.ndarray:
    """As feed-test.c paints it."""
    y, x = np.mgrid[:height, :width]
    return np.stack((3 * number + 2 * y, 5 * number + 3 * x, 7 * number + x + y), axis=2).astype(np.uint8)


def test_the_ring_and_its_socket_hold_what_they_promise(program: str, tmp_path: Path):
    said(program, "checks", str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_our_reader_reads_each_pixel_as_it_was_written(program: str, tmp_path: Path):
    with serving(program, tmp_path, "322", "240", "100") as reader:
        assert (reader.form.width, reader.form.height, reader.form.fps) == (322, 240, 100.0)
        seen, end = [], time.monotonic() + 10
        while len(seen) < 20 and time.monotonic() < end:
            picture = reader.newest()
            if picture is None:
                time.sleep(0.001)
                continue
            np.testing.assert_array_equal(picture.rgb, painted(322, 240, picture.seq))
            assert picture.alpha is None
            assert 0 <= picture.rendered_ns - picture.captured_ns < 1e9
            assert abs(time.monotonic_ns() - picture.captured_ns) < 1e9
            seen.append(picture.seq)
        assert len(seen) == 20
        assert seen == sorted(set(seen))
        assert reader.beats >= reader.written


def test_a_writer_without_pause_never_shows_a_torn_picture(program: str, tmp_path: Path):
    read, first = 0, None
    with serving(program, tmp_path, "66", "40", "0") as reader:
        end = time.monotonic() + TEAR_S
        while time.monotonic() < end:
            picture = reader.newest()
            if picture is not None:
                np.testing.assert_array_equal(picture.rgb, painted(66, 40, picture.seq))
                first = picture.seq if first is None else first
                read, last = read + 1, picture.seq
    sys.stdout.write(f"no torn picture among {read}, while {last - first} were written\n")
    assert read > 500
    assert last - first > read


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_pictures_go_from_thread_to_thread_whole_and_in_order(sanitizer: str, tmp_path: Path):
    program = built(tmp_path, sanitizer)
    given, taken, cleared = map(int, re.findall(r"\d+", said(program, "swap", str(SWAP_S))))
    assert given >= taken > 100
    assert cleared > 0
