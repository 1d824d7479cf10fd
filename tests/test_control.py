"""The control server from outside: who may call, where it listens, what a call leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from control_stage import Stage, raw_call, staged, until
from fake_sessions import photo
from google.protobuf import descriptor_pb2, descriptor_pool, json_format
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2 as details
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from streamfx import errors
from streamfx.api import status_codes
from streamfx.api.v1 import session_service_pb2 as api
from streamfx.client import Client
from streamfx.control.auth import TABLE, Permission
from streamfx.control.options import ControlOptions, Limits
from streamfx.control.rpc_adapter import _Bound
from streamfx.control.server import SERVICES
from streamfx.errors import SettingRefused, StreamfxError
from streamfx.settings.session import SessionSettings

GIVEN_UP = int(os.environ.get("STREAMFX_GIVEN_UP", "40"))
"""Creations that nobody waits for."""
SESSIONS = "/streamfx.v1.SessionService/"
STREAMFX_METHODS = sorted(path for path in TABLE if path.startswith("/streamfx."))


# -- the table ---------------------------------------------------------------------------------------------


def reflected(channel: grpc.Channel, **options: object) -> tuple[descriptor_pool.DescriptorPool, list[str]]:
    """What a server tells of itself, as a client without our code learns it; and its services."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)

    def ask(**what: str) -> reflection_pb2.ServerReflectionResponse:
        request = reflection_pb2.ServerReflectionRequest(**what)
        return next(stub.ServerReflectionInfo(iter([request]), **options))

    names = [one.name for one in ask(list_services="").list_services_response.service]
    pool, files, wanted = descriptor_pool.DescriptorPool(), {}, []
    for name in names:
        wanted += ask(file_containing_symbol=name).file_descriptor_response.file_descriptor_proto
    while wanted:
        file = descriptor_pb2.FileDescriptorProto.FromString(wanted.pop())
        if file.name not in files:
            files[file.name] = file
            for other in file.dependency:
                wanted += ask(file_by_filename=other).file_descriptor_response.file_descriptor_proto
    _add(pool, files)
    return pool, names


def _add(pool: descriptor_pool.DescriptorPool, files: dict[str, descriptor_pb2.FileDescriptorProto]) -> None:
    added: set[str] = set()

    def add(name: str) -> None:
        if name not in added:
            added.add(name)
            for other in files[name].dependency:
                add(other)
            pool.Add(files[name])

    for name in files:
        add(name)


