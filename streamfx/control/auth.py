"""Who may call what: the table of all methods, and the check that runs before any of them."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import grpc
from grpc import aio

_Code: Final = grpc.StatusCode


class Permission(IntEnum):
    """What a method asks of its caller; more includes less."""

    OPEN = 0
    """Nothing."""
    READ = 1
    """To look: the portraits, what is published and how it goes."""
    CONTROL = 2
    """To change anything."""


_PORTRAITS: Final = "/streamfx.v1.PortraitService/"
_SESSIONS: Final = "/streamfx.v1.SessionService/"
_HEALTH: Final = "/grpc.health.v1.Health/"

TABLE: Final = {
    _PORTRAITS + "CreatePortrait": Permission.CONTROL,
    _PORTRAITS + "GetPortrait": Permission.READ,
    _PORTRAITS + "ListPortraits": Permission.READ,
    _PORTRAITS + "UpdatePortrait": Permission.CONTROL,
    _PORTRAITS + "DeletePortrait": Permission.CONTROL,
    _PORTRAITS + "GetPortraitThumbnail": Permission.READ,
    _SESSIONS + "CreateSession": Permission.CONTROL,
    _SESSIONS + "GetSession": Permission.READ,
    _SESSIONS + "ListSessions": Permission.READ,
    _SESSIONS + "UpdateSession": Permission.CONTROL,
    _SESSIONS + "DeleteSession": Permission.CONTROL,
    _SESSIONS + "SelectPortrait": Permission.CONTROL,
    _SESSIONS + "CalibrateSession": Permission.CONTROL,
    _SESSIONS + "HideSession": Permission.CONTROL,
    _SESSIONS + "PauseSession": Permission.CONTROL,
    _SESSIONS + "WatchSession": Permission.READ,
    _SESSIONS + "WatchPreview": Permission.READ,
    _SESSIONS + "DriveSession": Permission.CONTROL,
    _SESSIONS + "RecordSession": Permission.CONTROL,
    "/streamfx.v1.DeviceService/ListDevices": Permission.READ,
    _HEALTH + "Check": Permission.OPEN,
    _HEALTH + "List": Permission.OPEN,
    # A stream stays: whoever could open any number of them would use up the calls.
    _HEALTH + "Watch": Permission.READ,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Permission.READ,
}
"""Every method that is served; one that is missing here is refused."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A token, and what it allows."""

    token: str = field(repr=False)
    permission: Permission


class Guard(aio.ServerInterceptor):
    """Refuses calls without the permission that their method asks for, before any handler is looked up."""

    def __init__(
        self, credentials: Sequence[Credential], otherwise: Permission, refused: Counter[str]
    ) -> None:
        """Begin with nobody refused.

        Args:
            credentials: that are known.
            otherwise: what callers have without a token: everything on one's own socket and by mTLS.
            refused: counts those that are refused, by status.
        """
        self._credentials, self._refused = tuple(credentials), refused
        self._otherwise = otherwise

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The method's handler, or one that refuses without reading a byte."""
        needed = TABLE.get(handler_call_details.method, Permission.CONTROL)
        has = self._permission(handler_call_details)
        if has >= needed:
            return await continuation(handler_call_details)
        is_known = has > Permission.OPEN
        self._refused[(_Code.PERMISSION_DENIED if is_known else _Code.UNAUTHENTICATED).name] += 1
        return _NOT_ALLOWED if is_known else _NOT_KNOWN

    def _permission(self, details: grpc.HandlerCallDetails) -> Permission:
        if not self._credentials:
            return self._otherwise
        given = [value for key, value in details.invocation_metadata or () if key == "authorization"]
        offered = given[0] if len(given) == 1 and isinstance(given[0], str) else ""
        found = Permission.OPEN
        for credential in self._credentials:  # all of them, whichever fits: time tells nothing
            expected = f"Bearer {credential.token}"
            if hmac.compare_digest(offered.encode("utf-8", "surrogateescape"), expected.encode()):
                found = max(found, credential.permission)
        return found


def _refusing(code: grpc.StatusCode, text: str) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(_requests: object, context: aio.ServicerContext[Any, Any]) -> None:
        await context.abort(code, text)

    # As a stream in both directions: it answers any kind of call, and receives no message first.
    return grpc.stream_stream_rpc_method_handler(refuse)


_NOT_KNOWN: Final = _refusing(
    _Code.UNAUTHENTICATED, "The call bears no valid token. Give one with --token-file."
)
_NOT_ALLOWED: Final = _refusing(
    _Code.PERMISSION_DENIED, "This token may only look. Use the one that may change things."
)
