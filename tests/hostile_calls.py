"""Calls that nobody would make by mistake: messages of the right schema with extreme values, and plain noise.

As a program it makes as many as told: python tests/hostile_calls.py 10000
"""

from __future__ import annotations

import math
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from control_stage import Stage, make_certificates, staged
from fake_sessions import photo
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from streamfx.control.auth import TABLE, Permission
from streamfx.control.options import ControlOptions
from streamfx.control.server import SERVICES
from streamfx.control.tokens import make_token, read_token

ALL_SERVICES = (
    *SERVICES,
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)
TYPED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
}
"""What a client with the right to call may be answered."""

FLOATS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 1e308, -1e308, 5e-324, 30.0, 1e9)
INTS = (0, 1, -1, 2, 7, 100, 640, 480, 2**31 - 1, -(2**31), 2**31, 2**32 - 1, 2**63 - 1, -(2**63),
        2**64 - 1)  # fmt: skip
TEXTS = (
    "", "one", "ada", "main", "auto", "none", "remote", "demo", "lite", "#00b140", "a.mp4", "b.mp4",
    "*", "gains.head", "background", "framing.zoom", "display_name", "../a.mp4", "/etc/passwd", "file:///etc/passwd",
    "camera:/x/y", "http://127.0.0.1/", "concat:a|b", "a\0b", "\x1b[2J", "\u202e", "😀" * 50,
    "x" * 41, "y" * 5000, "ONE", "-" * 40, "/dev/video0", "/proc/self/fd/0", "\ufeff", "a" * 60_000,
)  # fmt: skip


_NAMED: dict[str, tuple[object, ...]] = {
    "session_id": ("one", "one", "one", "main"),
    "portrait_id": ("ada", "bob", "cy"),
    "content": (photo(),),
    "id": ("", "one", "main", "ada"),
    "index": (1, 2),
    "path": ("a.mp4", "b.mp4", "film.png"),
}
"""What brings a call deeper than its first check."""


class Hostile:
    """Makes the calls' bytes, in an order that its seed fixes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._fullness = 1.0
        self._blobs = (b"", b"\0", b"\xff" * 100, photo(), photo()[:40], bytes(50_000), b"\xff\xd8\xff\xe0")

    def data(self, method: MethodDescriptor) -> bytes:
        """Of one request: valid, extreme, damaged or noise."""
        kind = self._random.random()
        if kind < 0.15:
            return self._random.randbytes(self._random.choice((0, 1, 7, 100, 5000, 70_000)))
        data = self.message(method).SerializeToString()
        if kind < 0.3 and data:
            damaged = bytearray(data)
            for _ in range(self._random.randint(1, 8)):
                damaged[self._random.randrange(len(damaged))] = self._random.randrange(256)
            return bytes(damaged[: self._random.randint(1, len(damaged))])
        return data

    def message(self, method: MethodDescriptor) -> Message:
        """Of the method's own type."""
        message = GetMessageClass(method.input_type)()
        self._fullness = self._random.choice((0.1, 0.3, 0.9))  # few extremes come deeper than many
        self._fill(message, 0)
        return message

    def _fill(self, message: Message, depth: int) -> None:
        for one in message.DESCRIPTOR.fields:
            named = one.name in _NAMED and self._random.random() < 0.9
            if not named and self._random.random() > self._fullness:
                continue
            if one.is_repeated:
                count = self._random.choice((0, 1, 3, 9, 48, 1404)) if depth < 3 else 1
                self._repeat(message, one, count, depth)
            elif one.message_type is not None:
                getattr(message, one.name).SetInParent()
                if depth < 4:
                    self._fill(getattr(message, one.name), depth + 1)
            else:
                self._set(message, one)

    def _repeat(self, message: Message, one: FieldDescriptor, count: int, depth: int) -> None:
        holder = getattr(message, one.name)
        if one.message_type is not None:
            for _ in range(min(count, 5)):
                self._fill(holder.add(), depth + 1)
        elif one.type == FieldDescriptor.TYPE_STRING:
            holder.extend(self._random.choice(TEXTS[:20]) for _ in range(min(count, 12)))
        else:
            value = self._value(one)
            holder.extend([value] * count)

    def _set(self, message: Message, one: FieldDescriptor) -> None:
        if one.name in _NAMED and self._random.random() < 0.9:
            setattr(message, one.name, self._random.choice(_NAMED[one.name]))
            return
        setattr(message, one.name, self._value(one))

    def _value(self, one: FieldDescriptor) -> Any:
        kinds = FieldDescriptor
        if one.type == kinds.TYPE_STRING:
            return self._random.choice(TEXTS)
        if one.type == kinds.TYPE_BYTES:
            return self._random.choice(self._blobs)
        if one.type == kinds.TYPE_BOOL:
            return self._random.random() < 0.5
        if one.type in (kinds.TYPE_FLOAT, kinds.TYPE_DOUBLE):
            return self._random.choice(FLOATS)
        if one.type == kinds.TYPE_ENUM:
            return self._random.choice((0, 1, 2, 3, 4, 99, -1, 2**31 - 1, -(2**31)))
        signed = one.type not in (kinds.TYPE_UINT32, kinds.TYPE_UINT64)
        bits = 32 if one.type in (kinds.TYPE_INT32, kinds.TYPE_UINT32) else 64
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return self._random.choice([value for value in INTS if low <= value <= high])


