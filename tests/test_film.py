"""Films, judged by decoding them again."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import media
import numpy as np
import pytest

from streamfx.errors import OutputError, UsageError
from streamfx.frames import Frame
from streamfx.sink import film as film_module
from streamfx.sink.film import FilmWriter
from streamfx.source import open_source

SUFFIXES = ("mp4", "mov", "mkv", "webm")


def write_film(
    path: Path,
    shown: list[np.ndarray],
    fps: float | Fraction = 30,
    audio_from: Path | None = None,
    **options: object,
) -> Path:
    height, width = shown[0].shape[:2]
    with ExitStack() as resources:
        if audio_from is not None:
            source = resources.enter_context(open_source(audio_from))
            options["sound"] = resources.enter_context(source.sound())
        film = resources.enter_context(FilmWriter(path, (width, height), fps, **options))
        for number, rgb in enumerate(shown):
            film.write(media.rendered(rgb, number))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_film_comes_back_as_it_was_written(tmp_path, suffix):
    path = write_film(tmp_path / f"o.{suffix}", media.pictures(30), 30)
    with open_source(path) as source:
        frames = list(source)
    assert [media.number_of(frame.rgb) for frame in frames] == list(range(30))
    assert source.info.fps == pytest.approx(30)
    assert source.info.duration_s == pytest.approx(1.0, abs=0.002)
    assert source.info.codec == ("vp9" if suffix == "webm" else "h264")
    assert not source.info.has_audio
    assert [frame.captured_ns for frame in frames] == pytest.approx(
        [n * 1e9 / 30 for n in range(30)], abs=6e5
    )
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), 29.97, 25, 12.5, 60])
def test_the_rate_is_kept(tmp_path, fps):
    path = write_film(tmp_path / "o.mp4", media.pictures(12), fps)
    with av.open(str(path)) as film:
        assert float(film.streams.video[0].average_rate) == pytest.approx(float(fps), rel=1e-4)
        assert film.streams.video[0].frames == 12


COLOURS = [
    *((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)),
    *((224, 172, 145), (128, 128, 128), (0, 0, 0), (255, 255, 255)),
]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [(64, 48), (1280, 720)])
def test_colours_are_within_three_steps(tmp_path, suffix, size):
    shown = [np.full((size[1], size[0], 3), colour, np.uint8) for colour in COLOURS]
    path = write_film(tmp_path / f"o.{suffix}", shown, 10)
    with open_source(path) as source:
        ours = [frame.rgb for frame in source]
    for decoded in (ours, media.read_video(path)):
        errors = [int(abs(got.astype(int) - want).max()) for got, want in zip(decoded, shown, strict=True)]
        assert max(errors) <= 3, dict(zip(COLOURS, errors, strict=True))


def test_the_matrix_is_named_in_the_file(tmp_path):
    with av.open(str(write_film(tmp_path / "o.mp4", media.pictures(3)))) as film:
        context = film.streams.video[0].codec_context
        tags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
        assert (context.pix_fmt, tags) == ("yuv420p", (1, 1, 1, 1))


def test_mp4_starts_with_its_index(tmp_path):
    data = write_film(tmp_path / "o.mp4", media.pictures(10)).read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


@pytest.mark.parametrize(
    ("suffix", "driver", "codec", "kept"),
    [
        ("mp4", "aac", "aac", "aac"),
        ("mov", "aac", "aac", "aac"),
        ("mkv", "aac", "aac", "aac"),
        ("webm", "aac", "aac", "opus"),
        ("webm", "libopus", "opus", "opus"),
        ("mp4", "flac", "flac", "aac"),
        ("mkv", "flac", "flac", "flac"),
        ("mkv", "libopus", "opus", "aac"),
        ("mov", "flac", "flac", "pcm_s16le"),
    ],
)
def test_the_drivers_sound_is_kept_for_the_films_length(tmp_path, suffix, driver, codec, kept):
    source = media.write_video(tmp_path / "driver.mkv", 50, sound_s=2, sound_codec=driver)
    assert media.read_sound(source)[0] == codec
    path = write_film(tmp_path / f"o.{suffix}", media.pictures(30), 30, audio_from=source)
    name, samples, rate = media.read_sound(path)
    assert name == kept
    assert len(samples) / rate == pytest.approx(1.0, abs=0.06)
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(8000 / 32768 / np.sqrt(2), rel=0.1)
    peak = np.argmax(abs(np.fft.rfft(middle))) * rate / len(middle)
    assert peak == pytest.approx(440, abs=5)


def test_sound_shorter_than_the_film_ends_early(tmp_path):
    source = media.write_video(tmp_path / "driver.mp4", 10, sound_s=0.3)
    path = write_film(tmp_path / "o.mp4", media.pictures(30), 30, audio_from=source)
    _, samples, rate = media.read_sound(path)
    assert len(samples) / rate == pytest.approx(0.3, abs=0.06)
    assert len(media.read_video(path)) == 30


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_sound_is_laid_against_the_drivers_first_picture(tmp_path, suffix):
    """They start 0.4 s after the sound: that much of it lies before the film."""
    source = media.write_video(tmp_path / "d.mkv", pts=range(400, 1400, 40), sound_s=1.2)
    path = write_film(tmp_path / f"o.{suffix}", media.pictures(25), 25, audio_from=source)
    _, samples, rate = media.read_sound(path)
    assert len(samples) / rate == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("name", ["o.avi", "o.gif", "o", "mp4", "o.mp4.txt"])
def test_an_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match=r"\.mp4, \.mov, \.mkv, \.webm"):
        FilmWriter(tmp_path / name, (64, 48), 30)


@pytest.mark.parametrize("size", [(63, 48), (64, 47), (0, 48)])
def test_odd_sizes_are_refused_with_an_even_one_to_choose(tmp_path, size):
    with pytest.raises(UsageError, match=r"even\. Choose for instance"):
        FilmWriter(tmp_path / "o.mp4", size, 30)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e9])
def test_senseless_rates_are_refused(tmp_path, fps):
    with pytest.raises(UsageError, match="pictures per second"):
        FilmWriter(tmp_path / "o.mp4", (64, 48), fps)


def test_a_camera_picture_is_refused(tmp_path):
    frame = Frame(media.pictures(1)[0], captured_ns=0, seq=0)
    with FilmWriter(tmp_path / "o.mp4", (64, 48), 30) as film:
        film.write(media.rendered(media.pictures(1)[0]))
        for other in (frame, frame.rgb):
            with pytest.raises(TypeError, match="Rendered"):
                film.write(other)
        assert film.frames == 1


def test_a_picture_of_another_size_fails_the_film(tmp_path):
    with pytest.raises(OutputError, match="96x64 px in a film of 64x48"):
        write_film(tmp_path / "o.mp4", media.pictures(2) + media.pictures(1, (96, 64)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_a_failure_half_way_leaves_nothing(tmp_path, failure):
    with pytest.raises(failure), FilmWriter(tmp_path / "o.mp4", (64, 48), 30) as film:  # noqa: PT012
        film.write(media.rendered(media.pictures(1)[0]))
        raise failure
    assert not list(tmp_path.iterdir())


def test_a_film_of_no_picture_is_not_written(tmp_path):
    with pytest.raises(OutputError, match="not one picture"), FilmWriter(tmp_path / "o.mp4", (64, 48), 30):
        pass
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(OutputError, match="folder does not exist"):
        write_film(tmp_path / "none" / "o.mp4", media.pictures(1))


def test_a_colon_in_the_path_is_no_protocol(tmp_path):
    folder = tmp_path / "http:"
    folder.mkdir()
    assert len(media.read_video(write_film(folder / "a:b %d.mp4", media.pictures(3)))) == 3


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("limit", [20_000, 60_000])
def test_a_write_that_fails_leaves_nothing_and_says_so(tmp_path, suffix, limit):
    """The size limit of the process stands for a full disk: the same errors at the same places."""
    path = tmp_path / f"o.{suffix}"
    with _file_size_limit(limit), pytest.raises(OutputError, match=r"largest size|size limit"):
        write_film(path, _noise(12), 30)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", [film_module._H264, ("libx264",)])
def test_a_missing_encoder_falls_back_or_is_told(tmp_path, monkeypatch, missing):
    real = film_module.Codec

    def without(name: str, mode: str) -> object:
        if name in missing:
            raise av.codec.codec.UnknownCodecError(name)
        return real("mpeg4" if name == "libopenh264" else name, mode)

    monkeypatch.setattr(film_module, "Codec", without)
    if missing == ("libx264",):
        assert len(media.read_video(write_film(tmp_path / "o.mp4", media.pictures(5)))) == 5
    else:
        with pytest.raises(OutputError, match="libx264, libopenh264"):
            FilmWriter(tmp_path / "o.mp4", (64, 48), 30)


def test_ctrl_c_leaves_no_film(tmp_path):
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nimport numpy as np\n"
        "from streamfx.frames import Quality, Rendered\nfrom streamfx.sink.film import FilmWriter\n"
        "picture = Rendered(np.zeros((48, 64, 3), np.uint8), 0, 0, 0, Quality.FULL)\n"
        "with FilmWriter(Path(sys.argv[1]), (64, 48), 30) as film:\n"
        "    for n in range(100000):\n"
        "        film.write(picture)\n"
        "        if n == 20: os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "o.mp4"], capture_output=True, timeout=60, check=False
    )
    assert b"KeyboardInterrupt" in done.stderr
    assert not list(tmp_path.iterdir())


def _noise(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (240, 320, 3), np.uint8) for _ in range(count)]


class _file_size_limit:  # noqa: N801 - reads as a statement
    """The largest file that this process may write, in bytes, inside the block."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def __enter__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._limit, self._before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)
        signal.signal(signal.SIGXFSZ, self._handler)
