"""The typed client: watching, previews, driving and recording, over a real server."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import av
import numpy as np
import psutil
import pytest
from control_stage import Stage, naming, until
from fake_sessions import FakeSession

from streamfx.client import Client, PreviewFormat
from streamfx.control.preview import H264Pictures
from streamfx.errors import (
    ResourceBusy,
    ResourceMissing,
    ResourceUnready,
    SettingRefused,
    WorkerFailed,
)
from streamfx.frames import Rendered
from streamfx.quality import Quality
from streamfx.settings.motion import MotionNumbers


def test_watching_tells_at_once_and_again(stage: Stage, client: Client):
    session = stage.session()
    with closing(client.watch("one", 0.1)) as statuses:
        assert next(statuses) == session.status()
        client.hide("one")
        until(lambda: next(statuses).state == "hidden")
        stage.sessions.delete("one")
        with pytest.raises(ResourceMissing):
            list(statuses)
    for interval_s in (0.05, 61, -1):
        with pytest.raises(SettingRefused) as refused:
            next(client.watch("one", interval_s))
        assert refused.value.field == "interval_ms"


def test_previews_are_the_newest_pictures(stage: Stage, client: Client):
    session = stage.session()
    stop = threading.Event()

    def publish() -> None:
        while not stop.wait(1 / 60):
            session.publish()

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        with closing(client.preview("one", max_fps=20, max_side=100, quality=50)) as pictures:
            seen = [next(pictures) for _ in range(5)]
    finally:
        stop.set()
        publisher.join()
    assert all(one.size == (100, 75) and one.jpeg[:2] == b"\xff\xd8" for one in seen)
    numbers = [one.seq for one in seen]
    assert numbers == sorted(set(numbers))
    assert 0 < seen[-1].dropped <= seen[-1].seq
    until(lambda: session.previews == [])


class Broadcast:
    """A session that publishes all the time: a red picture that turns blue."""

    def __init__(self, session: FakeSession) -> None:
        self._session, self._ended = session, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        width, height = self._session.size
        while not self._ended.wait(0.02):
            share = min(1.0, self._session.seq / 60)
            rgb = np.empty((height, width, 3), np.uint8)
            rgb[:] = (round(200 * (1 - share)), 20, round(200 * share))
            for preview in list(self._session.previews):
                preview.put(Rendered(rgb, 1, 2, self._session.seq, Quality.FULL))
            self._session.seq += 1

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def encoders() -> list[psutil.Process]:
    children = psutil.process_iter(["ppid", "cmdline"])
    ours = [one for one in children if one.info["ppid"] == os.getpid()]
    return [one for one in ours if "streamfx.worker.encoder" in " ".join(one.info["cmdline"] or ())]


def test_a_preview_comes_as_h264_too(stage: Stage, client: Client):
    session, decoder, frames, sizes = stage.session(), av.CodecContext.create("h264", "r"), [], []
    asked = client.preview("one", max_fps=30, max_side=321, format=PreviewFormat.H264)
    with Broadcast(session), closing(asked) as pictures:
        for picture in islice(pictures, 45):
            assert picture.jpeg == b""
            assert picture.key == (len(frames) == 0)  # within two seconds
            assert picture.quality is Quality.FULL
            sizes.append(len(picture.h264))
            frames += decoder.decode(av.Packet(picture.h264))
        assert len(encoders()) == 1
    frames += decoder.decode(None)
    until(lambda: encoders() == [])
    assert len(frames) == 45, "each picture comes at once"
    assert (frames[0].width, frames[0].height) == picture.size == (320, 240)
    first, last = (frames[at].to_ndarray(format="rgb24").mean((0, 1)) for at in (0, -1))
    assert np.abs(first - (200, 20, 0)).max() < 45, first
    assert np.abs(last - (0, 20, 200)).max() < 45, last
    assert np.median(sizes) < 2000
    assert session.previews == []


def test_a_watcher_of_h264_that_stands_still_misses_pictures_and_no_reference(stage: Stage, client: Client):
    session, decoder, frames = stage.session(), av.CodecContext.create("h264", "r"), 0
    with (
        Broadcast(session),
        closing(client.preview("one", max_fps=60, format=PreviewFormat.H264)) as pictures,
    ):
        for number, picture in enumerate(islice(pictures, 20)):
            frames += len(decoder.decode(av.Packet(picture.h264)))
            if number == 5:
                time.sleep(1.0)
    assert frames + len(decoder.decode(None)) == 20


def test_an_encoder_that_dies_ends_its_preview_alone(stage: Stage, client: Client):
    session = stage.session()
    with Broadcast(session), closing(client.preview("one", format=PreviewFormat.H264)) as pictures:
        next(pictures)
        encoders()[0].kill()
        with pytest.raises(WorkerFailed, match="broke off"):
            for _ in pictures:
                pass
        assert next(iter(client.preview("one"))).jpeg
    until(lambda: session.previews == [])


def test_a_preview_ends_with_its_session(stage: Stage, client: Client):
    session = stage.session()
    seen = []
    watcher = threading.Thread(target=lambda: seen.extend(client.preview("one")))
    watcher.start()
    until(lambda: session.previews)
    session.publish()
    until(lambda: seen)
    stage.sessions.delete("one")
    watcher.join(20)
    assert not watcher.is_alive()
    assert not session.previews


@pytest.mark.parametrize(
    ("options", "field"),
    [({"max_fps": 61}, "max_fps"), ({"max_side": 8}, "max_side"), ({"quality": 100}, "quality"),
     ({"max_fps": float("nan")}, "max_fps"), ({"max_side": -1}, "max_side")],
)  # fmt: skip
def test_previews_refused(stage: Stage, client: Client, options, field):
    stage.session()
    with pytest.raises(SettingRefused) as refused:
        next(client.preview("one", **options))
    assert refused.value.field == field


def test_driving(stage: Stage, client: Client):
    session = stage.session(source="remote")
    motions = [
        MotionNumbers(coefficients=(0.5,) * 48, rotation=(0.125, -3.2, 0), captured_ns=n) for n in range(20)
    ]
    assert client.drive("one", motions) == 20
    assert [motion.captured_ns for motion in session.driven] == list(range(20))
    assert session.driven[0].coefficients == (0.5,) * 48
    assert session.driven[0].lip_gaps == (0.0,) * 9
    bad = {
        "rotation": MotionNumbers(rotation=(float("nan"), 0, 0)),
        "scale": MotionNumbers(scale=0.0),
        "coefficients": MotionNumbers(coefficients=(1.0,) * 47),
        "expression": MotionNumbers(expression=(0.0,) * 1404, coefficients=(0.0,) * 48),
        "gaze": MotionNumbers(gaze=(float("inf"), 0)),
        "presence": MotionNumbers(presence=1.5),
        "captured_ns": MotionNumbers(captured_ns=-1),
    }
    for field, motion in bad.items():
        with pytest.raises(SettingRefused) as refused:
            client.drive("one", [MotionNumbers(), motion])
        assert refused.value.field == f"motion.{field}"
    with pytest.raises(SettingRefused, match="no message came"):
        client.drive("one", [])
    stage.session("other")
    with pytest.raises(ResourceUnready, match="not remote"):
        client.drive("other", [MotionNumbers()])


def test_one_drives_at_a_time(stage: Stage, client: Client):
    session = stage.session(source="remote")
    go_on = threading.Event()

    def slowly() -> Iterator[MotionNumbers]:
        yield MotionNumbers()
        go_on.wait(20)

    first = threading.Thread(target=client.drive, args=("one", slowly()))
    first.start()
    until(lambda: session.driven)
    with pytest.raises(ResourceBusy, match="driver"):
        client.drive("one", [MotionNumbers()])
    go_on.set()
    first.join(20)
    assert client.drive("one", [MotionNumbers()]) == 1


def test_a_recording_is_complete_however_it_ends(stage: Stage, client: Client):
    session = stage.session()
    last = list(client.record("one", stage.root / "timed.mp4", 0.2))[-1]
    assert (last.finished, last.frames, last.size) == (True, 7, 8)
    assert (stage.root / "timed.mp4").read_bytes() == b"complete"
    with closing(client.record("one", stage.root / "cancelled.mp4")) as progress:
        assert not next(progress).finished
        with pytest.raises(ResourceBusy):
            next(client.record("one", stage.root / "second.mp4"))
    until(lambda: session.recording is None)
    assert (stage.root / "cancelled.mp4").read_bytes() == b"complete"
    assert not (stage.root / "second.mp4").exists()


@pytest.mark.parametrize("path", ["timed.mkv", "../out.mp4", "/tmp/out.mp4", "", "there.mp4", "no/where.mp4"])
def test_recordings_refused(stage: Stage, path: str):
    stage.session()
    (stage.root / "there.mp4").write_bytes(b"mine")
    with pytest.raises(SettingRefused) as refused:
        next(naming(stage.server.socket).record("one", path))
    assert refused.value.field == "path"
    assert (stage.root / "there.mp4").read_bytes() == b"mine"


def test_a_watcher_who_left_before_the_first_picture_starts_no_encoder():
    pictures = H264Pictures(640, 30.0)
    pictures.close()
    with pytest.raises(WorkerFailed, match="over"):
        pictures.encode(Rendered(np.zeros((48, 64, 3), np.uint8), 1, 2, 0, Quality.FULL))
    assert encoders() == []
