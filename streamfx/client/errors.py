"""What can go wrong on the way to a daemon; and the daemon's own errors, made again from its answers."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Final

import grpc
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from streamfx import errors
from streamfx.api.status_codes import DETAILS_KEY, DOMAIN
from streamfx.errors import ResourceError, SettingRefused, StreamfxError, UsageError


class CallError(StreamfxError):
    """A call that did not come to its method's own answer."""


class DaemonUnreachable(CallError):  # noqa: N818 - leaves are named by what happened
    """Nobody answers at the address, or the connection broke."""


class DaemonUntrusted(CallError):  # noqa: N818
    """Who answers has no certificate that is trusted here, or none for this address."""


class CallRefused(CallError):  # noqa: N818
    """The daemon does not know the caller, or does not allow this."""


class CallTimedOut(CallError):  # noqa: N818
    """No answer came in time."""


class DaemonFailed(CallError):  # noqa: N818
    """The daemon failed in a way that nobody foresaw."""


_Code: Final = grpc.StatusCode
_BY_CODE: Final[dict[grpc.StatusCode, tuple[type[CallError], str, str]]] = {
    _Code.UNAVAILABLE: (
        DaemonUnreachable,
        "No daemon answers at {address}",
        "Start one: streamfx serve",
    ),
    _Code.DEADLINE_EXCEEDED: (CallTimedOut, "The daemon did not answer in time", "Try again, with more time"),
    _Code.UNAUTHENTICATED: (CallRefused, "The daemon does not know this caller", "Give --token-file"),
    _Code.PERMISSION_DENIED: (
        CallRefused,
        "This token may only look",
        "Use the token that may change things",
    ),
    _Code.UNIMPLEMENTED: (
        DaemonFailed,
        "The daemon is of another version",
        "Use the same version on both sides",
    ),
    _Code.RESOURCE_EXHAUSTED: (
        CallRefused,
        "The message is too large, or the daemon has too many calls",
        "Send less, or try again",
    ),
    _Code.INTERNAL: (DaemonFailed, "The daemon failed in a way that nobody foresaw", "Its log says how"),
}
_HUNG_UP: Final = ("Socket closed", "Connection reset by peer", "Broken pipe")
_UNREACHABLE: Final[tuple[tuple[str, type[CallError], str, str], ...]] = (
    (
        "certificate has expired",
        DaemonUntrusted,
        "The certificate of the daemon at {address} has expired",
        "Have it renewed there",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        DaemonUntrusted,
        "The certificate of the daemon at {address} is signed by nobody who is trusted here",
        "Name who signed it with --ca FILE",
    ),
    (
        "Hostname Verification Check failed",
        DaemonUntrusted,
        "The certificate of the daemon at {address} is for another name",
        "Use a name that stands in it, or have one made for this address",
    ),
    (
        "WRONG_VERSION_NUMBER",
        DaemonUntrusted,
        "What answers at {address} does not speak TLS",
        "Check the port",
    ),
    (
        "Permission denied",
        DaemonUnreachable,
        "This user may not connect to {address}",
        "Start a daemon of your own: streamfx serve; or change the socket's permissions",
    ),
    (
        "errors resolving",
        DaemonUnreachable,
        "The host of {address} is not known here",
        "Check its spelling",
    ),
    *(
        (
            word,
            DaemonUnreachable,
            "The daemon at {address} hung up",
            "It may have as many connections as it takes: try again; "
            "or ask for a certificate, --cert and --key; or start it again: streamfx serve",
        )
        for word in _HUNG_UP
    ),
)
"""Of what is unavailable, by gRPC's own words: why."""
_LEAVES: Final = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, StreamfxError)
}


def was_turned_away(error: grpc.RpcError) -> bool:
    """Whether whoever listens hung up before anything was sent: as a rule it has as many as it takes."""
    said: str = getattr(error, "details", str)() or ""
    return said.startswith("failed to connect") and any(word in said for word in _HUNG_UP)


def from_call(error: grpc.RpcError, address: str) -> StreamfxError:
    """The error that a failed call stands for: one of the daemon's own, or one of the way to it."""
    status = _status(error)
    if status is not None and (made := _made_again(status)) is not None:
        return made
    code: grpc.StatusCode = getattr(error, "code", lambda: _Code.UNKNOWN)()
    unknown = (CallError, f"The call ended as {code.name}", "Look at the daemon's log")
    found = _BY_CODE.get(code, unknown)
    if code is _Code.UNAVAILABLE:
        said: str = getattr(error, "details", str)() or ""
        found = next((row[1:] for row in _UNREACHABLE if row[0] in said), found)
    kind, cause, remedy = found
    return kind(cause.format(address=address), remedy)


def _status(error: grpc.RpcError) -> Status | None:
    trailers: Iterable[tuple[str, object]] = getattr(error, "trailing_metadata", tuple)() or ()
    for key, value in trailers:
        if key == DETAILS_KEY and isinstance(value, bytes):
            return Status.FromString(value)
    return None


def _made_again(status: Status) -> StreamfxError | None:
    info, resource = details.ErrorInfo(), details.ResourceInfo()
    violation = details.BadRequest()
    for one in status.details:
        for message in (info, resource, violation):
            one.Unpack(message)
    cause, remedy = info.metadata.get("cause", ""), info.metadata.get("remedy", "")
    if info.domain != DOMAIN or not cause:
        return None
    if violation.field_violations:
        field = violation.field_violations[0].field
        return SettingRefused(field, cause.removeprefix(f"{field}: "), remedy)
    kind = _LEAVES.get(info.reason, UsageError if status.code == _invalid() else CallError)
    if issubclass(kind, ResourceError):
        return kind(resource.resource_type, resource.resource_name, cause, remedy)
    return kind(cause, remedy)


def _invalid() -> int:
    number: int = _Code.INVALID_ARGUMENT.value[0]
    return number
