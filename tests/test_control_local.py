"""Where programs of the same user find the daemon: a UNIX socket or, where there are none, a port."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import grpc
import psutil
import pytest
from control_stage import Stage, raw_call, staged
from fake_sessions import FakeSessions, devices, photo

from streamfx.api.address import Pointer, SocketPlace, default_socket, read_pointer
from streamfx.checks import State
from streamfx.client import Client
from streamfx.client.errors import DaemonUnreachable
from streamfx.control.options import ControlOptions
from streamfx.control.server import ControlServer
from streamfx.doctor.daemon import check_socket
from streamfx.errors import ResourceBusy, UsageError
from streamfx.ipc import locks, spawn
from streamfx.ipc.handed import socket_beside

LIST = "/streamfx.v1.SessionService/ListSessions"
CHECK = "/grpc.health.v1.Health/Check"


def test_the_socket_is_the_users_alone(stage: Stage, tmp_path: Path):
    path = stage.server.socket
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    listening = [one for one in psutil.Process().net_connections("inet") if one.status == "LISTEN"]
    assert listening == []
    assert stat.S_IMODE(socket_beside(path).stat().st_mode) == 0o600
    stage.server.stop()
    stage.sessions.files.close()
    assert list(path.parent.iterdir()) == []


def test_a_folder_open_to_others_is_closed(tmp_path: Path):
    (tmp_path / "run").mkdir(mode=0o755)
    with staged(tmp_path) as stage:
        assert stat.S_IMODE(stage.server.socket.parent.stat().st_mode) == 0o700


def test_a_living_daemon_is_left_alone(stage: Stage, client: Client):
    other = ControlServer(FakeSessions(), devices, ControlOptions(socket=stage.server.socket))
    with pytest.raises(ResourceBusy, match="Another daemon listens at"):
        other.start()
    assert client.list_sessions() == []


def test_a_program_that_listens_there_is_left_alone(tmp_path: Path):
    path = tmp_path / "run" / "control.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(ResourceBusy):
            SocketPlace(path)
    assert path.exists()
    place = SocketPlace(path)  # now nobody listens: it is stale
    assert not path.exists()
    place.release()


def test_a_killed_daemon_leaves_nothing_in_the_way(tmp_path: Path):
    program = f"""
