"""The typed client of a daemon: `Client` for ordinary programs, `AsyncClient` for asyncio.

    with Client.connect() as client:
        session = client.create_session(SessionSettings(portraits=("me",), source="auto"))
        client.select_portrait(session.id, "next")
        client.update(session.id, mirror=True, gains=Gains(head=0.8))
        for status in client.watch(session.id):
            ...

Errors are those of streamfx.errors, as the daemon raised them, and those of streamfx.client.errors.
"""

from streamfx.api.values import DeviceInfo, DeviceKind, PreviewFormat, SessionStatus, SourceState, State
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
from streamfx.quality import Quality
from streamfx.settings.framing import Framing, FramingKind
from streamfx.settings.motion import MotionNumbers
from streamfx.settings.session import Background, BackgroundKind, Gains, Output, SessionSettings

__all__ = [
    "AsyncClient",
    "Background",
    "BackgroundKind",
    "CallError",
    "CallRefused",
    "CallTimedOut",
    "Client",
    "DaemonFailed",
    "DaemonUnreachable",
    "DaemonUntrusted",
    "DeviceInfo",
    "DeviceKind",
    "Framing",
    "FramingKind",
    "Gains",
    "MotionNumbers",
    "Output",
    "Portrait",
    "Preview",
    "PreviewFormat",
    "Progress",
    "Quality",
    "Session",
    "SessionSettings",
    "SessionStatus",
    "SourceState",
    "State",
]
