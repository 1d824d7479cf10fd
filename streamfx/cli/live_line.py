"""The line that says how a live session goes: what is shown, why, what would help; fit to the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamfx.api.values import SourceState, State
from streamfx.quality import Quality
from streamfx.settings.session import NOTHING, REMOTE

if TYPE_CHECKING:
    from streamfx.api.values import SessionStatus
    from streamfx.settings.session import SessionSettings

_BUSY: Final = "simpler picture, for the machine is busy: close programs, or choose a smaller --size"


def line(status: SessionStatus, settings: SessionSettings, task: str = "") -> str:
    """How it goes, the most important first.

    Args:
        status: of the session.
        settings: what it is asked to do.
        task: what is done before it can show a portrait; empty for nothing.
    """
    figures = (f"{status.fps:.1f} fps", *_delay(status), *_readers(status))
    return ", ".join((_head(status, settings, task), *_driver(status), *figures))


def _head(status: SessionStatus, settings: SessionSettings, task: str) -> str:
    """What is shown, in words; and if it is not the driver in full, why, and what helps."""
    if task:
        return f"starting: {task}"
    if status.state is State.HIDDEN:
        return "hidden: the portrait rests, H shows you again"
    if status.state is State.PAUSED:
        return "paused: the webcam is closed, P opens it again"
    if status.trouble:
        return f"trouble: {status.trouble.rstrip('.')}"
    if status.state is State.STARTING:
        return "starting: loading the portrait"
    if status.state is State.LIVE:
        return f"live: {_quality(status.quality, settings)}"
    return f"at rest: {_why(status, settings)}"


def _quality(quality: Quality, settings: SessionSettings) -> str:
    if quality is Quality.FULL:
        return "full quality"
    if quality is Quality.WARP_ONLY:
        return _BUSY if settings.refine != "off" else "without the face's network, as --refine off asks"
    return "the last picture is held" if quality is Quality.HELD else "the portrait is at rest"


def _why(status: SessionStatus, settings: SessionSettings) -> str:
    source = status.source
    if not settings.portraits:
        return "there is no portrait yet"
    if settings.source == NOTHING:
        return "nothing is to drive it (--source none)"
    if settings.source == REMOTE:
        return "no motion comes from the remote driver"
    if source.state is SourceState.CLOSED and settings.on_demand:
        return "nobody looks; the webcam opens as soon as a program reads the camera"
    if source.state is not SourceState.OPEN:
        return f"{source.name or settings.source} is being opened"
    if source.fps <= 0:
        return f"{source.name} gives no pictures"
    return "no face is seen; look at the camera, in more light"


def _driver(status: SessionStatus) -> tuple[str, ...]:
    source = status.source
    if source.state is not SourceState.OPEN:
        return ()
    turned = (f"the camera is {source.lies}: turned",) if source.lies else ()
    return (*turned, f"face in {source.tracked:.0%} of {source.name} at {source.fps:.0f} fps")


def _delay(status: SessionStatus) -> tuple[str, ...]:
    return (f"delay {status.latency_ms.p50:.0f} ms",) if status.latency_ms else ()


def _readers(status: SessionStatus) -> tuple[str, ...]:
    readers = (status.camera.readers or 0) + status.ring_readers
    return (f"{readers} reading",) if readers else ()
