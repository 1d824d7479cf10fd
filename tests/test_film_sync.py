"""Pictures and sound of a film are in step, whatever the clocks of the driver's file do.

The drivers flash while a tone sounds (flashes.py); a few real faces speak.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import flashes
import media
import numpy as np
import pytest
from flashes import Change, Clip, film_of, lag, look, write
from scenes import photo, shared, store

from streamfx.__main__ import main
from streamfx.cli.film import driver_line
from streamfx.driving.film import Account, open_driver
from streamfx.errors import SourceUnreadable
from streamfx.sink.film import FilmWriter
from streamfx.source import open_source
from streamfx.telemetry import StageTimer
from streamfx.track.landmarker import FaceTracker

SECONDS = 2.4
FAST_VP9 = {"deadline": "realtime", "cpu-used": "8"}
IN_ORDER = {"preset": "ultrafast", "bf": "0"}


def moved(by_s: float, from_s: float = -1e9, only: str = "") -> Change:
    """Moves the packets from a time on, of one track or of both."""

    def change(packet: av.Packet) -> bool:
        if float(packet.dts * packet.time_base) >= from_s and packet.stream.type.startswith(only):
            shift = round(by_s / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        return True

    return change


def joined(path: Path, *clips: Clip) -> Path:
    """MPEG-TS files, one behind the other: each begins with the same stamps."""
    parts = [write(path.with_suffix(f".{n}.ts"), clip) for n, clip in enumerate(clips)]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def renumbered(path: Path, **container: object) -> Path:
    """Two MPEG-TS files, one behind the other, the second with other numbers of its tracks or programme."""
    parts = [
        write(path.with_suffix(".0.ts"), CLIP),
        write(path.with_suffix(".1.ts"), Clip(**SECOND), **container),
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


OTHER_PROGRAMME = {"mpegts_start_pid": "512", "mpegts_pmt_start_pid": "4352", "mpegts_service_id": "7"}


def with_repeats(path: Path) -> Path:
    """Theora: where nothing changes packets are empty (there is no encoder of it in PyAV)."""
    shutil.copy(Path(__file__).parent / "golden" / "flashes.ogv", path)
    return path


def twice(path: Path) -> Path:
    """A film, and the same once more behind it."""
    data = write(path, Clip(SECONDS, rate=44_100)).read_bytes()
    path.write_bytes(data + data)
    return path


def between_key_frames(path: Path) -> Path:
    """A recording that begins in the middle of a group of pictures: none can be decoded before the next."""
    options = {"preset": "ultrafast", "g": "40", "sc_threshold": "0", "bf": "2"}
    data = write(path, Clip(seconds=4, options=options)).read_bytes()
    path.write_bytes(data[len(data) // 5 // 188 * 188 :])
    return path


def jittering(fps: float, seconds: float) -> list[float]:
    """Whole milliseconds, up to 12 ms late."""
    late = np.random.default_rng(1).random(round(fps * seconds)) * 0.012
    return [np.floor(1000 * (n / fps + extra)) / 1000 for n, extra in enumerate(late)]


def phone(seconds: float) -> list[float]:
    """30 pictures a second, and 13 in the dark."""
    times = [0.0]
    while times[-1] < seconds:
        times.append(times[-1] + (1 / 13 if 1 < times[-1] < 1.5 else 1 / 30))
    return times[:-1]


CLIP = Clip(seconds=SECONDS)
SECOND = {"seconds": SECONDS, "begin": SECONDS}
DRIVERS: dict[str, tuple[Callable[[Path], Path], float, float]] = {
    # the container, how long its film is, and how fast
    "plain.mp4": (lambda p: write(p, CLIP), SECONDS, 25),
    "pcm.mov": (lambda p: write(p, Clip(SECONDS, sound="pcm_s16le")), SECONDS, 25),
    "flac.mkv": (lambda p: write(p, Clip(SECONDS, sound="flac")), SECONDS, 25),
    "vp9.webm": (
        lambda p: write(p, Clip(SECONDS, codec="libvpx-vp9", sound="libopus", options=FAST_VP9)), SECONDS, 25,
    ),
    "in order.avi": (lambda p: write(p, Clip(SECONDS, sound="mp3", options=IN_ORDER)), SECONDS, 25),
    "reordered.avi": (lambda p: write(p, Clip(SECONDS, sound="mp3")), SECONDS, 25),
    "all key frames.avi": (
        lambda p: write(p, Clip(SECONDS, codec="ffvhuff", sound="pcm_s16le", options={})), SECONDS, 25,
    ),
    "theora.ogv": (with_repeats, 2.12, 25),
    "turned.mp4": (lambda p: write(p, Clip(SECONDS, rotation=90)), SECONDS, 25),
    "phone.3gp": (
        lambda p: write(
            p, Clip(SECONDS, codec="h263", size=(128, 96), options={}, sound="amr_nb", rate=8000)
        ),
        SECONDS, 25,
    ),
    "without cues.mkv": (lambda p: write(p, CLIP, container_options={"live": "1"}), SECONDS, 25),
    "stream.ts": (lambda p: write(p, CLIP), SECONDS, 25),
    "program.mpg": (
        lambda p: write(p, Clip(SECONDS, codec="mpeg2video", sound="mp2", options={"bf": "2"})), SECONDS, 25,
    ),
    "flash.flv": (lambda p: write(p, Clip(SECONDS, rate=44_100)), SECONDS, 25),
    "in fragments.mp4": (
        lambda p: write(p, CLIP, container_options={"movflags": "frag_keyframe+empty_moov"}), SECONDS, 25,
    ),
    "edit list.mp4": (lambda p: write(p, CLIP, moved(0.6, only="video")), SECONDS, 25),
    "begins between key frames.ts": (between_key_frames, 2.4, 25),
    "wraps around.ts": (lambda p: write(p, CLIP, moved(2**33 / 90_000 - 2.6)), SECONDS, 25),
    "hole of 97 s.mkv": (lambda p: write(p, CLIP, moved(97, 1.2)), SECONDS, 25),
    "hole of 97 s.mp4": (lambda p: write(p, CLIP, moved(97, 1.2)), SECONDS, 25),
    "hole of 10 s.mkv": (lambda p: write(p, CLIP, moved(10, 1.2)), SECONDS + 10, 25),
    "camera off.mkv": (
        lambda p: write(p, Clip(64.4, times=[n / 25 for n in (*range(30), *range(1560, 1610))])), 64.4, 25,
    ),
    "joined.ts": (lambda p: joined(p, CLIP, Clip(**SECOND)), 2 * SECONDS, 25),
    "joined, other sound.ts": (
        lambda p: joined(p, CLIP, Clip(**SECOND, rate=32_000, layout="stereo")), 2 * SECONDS, 25,
    ),
    "joined, other codec.ts": (lambda p: joined(p, CLIP, Clip(**SECOND, sound="mp2")), 2 * SECONDS, 25),
    "joined, surround.ts": (
        lambda p: joined(p, CLIP, Clip(**SECOND, sound="ac3", layout="5.1")), 2 * SECONDS, 25,
    ),
    "joined, other pictures.ts": (
        lambda p: joined(p, CLIP, Clip(**SECOND, codec="mpeg2video", options={})), 2 * SECONDS, 25,
    ),
    "joined, no sound at first.ts": (
        lambda p: joined(p, Clip(SECONDS, sound_to=0.3), Clip(**SECOND)), 2 * SECONDS, 25,
    ),
    "joined, other numbers.ts": (
        lambda p: renumbered(p, container_options={"mpegts_start_pid": "512"}), 2 * SECONDS, 25,
    ),
    "many pieces.ts": (
        lambda p: joined(p, *(Clip(1.2, begin=1.2 * n, options=IN_ORDER) for n in range(4))), 4.8, 25,
    ),
    "late sound.mp4": (lambda p: write(p, Clip(SECONDS, sound_from=1)), SECONDS, 25),
    "long sound.mp4": (lambda p: write(p, Clip(SECONDS, sound_to=6)), SECONDS, 25),
    "late pictures.mkv": (
        lambda p: write(p, Clip(SECONDS, times=[0.8 + n / 25 for n in range(40)])), 1.6, 25,
    ),
    "browser.webm": (
        lambda p: write(
            p,
            Clip(SECONDS, times=jittering(30, SECONDS), codec="libvpx", sound="libopus", options=FAST_VP9,
                 ticks=1000),
            container_options={"live": "1"},
        ),
        SECONDS, 30,
    ),
    "phone.mp4": (lambda p: write(p, Clip(SECONDS, times=phone(SECONDS), ticks=90_000)), SECONDS, 30),
}  # fmt: skip


JUDGED = {
    "hole of 10 s.mkv": 11.2,
    "camera off.mkv": 62.4,
    "joined, no sound at first.ts": SECONDS + 0.1,
    "late sound.mp4": 1.1,
}
"""From where on there are pictures and sound; elsewhere they are there from the beginning."""
APART = {"edit list.mp4": -0.6}
"""By how many seconds the driver's own sound is later than its pictures, if it is."""


