"""Files decoded by an NVIDIA card: the same pictures at the same times, or the CPU's decoder instead.

Here the card is fake_card.c, which knows no codec, and draws the pictures of media.write_video by their
numbers; what surrounds it is FFmpeg's. With a card (STREAMFX_TEST_DEVICE=cuda) real pictures are compared.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from queue import SimpleQueue
from unittest.mock import Mock

import av
import fake_card
import media
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from scenes import store

from streamfx.driving.film import open_driver
from streamfx.driving.live import open_live
from streamfx.errors import SourceMissing
from streamfx.frames import Frame
from streamfx.settings.session import SessionSettings
from streamfx.source import open_source
from streamfx.source.file import FileSource
from streamfx.source.picture import RgbConverter
from streamfx.source.reading import CARD, Reading, planar
from streamfx.telemetry import StageTimer
from streamfx.worker.driving import Driving
from streamfx.worker.loop import Worker
from streamfx.worker.protocol import WorkerConfig

IN_ORDER = {"bf": "0"}
"""Each picture follows from those before it: the fake card counts in the order of decoding."""
ON_CARD = os.environ.get("STREAMFX_TEST_DEVICE") == "cuda"


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_card.build(tmp_path_factory.mktemp("card"))


def by_cpu(path: Path) -> list[Frame]:
    with open_source(path) as source:
        return list(source)


def check_same(told: dict, path: Path, most: int) -> None:
    """What was read with a card, against the CPU's reading: all of it but the pixels to the last bit."""
    with open_source(path) as source:
        frames = list(source)
    info, seen = source.info, fake_card.pictures(path)
    assert [told[name] for name in ("width", "height", "fps", "frames", "rotation", "codec")] == [
        info.width, info.height, info.fps, info.frames, info.rotation, info.codec,
    ]  # fmt: skip
    assert told["times"] == [frame.captured_ns for frame in frames]
    assert told["epochs"] == [frame.epoch for frame in frames]
    for mine, frame in zip(seen, frames, strict=True):
        assert mine.shape == frame.rgb.shape
        assert np.abs(mine.astype(int) - frame.rgb).mean() <= most


FILMS = {
    "a.mp4": {"count": 30},
    "longer than the decoder's surfaces.mp4": {"count": 80},
    "cropped below.mp4": {"size": (320, 180)},
    "turned.mp4": {"rotation": 90},
    "mirrored.mp4": {"hflip": True},
    "uneven times.mkv": {"pts": [0, 40, 45, 200, 1000, 1001]},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "bframes=0:log-level=0"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {}},
    "stream.ts": {"sound_s": 0.4},
}


def test_a_card_gives_what_the_cpu_gives(card: Path, tmp_path: Path):
    films = [
        media.write_video(tmp_path / name, **{"options": IN_ORDER, **how}) for name, how in FILMS.items()
    ]
    films.append(media.write_size_change(tmp_path / "change.ts"))
    for film, told in zip(films, fake_card.read(card, *films), strict=True):
        assert told["decoder"] == CARD, film
        assert told["damaged_packets"] == 0
        check_same(told, film, most=7)
        assert (told["live_contexts"], told["live_decoders"]) == (0, 0), "all of it is given back"


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (640, 360)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p"])
def test_a_cards_layout_makes_the_same_colours(size: tuple[int, int], pix_fmt: str):
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    expected = av.VideoFrame.from_ndarray(noise, "rgb24").reformat(format=pix_fmt)
    expected.color_range = 2 if pix_fmt == "yuvj420p" else 1
    given = av.VideoFrame(*size, "nv12")
    y, u, v = (
        np.frombuffer(one, np.uint8).reshape(one.height, -1)[:, : one.width] for one in expected.planes
    )
    for plane, rows in zip(given.planes, (y, np.dstack([u, v]).reshape(len(u), -1)), strict=True):
        filled = np.zeros((plane.height, plane.line_size), np.uint8)
        filled[: len(rows), : rows.shape[1]] = rows
        plane.update(filled.tobytes())
    given.color_range = expected.color_range
    there = RgbConverter().convert(planar(given, VideoReformatter()))
    assert np.array_equal(there, RgbConverter().convert(expected))


