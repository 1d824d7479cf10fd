"""How `streamfx ctl` prints portraits, sessions and devices: columns for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from streamfx.cli.show import print_columns

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from streamfx.api.values import DeviceInfo, SessionStatus, SourceStatus
    from streamfx.client import Portrait, Session
    from streamfx.settings.framing import Framing
    from streamfx.settings.session import SessionSettings


def document(value: DataclassInstance) -> dict[str, Any]:
    """A value as JSON has it."""
    made: dict[str, Any] = json.loads(json.dumps(asdict(value), default=str))
    return made


def portraits(found: Sequence[Portrait]) -> None:
    """One line each, then what is to be said of their photos."""
    if not found:
        print("no portrait yet; add one: streamfx ctl portraits add PHOTO")
        return
    rows = [(one.id, "{}x{}".format(*one.size), str(one.references), _plain(one.name)) for one in found]
    print_columns([("PORTRAIT", "SIZE", "REFERENCES", "NAME"), *rows])
    for one in found:
        findings(one, f"{one.id}: ")


def findings(of: Portrait, before: str = "") -> None:
    """What about a photo will show in its animation, a line each."""
    for finding in of.findings:
        print(f"note: {before}{_plain(finding)}")


def sessions(found: Sequence[Session]) -> None:
    """One line each."""
    if not found:
        print("no session yet; begin one: streamfx ctl sessions create --portrait ID")
        return
    rows = [
        (one.id, one.status.state.value, one.status.portrait or "-", one.settings.source,
         one.status.camera.name or one.settings.output.camera)
        for one in found
    ]  # fmt: skip
    print_columns([("SESSION", "STATE", "PORTRAIT", "SOURCE", "CAMERA"), *rows])
    for one in found:
        if one.status.source.note:
            print(f"{one.id}: note: {_plain(one.status.source.note)}")


def devices(found: Sequence[DeviceInfo]) -> None:
    """One line each."""
    if not found:
        print("no camera, real or virtual; a file can drive, and previews show")
        return
    rows = [
        (one.spec, one.kind.value, "ok" if one.permitted and not one.trouble else "no", _plain(one.name))
        for one in found
    ]
    print_columns([("DEVICE", "KIND", "STATE", "NAME"), *rows])
    for one in found:
        if one.trouble:
            print(f"{one.spec}: {_plain(one.trouble)}")


def settings(value: SessionSettings) -> None:
    """Those that a person may want to see."""
    size = "{}x{}".format(*value.output.size)
    gains = value.gains
    rows = [
        ("output", f"{value.output.camera}, {size} px, {value.output.fps:g} fps"),
        ("source", value.source + (", on demand" if value.on_demand else "")),
        ("portraits", ", ".join(value.portraits) or "-"),
        ("gains", f"head {gains.head:g}, expression {gains.expression:g}, gaze {gains.gaze:g}"),
        ("background", value.background.kind.value),
        ("framing", framing(value.framing)),
        ("mirror", f"{_on(value.mirror)}, previews {_on(value.mirror_preview)}"),
        ("badge", value.badge or "-"),
        ("networks", f"refine {value.refine}, mouth {value.mouth}, on {value.device}"),
    ]
    print_columns(rows)


def framing(value: Framing) -> str:
    """Kind and numbers."""
    return f"{value.kind}, zoom {value.zoom:g}, x {value.x:g}, y {value.y:g}"


def status(value: SessionStatus) -> None:
    """All that a person may want to know, in a few lines."""
    counters = value.counters
    rows = [
        ("session", f"{value.id}: {line(value)}"),
        ("source", _source(value.source)),
        ("camera", f"{_plain(value.camera.name) or '-'} {value.camera.device}, readers {_readers(value)}"),
        (
            "pictures",
            f"{counters.published}: {counters.fresh} fresh, {counters.repeated} repeated, "
            f"{counters.idle} idle; {counters.skipped} skipped, {counters.restarts} restarts",
        ),
    ]
    print_columns(rows)
    if value.source.note:
        print(f"note: {_plain(value.source.note)}")
    for trouble in (value.trouble, value.source.trouble, value.camera.trouble):
        if trouble:
            print(f"trouble: {_plain(trouble)}")


def line(value: SessionStatus) -> str:
    """A status in one line."""
    latency = value.latency_ms
    times = f"latency {latency.p50:.0f} ms (p95 {latency.p95:.0f})" if latency else "latency -"
    shown = f"portrait {value.portrait or '-'}, {value.fps:.1f} fps"
    turned = f", {value.source.lies}: turned" if value.source.lies else ""
    return f"{value.state}, {value.quality}, {shown}, {times}, face in {value.source.tracked:.0%}{turned}"


def _source(value: SourceStatus) -> str:
    text = f"{_plain(value.name) or '-'}, {value.state}, {value.fps:.1f} fps, {value.dropped} dropped"
    return f"{text}, {value.damaged} damaged" if value.damaged else text


def _readers(value: SessionStatus) -> str:
    return "?" if value.camera.readers is None else str(value.camera.readers)


def _on(value: bool) -> str:
    return "on" if value else "off"


def _plain(text: str) -> str:
    """What another machine sent must not steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
