"""Pictures from OBS to the worker: the ring that the plugin writes, its socket, and both in a real OBS."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from obs_stage import SOURCE, ObsStage, build_plugin, leaks, leaks_without_plugins, missing_for_obs
from obs_writer import BLOCK, PATCHES, looked, mark, number_of

from streamfx.frames import Rendered
from streamfx.ipc.ring_server import MAGIC
from streamfx.sink.ring import RingReader

PLUGIN = Path(__file__).parents[1] / "plugins" / "obs"
OBS_HEADERS = Path("/usr/include/obs")
STRICT = ("-std=gnu17", "-Wall", "-Wextra", "-Werror", "-g", "-O1", "-fno-sanitize-recover=all")
SANITIZERS = {"memory": ("-fsanitize=address,undefined",), "threads": ("-fsanitize=thread", "-Wno-tsan")}
ALONE = ("ring.c", "ring-writer.c", "feed-server.c", "handover.c", "triple-buffer.c")
TEAR_S, SWAP_S, RACE_S = 3.0, 1.0, 5.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the plugin is for Linux")


def built(folder: Path, sanitizer: str, name: str = "feed-test", *more: str) -> str:
    """A C harness; skips where there is nothing to build it with."""
    compiler = shutil.which("cc")
    if compiler is None or not OBS_HEADERS.exists():
        pytest.skip("not installed: a C compiler, libobs-dev")
    program = str(folder / name)
    sources = [f"test/{name}.c", *(f"src/{part}" for part in (*ALONE, *more))]
    done = subprocess.run(
        [compiler, *STRICT, *SANITIZERS[sanitizer], f"-isystem{OBS_HEADERS}", "-o", program, *sources,
         "-lobs", "-pthread"], cwd=PLUGIN, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "cannot find" in done.stderr and "san" in done.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return built(tmp_path_factory.mktemp("memory"), "memory")


def said(*command: str) -> str:
    """What a clean run printed; a sanitizer's report ends the program with an error."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    sys.stdout.write(done.stdout)
    return done.stdout


class ConnectedReader(RingReader):
    """Stays connected for as long as it reads, as the worker does."""

    def __init__(self, descriptor: int, connection: socket.socket) -> None:
        self.connection = connection
        super().__init__(descriptor)

    def close(self) -> None:
        super().close()
        self.connection.close()


def asked(path: Path) -> ConnectedReader | None:
    """The ring that is handed over there, as the worker asks for it; None if there is none."""
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    caller.settimeout(2.0)
    try:
        caller.connect(str(path))
        packet, descriptors, _, _ = socket.recv_fds(caller, 64, 4)
    except OSError:  # nobody listens, or did not any more when we came to our turn
        packet = b""
    if not packet:
        caller.close()
        return None
    assert packet == MAGIC
    (descriptor,) = descriptors
    try:
        return ConnectedReader(descriptor, caller)
    finally:
        os.close(descriptor)


