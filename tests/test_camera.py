"""Cameras, without one: real decoders behind an `av.open` that fails, stalls and comes back."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import media
import pytest

from streamfx.errors import SourceLost, SourceMissing, SourceUnreadable
from streamfx.realtime import Closed, Latest, Stalled
from streamfx.settings.source import SourceSpec
from streamfx.source import CameraOptions, list_cameras, open_source
from streamfx.source.camera import CameraSource

QUICK = CameraOptions(budget_s=0.5)


class FlakyCamera:
    """Stands for `av.open`: each opening takes the next step of a script.

    A step is an error to raise, or a real video whose pictures come one by one and then end in `failure`.
    """

    def __init__(
        self, *script: Exception | Path, failure: Exception | None = None, pause_s: float = 0
    ) -> None:
        self.script = list(script)
        self.failure = failure
        self.pause_s = pause_s
        self.asked: list[dict[str, object]] = []
        self.open_containers = 0
        self.stall = threading.Event()

    def __call__(self, device: str, mode: str, **asked: object) -> FlakyContainer:
        self.asked.append({"device": device, "mode": mode, **asked})
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        return FlakyContainer(self, step)


class FlakyContainer:
    """A real input container whose packets come at a camera's pace and whose end is a fault."""

    def __init__(self, camera: FlakyCamera, path: Path) -> None:
        self._camera = camera
        self._real = av.open(str(path))
        self.streams = self._real.streams

    def demux(self, stream: av.VideoStream) -> Iterator[av.Packet]:
        for packet in self._real.demux(stream):
            time.sleep(self._camera.pause_s)
            yield packet
        self._camera.stall.wait(0 if self._camera.failure else 5)
        if self._camera.failure:
            raise self._camera.failure

    def __enter__(self) -> FlakyContainer:
        self._camera.open_containers += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._camera.open_containers -= 1
        self._real.close()


def av_error(number: int) -> Exception:
    """The error that PyAV raises for a system error number."""
    try:
        av.error.err_check(-number, "/dev/video0")
    except av.FFmpegError as error:
        return error
    raise AssertionError


def _drain(source: CameraSource) -> None:
    for _ in source:
        pass


@pytest.fixture
def clip(tmp_path):
    return media.write_video(tmp_path / "c.mkv", 10, codec="mjpeg", pix_fmt="yuvj420p")


def test_a_camera_gives_its_pictures_on_the_monotonic_clock(clip):
    camera = FlakyCamera(clip, pause_s=0.02)
    before = time.monotonic_ns()
    options = CameraOptions(size=(640, 480), fps=30, budget_s=2)
    with CameraSource("/dev/video0", options, camera) as source:
        frames = [next(source) for _ in range(5)]
        camera.stall.set()
    assert (source.info.live, source.info.frames, source.info.codec) == (True, None, "mjpeg")
    assert (source.info.width, source.info.height, source.info.name) == (64, 48, "video0")
    numbers = [media.number_of(frame.rgb) for frame in frames]
    assert numbers == sorted(set(numbers))
    times = [frame.captured_ns for frame in frames]
    assert before < times[0]
    assert times == sorted(set(times))
    assert times[-1] < time.monotonic_ns()
    asked = camera.asked[0]
    assert (asked["device"], asked["format"]) == ("/dev/video0", "v4l2")
    assert asked["container_options"] == {"video_size": "640x480", "framerate": "30"}
    assert camera.open_containers == 0


def test_the_newest_picture_wins(clip):
    camera = FlakyCamera(clip)
    with CameraSource("/dev/video0", CameraOptions(budget_s=2), camera) as source:
        first = next(source)
        while source.statistics.dropped + 2 < 10:  # the other nine have passed, one of them waits
            time.sleep(0.01)
        second = next(source)
        camera.stall.set()
    assert media.number_of(first.rgb) < 9
    assert media.number_of(second.rgb) == 9
    assert (first.seq, second.seq) == (0, 1)
    assert source.statistics.decoded == 2


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (errno.ENOENT, SourceMissing, "no camera /dev/video0"),
        (errno.ENODEV, SourceMissing, "no camera /dev/video0"),
        (errno.EACCES, SourceMissing, "group video"),
        (errno.EBUSY, SourceUnreadable, "in use by another program.*fuser"),
        (errno.ENOTTY, SourceUnreadable, "gives no pictures"),
    ],
)
def test_open_errors_are_told_apart(number, error, words):
    camera = FlakyCamera(av_error(number))
    with pytest.raises(error, match=words) as caught:
        CameraSource("/dev/video0", QUICK, camera)
    assert isinstance(caught.value.__cause__, av.FFmpegError)
    assert len(camera.asked) == 1


