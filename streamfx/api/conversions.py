"""Between our values and the API's messages, both ways: for the server and for the client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

from streamfx.api.v1 import motion_pb2, session_pb2
from streamfx.api.values import (
    CameraStatus,
    Counters,
    Percentiles,
    SessionStatus,
    SourceState,
    SourceStatus,
    State,
)
from streamfx.errors import SettingRefused
from streamfx.quality import Quality
from streamfx.settings.framing import FramingKind
from streamfx.settings.motion import MotionNumbers
from streamfx.settings.session import BackgroundKind, SessionSettings, changed, flat

E = TypeVar("E", bound=StrEnum)
Value = Any
"""Of one setting: str, bool, int, float, a tuple of str, BackgroundKind or FramingKind."""

_KINDS: Final = {
    "background.kind": (session_pb2.BackgroundKind, BackgroundKind),
    "framing.kind": (session_pb2.FramingKind, FramingKind),
}
_DEFAULTS: Final = flat(SessionSettings())

# -- enums ---------------------------------------------------------------------------------------------------


def enum_name(descriptor: EnumDescriptor, value: StrEnum) -> str:
    """The name of an enum's value: DEVICE_KIND_VIRTUAL for DeviceKind.VIRTUAL."""
    return _prefix(descriptor) + value.name


def enum_value(descriptor: EnumDescriptor, number: int, kind: type[E]) -> E | None:
    """The value of a number; None for the unspecified and for those of later versions."""
    found = descriptor.values_by_number.get(number)
    return kind.__members__.get(found.name.removeprefix(_prefix(descriptor))) if found else None


def _prefix(descriptor: EnumDescriptor) -> str:
    name: str = descriptor.values[0].name
    return name.removesuffix("UNSPECIFIED")


# -- settings ------------------------------------------------------------------------------------------------


def settings_message(settings: SessionSettings) -> session_pb2.SessionSettings:
    """All settings, each set."""
    message = session_pb2.SessionSettings()
    for path, value in flat(settings).items():
        _put(message, path, value)
    return message


def merged(
    base: SessionSettings, message: session_pb2.SessionSettings, mask: Sequence[str]
) -> SessionSettings:
    """`base` with the settings that a field mask names taken from a message.

    Args:
        mask: paths, of a setting (`gains.head`), a group (`gains`) or all (`*`). Empty: those that are set.

    Raises:
        SettingRefused: the mask names no setting, or an enum has an unknown number.
    """
    given = {path: value for path in _DEFAULTS if (value := _get(message, path)) is not None}
    taken = _expanded(mask) if mask else given
    return changed(base, {path: given.get(path, _DEFAULTS[path]) for path in taken})


def _expanded(mask: Sequence[str]) -> list[str]:
    taken: list[str] = []
    for name in mask:
        paths = [path for path in _DEFAULTS if name in ("*", path, path.partition(".")[0])]
        if not paths:
            known = dict.fromkeys(path.partition(".")[0] for path in _DEFAULTS)
            remedy = f"Name one of {', '.join(known)}, or *"
            raise SettingRefused("update_mask", f"{name[:60]!r} is no setting", remedy)
        taken += paths
    return taken


def _put(message: Message, path: str, value: Value) -> None:
    outer, _, inner = path.rpartition(".")
    holder: Any = getattr(message, outer) if outer else message
    if isinstance(value, tuple):
        getattr(holder, inner).extend(value)
    elif path in _KINDS:
        enum, _ = _KINDS[path]
        holder.kind = enum.Value(enum_name(enum.DESCRIPTOR, value))
    else:
        setattr(holder, inner, value)


def _get(message: Message, path: str) -> Value | None:
    """None where it is unset."""
    outer, _, inner = path.rpartition(".")
    holder: Any = getattr(message, outer) if outer else message
    if path == "portraits":
        return tuple(holder.portraits) or None
    if path in _KINDS:
        return _kind(path, holder.kind)
    return getattr(holder, inner) if holder.HasField(inner) else None


def _kind(path: str, number: int) -> StrEnum | None:
    enum, kinds = _KINDS[path]
    kind = enum_value(enum.DESCRIPTOR, number, kinds)
    if kind is None and number:
        *most, last = kinds
        raise SettingRefused(path, f"{number} is unknown", f"use {', '.join(most)} or {last}")
    return kind


