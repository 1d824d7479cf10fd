"""The control server under calls that mean it harm, and under watchers that stop reading."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from hostile_calls import attack, hostile_stage

from streamfx.api.v1 import session_service_pb2 as api
from streamfx.client import Client
from streamfx.control.auth import TABLE
from streamfx.control.tokens import read_token

CALLS = int(os.environ.get("STREAMFX_HOSTILE_CALLS", "2000"))
UNKNOWN = int(os.environ.get("STREAMFX_UNKNOWN_CALLS", "500"))
"""Calls without a right token."""
PREVIEW = "/streamfx.v1.SessionService/WatchPreview"
GROWTH_BYTES = 10_000_000
STALLED_S = float(os.environ.get("STREAMFX_STALLED_S", "6"))
"""For which half of the watchers read nothing."""


def until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def test_hostile_calls(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with hostile_stage(tmp_path) as (stage, folder):
        passwd = Path("/etc/passwd").stat()
        tally = attack(stage, folder, CALLS, seed=20_261_123)
        assert tally.made == CALLS
        assert tally.wrong == []
        assert len(tally.codes) >= 6, tally.codes
        with Client.connect(stage.server.socket) as client:
            assert client.list_devices()
            assert "one" in [one.id for one in client.list_sessions()]
        until(lambda: not any(one.previews or one.recording for one in stage.sessions.list()))
    made = {path.name for path in (tmp_path / "allowed").iterdir()}
    assert made <= {"a.mp4", "b.mp4"}
    assert Path("/etc/passwd").stat() == passwd
    faults = [one for one in caplog.records if one.levelno >= logging.ERROR and "streamfx" in one.name]
    assert faults == []


def test_unknown_callers_enter_no_handler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Every method, with all sorts of tokens that are not ours: nothing is decoded, and none is logged."""
    entered = []
    from streamfx.control.rpc_adapter import _Bound

    monkeypatch.setattr(_Bound, "_decoded", lambda self, _data: entered.append(self))
    caplog.set_level(logging.DEBUG)
    methods = [path for path in TABLE if path.startswith("/streamfx.")]
    chance = random.Random(25)
    with hostile_stage(tmp_path) as (stage, folder):
        right = read_token(folder / "token")
        authority = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{stage.server.ports[0]}", authority) as channel:
            calls = [(path, metadata) for path in methods for metadata in _without_token(right, chance)]
            while len(calls) < UNKNOWN:
                calls.append((chance.choice(methods), chance.choice(_without_token(right, chance))))
            given = {text for _, metadata in calls for _, text in metadata if len(text) > 20} | {right}
            codes = Counter(_code(channel, *one) for one in calls)
    assert codes == {grpc.StatusCode.UNAUTHENTICATED: len(calls)}
    assert entered == []
    assert stage.server.refused["UNAUTHENTICATED"] == len(calls)
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert [text for text in given if text.removeprefix("Bearer ") in said] == []


def _without_token(right: str, chance: random.Random) -> list[tuple[tuple[str, str], ...]]:
    """What callers send who do not have it."""
    place = chance.randrange(len(right))
    other = right[:place] + ("a" if right[place] != "a" else "b") + right[place + 1 :]
    texts = (
        "Bearer", "Bearer ", "x", right, f"Basic {right}", f"Bearer {other}", f"Bearer {right[:place]}",
        f"Bearer {right}{right[place]}", f"Bearer {right.swapcase()}", f"Bearer {right}, Bearer {right}",
    )  # fmt: skip
    twice = (("authorization", f"Bearer {other}"),) * 2
    return [(), twice, (("token", right),), *((("authorization", text),) for text in texts)]


def _code(channel: grpc.Channel, path: str, metadata: tuple[tuple[str, str], ...]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(path)(b"", timeout=20, metadata=metadata)
    return refused.value.code()


SERVER = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from control_stage import Stage
from streamfx.control.options import ControlOptions
from streamfx.settings.session import Output
stage = Stage(Path({folder!r}), ControlOptions())
sessions = [stage.session(f"s{{n}}", output=Output("none", (320, 240))) for n in range(4)]
with stage.server:
    print("up", flush=True)
    while True:
        time.sleep(0.05)
        for session in sessions:
            session.publish()
"""


@pytest.mark.alone
def test_watchers_that_stop_reading_cost_nothing(tmp_path: Path):
    """Fifty previews, half of which are never read again after the first picture."""
    program = SERVER.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    said = tmp_path / "said"
    with (
        said.open("wb") as log,
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=log) as child,
    ):
        try:
            assert child.stdout.readline() == b"up\n"
            _watch_by_fifty(f"unix:{tmp_path}/run/control.sock", psutil.Process(child.pid))
        finally:
            child.kill()
    assert said.read_text() == "", "whoever hangs up while a picture is written is no fault of ours"


def _watch_by_fifty(address: str, server: psutil.Process) -> None:
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
    channels = [grpc.insecure_channel(address, options) for _ in range(50)]
    calls = [
        channel.unary_stream(PREVIEW)(
            api.WatchPreviewRequest(session_id=f"s{n % 4}", max_fps=10).SerializeToString()
        )
        for n, channel in enumerate(channels)
    ]
    for one in calls:
        next(one)
    stalled, read = calls[::2], calls[1::2]
    counts, late_ms = [0] * len(read), list[float]()

    def consume(n: int) -> None:
        try:
            for data in read[n]:
                counts[n] += 1
                finished_ns = api.WatchPreviewResponse.FromString(data).rendered_ns
                late_ms.append((time.monotonic_ns() - finished_ns) / 1e6)
        except grpc.RpcError:
            pass

    readers = [threading.Thread(target=consume, args=(n,)) for n in range(len(read))]
    for reader in readers:
        reader.start()
    time.sleep(5)
    before, settled = list(counts), server.memory_info().rss
    late_ms.clear()
    time.sleep(STALLED_S)
    grown = server.memory_info().rss - settled
    gained = [after - then for then, after in zip(before, counts, strict=True)]
    sys.stdout.write(
        f"{len(read)} watchers beside as many that stalled for {STALLED_S:g} s: {len(late_ms)} pictures, "
        "delay {:.1f} ms, p99 {:.1f}, at most {:.1f}, ".format(*np.percentile(late_ms, (50, 99, 100)))
        + f"memory {grown / 1e6:+.1f} MB\n"
    )
    late = [api.WatchPreviewResponse.FromString(next(stalled[0])) for _ in range(30)]
    for one in calls:
        one.cancel()
    for reader in readers:
        reader.join()
    for channel in channels:
        channel.close()
    assert grown < GROWTH_BYTES
    assert min(gained) >= 6, gained  # a picture a second, on the most crowded machine
    assert late[-1].seq > 150, "the newest comes after what was under way"
    assert late[-1].dropped > late[0].dropped + 60