def test_the_table_lists_every_method_and_no_other(stage: Stage):
    with grpc.insecure_channel(stage.address) as channel:
        pool, names = reflected(channel)
        served = {
            f"/{name}/{method.name}" for name in names for method in pool.FindServiceByName(name).methods
        }
    assert set(TABLE) == served
    opened = {path for path, permission in TABLE.items() if permission is Permission.OPEN}
    assert opened == {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List"}
    looking = {path for path in STREAMFX_METHODS if TABLE[path] is Permission.READ}
    assert all(re.search(r"/(Get|List|Watch)\w+$", path) for path in looking)


def test_a_client_without_our_code_creates_and_lists(stage: Stage):
    """As grpcurl does it: messages from what the server tells by reflection."""
    with grpc.insecure_channel(stage.address) as channel:
        pool, _ = reflected(channel)
        service = pool.FindServiceByName("streamfx.v1.SessionService")

        def call(name: str, request: dict[str, object]) -> dict[str, object]:
            method = service.methods_by_name[name]
            message = json_format.ParseDict(request, GetMessageClass(method.input_type)())
            data = raw_call(channel, f"/{service.full_name}/{name}", message.SerializeToString())
            return json_format.MessageToDict(GetMessageClass(method.output_type).FromString(data))

        call("CreateSession", {"id": "main", "settings": {"gains": {"head": 0.5}, "badge": "hello"}})
        (listed,) = call("ListSessions", {})["sessions"]
    assert (listed["id"], listed["settings"]["badge"]) == ("main", "hello")
    assert listed["settings"]["gains"] == {"head": 0.5, "expression": 1.0, "gaze": 1.0}
    assert listed["status"]["state"] == "SESSION_STATE_LIVE"


def test_every_service_is_described():
    assert {method.name for service in SERVICES for method in service.methods} == {
        path.rpartition("/")[2] for path in STREAMFX_METHODS
    }


# -- errors --------------------------------------------------------------------------------------------------


def _leaves(kind: type[StreamfxError]) -> list[type[StreamfxError]]:
    below = [leaf for child in kind.__subclasses__() for leaf in _leaves(child)]
    return below or [kind]


def test_every_error_has_its_code():
    inside = {"RingUnreadable", "Interrupted", "GivenUp"}
    for leaf in _leaves(StreamfxError):
        if leaf.__module__ != errors.__name__ and not issubclass(leaf, SettingRefused):
            continue
        arguments = ("session", "one", "a", "b") if issubclass(leaf, errors.ResourceError) else ("a", "b")
        error = SettingRefused("f", "a", "b") if leaf is SettingRefused else leaf(*arguments)
        internal = status_codes.code_of(error) is grpc.StatusCode.INTERNAL
        assert internal == (leaf.__name__ in inside), leaf


def test_details_are_for_programs(stage: Stage):
    def status_of(path: str, text: str) -> dict[str, object]:
        method = path.rpartition("/")[2]
        service = next(one for one in SERVICES if f"/{one.full_name}/" in path)
        kind = GetMessageClass(service.methods_by_name[method].input_type)
        with grpc.insecure_channel(stage.address) as channel, pytest.raises(grpc.RpcError) as refused:
            raw_call(channel, path, json_format.Parse(text, kind()).SerializeToString())
        found = {}
        status = rpc_status.from_call(refused.value)
        for one in status.details:
            kind = getattr(details, one.type_url.rpartition(".")[2])
            found[kind.__name__] = kind.FromString(one.value)
        return {"code": refused.value.code(), **found}

    missing = status_of(SESSIONS + "GetSession", '{"sessionId": "one"}')
    assert missing["code"] is grpc.StatusCode.NOT_FOUND
    assert missing["ErrorInfo"].reason == "ResourceMissing"
    assert missing["ErrorInfo"].domain == "streamfx"
    assert missing["ResourceInfo"].resource_type == "session"
    assert missing["ResourceInfo"].resource_name == "one"
    wrong = status_of(SESSIONS + "CreateSession", '{"settings": {"gains": {"head": 7}}}')
    assert wrong["code"] is grpc.StatusCode.INVALID_ARGUMENT
    assert wrong["BadRequest"].field_violations[0].field == "gains.head"
    stage.session(source="none")
    unready = status_of(SESSIONS + "CalibrateSession", '{"sessionId": "one"}')
    assert unready["code"] is grpc.StatusCode.FAILED_PRECONDITION
    assert unready["RetryInfo"].retry_delay.seconds == 1
    for n in range(3):
        stage.sessions.create(SessionSettings(), f"s{n}")
    full = status_of(SESSIONS + "CreateSession", "{}")
    assert full["code"] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert full["RetryInfo"].retry_delay.seconds == 5
    long = status_of(SESSIONS + "CreateSession", json.dumps({"settings": {"refine": "😀" * 9000}}))
    assert long["code"] is grpc.StatusCode.INVALID_ARGUMENT


# -- what a call leaves behind -------------------------------------------------------------------------------


def test_a_cancelled_creation_leaves_nothing(stage: Stage):
    stage.sessions.delay_s = stage.sessions.portraits.delay_s = 0.1
    request = b"\x12\x04main"  # id
    with grpc.insecure_channel(stage.address) as channel:
        for _ in range(10):
            stage.sessions.creating.clear()
            call = channel.unary_unary(SESSIONS + "CreateSession").future(request)
            assert stage.sessions.creating.wait(20)
            call.cancel()
            until(lambda: stage.sessions.made > 0 and not stage.sessions.kept)
            stage.sessions.made = 0
    with Client.connect(stage.server.socket, timeout_s=20) as client:
        for _ in range(3):
            stage.sessions.portraits.adding.clear()
            caller = threading.Thread(target=_give_up, args=(client,))
            caller.start()
            assert stage.sessions.portraits.adding.wait(20)
            caller.join()
            until(lambda: not stage.sessions.portraits.kept)
    assert client is not None


def test_creations_given_up_at_any_moment_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By their callers or at their deadline: before they begin, on the way, and when they are through."""
    answered, unary, chance = set[bytes](), _Bound._unary, random.Random(28)

    async def noted(self: _Bound, data: bytes, context: object) -> bytes:
        answer = await unary(self, data, context)
        answered.add(data)
        return answer

    monkeypatch.setattr(_Bound, "_unary", noted)
    with staged(tmp_path) as stage, grpc.insecure_channel(stage.address) as channel:
        stage.sessions.delay_s = 0.02
        raw_call(channel, SESSIONS + "ListSessions", b"")
        held, codes = len(list(Path("/proc/self/fd").iterdir())), Counter[grpc.StatusCode]()
        for number in range(GIVEN_UP):
            moment = chance.uniform(0.0005, 0.06)
            request = api.CreateSessionRequest(id=f"s{number}").SerializeToString()
            has_deadline = number % 2 == 0
            create = channel.unary_unary(SESSIONS + "CreateSession")
            call = create.future(request, timeout=moment if has_deadline else 20)
            if not has_deadline:
                time.sleep(moment)
                call.cancel()
            codes[call.code()] += 1
            raw_call(channel, SESSIONS + "ListSessions", b"")  # what was sent before has come
            time.sleep(2 * stage.sessions.delay_s)
            if request in answered:  # its answer was on the way when it was given up, at the latest
                stage.sessions.delete(f"s{number}")
            until(lambda: not stage.sessions.kept)
        assert len(list(Path("/proc/self/fd").iterdir())) <= held
    assert set(codes) == {
        grpc.StatusCode.OK, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED,
    }  # fmt: skip
    assert stage.sessions.made > codes[grpc.StatusCode.OK], "some were made that nobody waited for"


def _give_up(client: Client) -> None:
    from streamfx.client import calls

    request = calls.create_portrait(photo(), "", "ada", ())
    sent = client._channel.unary_unary(request.path)
    call = sent.future(request.request.SerializeToString())
    time.sleep(0.05)
    call.cancel()


def test_cancelled_streams_leave_nothing(stage: Stage, client: Client):
    session = stage.session()
    threads = threading.active_count()
    for n in range(20):
        with closing(client.watch("one")) as statuses, closing(client.preview("one")):
            next(statuses)
        with closing(client.record("one", stage.root / f"{n}.mp4")) as progress:
            next(progress)
        until(lambda: session.recording is None)
    until(lambda: not session.previews)
    assert all((stage.root / f"{n}.mp4").read_bytes() == b"complete" for n in range(20))
    assert threading.active_count() <= threads + 20


def test_a_client_that_dies_leaves_nothing(stage: Stage):
    session = stage.session()
    program = f"""
from streamfx.client import Client
client = Client.connect({str(stage.server.socket)!r})
watch, record = client.watch("one"), client.record("one", {str(stage.root / "a.mp4")!r})
next(watch), next(record)
print("on", flush=True)
next(client.preview("one"))
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"on\n"
        until(lambda: session.previews)
        child.send_signal(signal.SIGKILL)
    until(lambda: not session.previews and session.recording is None)
    assert (stage.root / "a.mp4").read_bytes() == b"complete"


def test_stopping_ends_streams_and_completes_recordings(tmp_path: Path):
    with staged(tmp_path) as stage, Client.connect(stage.server.socket) as client:
        session = stage.session()
        statuses, progress = client.watch("one", 60), client.record("one", stage.root / "a.mp4")
        next(statuses), next(progress)
        with grpc.insecure_channel(stage.address) as channel:
            health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(health).status == health_pb2.HealthCheckResponse.SERVING
            began = time.monotonic()
            stage.server.stop(grace_s=5)
            assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert time.monotonic() - began < 10
        with pytest.raises(StreamfxError, match="stopping"):
            next(statuses)
        assert session.recording is None
        assert (stage.root / "a.mp4").read_bytes() == b"complete"
        statuses.close(), progress.close()
    stage.server.stop()


def test_at_most_so_many_watchers(tmp_path: Path):
    with staged(tmp_path, ControlOptions(limits=Limits(watchers=3))) as stage:
        stage.session("one"), stage.session("two")
        with Client.connect(stage.server.socket) as client:
            held = [client.watch("one") for _ in range(3)]
            for one in held:
                next(one)
            for refused in (client.watch("one"), client.preview("one")):
                with pytest.raises(errors.LimitReached, match="3 watchers"):
                    next(refused)
            next(client.watch("two"))
            held.pop().close()
            until(lambda: _watches(client))
            for one in held:
                one.close()


def _watches(client: Client) -> bool:
    with closing(client.watch("one")) as statuses:
        try:
            next(statuses)
        except errors.LimitReached:
            return False
        return True


def test_messages_beyond_the_limits(stage: Stage):
    with grpc.insecure_channel(stage.address, [("grpc.max_send_message_length", -1)]) as channel:
        for path, size, code in (
            (SESSIONS + "GetSession", 70_000, grpc.StatusCode.INVALID_ARGUMENT),
            (SESSIONS + "GetSession", 25 << 20, grpc.StatusCode.RESOURCE_EXHAUSTED),
            ("/streamfx.v1.PortraitService/CreatePortrait", 25 << 20, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                raw_call(channel, path, bytes(size))
            assert refused.value.code() is code
    with (
        Client.connect(stage.server.socket) as client,
        pytest.raises(errors.PhotoUnreadable, match="more than 20000000"),
    ):
        client.create_portrait(bytes(20_000_001))


def test_a_fault_in_the_loop_is_not_the_servers_end(stage: Stage, client: Client):
    stage.session().fault = asyncio.InvalidStateError("odd")
    for _ in range(3):
        with pytest.raises(StreamfxError, match="nobody foresaw"):
            client.get_session("one")
    assert client.list_devices()
