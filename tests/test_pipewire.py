"""The PipeWire camera on a real, private PipeWire session: read by GStreamer and by Chromium."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import browser
import cv2
import media
import numpy as np
import pipewire_stage
import pytest
from pipewire_stage import PipeWireStage, wait_for

from streamfx.errors import CameraLost, CameraUnavailable, StreamfxError, UsageError
from streamfx.frames import Frame
from streamfx.sink.pipewire import PipeWireCamera, formats, native

pytestmark = pytest.mark.alone

SIZE = (64, 48)
BYTES = 2 * SIZE[0] * SIZE[1]
BARS = (
    (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255),
    (0, 0, 0), (200, 150, 120), (20, 90, 160), (128, 128, 128),
)  # fmt: skip


def why_not(reason: str) -> str:
    """The reason to skip; empty if all is here."""
    try:
        native.library()
    except CameraUnavailable as error:
        return str(error)
    return reason


def missing_for_gstreamer() -> str:
    programs = (*pipewire_stage.PROGRAMS, "gst-launch-1.0", "gst-inspect-1.0")
    if reason := why_not(pipewire_stage.missing(*programs)):
        return reason
    asked = ["gst-inspect-1.0", "pipewiresrc"]
    known = subprocess.run(asked, capture_output=True, timeout=60, check=False)
    return "" if known.returncode == 0 else "not installed: gstreamer1.0-pipewire"


@contextmanager
def joined(stage: PipeWireStage) -> Iterator[PipeWireStage]:
    """This process as a guest of the stage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", stage.environment["XDG_RUNTIME_DIR"])
        yield stage


@pytest.fixture(scope="module")
def session() -> Iterator[PipeWireStage]:
    if reason := missing_for_gstreamer():
        pytest.skip(reason)
    with PipeWireStage() as stage:
        yield stage


@pytest.fixture
def stage(session) -> Iterator[PipeWireStage]:
    with joined(session):
        if session.server.poll() is not None:
            session.open_server()
        yield session


@pytest.fixture
def camera(stage) -> Iterator[PipeWireCamera]:
    camera = PipeWireCamera(SIZE, 30)
    yield camera
    camera.close()


class Publisher:
    """Shows a picture 30 times a second from a thread, as the daemon does. Use it in a `with` block."""

    def __init__(self, camera: PipeWireCamera, rgb: np.ndarray | None = None) -> None:
        self.camera = camera
        self.rgb = rgb
        self.shown = 0
        self.lost: tuple[CameraLost, float] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Publisher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            rgb = self.rgb if self.rgb is not None else grey(self.shown)
            try:
                self.camera.publish(media.rendered(rgb, self.shown))
            except CameraLost as error:
                self.lost = error, time.monotonic()
                return
            self.shown += 1
            due += 1 / 30
            self._stop.wait(max(0.0, due - time.monotonic()))


def grey(number: int) -> np.ndarray:
    """u8 [48,64,3]: every picture is as bright as its number says (modulo 100)."""
    return np.full((SIZE[1], SIZE[0], 3), 20 + 2 * (number % 100), np.uint8)


def behind(publisher: Publisher, picture: np.ndarray) -> int:
    """How many pictures ago a grey one was shown."""
    luma = float(picture[0])
    number = round(((luma - 16) * 255 / 219 - 20) / 2)
    return (publisher.shown - number) % 100  # 0: it was counted only after it arrived