@contextmanager
def serving(program: str, folder: Path, *options: str) -> Iterator[RingReader]:
    """A writer in C, and our reader of its ring."""
    process = subprocess.Popen(
        [program, "serve", str(folder), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "serving\n"
        reader = asked(folder / "test.feed")
        assert reader is not None
        with reader:
            yield reader
            _, err = process.communicate("", timeout=30)
            assert (process.returncode, err) == (0, "")
            assert reader.newest() is None, "what was fed is wiped at the end"
        assert not (folder / "test.feed").exists()
    finally:
        process.kill()
        process.wait()


def painted(width: int, height: int, number: int) -> np.ndarray:
    """As feed-test.c paints it."""
    y, x = np.mgrid[:height, :width]
    return np.stack((3 * number + 2 * y, 5 * number + 3 * x, 7 * number + x + y), axis=2).astype(np.uint8)


def test_the_ring_and_its_socket_hold_what_they_promise(program: str, tmp_path: Path):
    said(program, "checks", str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_our_reader_reads_each_pixel_as_it_was_written(program: str, tmp_path: Path):
    with serving(program, tmp_path, "322", "240", "100") as reader:
        assert (reader.form.width, reader.form.height, reader.form.fps) == (322, 240, 100.0)
        seen, end = [], time.monotonic() + 10
        while len(seen) < 20 and time.monotonic() < end:
            picture = reader.newest()
            if picture is None:
                time.sleep(0.001)
                continue
            np.testing.assert_array_equal(picture.rgb, painted(322, 240, picture.seq))
            assert picture.alpha is None
            assert 0 <= picture.rendered_ns - picture.captured_ns < 1e9
            assert abs(time.monotonic_ns() - picture.captured_ns) < 1e9
            seen.append(picture.seq)
        assert len(seen) == 20
        assert seen == sorted(set(seen))
        assert reader.beats >= reader.written


@pytest.mark.alone
def test_a_writer_without_pause_never_shows_a_torn_picture(program: str, tmp_path: Path):
    read, first = 0, None
    with serving(program, tmp_path, "66", "40", "0") as reader:
        end = time.monotonic() + TEAR_S
        while time.monotonic() < end:
            picture = reader.newest()
            if picture is not None:
                np.testing.assert_array_equal(picture.rgb, painted(66, 40, picture.seq))
                first = picture.seq if first is None else first
                read, last = read + 1, picture.seq
    sys.stdout.write(f"no torn picture among {read}, while {last - first} were written\n")
    assert read > 500
    assert last - first > read


@pytest.mark.alone
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_pictures_go_from_thread_to_thread_whole_and_in_order(sanitizer: str, tmp_path: Path):
    program = built(tmp_path, sanitizer)
    given, taken, cleared = map(int, re.findall(r"\d+", said(program, "swap", str(SWAP_S))))
    assert given >= taken > 100
    assert cleared > 0


@pytest.mark.parametrize(("sanitizer", "does"), [("memory", "read"), ("threads", "ask")])
def test_whatever_happens_to_sources_nothing_is_mixed_up_or_left_over(
    sanitizer: str, does: str, tmp_path: Path
):
    program = built(tmp_path, sanitizer, "feed-race", "feed.c", "stopwatch.c")
    folder = tmp_path / "run"
    _, asked_, given, pictures = map(
        int, re.findall(r"\d+", said(program, str(folder), str(RACE_S), "1", does))
    )
    assert asked_ > given > 5
    assert (pictures > 0) == (does == "read")
    assert not list(folder.iterdir())


# -- in a real OBS -----------------------------------------------------------------------------------------

REASON = missing_for_obs()
in_obs = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(REASON), reason=REASON),
]
CANVAS = (640, 480)
WRITER = Path(__file__).with_name("obs_writer.py")
LEVELS = 3
"""By which a colour may differ."""
SOON_S = 5.0
STANDS_S = 1.0
AIMS = 200
GROWTH_MB = 15.0
PATIENCE_S = 1.0
"""Longer than a ring that is alive stands still."""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_plugin(tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="module")
def obs(plugins: Path) -> Iterator[ObsStage]:
    """One OBS for all, with a portrait that is in no scene that is shown; the last test ends it."""
    with ObsStage(plugins, CANVAS) as stage:
        stage.call("CreateScene", sceneName="Hidden")
        settings = {"feed_name": "cam", "driver": "obs"}
        stage.call(
            "CreateInput", sceneName="Hidden", inputName="Portrait", inputKind=SOURCE, inputSettings=settings
        )
        yield stage


def aim(obs: ObsStage, source: str) -> None:
    obs.call("SetInputSettings", inputName="Portrait", inputSettings={"driver_source": source})


def socket_of(obs: ObsStage) -> Path:
    return obs.runtime / "cam.feed"


def until(holds: Callable[[], object], what: str, limit_s: float = SOON_S) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def feed_of(obs: ObsStage) -> RingReader:
    """The ring, as soon as there is one."""
    end = time.monotonic() + SOON_S
    while time.monotonic() < end:
        reader = asked(socket_of(obs))
        if reader is not None:
            return reader
        time.sleep(0.02)
    raise AssertionError(f"no feed\n{obs.log()[-2000:]}")


def picture_of(reader: RingReader) -> Rendered:
    end = time.monotonic() + SOON_S
    while time.monotonic() < end:
        picture = reader.newest()
        if picture is not None:
            return picture
        time.sleep(0.002)
    raise AssertionError("no picture came")


def shown(obs: ObsStage, source: str) -> bool:
    """Whether OBS has told the source that somebody shows it."""
    return obs.call("GetSourceActive", sourceName=source)["videoShowing"]


def beats_in(reader: RingReader, seconds: float) -> int:
    before = reader.beats
    time.sleep(seconds)
    return reader.beats - before


@contextmanager
def scene_with(
    obs: ObsStage, kind: str, name: str, scene: str = "Hidden", **settings: object
) -> Iterator[None]:
    """A source; by default where nothing shows it."""
    obs.call("CreateInput", sceneName=scene, inputName=name, inputKind=kind, inputSettings=settings)
    try:
        yield
    finally:
        inputs = [each["inputName"] for each in obs.call("GetInputList")["inputs"]]
        if name in inputs:
            obs.call("RemoveInput", inputName=name)


@contextmanager
def aimed(obs: ObsStage, source: str) -> Iterator[RingReader]:
    """The ring of a source; the feed is closed again, and whatever was in the ring is gone."""
    aim(obs, source)
    try:
        with feed_of(obs) as reader:
            yield reader
            aim(obs, "")
            until(lambda: not socket_of(obs).exists(), "the socket is still there")
            time.sleep(0.1)
            beats = reader.beats
            time.sleep(PATIENCE_S / 2)
            assert reader.beats == beats
            assert reader.newest() is None
    finally:
        aim(obs, "")


def colour_source(width: int, height: int, colour: int) -> dict[str, object]:
    return {"color": colour, "width": width, "height": height}


def worst(shown: np.ndarray, expected: np.ndarray) -> int:
    return int(np.abs(shown.astype(int) - expected).max())


def stripes(path: Path, width: int, height: int) -> np.ndarray:
    """A picture of known colours, written as a PNG."""
    rgb, _ = looked("counter", width, height)
    cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]))
    return rgb


