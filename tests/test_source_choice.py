"""What of a file is its video: the moving track and its sound, interlaced pictures made whole, the rate."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import media
import numpy as np
import pytest
from av.stream import Disposition
from fields import write_fields

from streamfx.media import codec_of
from streamfx.source import open_source
from streamfx.source.tracks import rate_of

Tracks = list[tuple[str, int, Disposition]]
"""Of each: its encoder, how many pictures or blocks, and what the file says that it is for."""


def write_tracks(path: Path, tracks: Tracks) -> Path:
    """Video tracks of grey pictures, each 16 px wider than the last, and sound tracks of higher tones."""
    with av.open(str(path), "w") as film:
        streams = []
        for number, (codec, _, disposition) in enumerate(tracks):
            stream = film.add_stream(codec, rate=25 if _is_video(codec) else 48_000)
            if _is_video(codec):
                stream.width, stream.height = 64 + 16 * number, 48
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            else:
                stream.codec_context.layout = "mono"
            stream.disposition = disposition
            streams.append(stream)
        film.start_encoding()
        packets = []
        for number, (stream, (codec, count, _)) in enumerate(zip(streams, tracks, strict=True)):
            make = _grey if _is_video(codec) else _tone
            for n in range(count):
                packets += stream.encode(make(stream, number, n))
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            film.mux(packet)
    return path


def _is_video(codec: str) -> bool:
    return codec in ("libx264", "mjpeg", "png")


def _grey(stream: av.VideoStream, _: int, n: int) -> av.VideoFrame:
    rgb = np.full((stream.height, stream.width, 3), 20 + n, np.uint8)
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=stream.pix_fmt)
    frame.pts, frame.time_base = n, Fraction(1, 25)
    return frame


def _tone(_: av.AudioStream, number: int, n: int) -> av.AudioFrame:
    samples = (960 * n + np.arange(960)) * 2 * np.pi * 200 * (number + 1) / 48_000
    frame = av.AudioFrame.from_ndarray((0.5 * np.sin(samples)).astype(np.float32)[None], "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, 960 * n, Fraction(1, 48_000)
    return frame


NONE, DEFAULT = Disposition(0), Disposition.default
VIDEO, STILL = ("libx264", 40, NONE), ("mjpeg", 1, NONE)
SOUND = ("aac", 80, NONE)


@pytest.mark.parametrize(
    ("name", "tracks", "video", "sound"),
    [
        ("still.mp4", [STILL, VIDEO, SOUND], 1, 2),
        ("still.mkv", [("mjpeg", 1, DEFAULT), VIDEO, SOUND], 1, 2),
        ("cover.mp4", [("mjpeg", 1, Disposition.attached_pic), VIDEO, SOUND], 1, 2),
        ("slides.mkv", [("mjpeg", 3, DEFAULT), VIDEO], 1, None),
        ("second.mkv", [VIDEO, ("libx264", 40, DEFAULT), SOUND], 1, 2),
        ("first.mkv", [("libx264", 40, DEFAULT), VIDEO, SOUND], 0, 2),
        ("dubbed.mkv", [VIDEO, SOUND, ("aac", 80, DEFAULT)], 0, 2),
        ("described.mkv", [VIDEO, ("aac", 80, Disposition.visual_impaired), SOUND], 0, 2),
        ("empty.mkv", [VIDEO, ("aac", 0, DEFAULT), SOUND], 0, 2),
        ("photo.mp4", [("mjpeg", 1, NONE)], 0, None),
    ],
)
def test_the_video_is_what_moves_and_its_sound_what_players_choose(
    tmp_path: Path, name: str, tracks: Tracks, video: int, sound: int | None
):
    with open_source(write_tracks(tmp_path / name, tracks)) as source:
        frames = list(source)
        assert source.info.width == 64 + 16 * video
        assert len(frames) == tracks[video][1]
        reader = source.sound()
        assert (reader is None) == (sound is None)
        if reader is not None:
            with reader:
                heard = np.hstack([block.samples[0] for block in reader])[4800:14_400]
            peak = np.argmax(abs(np.fft.rfft(heard))) * reader.rate / len(heard)
            assert peak == pytest.approx(200 * (sound + 1), abs=10)


def _woven(begin: int, height: int = 96, first: int = 0) -> np.ndarray:
    """A bar that moves 6 px from one field to the next, the upper rows first, or the lower ones."""
    rgb = np.full((height, 128, 3), 40, np.uint8)
    for row in (0, 1):
        left = (12 * begin + 6 * (row ^ first)) % 96
        rgb[row::2, left : left + 24] = 220
    return rgb


def _still(begin: int, height: int = 96) -> np.ndarray:
    rgb = np.full((height, 128, 3), 40, np.uint8)
    left = (12 * begin) % 96
    rgb[:, left : left + 24] = 220
    return rgb


def _combed(rgb: np.ndarray) -> float:
    """How far rows differ from both their neighbours, in grey levels on average."""
    grey = rgb.mean(axis=2).astype(float)
    return float(np.maximum(0, np.minimum(abs(grey[1:-1] - grey[:-2]), abs(grey[1:-1] - grey[2:]))).mean())


def _pictures(path: Path, shown: list[np.ndarray], codec: str, options: dict[str, str]) -> Path:
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = shown[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for rgb in shown:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        film.mux(stream.encode(None))
    return path


INTERLACED = {
    "h.mp4": ("libx264", {"x264-params": "tff=1", "bf": "0", "crf": "12"}),
    "m.mkv": ("mpeg2video", {"flags": "+ildct+ilme", "q": "2", "top": "1", "bf": "0"}),
}


def assert_made_whole(path: Path) -> None:
    """Of twenty interlaced pictures, 25 a second: no comb is left, and each is at its time."""
    assert min(_combed(picture) for picture in media.read_video(path)[2:-2]) > 8
    with open_source(path) as source:
        frames = list(source)
    assert max(_combed(frame.rgb) for frame in frames[1:]) < 3
    assert [frame.captured_ns for frame in frames] == [40_000_000 * n for n in range(20)]
    assert source.info.fps == 25


@pytest.mark.parametrize("name", INTERLACED)
def test_interlaced_pictures_are_made_whole(tmp_path: Path, name: str):
    codec, options = INTERLACED[name]
    path = _pictures(tmp_path / name, [_woven(n) for n in range(20)], codec, options)
    assert_made_whole(path)


@pytest.mark.parametrize("first", [0, 1])
def test_interlaced_pictures_without_a_mark_are_found(tmp_path: Path, first: int):
    """By their comb, after some of them in motion."""
    still, woven = [_woven(0, 480)] * 10, [_woven(n, 480, first) for n in range(40)]
    path = _pictures(tmp_path / "unmarked.mp4", still + woven, "libx264", {"bf": "0", "crf": "12"})
    with open_source(path) as source:
        frames = list(source)
    assert max(_combed(frame.rgb) for frame in frames[25:]) < 3
    assert [frame.captured_ns for frame in frames] == [40_000_000 * n for n in range(50)]


def test_whole_pictures_without_a_mark_stay_as_they_are(tmp_path: Path):
    stripes = np.zeros((480, 1, 1), np.int16)
    stripes[::2] = 12
    shown = [(_still(n, 480) + stripes).astype(np.uint8) for n in range(40)]
    path = _pictures(tmp_path / "whole.mp4", shown, "libx264", {"crf": "12"})
    with open_source(path) as source:
        frames = list(source)
    expected = media.read_video(path)
    assert all(np.array_equal(one.rgb, other) for one, other in zip(frames, expected, strict=True))


@pytest.mark.parametrize("name", ["fields.ts", "fields.mp4"])
def test_pictures_that_are_stored_field_by_field_are_not_twice_as_many(tmp_path: Path, name: str):
    path = write_fields(tmp_path / name, [_woven(n)[:, :, 1] for n in range(20)])
    assert_made_whole(path)


@pytest.mark.parametrize("fps", [24, 30, 60])
def test_a_bare_stream_has_the_rate_of_its_codec(tmp_path: Path, fps: int):
    with open_source(media.write_video(tmp_path / "v.h264", 10, fps=fps)) as source:
        assert source.info.fps == fps
        assert [frame.captured_ns for frame in source] == [round(1e9 / fps) * n for n in range(10)]


def test_where_only_a_part_is_interlaced_the_rest_stays_as_it_is(tmp_path: Path):
    still, woven = [_still(n) for n in range(10)], [_woven(n) for n in range(10)]
    parts = [
        _pictures(tmp_path / "0.ts", still, "libx264", {"bf": "0"}),
        _pictures(tmp_path / "1.ts", woven, "libx264", {"x264-params": "tff=1", "bf": "0"}),
        _pictures(tmp_path / "2.ts", still, "libx264", {"bf": "0"}),
    ]
    path = tmp_path / "mixed.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    expected = media.read_video(path)
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) == len(expected) == 30
    assert max(_combed(frame.rgb) for frame in frames) < 3
    for n in (*range(10), *range(21, 29)):
        assert np.abs(frames[n].rgb.astype(int) - expected[n]).mean() < 2
    times = [frame.captured_ns for frame in frames]
    assert times == [40_000_000 * n for n in range(30)]


@pytest.mark.parametrize(
    ("told", "frames", "times", "rate"),
    [
        (None, 0, [n / 30 for n in range(60)], 30),
        (1000, 0, [n / 30 for n in range(60)], 30),
        (30000 / 1001, 0, [round(n * 1.001 / 30, 3) for n in range(60)], 30000 / 1001),
        (120, 0, [n / 60 for n in range(60)], 60),
        (27, 270, [n / 30 for n in range(60)], 27),
        (22, 220, [n / 30 for n in range(60)], 30),
        (25, 250, [n / 15 for n in range(60)], 25),
        (50, 0, [n / 25 + extra for n in range(30) for extra in (0, 0.001)], 25),
        (None, 0, [n / 25 + 20 * (n > 30) for n in range(60)], 25),
        (None, 0, [n * 2.0 for n in range(9)], 0.5),
        (None, 0, [0.0], 30),
        (24, 0, [], 24),
    ],
)
def test_the_rate_is_the_pictures_where_the_header_has_none_or_nonsense(
    told: float | None, frames: int, times: list[float], rate: float
):
    class Stream:
        average_rate, guessed_rate, time_base = told, None, Fraction(1, 90_000)
        duration = 900_000

    class Packet:
        stream, time_base = Stream, Fraction(1, 90_000)

        def __init__(self, seconds: float) -> None:
            self.pts = round(seconds * 90_000)

    Stream.frames = frames
    assert rate_of(Stream, map(Packet, times)) == pytest.approx(rate, rel=1e-6)


def test_pixels_that_change_their_shape_on_the_way_become_square(tmp_path: Path):
    parts = [
        media.write_video(tmp_path / f"{n}.ts", 20, options={"bf": "0"}, aspect=aspect)
        for n, aspect in enumerate((None, Fraction(2), Fraction(1, 2)))
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_source(path) as source:
        widths = [frame.rgb.shape[1] for frame in source]
    assert widths == [64] * 20 + [128] * 20 + [32] * 20


@pytest.mark.parametrize("codec", ["aac", "mp2", "ac3"])
def test_a_codec_is_recognised_by_its_packets_among_those_of_its_kind(tmp_path: Path, codec: str):
    sound = media.write_sound(tmp_path / f"a.{codec}", 0.5, codec).read_bytes()
    assert codec_of(sound, "audio") == codec
    assert codec_of(sound, "video") is None
    assert codec_of(bytes(2000), "audio") is None
    pictures = media.write_video(tmp_path / "v.h264", 5).read_bytes()
    assert (codec_of(pictures, "video"), codec_of(pictures, "audio")) == ("h264", None)