def test_the_range_of_brightness_is_the_streams(card: Path, tmp_path: Path):
    """The fake card always draws white as 235: black is 16 there, or in full range 0."""
    for pix_fmt, white in (("yuv420p", 255), ("yuvj420p", 235)):
        film = media.write_video(tmp_path / f"{pix_fmt}.mp4", 2, pix_fmt=pix_fmt, options=IN_ORDER)
        assert fake_card.read(card, film)[0]["decoder"] == CARD
        assert abs(int(fake_card.pictures(film)[0][4, 4, 0]) - white) <= 1


def test_what_a_card_does_not_decode_the_cpu_does(card: Path, tmp_path: Path):
    films = {
        "ten bits.mp4": {"pix_fmt": "yuv420p10le"},
        "colour in every pixel.mp4": {"pix_fmt": "yuv444p"},
        "not defined to the bit.avi": {"codec": "mpeg4"},
        "without a decoder.mkv": {"codec": "ffv1"},
    }
    made = [media.write_video(tmp_path / name, 6, **how) for name, how in films.items()]
    made.append(cropped_at_left(tmp_path / "left.h264"))
    for film, told in zip(made, fake_card.read(card, *made), strict=True):
        assert told["decoder"] == "software", film
        check_same(told, film, most=0)
        assert told["live_contexts"] == 0


def cropped_at_left(path: Path) -> Path:
    """H.264 whose pictures begin 64 columns in: FFmpeg leaves those to whoever takes pictures off a card."""
    whole = media.write_video(path.with_name("whole.h264"), 5, size=(192, 48), options=IN_ORDER)
    with av.open(str(whole)) as film, path.open("wb") as file:
        stream = film.streams.video[0]
        cut = av.BitStreamFilterContext("h264_metadata=crop_left=64", stream)
        for packet in film.demux(stream):
            for piece in cut.filter(packet if packet.size else None):
                file.write(bytes(piece))
    assert by_cpu(path)[0].rgb.shape == (48, 128, 3)
    return path


@pytest.mark.parametrize(("behaviour", "given"), [("no-decoder", 0), ("fails:0", 0), ("fails:7", 7)])
def test_where_a_card_fails_the_cpu_goes_on(card: Path, tmp_path: Path, behaviour: str, given: int):
    film = media.write_video(tmp_path / "a.mp4", 20, options=IN_ORDER)
    (told,) = fake_card.read(card, film, behaviour=behaviour)
    assert told["decoder"] == "software"
    assert told["decoded"] == 20
    check_same(told, film, most=7)
    for mine, frame in list(zip(fake_card.pictures(film), by_cpu(film), strict=True))[given:]:
        assert np.array_equal(mine, frame.rgb)


@pytest.mark.parametrize(("behaviour", "decoder", "most"), [("", CARD, 9), ("fails:3", "software", 2)])
def test_rounds_hold_two_decoders_at_most(
    card: Path, tmp_path: Path, behaviour: str, decoder: str, most: int
):
    film = media.write_video(tmp_path / "a.mp4", 8, options=IN_ORDER)
    (told,) = fake_card.read(card, film, behaviour=behaviour, rounds=60)
    assert (told["decoded"], told["decoder"]) == (60, decoder)
    numbers = [media.number_of(picture) for picture in fake_card.pictures(film)]
    assert numbers == [n % 8 for n in range(60)]
    assert told["most_contexts"] <= 2
    assert told["made_contexts"] <= most, "a card that failed is not asked again and again"
    assert (told["live_contexts"], told["live_decoders"]) == (0, 0)


# -- without a card ------------------------------------------------------------------------------------------


@pytest.mark.skipif(ON_CARD, reason="there is a card")
def test_without_a_card_a_real_film_is_decoded_by_the_cpu(tmp_path: Path):
    film = media.write_video(tmp_path / "a.mp4", 30, size=(320, 180), rotation=90, sound_s=0.5)
    with open_source(film, hardware=True) as source:
        frames = list(source)
    assert source.statistics.decoder == "software"
    for mine, frame in zip(frames, by_cpu(film), strict=True):
        assert np.array_equal(mine.rgb, frame.rgb)
        assert (mine.captured_ns, mine.seq, mine.epoch) == (frame.captured_ns, frame.seq, frame.epoch)


def test_no_other_hardware_is_taken_for_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """PyAV takes whatever there is if it does not know the name: on a Mac that would be another decoder."""
    monkeypatch.setattr("streamfx.source.reading.hwdevices_available", lambda: ["videotoolbox"])
    monkeypatch.setattr("streamfx.source.reading.HWAccel", lambda *_, **__: pytest.fail("asked for"))
    with open_source(media.write_video(tmp_path / "a.mp4", 3), hardware=True) as source:
        assert len(list(source)) == 3
        assert source.statistics.decoder == "software"