@dataclass
class Tally:
    """What came of them."""

    made: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def call(
    channel: grpc.Channel, method: MethodDescriptor, requests: list[bytes], token: str
) -> grpc.StatusCode:
    """Make one and leave after its first answer."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    metadata = (("authorization", token),) if token else ()
    stream = channel.stream_stream(path)(iter(requests), timeout=20, metadata=metadata)
    try:
        next(stream, None)
    except grpc.RpcError as error:
        return error.code()
    stream.cancel()
    return grpc.StatusCode.OK


@contextmanager
def hostile_stage(folder: Path) -> Iterator[tuple[Stage, Path]]:
    """A server on a socket and on TLS, whose session publishes all the time."""
    make_certificates(folder)
    make_token(folder / "token")
    options = ControlOptions(
        listen="127.0.0.1:0",
        tls_certificate=folder / "daemon.pem",
        tls_key=folder / "daemon.key",
        token_file=folder / "token",
    )
    stop = threading.Event()
    with staged(folder, options) as stage:
        stage.session()

        def publish() -> None:
            while not stop.wait(0.01):
                for session in stage.sessions.list():
                    session.publish()

        publisher = threading.Thread(target=publish)
        publisher.start()
        try:
            yield stage, folder
        finally:
            stop.set()
            publisher.join()


def attack(stage: Stage, folder: Path, count: int, seed: int) -> Tally:
    """Every method in turn: on the socket, by TLS with the token, with a wrong one, and without."""
    hostile, tally = Hostile(seed), Tally()
    methods = [method for service in ALL_SERVICES for method in service.methods]
    token = f"Bearer {read_token(folder / 'token')}"
    authority = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes())
    with (
        grpc.insecure_channel(stage.address) as own,
        grpc.secure_channel(f"127.0.0.1:{stage.server.ports[0]}", authority) as remote,
    ):
        callers = ((own, ""), (remote, token), (remote, token[:-1] + "?"), (remote, ""), (own, "Bearer x"))
        for number in range(count):
            method = methods[number % len(methods)]
            channel, given = callers[number // len(methods) % len(callers)]
            requests = [hostile.data(method) for _ in range(3 if method.client_streaming else 1)]
            code = call(channel, method, requests, given)
            _judge(tally, method, code, known=channel is own or given == token)
            if "one" not in stage.sessions.kept:
                stage.sessions.kept.clear()
                stage.sessions.portraits.kept.clear()  # some calls are well-formed, and add one
                stage.session(source="remote" if number % 2 else "auto")
    return tally


def _judge(tally: Tally, method: MethodDescriptor, code: grpc.StatusCode, *, known: bool) -> None:
    path = f"/{method.containing_service.full_name}/{method.name}"
    tally.made += 1
    tally.codes[code.name] += 1
    allowed = known or TABLE[path] is Permission.OPEN
    right = code in TYPED if allowed else code is grpc.StatusCode.UNAUTHENTICATED
    if not right:
        tally.wrong.append(f"{path} {'known' if known else 'unknown'}: {code.name}")


def main() -> int:
    """As many as told; 1 if any was answered wrongly."""
    with tempfile.TemporaryDirectory() as name, hostile_stage(Path(name)) as (on_stage, papers):
        result = attack(on_stage, papers, int(sys.argv[1]), seed=1)
    sys.stdout.write(f"{result.made} {dict(result.codes)} wrong: {dict(Counter(result.wrong))}\n")
    return int(bool(result.wrong))


if __name__ == "__main__":
    sys.exit(main())
