"""What the daemon's control server answers to every method that the OBS plugin calls: recorded, as bytes.

They are what the plugin's tests mutate (plugins/obs/test/control/attack-common.c). As a program
(scripts/gen-obs-answers) it writes them; with --check it only tells whether those that are committed are
what is answered now. The sessions are made up, the messages are the server's own.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
from control_stage import Stage, raw_call, staged
from fake_sessions import photo
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from streamfx.api.v1 import (
    device_service_pb2,
    portrait_pb2,
    portrait_service_pb2,
    session_pb2,
    session_service_pb2,
)
from streamfx.api.values import SourceState, SourceStatus, State
from streamfx.settings.framing import Framing, FramingKind
from streamfx.settings.session import Background, BackgroundKind, Gains

FOLDER = Path(__file__).parents[1] / "plugins" / "obs" / "test" / "control" / "answers"
_PORTRAITS, _SESSIONS = "streamfx.v1.PortraitService", "streamfx.v1.SessionService"
_DEVICES, _HEALTH = "streamfx.v1.DeviceService", "grpc.health.v1.Health"
_NAMES = {"ada": "Ada", "bob": "Jürgen Groß", "cy": "Ζωή 🙂"}


def recorded() -> dict[str, bytes]:
    """The answers by their files' names: SERVICE.METHOD.NUMBER."""
    answers: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder, staged(Path(folder)) as stage, _channel(stage) as channel:
        for method, request in _calls(stage):
            path = "/" + "/".join(method.rsplit(".", 1))
            number = sum(name.startswith(f"{method}.") for name in answers)
            answers[f"{method}.{number}"] = raw_call(channel, path, request.SerializeToString())
    return answers


@contextmanager
def _channel(stage: Stage) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(stage.address) as channel:
        yield channel


def _calls(stage: Stage) -> Iterator[tuple[str, Message]]:
    """Method and request of each; what the daemon has changes between them."""
    yield f"{_HEALTH}.Check", health_pb2.HealthCheckRequest(service=_SESSIONS)
    yield f"{_DEVICES}.ListDevices", device_service_pb2.ListDevicesRequest()
    yield f"{_PORTRAITS}.ListPortraits", portrait_service_pb2.ListPortraitsRequest(page_size=200)
    yield f"{_SESSIONS}.ListSessions", session_service_pb2.ListSessionsRequest(page_size=200)
    for id, name in _NAMES.items():
        added = portrait_service_pb2.CreatePortraitRequest(
            photo=portrait_pb2.Photo(content=photo()), id=id, display_name=name
        )
        yield f"{_PORTRAITS}.CreatePortrait", added
    yield f"{_PORTRAITS}.ListPortraits", portrait_service_pb2.ListPortraitsRequest(page_size=200)
    yield f"{_PORTRAITS}.ListPortraits", portrait_service_pb2.ListPortraitsRequest(page_size=1)
    yield (
        f"{_PORTRAITS}.GetPortraitThumbnail",
        portrait_service_pb2.GetPortraitThumbnailRequest(portrait_id="ada"),
    )
    settings = session_pb2.SessionSettings(
        output=session_pb2.Output(camera="none"), source="demo", portraits=list(_NAMES), on_demand=True
    )
    yield f"{_SESSIONS}.CreateSession", session_service_pb2.CreateSessionRequest(settings=settings, id="obs")
    yield f"{_SESSIONS}.GetSession", session_service_pb2.GetSessionRequest(session_id="obs")
    yield from _changes(stage)
    yield f"{_SESSIONS}.CreateSession", session_service_pb2.CreateSessionRequest(id="two")
    yield f"{_SESSIONS}.ListSessions", session_service_pb2.ListSessionsRequest(page_size=200)
    yield f"{_SESSIONS}.ListSessions", session_service_pb2.ListSessionsRequest(page_size=1)
    yield f"{_SESSIONS}.CalibrateSession", session_service_pb2.CalibrateSessionRequest(session_id="obs")


def _changes(stage: Stage) -> Iterator[tuple[str, Message]]:
    """A session whose every setting is another one, and one that is in trouble."""
    session = stage.sessions.kept["obs"]
    session.settings = replace(
        session.settings, source="camera:Web🎥cam", selected="cy", gains=Gains(0.5, 1.25, 0.0),
        background=Background(BackgroundKind.IMAGE, image=Path("/home/ada/Zimmer – größer.png")),
        badge="Ada · live",
        framing=Framing(FramingKind.CLOSE, 1.5, -0.25, 0.125), mirror=True, mirror_preview=True, hidden=True,
        refine="paper", mouth="procedural",
    )  # fmt: skip
    yield f"{_SESSIONS}.GetSession", session_service_pb2.GetSessionRequest(session_id="obs")
    for target in ({"portrait_id": "bob"}, {"index": 1}, {"step": session_service_pb2.STEP_NEXT}):
        selected = session_service_pb2.SelectPortraitRequest(session_id="obs", **target)
        yield f"{_SESSIONS}.SelectPortrait", selected
    colour = session_pb2.Background(kind=session_pb2.BACKGROUND_KIND_COLOUR, colour="#a0b1c2")
    for settings in (
        session_pb2.SessionSettings(background=colour),
        session_pb2.SessionSettings(hidden=False),
    ):
        updated = session_service_pb2.UpdateSessionRequest(session_id="obs", settings=settings)
        yield f"{_SESSIONS}.UpdateSession", updated
    session.shown = {
        "state": State.DEGRADED, "latency_ms": None, "trouble": "The worker fails again and again. Say so.",
        "source": SourceStatus(SourceState.LOST, "Bürokamera", 0.0, 0, 0.0, "It is gone. Plug it in."),
    }  # fmt: skip
    yield f"{_SESSIONS}.GetSession", session_service_pb2.GetSessionRequest(session_id="obs")
    session.shown = {}


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: scripts/gen-obs-answers [--check]\n")
        return 2
    answers = recorded()
    kept = {path.name: path.read_bytes() for path in FOLDER.glob("*")}
    if arguments:
        if kept != answers:
            sys.stderr.write(f"error: {FOLDER} is stale. Run scripts/gen-obs-answers\n")
        return int(kept != answers)
    FOLDER.mkdir(exist_ok=True)
    for name in kept.keys() - answers.keys():
        (FOLDER / name).unlink()
    for name, data in answers.items():
        (FOLDER / name).write_bytes(data)
    methods = {name.rsplit(".", 1)[0] for name in answers}
    sys.stdout.write(f"{len(answers)} answers of {len(methods)} methods\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