# -- damage --------------------------------------------------------------------------------------------------


def test_damage_is_told_in_the_same_words_whoever_decodes(card: Path, tmp_path: Path):
    intact = media.write_video(tmp_path / "i.mp4", 30)
    films = [
        media.write_damaged(
            tmp_path / "no pictures.mp4", intact, slice(48, intact.read_bytes().find(b"moov") - 8)
        ),
        media.write_sound(tmp_path / "sound.m4a"),
        tmp_path / "missing.mp4",
        tmp_path / "text.mp4",
        tmp_path / "cut.mp4",
    ]
    films[3].write_text("not a video\n" * 50)
    films[4].write_bytes(intact.read_bytes()[: intact.stat().st_size // 2])
    for where in (card, None):
        for film, told in zip(films, fake_card.read(where, *films), strict=True):
            with pytest.raises(Exception, match=r".") as expected:
                by_cpu(film)
            assert told["error"] == f"{expected.type.__name__}: {expected.value}"


def test_damage_in_the_middle_is_read_by_the_cpu(card: Path, tmp_path: Path):
    how = {"size": (128, 96), "options": {"g": "5", "tune": "zerolatency"}}
    intact = media.write_video(tmp_path / "i.mp4", 60, **how)
    middle = intact.stat().st_size // 2
    film = media.write_damaged(tmp_path / "d.mp4", intact, slice(middle, middle + 300))
    with open_source(film) as source:
        frames = list(source)
    (told,) = fake_card.read(card, film)
    assert told["damaged_packets"] == source.statistics.damaged_packets > 0
    assert told["times"] == [frame.captured_ns for frame in frames]
    assert told["decoder"] == "software"


# -- on a card -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    not ON_CARD, reason="needs an NVIDIA card (STREAMFX_TEST_DEVICE=cuda, scripts/check-cuda)"
)
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9"])
def test_a_real_card_gives_the_cpus_pictures_to_the_bit(tmp_path: Path, codec: str):
    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    film = media.write_video(tmp_path / "a.mkv", 12, codec=codec, size=(640, 360), picture=noise)
    Reading(film, 20.0, by_card=True).close()
    with open_source(film, hardware=True) as source:
        frames = list(source)
    assert source.statistics.decoder == CARD
    for mine, frame in zip(frames, by_cpu(film), strict=True):
        assert np.array_equal(mine.rgb, frame.rgb)
        assert mine.captured_ns == frame.captured_ns


# -- the way there -------------------------------------------------------------------------------------------


def test_the_device_decides_what_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From an order, from the command line: the same file, asked for by the card or not."""
    film, asked = media.write_video(tmp_path / "a.mp4", 3), list[bool]()

    class Spy(FileSource):
        def __init__(self, path: Path, *limits: float, hardware: bool = False) -> None:
            asked.append(hardware)
            super().__init__(path, *limits, hardware=hardware)

    for place in ("streamfx.source.FileSource", "streamfx.source.looped.FileSource"):
        monkeypatch.setattr(place, Spy)
    for hardware in (True, False):
        asked.clear()
        open_live(str(film), store(), StageTimer(), hardware).close()
        with open_driver(str(film), store(), StageTimer(), hardware=hardware):
            pass
        assert asked == [hardware] * 2


def test_an_orders_device_reaches_what_drives(monkeypatch: pytest.MonkeyPatch):
    opened: SimpleQueue[tuple[object, ...]] = SimpleQueue()

    def open_nothing(*how: object) -> None:
        opened.put(how)
        raise SourceMissing("none")

    monkeypatch.setattr("streamfx.worker.driving.open_live", open_nothing)
    driving = Driving(store(), StageTimer(), lambda _: None, nullcontext())
    worker = object.__new__(Worker)
    worker._driving, worker._pool = driving, Mock()
    for device, hardware in (("cuda", True), ("cpu", False)):
        worker._follow(WorkerConfig(SessionSettings(source=f"{device}.mp4", device=device)))
        while (how := opened.get(timeout=10))[0] != f"{device}.mp4":
            pass
        assert how[3] is hardware
    driving.stop()