def test_a_camera_that_comes_back_begins_an_epoch(clip):
    gone = av_error(errno.ENODEV)
    camera = FlakyCamera(clip, gone, gone, clip, failure=gone, pause_s=0.01)
    with CameraSource("/dev/video0", CameraOptions(budget_s=10), camera) as source:
        frames = []
        while not frames or frames[-1].epoch < 1:
            frames.append(next(source))
        camera.failure = None
        assert source.statistics.reopened == 1
        camera.stall.set()
    times = [frame.captured_ns for frame in frames]
    assert times == sorted(set(times))
    assert len(camera.asked) >= 4


def test_a_camera_that_stays_away_is_lost(clip):
    gone = av_error(errno.ENODEV)
    camera = FlakyCamera(clip, gone, failure=gone)
    with CameraSource("/dev/video0", QUICK, camera) as source:
        with pytest.raises(SourceLost, match="did not come back for") as caught:
            _drain(source)
        assert isinstance(caught.value.__cause__, av.FFmpegError)
    assert camera.open_containers == 0


def test_a_camera_that_hangs_is_lost(clip):
    camera = FlakyCamera(clip)
    with CameraSource("/dev/video0", QUICK, camera) as source:
        with pytest.raises(SourceLost, match="no picture for"):
            _drain(source)
        camera.stall.set()


def test_a_change_of_size_begins_an_epoch(tmp_path):
    camera = FlakyCamera(media.write_size_change(tmp_path / "s.ts"), pause_s=0.03)
    with CameraSource("/dev/video0", CameraOptions(budget_s=2), camera) as source:
        seen = {}
        while len(seen) < 2:
            frame = next(source)
            seen[frame.rgb.shape] = frame.epoch
        camera.stall.set()
    assert seen == {(48, 64, 3): 0, (64, 96, 3): 1}


def test_a_cut_picture_is_skipped_and_counted(tmp_path, clip):
    data = clip.read_bytes()
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    picture = slice(starts[5], starts[6] - 32)  # 32 bytes before the next belong to the container
    broken = media.write_damaged(tmp_path / "b.mkv", clip, picture)
    camera = FlakyCamera(broken, pause_s=0.02)
    with CameraSource("/dev/video0", CameraOptions(budget_s=2), camera) as source:
        while media.number_of(next(source).rgb) < 9:
            pass
        camera.stall.set()
    assert source.statistics.damaged_packets == 1


@pytest.mark.parametrize("spec", ["0", "camera:0", "/dev/video0", Path("/dev/video0")])
def test_camera_specs(spec):
    assert SourceSpec.parse(spec).name == "/dev/video0"


@pytest.mark.parametrize("spec", ["a.mp4", "./0", Path("0"), "camera", "/dev/video", "/dev/null", ""])
def test_file_specs(spec):
    assert SourceSpec.parse(spec).names_file


def test_a_missing_camera_is_missing_for_real():
    with pytest.raises(SourceMissing, match="no camera /dev/video987"):
        open_source("camera:987")


def test_cameras_are_listed_without_being_opened(tmp_path):
    sysfs, dev = tmp_path / "sys", tmp_path / "dev"
    dev.mkdir()
    for node, name, index in (("video10", "Second", "0"), ("video0", "First", "0"), ("video1", "Meta", "1")):
        (sysfs / node).mkdir(parents=True)
        (sysfs / node / "name").write_text(name + "\n")
        (sysfs / node / "index").write_text(index + "\n")
        (dev / node).touch()
    (sysfs / "video7").mkdir()  # without a device node
    found = list_cameras(sysfs, dev)
    assert [(camera.spec, camera.name) for camera in found] == [
        (str(dev / "video0"), "First"),
        (str(dev / "video10"), "Second"),
    ]
    assert all(camera.permitted and not camera.virtual for camera in found)
    assert list_cameras(tmp_path / "none", dev) == []


def test_latest_counts_what_it_drops():
    latest: Latest[int | None] = Latest()
    for value in (1, 2, None):
        latest.put(value)
    assert latest.take(0) is None
    with pytest.raises(Stalled):
        latest.take(0.01)
    assert (latest.statistics().put, latest.statistics().dropped) == (3, 2)


def test_latest_gives_the_last_value_before_the_failure():
    latest: Latest[int] = Latest()
    latest.put(1)
    latest.close(SourceLost("gone"))
    latest.close()
    latest.put(2)
    assert latest.take(0) == 1
    with pytest.raises(SourceLost):
        latest.take(0)


def test_latest_wakes_its_reader():
    latest: Latest[int] = Latest()
    got: list[int | str] = []

    def read() -> None:
        try:
            while True:
                got.append(latest.take(30))
        except Closed:
            got.append("closed")

    reader = threading.Thread(target=read)
    reader.start()
    latest.put(1)
    while not got:
        time.sleep(0.001)
    latest.close()
    reader.join(30)
    assert got == [1, "closed"]