@pytest.mark.parametrize("name", DRIVERS)
def test_flashes_and_tones_are_at_most_a_picture_apart(tmp_path: Path, name: str):
    make, seconds, rate = DRIVERS[name]
    fps, frames = film_of(make(tmp_path / name), tmp_path / "film.mkv")
    light, tone = look(tmp_path / "film.mkv", JUDGED.get(name, 0.0))

    apart, alike = lag(light, tone)

    assert fps == pytest.approx(rate, rel=0.1)
    assert frames / fps == pytest.approx(seconds, abs=0.15)
    assert apart == pytest.approx(APART.get(name, 0), abs=0.9 / fps)
    assert alike > 0.8, alike


@pytest.mark.parametrize("name", ["plain.mp4", "hole of 97 s.mkv", "hole of 97 s.mp4", "joined.ts"])
def test_the_bar_ends_where_the_film_does(tmp_path: Path, name: str):
    """Also where the file's clock is longer, or shorter."""
    path = DRIVERS[name][0](tmp_path / name)
    with open_driver(str(path), store(), StageTimer()) as driver, closing(driver.motions()) as motions:
        made = sum(1 for _ in motions)
        assert driver.expected == pytest.approx(made, abs=3)


@pytest.mark.parametrize(
    ("name", "make", "share"),
    [
        ("programme.ts", lambda p: renumbered(p, container_options=OTHER_PROGRAMME), 0.5),
        ("twice.mp4", twice, 0.5),
        ("twice.flv", twice, 0.5),
        ("once.mp4", lambda p: write(p, CLIP), 0.0),
        ("numbers.ts", lambda p: renumbered(p, container_options={"mpegts_start_pid": "512"}), 0.0),
    ],
)
def test_a_joined_film_that_is_not_read_is_told(tmp_path: Path, name: str, make: Callable, share: float):
    with open_source(make(tmp_path / name)) as source:
        pictures = sum(1 for _ in source)
        assert source.statistics.unread == pytest.approx(share, abs=0.02)
        account = Account(pictures, pictures, 0, source.statistics)
    line = driver_line(SimpleNamespace(name=name), SimpleNamespace(account=account))
    assert line.endswith("% of the file are another film, joined to this one") == bool(share), line


