"""The control server by TCP: TLS, tokens, certificates, and what is refused."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import grpc
import pytest
from control_stage import make_certificates, raw_call, staged
from fake_sessions import FakeSessions, devices
from grpc_health.v1 import health_pb2, health_pb2_grpc

from streamfx.client import CallRefused, Client, DaemonUnreachable, DaemonUntrusted
from streamfx.control.auth import TABLE, Permission
from streamfx.control.options import ControlOptions
from streamfx.control.server import ControlServer
from streamfx.control.tokens import make_token, read_token
from streamfx.errors import OutputError, UsageError
from streamfx.settings.session import SessionSettings

SESSIONS = "/streamfx.v1.SessionService/"
STREAMFX_METHODS = sorted(path for path in TABLE if path.startswith("/streamfx."))


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates and tokens."""
    folder = tmp_path_factory.mktemp("papers")
    make_certificates(folder)
    for name in ("token", "read"):
        make_token(folder / name)
    return folder


def tls(papers: Path, **changes: object) -> ControlOptions:
    given = {
        "listen": "127.0.0.1:0",
        "tls_certificate": papers / "daemon.pem",
        "tls_key": papers / "daemon.key",
        "token_file": papers / "token",
        "read_token_file": papers / "read",
    }
    return ControlOptions(**{**given, **changes})


def test_tls_with_a_token(tmp_path: Path, papers: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    with staged(tmp_path, tls(papers)) as stage:
        address = f"127.0.0.1:{stage.server.ports[0]}"
        full, read = read_token(papers / "token"), read_token(papers / "read")
        with Client.connect(address, token=full, authority=papers / "ca.pem") as client:
            assert client.create_session(SessionSettings(), "main").id == "main"
        with Client.connect(address, token=read, authority=papers / "ca.pem") as client:
            assert [one.id for one in client.list_sessions()] == ["main"]
            with pytest.raises(CallRefused, match="only look"):
                client.delete_session("main")
        for wrong in ("", "wrong" * 8, full[:-1], full + "x", read.swapcase()):
            with (
                Client.connect(address, token=wrong, authority=papers / "ca.pem") as client,
                pytest.raises(CallRefused, match="does not know"),
            ):
                client.list_sessions()
        with (
            Client.connect(address, token=full) as client,  # the system trusts no such authority
            pytest.raises(DaemonUntrusted, match="--ca"),
        ):
            client.list_sessions()
        assert len(stage.sessions.kept) == 1
    assert full not in caplog.text
    assert read not in caplog.text


def test_only_the_health_is_open(tmp_path: Path, papers: Path):
    with staged(tmp_path, tls(papers)) as stage:
        credentials = grpc.ssl_channel_credentials((papers / "ca.pem").read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{stage.server.ports[0]}", credentials) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            assert health.Check(health_pb2.HealthCheckRequest(), timeout=10).status == 1
            for path, permission in TABLE.items():
                if permission is Permission.OPEN:
                    continue
                with pytest.raises(grpc.RpcError) as refused:
                    list(channel.stream_stream(path)(iter([b"\xff"]), timeout=10))
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED, path
            for unknown in ("/streamfx.v1.SessionService/Nothing", "/x/y", "/"):
                with pytest.raises(grpc.RpcError) as refused:
                    raw_call(channel, unknown, b"")
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        closed = sum(permission is not Permission.OPEN for permission in TABLE.values())
        assert stage.server.refused == {"UNAUTHENTICATED": closed + 3}


def test_mutual_tls(tmp_path: Path, papers: Path):
    options = tls(papers, token_file=None, read_token_file=None, client_ca=papers / "ca.pem")
    with staged(tmp_path, options) as stage:
        address = f"127.0.0.1:{stage.server.ports[0]}"
        shown = {"certificate": papers / "client.pem", "key": papers / "client.key"}
        with Client.connect(address, authority=papers / "ca.pem", **shown) as client:
            assert client.list_sessions() == []
        with (
            Client.connect(address, authority=papers / "ca.pem") as client,
            pytest.raises(DaemonUnreachable, match="--cert"),
        ):
            client.list_sessions()


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"tls_certificate": None}, "--tls-cert"),
        ({"tls_key": None}, "--tls-key"),
        ({"token_file": None, "read_token_file": None}, "--token-file"),
        ({"listen": "0.0.0.0:0"}, "--client-ca"),
        ({"listen": "[::]:0"}, "--client-ca"),
        ({"listen": "0:0"}, "--client-ca"),
        ({"listen": "[::ffff:0.0.0.0]:0"}, "--client-ca"),
        ({"listen": "127.0.0.1"}, "--listen"),
        ({"listen": "127.0.0.1:99999"}, "--listen"),
        ({"listen": ""}, "--listen"),
        ({"listen": "192.0.2.1:50515"}, "--listen"),
        ({"listen": "no.such.host.invalid:1"}, "--listen"),
        ({"tls_certificate": Path("/nowhere.pem")}, "--tls-cert"),
        ({"token_file": Path("/nowhere")}, "/nowhere"),
    ],
)
def test_unsafe_options_are_refused(tmp_path: Path, papers: Path, changes, flag: str):
    options = tls(papers, socket=tmp_path / "run" / "c.sock", **changes)
    server = ControlServer(FakeSessions(), devices, options)
    with pytest.raises(UsageError) as refused:
        server.start()
    assert flag in str(refused.value)
    assert not (tmp_path / "run").exists() or list((tmp_path / "run").iterdir()) == []


def test_a_bad_certificate_is_refused(tmp_path: Path, papers: Path):
    (tmp_path / "bad.pem").write_text("no certificate")
    options = tls(papers, socket=tmp_path / "c.sock", tls_certificate=tmp_path / "bad.pem")
    with pytest.raises(UsageError, match="certificate"):
        ControlServer(FakeSessions(), devices, options).start()


def test_tokens_are_long_secret_and_kept(tmp_path: Path):
    file = tmp_path / "token"
    make_token(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = read_token(file)
    assert len(token) >= 43
    with pytest.raises(OutputError, match="not overwritten"):
        make_token(file)
    file.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        read_token(file)
    file.chmod(0o600)
    for bad in ("short", "x" * 31, "with space " * 6, "ü" * 40, "a" * 5000):
        file.write_text(bad)
        with pytest.raises(UsageError) as refused:
            read_token(file)
        assert bad[:5] not in str(refused.value).replace(str(file), "")