class TestInObs:
    pytestmark = in_obs

    def test_an_image_comes_in_its_own_colours_though_nothing_shows_it(self, obs: ObsStage, tmp_path: Path):
        expected = stripes(tmp_path / "stripes.png", 640, 480)
        with scene_with(obs, "image_source", "Image", file=str(tmp_path / "stripes.png")):
            assert not shown(obs, "Image")
            with aimed(obs, "Image") as reader:
                assert shown(obs, "Image"), "else a camera would not run"
                assert (reader.form.width, reader.form.height, reader.form.fps) == (640, 480, 30.0)
                picture = picture_of(reader)
                off = worst(picture.rgb, expected)
                assert off <= LEVELS
                assert picture.alpha is None
                assert abs(time.monotonic_ns() - picture.captured_ns) < 1e9
            assert not shown(obs, "Image")
        sys.stdout.write(f"colours: off by {off}\n")

    @pytest.mark.parametrize(
        ("size", "fed"), [((1920, 1080), (640, 360)), ((801, 603), (636, 480)), ((100, 1000), (48, 480))]
    )
    def test_large_ones_are_reduced(
        self, obs: ObsStage, tmp_path: Path, size: tuple[int, int], fed: tuple[int, int]
    ):
        expected = stripes(tmp_path / "large.png", *size)
        name = f"Large {size}"  # a scene that is not shown keeps what was removed, and its name
        with (
            scene_with(obs, "image_source", name, file=str(tmp_path / "large.png")),
            aimed(obs, name) as reader,
        ):
            assert (reader.form.width, reader.form.height) == fed
            rgb = picture_of(reader).rgb
        columns = np.array_split(np.arange(fed[0]), len(PATCHES))
        for index, each in enumerate(columns):
            middle = each[len(each) // 2]
            there = round((middle + 0.5) * size[0] / fed[0])
            assert worst(rgb[:, middle], expected[0, there]) <= LEVELS, index

    def test_small_ones_and_half_transparent_ones_stay_as_they_are(self, obs: ObsStage):
        clear = colour_source(100, 60, 0x80_40_A0_20)  # alpha, blue, green, red
        with scene_with(obs, "color_source_v3", "Small", **clear), aimed(obs, "Small") as reader:
            assert (reader.form.width, reader.form.height) == (100, 60)
            colour = picture_of(reader).rgb
            sys.stdout.write(f"half transparent 32, 160, 64 is {colour[0, 0]}\n")
            assert worst(colour, np.array((0x20, 0xA0, 0x40))) <= LEVELS

    def test_what_stands_still_beats_and_is_seldom_written(self, obs: ObsStage):
        with (
            scene_with(obs, "color_source_v3", "Still", **colour_source(64, 64, 0xFF0000FF)),
            aimed(obs, "Still") as reader,
        ):
            picture_of(reader)
            written = reader.written
            beats = beats_in(reader, STANDS_S)
            assert beats >= 10 * STANDS_S
            assert 1 <= reader.written - written <= 2 * STANDS_S + 1

    def test_a_moving_picture_comes_as_often_as_obs_draws(self, obs: ObsStage):
        """A portrait, in a scene: it moves, and each picture says which it is."""
        with self.moving(obs), aimed(obs, "Moving") as reader:
            until(lambda: number_of(picture_of(reader).rgb) > 0, "it does not move")
            first, written, begin = number_of(picture_of(reader).rgb), reader.written, time.monotonic()
            time.sleep(3.0)
            seconds = time.monotonic() - begin
            picture = picture_of(reader)
            rate, shown = (reader.written - written) / seconds, number_of(picture.rgb) - first
            late_ms = (picture.rendered_ns - picture.captured_ns) / 1e6
            expected, _ = looked("counter", *CANVAS)
            assert worst(picture.rgb[BLOCK:], expected[BLOCK:]) <= LEVELS
        sys.stdout.write(f"{rate:.1f} pictures a second, {late_ms:.0f} ms after they were drawn\n")
        assert 5 < rate < 31.5
        assert shown > 10

    @contextmanager
    def moving(self, obs: ObsStage, *options: str) -> Iterator[None]:
        """The scene "Moving", with another portrait in it, fed by a writer."""
        if "Moving" not in [each["sceneName"] for each in obs.call("GetSceneList")["scenes"]]:
            obs.call("CreateScene", sceneName="Moving")
        path = str(obs.runtime / "moving.ring")
        writer = subprocess.Popen([sys.executable, str(WRITER), path, *options])
        try:
            with scene_with(obs, SOURCE, f"Mover {options}", "Moving", session="moving"):
                time.sleep(1.0)
                yield
        finally:
            writer.kill()
            writer.wait()

    def test_never_more_than_thirty_pictures_a_second_are_taken(self, obs: ObsStage):
        """And OBS may set up its picture anew meanwhile."""
        with self.moving(obs, "--fps", "60"), aimed(obs, "Moving") as reader:
            picture_of(reader)
            obs.call("SetVideoSettings", fpsNumerator=60, fpsDenominator=1)
            try:
                time.sleep(1.0)
                written, begin = reader.written, time.monotonic()
                time.sleep(2.0)
                rate = (reader.written - written) / (time.monotonic() - begin)
            finally:
                obs.call("SetVideoSettings", fpsNumerator=30, fpsDenominator=1)
            time.sleep(0.5)
            assert beats_in(reader, 0.5) > 3
        sys.stdout.write(f"{rate:.1f} pictures a second of an OBS that draws 60\n")
        assert 5 < rate < 31.5

    def test_a_film_comes_as_cameras_do(self, obs: ObsStage, tmp_path: Path):
        """Sources that give frames, as cameras do, are drawn in another way than those that draw."""
        rgb, _ = looked("counter", 640, 360)
        with av.open(str(tmp_path / "film.mkv"), "w") as film:
            stream = film.add_stream("ffv1", rate=30)
            stream.width, stream.height, stream.pix_fmt = 640, 360, "bgr0"
            for number in range(60):
                mark(rgb, number)
                film.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
            film.mux(stream.encode())
        file = {"local_file": str(tmp_path / "film.mkv"), "looping": True, "restart_on_activate": False}
        with scene_with(obs, "ffmpeg_source", "Film", **file), aimed(obs, "Film") as reader:
            assert (reader.form.width, reader.form.height) == (640, 360)
            first, written = picture_of(reader), reader.written
            time.sleep(1.5)
            moved = reader.written - written
            later = picture_of(reader)
            assert number_of(later.rgb) != number_of(first.rgb)
            off = worst(later.rgb[BLOCK:], rgb[BLOCK:])  # the first may be of before the first frame: black
        sys.stdout.write(f"film: {moved} pictures in 1.5 s, colours off by {off}\n")
        assert off <= LEVELS
        assert moved > 30

    def test_a_portrait_is_not_fed_to_itself_but_a_scene_with_it_does_no_harm(self, obs: ObsStage):
        aim(obs, "Portrait")
        until(lambda: "a portrait cannot drive itself" in obs.log(), "not refused")
        time.sleep(0.3)
        assert not socket_of(obs).exists()
        with aimed(obs, "Hidden") as reader:
            assert (reader.form.width, reader.form.height) == CANVAS
            picture_of(reader)
            assert beats_in(reader, 0.5) > 3

    def test_it_follows_a_source_that_is_renamed_removed_and_made_anew(self, obs: ObsStage):
        settings = colour_source(320, 200, 0xFF00FF00)
        with scene_with(obs, "color_source_v3", "First", "Scene", **settings):
            aim(obs, "First")
            with feed_of(obs) as reader:
                picture_of(reader)
                obs.call("SetInputName", inputName="First", newInputName="Second")
                assert beats_in(reader, 0.5) > 3
                time.sleep(0.2)
                obs.call("RemoveInput", inputName="Second")
                time.sleep(0.3)
                assert beats_in(reader, 0.5) == 0
                assert reader.newest() is None
                assert asked(socket_of(obs)) is None, "there is nothing to be had"
                assert socket_of(obs).exists()
        with scene_with(obs, "color_source_v3", "Second", "Scene", **settings):
            with feed_of(obs) as reader:
                assert worst(picture_of(reader).rgb, np.array((0, 255, 0))) <= LEVELS
                obs.call("SetInputSettings", inputName="Second", inputSettings={"width": 160})
                time.sleep(0.3)
                assert beats_in(reader, 0.3) == 0, "a ring of the size before"
            with feed_of(obs) as reader:
                assert reader.form.width == 160
                picture_of(reader)
            aim(obs, "")
            until(lambda: not socket_of(obs).exists(), "the socket is still there")

    def test_the_socket_is_this_users_alone_and_readers_cannot_write(self, obs: ObsStage):
        with (
            scene_with(obs, "color_source_v3", "Alone", **colour_source(64, 64, 0xFF0000FF)),
            aimed(obs, "Alone"),
        ):
            mode = socket_of(obs).stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600

    def test_nothing_is_drawn_or_kept_when_nobody_reads_any_more(self, obs: ObsStage):
        colour = colour_source(320, 240, 0xFF80FF40)
        with scene_with(obs, "color_source_v3", "Seen", **colour), aimed(obs, "Seen") as reader:
            picture_of(reader)
            slots = reader._slots._memory.slots
            assert any(slot.rgb.any() for slot in slots)
            reader.connection.close()
            until(lambda: not any(slot.rgb.any() for slot in slots), "the pictures are not wiped")
            with feed_of(obs) as another:
                picture_of(another)

    def test_aims_come_and_go_and_leave_nothing(self, obs: ObsStage):
        one, other = colour_source(640, 480, 0xFF123456), colour_source(320, 200, 0xFF654321)
        kind = "color_source_v3"
        with scene_with(obs, kind, "One", **one), scene_with(obs, kind, "Other", **other):
            self.aim_often(obs, 40)  # what OBS and its card's driver keep is kept by then
            before, files = obs.memory_mb(), self.open_files(obs)
            self.aim_often(obs, AIMS)
            after = obs.memory_mb()
            assert self.open_files(obs) == files
            assert not shown(obs, "One")
            assert not shown(obs, "Other")
        sys.stdout.write(f"{AIMS} aims: memory {before:.0f} to {after:.0f} MB\n")
        assert after - before < GROWTH_MB

    def aim_often(self, obs: ObsStage, times: int) -> None:
        for number in range(times):
            aim(obs, ("One", "Other")[number % 2])
            if number % 4 < 2:
                self.read_one(obs)
            if number % 4 != 1:
                aim(obs, "")
        aim(obs, "")
        until(lambda: not socket_of(obs).exists(), "the socket is still there")
        time.sleep(0.3)

    def read_one(self, obs: ObsStage) -> None:
        """One asked for just before the aim took effect is of the source before, and dead by now."""
        end = time.monotonic() + SOON_S
        while time.monotonic() < end:
            with feed_of(obs) as reader:
                for _ in range(20):
                    if reader.newest() is not None:
                        return
                    time.sleep(0.01)
        raise AssertionError("no picture came")

    def open_files(self, obs: ObsStage) -> list[str]:
        """Of ours."""
        links = [str(path.readlink()) for path in Path(f"/proc/{obs.obs.pid}/fd").iterdir()]
        return sorted(link for link in links if "streamfx" in link)

    @pytest.mark.parametrize("size", [(640, 480), (1280, 720), (1920, 1080)])
    def test_how_long_obs_is_held_is_told(self, obs: ObsStage, tmp_path: Path, size: tuple[int, int]):
        """Half of the time; the figures are logged at the end of the source that feeds."""
        file, name = tmp_path / "still.png", f"{size[0]}x{size[1]}"
        stripes(file, *size)
        with (
            scene_with(obs, "image_source", f"Still {name}", file=str(file)),
            scene_with(
                obs, SOURCE, "Timing", "Scene", feed_name=name, driver="obs", driver_source=f"Still {name}"
            ),
        ):
            readers: list[RingReader] = []
            path = obs.runtime / f"{name}.feed"
            until(lambda: readers.extend(filter(None, [asked(path)])) or readers, "no feed")
            with readers[0]:
                time.sleep(5.0)
        until(lambda: re.search(FIGURES.format(name), obs.log()), "no figures are logged", 10.0)
        found = re.search(FIGURES.format(name), obs.log())
        calls, first, longest, half, most = map(float, found.groups())
        sys.stdout.write(
            f"feed_render, {name}: {calls:.0f} calls, first {first:.2f} ms, "
            f"longest after it {longest:.2f} ms, p50 {half:.2f} ms, p99 {most:.2f} ms\n"
        )
        assert calls > 30

    def test_at_its_end_nothing_is_left(self, obs: ObsStage, tmp_path: Path):
        """No memory beyond what this OBS loses without the plugin, though it was feeding."""
        obs.add("color_source_v3", "Last", colour_source(320, 200, 0xFF00FF00))
        aim(obs, "Last")
        with feed_of(obs) as reader:
            picture_of(reader)
            log = obs.quit()
            assert reader.newest() is None
        assert not list(obs.runtime.glob("*.feed"))
        lost_anyway = leaks_without_plugins(tmp_path / "none")
        sys.stdout.write(f"memory leaks: {leaks(log)}, without the plugin {lost_anyway}\n")
        assert leaks(log) == lost_anyway


FIGURES = (
    r"{}: (\d+) calls of feed_render, first ([\d.]+) ms, longest after it ([\d.]+) ms, "
    r"half within ([\d.]+) ms, 99 of 100 within ([\d.]+) ms"
)
