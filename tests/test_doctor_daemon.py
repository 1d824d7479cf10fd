"""Doctor's checks of the daemon: each fault is made, found, and explained in one line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from streamfx.checks import State
from streamfx.doctor import examine
from streamfx.doctor.daemon import check_pipewire, check_port, check_socket


def test_without_a_daemon_there_is_nothing_to_mend(short_folder: Path):
    assert check_socket(short_folder / "control.sock").state is State.OK


def test_a_dead_daemons_socket_is_found_and_mended(short_folder: Path):
    path = short_folder / "control.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    found = check_socket(path)
    assert (found.state, "killed" in found.finding, "--fix" in found.remedy) == (State.WARN, True, True)
    assert check_socket(path, fix=True).state is State.OK
    assert not path.exists()


def test_a_living_daemon_is_left_alone(short_folder: Path):
    path = short_folder / "control.sock"
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen()
        found = check_socket(path, fix=True)
    assert (found.state, found.finding) == (State.OK, f"a daemon listens at {path}")
    assert path.exists()


def test_something_else_in_its_place_is_named_and_not_removed(short_folder: Path):
    path = short_folder / "control.sock"
    path.write_text("precious")
    found = check_socket(path, fix=True)
    assert found.state is State.FAIL
    assert path.read_text() == "precious"


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = check_port("metrics", f"127.0.0.1:{port}")
    assert (found.state, found.finding) == (State.FAIL, f"127.0.0.1:{port} is taken by another program")
    assert check_port("metrics", f"127.0.0.1:{port}").state is State.OK
    assert check_port("listen", "203.0.113.7:1").state is State.FAIL


def test_no_pipewire_server_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("PIPEWIRE_RUNTIME_DIR", raising=False)
    found = check_pipewire()
    assert found.state is State.WARN
    assert found.remedy


def test_settings_that_make_no_sense_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "streamfx").mkdir()
    (tmp_path / "streamfx" / "config.toml").write_text("[session]\nfsp = 30\n")
    rows = [row for row in examine() if row.name == "settings"]
    assert [row.state for row in rows] == [State.FAIL]
    assert "session.fsp" in rows[0].finding