def without_sound(path: Path, begin_s: float = 0.0) -> Path:
    """Every sound packet from a time on is noise that no decoder takes."""

    def change(packet: av.Packet) -> bool:
        if packet.stream.type == "audio" and float(packet.pts * packet.time_base) >= begin_s:
            packet.update(bytes(np.random.default_rng(3).integers(0, 16, packet.size, np.uint8)))
        return True

    return write(path, CLIP, change)


def test_sound_that_breaks_off_is_silent_from_there_on_and_told(tmp_path: Path):
    path = without_sound(tmp_path / "broken.mkv", 1.0)
    with open_source(path) as source, source.sound() as sound:
        heard = np.hstack([block.samples[0] for block in sound])
    assert len(heard) / sound.rate == pytest.approx(1.0, abs=0.05)
    assert sound.lost_s == pytest.approx(SECONDS - 1.0, abs=0.1)
    film_of(path, tmp_path / "film.mkv")
    _, tone = look(tmp_path / "film.mkv")
    assert tone[400:].max() < 0.05


def test_sound_that_cannot_be_decoded_at_all_is_said_so(tmp_path: Path):
    with (
        open_source(without_sound(tmp_path / "none.mkv")) as source,
        pytest.raises(SourceUnreadable, match=r"sound of .* cannot be decoded \(aac\)"),
    ):
        source.sound()


def test_a_jump_of_the_clock_begins_an_epoch(tmp_path: Path):
    """Nothing is interpolated over it, and filters begin anew."""
    with open_source(joined(tmp_path / "joined.ts", CLIP, Clip(**SECOND))) as source:
        frames = list(source)
    assert [frame.epoch for frame in frames] == [0] * 60 + [1] * 60
    assert source.statistics.repaired_timestamps == 1


@pytest.mark.parametrize("codecs", [("libx264", "mpeg2video"), ("mpeg2video", "libx264")])
@pytest.mark.parametrize("reordered", ["0", "2"])
def test_no_picture_is_lost_where_a_joined_file_changes_its_codec(
    tmp_path: Path, codecs: tuple[str, str], reordered: str
):
    """Whether the decoder refuses what is not its own, or takes it in silence."""
    options = {"g": "12", "bf": reordered}
    fast = {"libx264": {"preset": "ultrafast"}, "mpeg2video": {}}
    first, second = (
        Clip(SECONDS, begin=SECONDS * n, codec=codec, options=options | fast[codec])
        for n, codec in enumerate(codecs)
    )
    with open_source(joined(tmp_path / "joined.ts", first, second)) as source:
        times = [frame.captured_ns / 1e9 for frame in source]
        assert source.statistics.damaged_packets <= 4
    assert 118 <= len(times) <= 120
    assert max(np.diff(times)) < 0.25
    assert times[-1] == pytest.approx(2 * SECONDS, abs=0.1)