def bars(size: tuple[int, int]) -> np.ndarray:
    width, height = size
    return np.repeat(np.array([BARS], np.uint8), width // len(BARS), axis=1).repeat(height, axis=0)


def test_pods_are_what_the_headers_build():
    offer = bytes.fromhex(
        "b00000000f0000000300040003000000"
        "01000000000000000400000003000000020000000000000002000000000000000400000003000000"
        "01000000000000000100020000000000040000000300000004000000000000000300020000000000"
        "080000000a00000080020000e00100000400020000000000080000000b0000001e00000001000000"
        "0c00020000000000040000000300000002000000000000000d000200000000000400000003000000"
        "0400000000000000"
    )
    assert formats.offer((640, 480), Fraction(30)) == offer
    buffers = bytes.fromhex(
        "a80000000f0000000400040005000000"
        "01000000000000001c00000013000000010000000000000004000000040000000400000002000000"
        "08000000000000000200000000000000040000000400000001000000000000000300000000000000"
        "04000000040000000060090000000000040000000000000004000000040000000005000000000000"
        "0600000000000000140000001300000004000000000000000400000004000000"
        "0600000000000000"
    )
    meta = bytes.fromhex(
        "380000000f0000000500040006000000"
        "01000000000000000400000003000000010000000000000002000000000000000400000004000000"
        "2000000000000000"
    )
    assert formats.buffer_wishes((640, 480)) == [buffers, meta]


def test_structures_are_as_large_as_in_c():
    sizes = {
        native.Chunk: 16, native.Data: 40, native.Meta: 16, native.MetaHeader: 32, native.SpaBuffer: 24,
        native.Time: 56, native.Hook: 48, native.Dict: 16,
    }  # fmt: skip
    assert {kind: ctypes.sizeof(kind) for kind in sizes} == sizes
    assert native.StreamEvents.process.offset == 64


def test_a_missing_or_foreign_library_is_named():
    with pytest.raises(CameraUnavailable, match=r"libno-such\.so\.0 is not installed.*apt install"):
        native.library("libno-such.so.0")
    with pytest.raises(CameraUnavailable, match=r"older than 0\.3\.50"):
        native.library("libc.so.6")


@pytest.mark.parametrize(("size", "fps"), [((641, 480), 30), ((640, 0), 30), ((640, 480), 0), ((2, 2), 1e9)])
def test_senseless_cameras_are_refused(size, fps):
    with pytest.raises(UsageError):
        PipeWireCamera(size, fps)


@pytest.mark.skipif(bool(why_not("")), reason=why_not("") or "-")
def test_no_server_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(CameraUnavailable, match=r"No PipeWire server runs.*systemctl --user start"):
        PipeWireCamera(SIZE, 30)


def test_a_reader_sees_the_colours_at_the_rate(stage):
    size = (640, 480)
    camera = PipeWireCamera(size, 30)
    try:
        with Publisher(camera, bars(size)), stage.reader("streamfx", "YUY2", size) as reader:
            reader.read(2 * 640 * 480)
            begun = time.monotonic()
            for _ in range(60):
                picture = reader.read(2 * 640 * 480)
            fps = 60 / (time.monotonic() - begun)
    finally:
        camera.close()
    rgb = cv2.cvtColor(picture.reshape(480, 640, 2), cv2.COLOR_YUV2RGB_YUY2)
    np.testing.assert_allclose(rgb[240, 40::80].astype(int), BARS, atol=3)
    assert fps >= 25


def test_readers_come_go_and_come_again(stage, camera):
    with Publisher(camera) as publisher:
        for _ in range(3):
            with stage.reader("streamfx", "YUY2", SIZE) as reader:
                for _ in range(5):
                    picture = reader.read(BYTES)
                assert camera.readers() == 1
                assert behind(publisher, picture) <= 10
            wait_for(lambda: camera.readers() == 0, "the reader is still counted")


def test_two_may_read_at_once(stage, camera):
    with Publisher(camera), stage.reader("streamfx", "YUY2", SIZE) as one:
        one.read(BYTES)
        with stage.reader("streamfx", "YUY2", SIZE) as two:
            for _ in range(10):
                one.read(BYTES)
                two.read(BYTES)
            assert camera.readers() == 2
        for _ in range(10):
            one.read(BYTES)


def test_a_reader_that_asks_for_the_impossible_harms_nobody(stage, camera):
    with Publisher(camera) as publisher, stage.reader("streamfx", "YUY2", SIZE) as reader:
        reader.read(BYTES)
        with stage.reader("streamfx", "BGRx", (SIZE[0] + 2, SIZE[1])):
            for _ in range(45):
                reader.read(BYTES)
        for _ in range(15):
            picture = reader.read(BYTES)
        assert publisher.lost is None
        assert behind(publisher, picture) <= 10


def test_a_reader_that_slept_sees_the_newest_picture_at_once(stage, camera):
    with Publisher(camera) as publisher, stage.reader("streamfx", "YUY2", SIZE) as reader:
        for _ in range(15):
            reader.read(BYTES)
        os.kill(reader.program.pid, signal.SIGSTOP)
        before = publisher.shown
        time.sleep(1)
        assert publisher.shown - before >= 20  # the publisher does not wait for it
        os.kill(reader.program.pid, signal.SIGCONT)
        lags = [behind(publisher, reader.read(BYTES)) for _ in range(30)]
    assert max(lags[15:]) <= 5


def test_pictures_of_another_size_are_fitted_and_only_rendered_ones_taken(stage, camera):
    white = np.full((480, 640, 3), 255, np.uint8)
    with Publisher(camera, white), stage.reader("streamfx", "YUY2", SIZE) as reader:
        picture = [reader.read(BYTES) for _ in range(5)][-1]
    assert picture[::2].min() > 230  # luma
    frame = Frame(grey(0), 0, 0)
    with pytest.raises(TypeError, match="Rendered pictures only, not Frame"):
        camera.publish(frame)  # type: ignore[arg-type]


def test_publishing_to_nobody_is_nearly_free(camera):
    picture = media.rendered(bars((1280, 720)))
    begun = time.process_time()
    for _ in range(1000):
        camera.publish(picture)
    assert time.process_time() - begun < 0.5  # of CPU; one conversion takes a millisecond
    assert camera.readers() == 0


def test_a_killed_server_is_noticed_and_its_heir_serves(stage, camera):
    with Publisher(camera) as publisher, stage.reader("streamfx", "YUY2", SIZE) as reader:
        reader.read(BYTES)
        begun = time.monotonic()
        stage.server.kill()
        publisher.join()
    error, noticed = publisher.lost or pytest.fail("never noticed")
    assert noticed - begun < 1
    assert isinstance(error, StreamfxError)
    assert "no longer shows the camera streamfx" in error.cause
    camera.close()
    camera.close()
    pipewire_stage.end(stage.server)
    pipewire_stage.end(stage.manager)
    stage.open_server()
    again = PipeWireCamera(SIZE, 30)
    with Publisher(again), stage.reader("streamfx", "YUY2", SIZE) as reader:
        reader.read(BYTES)
    again.close()


def test_a_camera_that_somebody_removes_is_lost(stage, camera):
    stage.run("pw-cli", "destroy", "streamfx")
    with Publisher(camera) as publisher:
        publisher.join()
    assert publisher.lost


def test_closing_while_another_thread_publishes(stage):
    for _ in range(5):
        camera = PipeWireCamera(SIZE, 30)
        with Publisher(camera) as publisher, stage.reader("streamfx", "YUY2", SIZE) as reader:
            reader.read(BYTES)
            camera.close()
            publisher.join()
        error, _ = publisher.lost or pytest.fail("published into a closed camera")
        assert "it was closed" in error.cause


def held() -> tuple[int, int]:
    """Threads and descriptors of this process."""
    return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/proc/self/fd").iterdir()))


def resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def test_nothing_leaks_over_many_openings(stage):
    def open_and_close() -> None:
        camera = PipeWireCamera((640, 480), 30)
        camera.publish(media.rendered(grey(0)))
        camera.close()

    for _ in range(10):
        open_and_close()
    before, memory = held(), resident_kib()
    for _ in range(100):
        open_and_close()
    assert held() == before
    assert resident_kib() - memory < 4096


def test_a_forgotten_camera_does_not_crash_the_end(stage):
    script = (
        "from streamfx.sink.pipewire import PipeWireCamera\n"
        "import gc\nPipeWireCamera((64, 48), 30)\nforgotten = PipeWireCamera((64, 48), 30)\ngc.collect()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


WATCH = """(async () => {
  const media = navigator.mediaDevices;
  const wish = {video: {width: 640, height: 480, frameRate: 30}};
  let stream;
  for (let tries = 20; !stream; tries--)  // the session manager lets the browser at a camera only in a moment
    stream = await media.getUserMedia(wish).catch(async error => {
      if (error.name !== "NotFoundError" || !tries) throw error;
      await new Promise(done => setTimeout(done, 500));
    });
  const cameras = (await media.enumerateDevices()).filter(d => d.kind === "videoinput").map(d => d.label);
  const [track] = stream.getVideoTracks();
  const settings = track.getSettings();
  const video = document.createElement("video");
  Object.assign(video, {muted: true, srcObject: stream});
  document.body.append(video);
  await video.play();
  let frames = 0, first = 0, last = 0;
  const count = now => { first ||= now; last = now; frames++; video.requestVideoFrameCallback(count); };
  video.requestVideoFrameCallback(count);
  await new Promise(done => setTimeout(done, 4000));
  const canvas = Object.assign(document.createElement("canvas"), {width: 640, height: 480});
  const pen = canvas.getContext("2d");
  pen.drawImage(video, 0, 0);
  const pixel = x => [...pen.getImageData(x, 240, 1, 1).data].slice(0, 3);
  const colors = [...Array(8).keys()].map(bar => pixel(80 * bar + 40));
  track.stop();
  video.remove();
  return {label: track.label, cameras, width: video.videoWidth, height: video.videoHeight, colors,
          rate: settings.frameRate, fps: (frames - 1) * 1000 / (last - first)};
})()"""


def test_chromium_shows_the_camera():
    if reason := why_not(pipewire_stage.missing_for_browser()):
        pytest.skip(reason)
    with PipeWireStage(portal=True) as stage, joined(stage):
        camera = PipeWireCamera((640, 480), 30)
        switches = ("--use-fake-ui-for-media-stream", "--enable-features=WebRtcPipeWireCamera")
        with (
            Publisher(camera, bars((640, 480))),
            browser.Browser(*switches, environment=stage.environment) as chromium,
            browser.served("<!doctype html><title>camera</title>") as url,
        ):
            page = chromium.open(url)
            for _ in range(3):  # connects anew each time; a busy machine may be slow once
                seen = page.evaluate(WATCH)
                if seen["fps"] >= 25:
                    break
            page.close()
        camera.close()
    assert (seen["label"], seen["cameras"]) == ("streamfx", ["streamfx"])
    assert (seen["width"], seen["height"], seen["rate"]) == (640, 480, 30)
    np.testing.assert_allclose(seen["colors"], BARS, atol=3)
    assert seen["fps"] >= 25


def test_a_page_can_be_opened_asked_and_closed():
    if browser.find_browser() is None:
        pytest.skip("not installed: chromium")
    with browser.Browser() as chromium, browser.served("<title>hello</title>") as url:
        page = chromium.open(url)
        assert page.evaluate("document.title") == "hello"
        assert page.evaluate("(async () => ({a: [1, 'two', null]}))()") == {"a": [1, "two", None]}
        with pytest.raises(browser.BrowserError, match="no such luck"):
            page.evaluate("(() => { throw new Error('no such luck') })()")
        with pytest.raises(browser.BrowserError, match="no answer in time"):
            page.evaluate("new Promise(() => {})", limit_s=0.2)
        page.close()


def test_the_stage_leaves_nothing_behind():
    if shutil.which("dbus-daemon") is None or missing_for_gstreamer():
        pytest.skip("PipeWire is not installed")
    with PipeWireStage() as stage:
        folder = stage.folder
        programs = [stage.server, stage.manager]
    assert not folder.exists()
    assert all(program.poll() is not None for program in programs)
