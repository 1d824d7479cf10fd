"""The one table from our errors to gRPC's status codes, with rich details."""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from streamfx.errors import LimitReached, ResourceError, ResourceUnready, StreamfxError

DOMAIN: Final = "streamfx"
DETAILS_KEY: Final = "grpc-status-details-bin"
INTERNAL: Final = "Internal"
"""Reason of what nobody foresaw; its particulars stay in the daemon's log."""
_LONGEST: Final = 640
"""Bytes of a text: all details together must fit into the call's trailers (8 KB)."""

_Code: Final = grpc.StatusCode
CODES: Final = {
    "UsageError": _Code.INVALID_ARGUMENT,
    "PhotoError": _Code.INVALID_ARGUMENT,
    "MotionUnreadable": _Code.INVALID_ARGUMENT,
    "SourceError": _Code.FAILED_PRECONDITION,
    "OutputError": _Code.FAILED_PRECONDITION,
    "ModelError": _Code.FAILED_PRECONDITION,
    "DeviceError": _Code.FAILED_PRECONDITION,
    "RigUnsolvable": _Code.FAILED_PRECONDITION,
    "ResourceMissing": _Code.NOT_FOUND,
    "ResourceExists": _Code.ALREADY_EXISTS,
    "ResourceBusy": _Code.FAILED_PRECONDITION,
    "ResourceUnready": _Code.FAILED_PRECONDITION,
    "LimitReached": _Code.RESOURCE_EXHAUSTED,
    "CameraError": _Code.UNAVAILABLE,
    "WorkerFailed": _Code.UNAVAILABLE,
    "StreamfxError": _Code.INTERNAL,
}
"""By the name of the error's class or of its nearest parent in the table."""

_RETRY_S: Final = {LimitReached: 5, ResourceUnready: 1}


def code_of(error: StreamfxError) -> grpc.StatusCode:
    """The status code of an error."""
    return next(CODES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in CODES)


def status_of(error: StreamfxError) -> Status:
    """The whole status of an error: code, one line, and details for programs."""
    code = code_of(error)
    if code is grpc.StatusCode.INTERNAL:
        return unforeseen()
    info = details.ErrorInfo(reason=type(error).__name__, domain=DOMAIN)
    info.metadata["cause"], info.metadata["remedy"] = _cut(error.cause), _cut(error.remedy)
    return Status(code=number(code), message=_cut(str(error)), details=_packed(info, *_more(error)))


def unforeseen() -> Status:
    """The status of a fault of the daemon: it tells nothing of it."""
    text = "The daemon failed in a way that nobody foresaw. Its log says how."
    info = details.ErrorInfo(reason=INTERNAL, domain=DOMAIN)
    return Status(code=number(grpc.StatusCode.INTERNAL), message=text, details=_packed(info))


def number(code: grpc.StatusCode) -> int:
    """The code's number on the wire."""
    value: int = code.value[0]
    return value


def _more(error: StreamfxError) -> list[Message]:
    found: list[Message] = []
    field = getattr(error, "field", "")
    if field:
        violation = details.BadRequest.FieldViolation(field=_cut(field), description=_cut(str(error)))
        found.append(details.BadRequest(field_violations=[violation]))
    if isinstance(error, ResourceError):
        found.append(
            details.ResourceInfo(
                resource_type=_cut(error.kind), resource_name=_cut(error.name), description=_cut(error.cause)
            )
        )
    for kind, seconds in _RETRY_S.items():
        if isinstance(error, kind):
            retry = details.RetryInfo()
            retry.retry_delay.seconds = seconds
            found.append(retry)
    return found


def _packed(*messages: Message) -> list[AnyMessage]:
    packed = []
    for message in messages:
        one = AnyMessage()
        one.Pack(message)
        packed.append(one)
    return packed


def _cut(text: str) -> str:
    """Printable lines, and no longer than what the trailers hold."""
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    data = shown.encode()
    return shown if len(data) <= _LONGEST else data[:_LONGEST].decode(errors="ignore") + "…"