# -- status --------------------------------------------------------------------------------------------------

_COUNTS: Final = ("published", "fresh", "repeated", "idle", "skipped", "refused", "restarts")


def status_message(status: SessionStatus) -> session_pb2.SessionStatus:
    """A status for the wire. (Its `id` is the session's.)"""
    message = session_pb2.SessionStatus(
        state=enum_name(session_pb2.SessionState.DESCRIPTOR, status.state),
        quality=enum_name(session_pb2.Quality.DESCRIPTOR, status.quality),
        fps=status.fps,
        counters=session_pb2.Counters(**{name: getattr(status.counters, name) for name in _COUNTS}),
        portrait_id=status.portrait,
        readying=status.readying,
        worker_pid=status.worker_pid,
        trouble=status.trouble,
        ring_readers=status.ring_readers,
    )
    _put_latency(message, status.latency_ms)
    _put_ends(message, status.source, status.camera)
    return message


def status_value(id: str, message: session_pb2.SessionStatus) -> SessionStatus:
    """A status from the wire."""
    latency, source, camera = message.latency, message.source, message.camera
    return SessionStatus(
        id=id,
        state=enum_value(session_pb2.SessionState.DESCRIPTOR, message.state, State) or State.WAITING,
        quality=enum_value(session_pb2.Quality.DESCRIPTOR, message.quality, Quality) or Quality.IDLE,
        fps=message.fps,
        latency_ms=Percentiles(latency.p50_ms, latency.p95_ms, latency.p99_ms)
        if message.HasField("latency")
        else None,
        source=SourceStatus(
            enum_value(session_pb2.SourceState.DESCRIPTOR, source.state, SourceState) or SourceState.CLOSED,
            source.display_name,
            source.fps,
            source.dropped,
            source.tracked,
            source.trouble,
            source.turned,
            source.damaged,
            source.note,
        ),
        camera=CameraStatus(
            camera.display_name,
            camera.device,
            camera.readers if camera.HasField("readers") else None,
            camera.trouble,
        ),
        counters=Counters(**{name: getattr(message.counters, name) for name in _COUNTS}),
        portrait=message.portrait_id,
        readying=tuple(message.readying),
        worker_pid=message.worker_pid,
        trouble=message.trouble,
        ring_readers=message.ring_readers,
    )


def _put_latency(message: session_pb2.SessionStatus, latency: Percentiles | None) -> None:
    if latency is not None:
        message.latency.p50_ms, message.latency.p95_ms = latency.p50, latency.p95
        message.latency.p99_ms = latency.p99


def _put_ends(message: session_pb2.SessionStatus, source: SourceStatus, camera: CameraStatus) -> None:
    driving = session_pb2.SourceStatus(
        state=enum_name(session_pb2.SourceState.DESCRIPTOR, source.state),
        display_name=source.name,
        fps=source.fps,
        dropped=source.dropped,
        tracked=source.tracked,
        trouble=source.trouble,
        turned=source.turned,
        damaged=source.damaged,
        note=source.note,
    )
    message.source.CopyFrom(driving)
    message.camera.display_name, message.camera.device = camera.name, camera.device
    message.camera.trouble = camera.trouble
    if camera.readers is not None:
        message.camera.readers = camera.readers


# -- motion --------------------------------------------------------------------------------------------------

_REST: Final = MotionNumbers()
_LISTS: Final = ("coefficients", "expression", "rotation", "translation", "gaze", "lip_gaps", "lid_closure")


def motion_message(motion: MotionNumbers) -> motion_pb2.Motion:
    """A motion for the wire."""
    lists: dict[str, Iterable[float]] = {name: getattr(motion, name) for name in _LISTS}
    return motion_pb2.Motion(
        **lists,
        scale=motion.scale,
        presence=motion.presence,
        captured_ns=motion.captured_ns,
    )


def motion_value(message: motion_pb2.Motion) -> MotionNumbers:
    """A motion from the wire, its numbers not yet checked."""
    lists = {name: tuple(getattr(message, name)) or getattr(_REST, name) for name in _LISTS}
    return MotionNumbers(
        **lists,
        scale=message.scale if message.HasField("scale") else 1.0,
        presence=message.presence if message.HasField("presence") else 1.0,
        captured_ns=message.captured_ns,
    )
