"""Limits of the control server that need a server of their own; and whether its generated code is current."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import grpc
import pytest
from control_stage import staged

from streamfx.api.v1 import session_service_pb2 as api
from streamfx.client import AsyncClient, Client
from streamfx.control.options import ControlOptions, Limits
from streamfx.errors import LimitReached
from streamfx.settings.session import SessionSettings

ROOT = Path(__file__).parents[1]
PREVIEW = "/streamfx.v1.SessionService/WatchPreview"


def until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def test_a_watcher_that_takes_nothing_for_long_is_let_go(tmp_path: Path):
    with staged(tmp_path, ControlOptions(limits=Limits(stall_s=1.0))) as stage:
        session = stage.session()
        with (
            Client.connect(stage.server.socket) as client,
            grpc.insecure_channel(stage.address, [("grpc.http2.bdp_probe", 0)]) as channel,
        ):
            request = api.WatchPreviewRequest(session_id="one", max_fps=60, max_side=1920, quality=95)
            stalled = channel.unary_stream(PREVIEW)(request.SerializeToString())
            seen = []
            reader = threading.Thread(target=lambda: seen.extend(client.preview("one", max_side=64)))
            reader.start()
            until(lambda: len(session.previews) == 2)
            end = time.monotonic() + 30
            while len(session.previews) == 2 and time.monotonic() < end:
                session.publish()
                time.sleep(0.01)
            assert len(session.previews) == 1, "the stalled one was kept"
            before = len(seen)
            while len(seen) < before + 3 and time.monotonic() < end:
                session.publish()
                time.sleep(0.01)
            assert len(seen) >= before + 3, "the other one suffered"
            with pytest.raises(grpc.RpcError) as ended:
                for _ in stalled:  # what was under way, and then the reason
                    pass
            assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            stage.sessions.delete("one")
            reader.join(20)


@pytest.mark.slow
def test_a_quiet_connection_is_kept(tmp_path: Path):
    """Both ends ask every 10 s whether the other is there; neither takes that for an attack."""
    with staged(tmp_path) as stage, Client.connect(stage.server.socket) as client:
        stage.session()
        with closing(client.watch("one", 50)) as statuses:
            next(statuses)
            assert next(statuses).state == "live"


def test_at_most_so_many_calls(tmp_path: Path):
    with staged(tmp_path, ControlOptions(limits=Limits(calls=2))) as stage:
        stage.session()
        with (
            Client.connect(stage.server.socket) as client,
            closing(client.watch("one")) as first,
            closing(client.watch("one")) as second,
        ):
            next(first), next(second)
            with pytest.raises(LimitReached, match="2 calls under way"):
                client.list_sessions()
            assert stage.server.refused == {"RESOURCE_EXHAUSTED": 1}
            second.close()
            until(lambda: _answers(client))


def test_those_who_say_nothing_make_room_for_who_comes(tmp_path: Path):
    """All connections are taken by silent ones: whoever calls is let in as soon as these are given up."""
    with staged(tmp_path, ControlOptions(limits=Limits(connections=3))) as stage, ExitStack() as silent:
        stage.session()
        for _ in range(3):
            silent.enter_context(socket.socket(socket.AF_UNIX)).connect(str(stage.server.socket))
        with ThreadPoolExecutor(1) as pool, Client.connect(stage.server.socket) as client:
            waiting = pool.submit(asyncio.run, _listed(stage.server.socket))
            assert [one.id for one in client.list_sessions()] == waiting.result(30) == ["one"]


async def _listed(path: Path) -> list[str]:
    async with AsyncClient.connect(path) as client:
        return [one.id for one in await client.list_sessions()]


def _answers(client: Client) -> bool:
    try:
        return bool(client.list_sessions())
    except LimitReached:
        return False


def test_a_flood_of_updates_leaves_the_last(tmp_path: Path):
    with staged(tmp_path) as stage, Client.connect(stage.server.socket) as client:
        session = stage.session()
        callers = [
            threading.Thread(target=_update, args=(client, field, 100))
            for field in ("badge", "refine", "mirror")
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(60)
        assert (session.settings.badge, session.settings.refine) == ("99", "off")
        assert session.settings.mirror


def _update(client: Client, field: str, times: int) -> None:
    for n in range(times):
        refine = "off" if n % 2 else "lite"
        client.update_session("one", SessionSettings(badge=str(n), refine=refine, mirror=n % 2 == 1), [field])


def test_the_generated_code_is_current():
    pytest.importorskip("grpc_tools", reason="grpcio-tools makes the generated code")
    done = subprocess.run(
        [ROOT / "scripts" / "gen-protos", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "STREAMFX_PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stderr


def test_stale_generated_code_is_noticed(tmp_path: Path):
    pytest.importorskip("grpc_tools", reason="grpcio-tools makes the generated code")
    for folder in ("protos", "scripts", "streamfx/api/v1"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    proto = tmp_path / "protos/streamfx/v1/device.proto"
    proto.write_text(proto.read_text().replace("string trouble = 5", "string trouble = 6"))
    done = subprocess.run(
        [tmp_path / "scripts" / "gen-protos", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "STREAMFX_PYTHON": sys.executable},
    )
    assert done.returncode == 1
    assert "stale" in done.stderr