import sys, time; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path; from control_stage import Stage; from streamfx.control.options import ControlOptions
stage = Stage(Path({str(tmp_path)!r}), ControlOptions())
stage.server.start()
print("up", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"up\n"
        child.send_signal(signal.SIGKILL)
    assert (tmp_path / "run" / "control.sock").exists()
    with staged(tmp_path) as stage, Client.connect(stage.server.socket) as client:
        assert client.list_sessions() == []


@pytest.mark.parametrize("what", ["file", "link", "long", "foreign"])
def test_odd_places_are_refused(tmp_path: Path, what: str):
    path = tmp_path / "run" / "control.sock"
    path.parent.mkdir()
    if what == "file":
        path.write_text("mine")
    elif what == "link":
        (tmp_path / "real").mkdir()
        path.parent.rmdir()
        path.parent.symlink_to(tmp_path / "real")
    elif what == "long":
        path = path.with_name("x" * 120)
    else:
        path = Path("/proc/control/x.sock")
    with pytest.raises(UsageError):
        SocketPlace(path)
    assert what != "file" or path.read_text() == "mine"


def test_where_the_socket_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    assert default_socket() == Path("/run/user/1/streamfx/control.sock")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", unset)
        assert default_socket() == tmp_path / "streamfx" / "run" / "control.sock"


# -- where there are no UNIX sockets -------------------------------------------------------------------------


@pytest.fixture
def socketless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows: gRPC for Python has no UNIX sockets there."""
    for module in ("streamfx.control.server", "streamfx.client.address"):
        monkeypatch.setattr(f"{module}.has_sockets", lambda: False)


@pytest.mark.usefixtures("socketless")
class TestWithoutSockets:
    def test_clients_find_the_port_and_the_token(self, stage: Stage, client: Client):
        assert client.list_sessions() == []
        assert client.create_portrait(photo(), id="me").id == "me"
        stage.session()
        status = next(iter(client.watch("one")))
        assert status.fps > 0

    def test_only_this_machine_can_come_and_only_this_user_knows_how(self, stage: Stage):
        path = stage.server.socket
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        listening = [one for one in psutil.Process().net_connections("inet") if one.status == "LISTEN"]
        assert [one.laddr.ip.removeprefix("::ffff:") for one in listening] == ["127.0.0.1"]
        assert read_pointer(path) == Pointer(listening[0].laddr.port, read_pointer(path).token)

    @pytest.mark.parametrize("token", [None, "", "x" * 43])
    def test_without_the_token_nothing_is_answered(self, stage: Stage, token: str | None):
        pointer = read_pointer(stage.server.socket)
        local = grpc.local_channel_credentials(grpc.LocalConnectionType.LOCAL_TCP)
        metadata = [] if token is None else [("authorization", f"Bearer {token}")]
        with grpc.secure_channel(f"127.0.0.1:{pointer.port}", local) as channel:
            with pytest.raises(grpc.RpcError) as refused:
                raw_call(channel, LIST, b"", metadata=metadata)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            raw_call(channel, CHECK, b"", metadata=metadata)

    def test_each_daemon_has_another_token(self, tmp_path: Path):
        seen = set()
        for _ in range(2):
            with staged(tmp_path) as stage:
                seen.add(read_pointer(stage.server.socket).token)
            assert list(stage.server.socket.parent.iterdir()) == []
        assert len(seen) == 2
        assert min(map(len, seen)) >= 40

    def test_a_living_daemon_is_left_alone(self, stage: Stage, client: Client):
        other = ControlServer(FakeSessions(), devices, ControlOptions(socket=stage.server.socket))
        with pytest.raises(ResourceBusy, match="Another daemon listens at"):
            other.start()
        assert client.list_sessions() == []

    def test_what_a_killed_daemon_left_is_cleared_away(self, tmp_path: Path):
        path = tmp_path / "run" / "control.sock"
        path.parent.mkdir(mode=0o700)
        path.write_text(json.dumps({"port": 1, "token": "old"}))
        path.chmod(0o600)
        assert check_socket(path).state is State.WARN
        with pytest.raises(DaemonUnreachable), Client.connect(path, timeout_s=2) as client:
            client.list_sessions()
        with staged(tmp_path) as stage, Client.connect(stage.server.socket) as client:
            assert client.list_sessions() == []
            assert check_socket(path).finding.startswith("a daemon listens")

    def test_without_a_daemon_the_way_to_start_one_is_told(self, tmp_path: Path):
        with pytest.raises(DaemonUnreachable, match="streamfx serve"):
            Client.connect(tmp_path / "control.sock")

    @pytest.mark.parametrize(
        "text", ["", "{}", "[]", '{"port": 0, "token": "x"}', '{"port": "1", "token": "x"}', "x" * 5000]
    )
    def test_what_no_daemon_wrote_leads_nowhere(self, tmp_path: Path, text: str):
        path = tmp_path / "control.sock"
        path.write_text(text)
        path.chmod(0o600)
        assert read_pointer(path) is None

    def test_what_others_may_read_or_put_there_leads_nowhere(self, tmp_path: Path):
        path = tmp_path / "control.sock"
        path.write_text(json.dumps({"port": 1, "token": "x"}))
        path.chmod(0o644)
        assert read_pointer(path) is None
        path.chmod(0o600)
        assert read_pointer(path) == Pointer(1, "x")
        (tmp_path / "link").symlink_to(path)
        assert read_pointer(tmp_path / "link") is None


# -- what Windows does otherwise, with stand-ins for its own modules -----------------------------------------


class Msvcrt:
    """Notes what is asked of Windows' runtime."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def get_osfhandle(self, descriptor: int) -> int:
        return 1000 + descriptor

    def open_osfhandle(self, handle: int, flags: int) -> int:
        self.asked.append(("open", handle, flags))
        return handle - 1000

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        self.asked.append(("lock", os.lseek(descriptor, 0, os.SEEK_CUR), mode, count))


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Msvcrt:
    msvcrt = Msvcrt()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    monkeypatch.setattr(os, "O_BINARY", 0x8000, raising=False)
    return msvcrt


def test_windows_locks_beyond_what_others_read(windows: Msvcrt, tmp_path: Path):
    descriptor = locks.open_lock(tmp_path / "lock")
    locks.lock(descriptor)
    locks.sign(descriptor)
    assert locks.holder(descriptor) == str(os.getpid())
    assert windows.asked == [("lock", 1 << 20, Msvcrt.LK_NBLCK, 1)]
    os.close(descriptor)


def test_windows_hands_a_child_the_handle_alone(windows: Msvcrt, monkeypatch: pytest.MonkeyPatch):
    started: dict[str, object] = {}
    inheritable: list[int] = []
    allow = lambda handle, _on: inheritable.append(handle)  # noqa: E731
    monkeypatch.setattr(os, "set_handle_inheritable", allow, raising=False)
    monkeypatch.setattr(subprocess, "STARTUPINFO", lambda **fields: fields, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0x8000000, raising=False)
    monkeypatch.setattr(subprocess, "Popen", lambda command, **how: started.update(how, command=command))
    _, numbers = spawn.start_with(["worker"], 7, 8)
    assert numbers == inheritable == [1007, 1008]
    assert started["startupinfo"] == {"lpAttributeList": {"handle_list": [1007, 1008]}}
    assert started["creationflags"] == 0x8000200
    assert "pass_fds" not in started
    assert spawn.inherited(numbers[0]) == 7
    assert windows.asked == [("open", 1007, os.O_RDWR | 0x8000)]
