"""The typed client of a daemon: `Client` for ordinary programs, `AsyncClient` for asyncio.

    with Client.connect() as client:
        session = client.create_session(SessionSettings(portraits=("me",), source="auto"))
        client.select_portrait(session.id, "next")
        for status in client.watch(session.id):
            ...

Errors are those of streamfx.errors, as the daemon raised them, and those of streamfx.client.errors.
"""

from streamfx.api.values import PreviewFormat
from streamfx.client.aio import AsyncClient
from streamfx.client.calls import Portrait, Preview, Progress, Session
from streamfx.client.errors import (
    CallError,
    CallRefused,
    CallTimedOut,
    DaemonFailed,
    DaemonUnreachable,
    DaemonUntrusted,
)
from streamfx.client.sync import Client

__all__ = [
    "AsyncClient",
    "CallError",
    "CallRefused",
    "CallTimedOut",
    "Client",
    "DaemonFailed",
    "DaemonUnreachable",
    "DaemonUntrusted",
    "Portrait",
    "Preview",
    "PreviewFormat",
    "Progress",
    "Session",
]
