"""The file door: what it refuses, and that a result appears whole or not at all."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamfx import files
from streamfx.errors import OutputError, PhotoUnreadable, SourceMissing, SourceUnreadable, UsageError
from streamfx.files import DRIVER, PHOTO, atomic_output, check_readable, open_regular, read_bytes, same_file


def test_read_bytes_gives_the_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 3_000_000)
    assert read_bytes(path, 3_000_000) == b"x" * 3_000_000


@pytest.mark.parametrize(("size", "figure"), [(0, "0 bytes"), (2_000_001, "2 MB")])
def test_read_bytes_refuses_empty_and_oversized(tmp_path, size, figure):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"x" * size)
    with pytest.raises(PhotoUnreadable, match=figure):
        read_bytes(path, 2_000_000, PHOTO)


def test_missing_file_has_the_subjects_error(tmp_path):
    with pytest.raises(SourceMissing, match="does not exist") as caught:
        check_readable(tmp_path / "none.mp4", DRIVER)
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    with pytest.raises(UsageError):
        check_readable(tmp_path / "none.mp4")


def test_folder_fifo_socket_and_device_are_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for path, kind in (
            (tmp_path, "a folder"),
            (tmp_path / "fifo", "a pipe"),
            (tmp_path / "socket", "a socket"),
            (Path("/dev/zero"), "a device"),
        ):
            with pytest.raises(SourceUnreadable, match=kind):
                open_regular(path, DRIVER)


@pytest.mark.parametrize("name", ["nul\0byte", "x" * 5000, "file/below"])
def test_impossible_names_are_told(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        check_readable(tmp_path / name)
    with pytest.raises(OutputError), atomic_output(tmp_path / name):
        pass


def test_symlink_is_resolved_once_and_a_loop_is_told(tmp_path):
    (tmp_path / "real").write_bytes(b"data")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to("loop")
    assert check_readable(tmp_path / "link") == (tmp_path / "real").resolve()
    assert read_bytes(tmp_path / "link", 10) == b"data"
    with pytest.raises(UsageError):
        check_readable(tmp_path / "loop")


def test_a_link_that_replaces_the_checked_file_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "secret").write_bytes(b"secret")
    path = tmp_path / "video"
    path.symlink_to("secret")
    monkeypatch.setattr(files, "check_readable", lambda _path, _what: path)  # the state after the race
    with pytest.raises(SourceMissing):
        open_regular(path, DRIVER)


def test_a_process_that_follows_no_links_opens_resolved_paths_only(tmp_path, monkeypatch):
    """As workers do: a link on the way was put there after the path was checked."""
    real = tmp_path.resolve()
    (real / "folder").mkdir()
    (real / "folder" / "video").write_bytes(b"data")
    (real / "last").symlink_to("folder/video")
    (real / "middle").symlink_to("folder")
    monkeypatch.setattr(files, "_follows_links", True)  # and put back afterwards
    files.refuse_links()
    with open_regular(real / "folder" / "video", DRIVER) as file:
        assert (file.read(), file.name) == (b"data", real / "folder" / "video")
    for path in ("last", "middle/video", "folder", "folder/none", "folder/../folder/../last"):
        with pytest.raises(SourceMissing, match=path.rpartition("/")[2]):
            open_regular(real / path, DRIVER)
    monkeypatch.chdir(real)
    with pytest.raises(SourceMissing):
        open_regular(Path("folder/video"), DRIVER)


def test_unreadable_file_is_told(tmp_path):
    with _as_nobody() as folder:
        (folder / "f").write_bytes(b"x")
        (folder / "f").chmod(0)
        with pytest.raises(SourceMissing, match="may not be read"):
            check_readable(folder / "f", DRIVER)


def test_same_file_sees_through_links_and_dots(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "link").symlink_to("a")
    os.link(tmp_path / "a", tmp_path / "hard")
    assert same_file(tmp_path / "a", tmp_path / "link")
    assert same_file(tmp_path / "a", tmp_path / "hard")
    assert same_file(tmp_path / "new", tmp_path / "x" / ".." / "new")
    assert not same_file(tmp_path / "a", tmp_path / "new")


def test_output_appears_at_success_only(tmp_path):
    target = tmp_path / "out.bin"
    with atomic_output(target) as part:
        part.write_bytes(b"new")
        assert not target.exists()
        assert part.parent == tmp_path
        assert part.name.startswith(".")
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out.bin"]  # noqa: PTH208


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError, SystemExit, FileNotFoundError])
def test_failure_leaves_the_old_file_and_no_part(tmp_path, failure):
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with pytest.raises(failure), atomic_output(target) as part:  # noqa: PT012
        part.write_bytes(b"half")
        raise failure
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.bin"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "no space"), (errno.EDQUOT, "quota"), (errno.EFBIG, "largest size|size limit")],
)
def test_exhaustion_is_an_output_error(tmp_path, number, words):
    with pytest.raises(OutputError, match=words), atomic_output(tmp_path / "o"):
        raise OSError(number, os.strerror(number))
    assert not list(tmp_path.iterdir())


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_output(tmp_path / "o") as part:
            part.write_bytes(b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "o").stat().st_mode & 0o777 == 0o640


def test_output_follows_a_link_to_its_file(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with atomic_output(tmp_path / "link") as part:
        part.write_bytes(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_impossible_targets_are_told(tmp_path):
    for target, words in (
        (tmp_path, "a folder"),
        (tmp_path / "none" / "o", "folder does not exist"),
        (Path("/dev/null"), "a device"),
    ):
        with pytest.raises(OutputError, match=words), atomic_output(target):
            pass


def test_read_only_folder_is_told():
    with _as_nobody() as folder:
        folder.chmod(0o555)
        with pytest.raises(OutputError, match="no permission"), atomic_output(folder / "o"):
            pass
        folder.chmod(0o755)


def test_ctrl_c_in_another_process_leaves_nothing(tmp_path):
    script = (
        "import os, signal, sys, time\nfrom pathlib import Path\n"
        "from streamfx.files import atomic_output\n"
        "with atomic_output(Path(sys.argv[1])) as part:\n"
        "    part.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGINT); time.sleep(30)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "o"], capture_output=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert not list(tmp_path.iterdir())


@contextmanager
def _as_nobody() -> Iterator[Path]:
    """A folder of this user, who is not root: root may do anything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
            return
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)