@pytest.mark.parametrize("rate", [11_025, 44_100, 96_000])
@pytest.mark.parametrize("fps", [Fraction(30_000, 1001), 23])
def test_pieces_of_sound_fit_any_rate_of_pictures(tmp_path: Path, rate: int, fps: Fraction | int):
    path = write(tmp_path / "a.mkv", Clip(SECONDS, sound="flac", rate=rate))
    with (
        open_source(path) as source,
        source.sound() as sound,
        FilmWriter(tmp_path / "film.mp4", flashes.SIZE, fps, sound=sound) as film,
    ):
        for _ in range(round(SECONDS * fps)):
            film.write(media.rendered(np.zeros((48, 64, 3), np.uint8)))
    _, samples, kept = media.read_sound(tmp_path / "film.mp4")
    assert len(samples) / kept == pytest.approx(SECONDS, abs=0.05)


# -- real faces ----------------------------------------------------------------------------------------------


def real_clip(path: Path, options: dict[str, str], begin: float = 0.0, end: float = 7.0) -> Path:
    """A piece of somebody speaking, encoded anew, smaller."""
    clip = shared("driving/lp_d20.mp4")
    with av.open(str(clip)) as source, av.open(str(path), "w") as film:
        pictures = film.add_stream("libx264", rate=25, options={"preset": "ultrafast", **options})
        pictures.width = pictures.height = 320
        pictures.pix_fmt = "yuv420p"
        sound = film.add_stream("aac", rate=44_100)
        for frame in source.decode(video=0, audio=0):
            if begin <= frame.time < end:
                frame.pts -= round(begin / frame.time_base)
                is_picture = isinstance(frame, av.VideoFrame)
                frame = frame.reformat(320, 320, "yuv420p") if is_picture else frame
                film.mux((pictures if is_picture else sound).encode(frame))
        film.mux(pictures.encode(None))
        film.mux(sound.encode(None))
    return path


def lips(path: Path) -> np.ndarray:
    """f32 [T]: how far they are apart, every 10 ms from the first picture on, in distances of the eyes."""
    times, gaps = [], []
    with open_source(path) as source, FaceTracker(store().path("face_landmarker")) as tracker:
        for frame in source:
            track = tracker.track(frame)
            if track is not None:
                at = track.landmarks[:, :2]
                times.append(frame.captured_ns / 1e9)
                gaps.append(np.linalg.norm(at[13] - at[14]) / np.linalg.norm(at[33] - at[263]))
    return np.interp(np.arange(0, times[-1], 0.01), times, gaps)


def loudness(path: Path) -> np.ndarray:
    """f32 [T]: of its sound, every 10 ms from the first picture on."""
    with av.open(str(path)) as film:
        first = next(film.decode(video=0)).time
    with av.open(str(path)) as film:
        frames = list(film.decode(audio=0))
    rate = frames[0].sample_rate
    loud = np.zeros(round(20 * rate))
    for frame in frames:
        place = round((frame.time - first) * rate)
        if place >= 0:
            loud[place : place + frame.samples] = frame.to_ndarray()[0] ** 2
    step = rate // 100
    return np.sqrt(loud[: len(loud) // step * step].reshape(-1, step).mean(axis=1))


def real_between_key_frames(path: Path) -> Path:
    data = real_clip(path, {"g": "75", "sc_threshold": "0", "bf": "2"}).read_bytes()
    path.write_bytes(data[len(data) // 4 // 188 * 188 :])
    return path


def real_joined(path: Path) -> Path:
    parts = [real_clip(path.with_suffix(f".{n}.ts"), {}, 2.0 * n, 2.0 * n + 2) for n in range(2)]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(("make", "begins"), [(real_between_key_frames, 3.0), (real_joined, 0.0)])
def test_a_portraits_lips_and_sound_are_its_drivers(
    tmp_path: Path, make: Callable[[Path], Path], begins: float
):
    driver, film = make(tmp_path / "driver.ts"), tmp_path / "film.mp4"
    fast = ["--audio", "--size", "320x320", "--refine", "off", "--mouth", "procedural", "-y"]
    assert main(["render", str(photo()), str(driver), "-o", str(film), *fast]) == 0
    clip = real_clip(tmp_path / "clip.mkv", {})
    begin = round(100 * begins)

    def later(measure: Callable[[Path], np.ndarray]) -> float:
        seen, truth = measure(film), measure(clip)[begin:]
        size = min(len(seen), len(truth), 390)
        return lag(truth[:size], seen[:size], step_s=0.01)[0]

    by_lips, by_sound = later(lips), later(loudness)
    assert abs(by_lips) <= 0.04
    assert abs(by_sound) <= 0.04
    assert abs(by_lips - by_sound) <= 0.04
