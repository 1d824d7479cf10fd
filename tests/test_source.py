"""Video files as sources: true pictures at true times, and clear words for what is no video."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import media
import numpy as np
import pytest

from streamfx.cli.film import driver_line
from streamfx.driving.film import Account
from streamfx.errors import SourceMissing, SourceUnreadable
from streamfx.frames import Frame
from streamfx.source import open_source
from streamfx.source.looped import LoopedSource
from streamfx.source.picture import MAX_SIDE
from streamfx.source.timeline import MIN_STEP_NS, PictureClock, Timeline


def frames_of(path: Path) -> list[Frame]:
    with open_source(path) as source:
        return list(source)


def test_a_video_is_read_from_first_to_last(tmp_path):
    with open_source(str(media.write_video(tmp_path / "a.mp4", 30, sound_s=0.5))) as source:
        frames = list(source)
    assert [media.number_of(frame.rgb) for frame in frames] == list(range(30))
    assert [frame.seq for frame in frames] == list(range(30))
    assert [frame.captured_ns for frame in frames] == [n * 40_000_000 for n in range(30)]
    info = source.info
    assert (info.name, info.width, info.height, info.fps, info.frames) == ("a.mp4", 64, 48, 25.0, 30)
    assert (info.codec, info.rotation, info.live, info.has_audio) == ("h264", 0, False, True)
    assert info.duration_s == pytest.approx(1.2)
    assert source.statistics.decoded == 30
    assert source.statistics.damaged_packets == source.statistics.repaired_timestamps == 0


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        ("mp4", "libx264", "yuv444p"),
        ("mp4", "libx264", "yuv420p10le"),
        ("mp4", "libx264rgb", "rgb24"),
        ("mkv", "ffv1", "gray"),
        ("mkv", "ffv1", "gray16le"),
        ("mkv", "ffv1", "bgr0"),
        ("mov", "prores_ks", "yuv422p10le"),
        ("mov", "png", "rgb24"),
        ("avi", "mjpeg", "yuvj420p"),
        ("avi", "rawvideo", "rgb24"),
        ("webm", "libvpx-vp9", "yuva420p"),
        ("ts", "libx264", "yuv420p"),
    ],
)
def test_pixel_formats_give_the_same_picture(tmp_path, suffix, codec, pix_fmt):
    path = media.write_video(tmp_path / f"v.{suffix}", 6, codec=codec, pix_fmt=pix_fmt)
    frames = frames_of(path)
    assert [media.number_of(frame.rgb) for frame in frames] == list(range(6))
    for frame in frames:
        assert frame.rgb.shape == (48, 64, 3)
        assert frame.rgb.dtype == np.uint8
        assert frame.rgb.flags.c_contiguous
        assert frame.rgb[4, 4].min() >= 250
        assert np.ptp(frame.rgb[24, 32].astype(int)) <= 3


def test_a_palette_is_resolved(tmp_path):
    path = media.write_video(tmp_path / "p.gif", 4, codec="gif", pix_fmt="rgb8")
    for frame in frames_of(path):
        assert frame.rgb.shape == (48, 64, 3)
        assert frame.rgb[4, 4].min() >= 250


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"), [("o.mkv", "ffv1", "yuv420p"), ("o.mp4", "libx264", "yuv444p")]
)
def test_odd_sizes_keep_every_pixel(tmp_path, name, codec, pix_fmt):
    path = media.write_video(tmp_path / name, 3, size=(63, 47), codec=codec, pix_fmt=pix_fmt)
    assert {frame.rgb.shape for frame in frames_of(path)} == {(47, 63, 3)}


def test_decoded_pictures_do_not_share_memory(tmp_path):
    path = media.write_video(tmp_path / "rgb.mp4", 6, codec="libx264rgb", pix_fmt="rgb24")
    with open_source(path) as source:
        numbers = []
        for frame in source:
            numbers.append(media.number_of(frame.rgb))
            frame.rgb[:] = 0  # must not reach the decoder's reference picture
    assert numbers == list(range(6))


CORNERS = {0: (0, 0), 90: (-1, 0), 180: (-1, -1), 270: (0, -1)}
"""(row, column) of the white corner after a counter-clockwise turn."""


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_the_display_matrix_is_applied(tmp_path, degrees):
    with open_source(media.write_video(tmp_path / "r.mp4", 2, rotation=degrees)) as source:
        rgb = next(source).rgb
    sideways = degrees in (90, 270)
    assert rgb.shape == ((64, 48, 3) if sideways else (48, 64, 3))
    assert (source.info.height, source.info.width) == rgb.shape[:2]
    assert source.info.rotation == (360 - degrees) % 360
    row, column = CORNERS[degrees]
    corners = rgb[:: rgb.shape[0] - 1, :: rgb.shape[1] - 1].mean(axis=2)
    assert corners[row, column] > 250
    assert np.sort(corners.ravel())[:3].max() < 30


def test_a_mirrored_display_matrix_is_applied(tmp_path):
    rgb = frames_of(media.write_video(tmp_path / "m.mp4", 2, hflip=True))[0].rgb
    assert rgb[2, -3].min() > 250
    assert rgb[2, 2].max() < 30


def test_pixels_become_square(tmp_path):
    with open_source(media.write_video(tmp_path / "s.mp4", 2, aspect=Fraction(2))) as source:
        assert next(source).rgb.shape == (48, 128, 3)
    assert (source.info.width, source.info.height) == (128, 48)


def test_variable_rate_keeps_its_times(tmp_path):
    times = [0, 40, 45, 200, 1000, 1001]
    frames = frames_of(media.write_video(tmp_path / "v.mkv", pts=times))
    assert [frame.captured_ns for frame in frames] == [time * 1_000_000 for time in times]
    assert [media.number_of(frame.rgb) for frame in frames] == list(range(6))


def test_a_stream_without_timestamps_gets_its_nominal_ones(tmp_path):
    film = media.write_video(tmp_path / "v.h264", 10, options={"tune": "zerolatency"})
    with open_source(film) as source:
        times = [frame.captured_ns for frame in source]
    assert times == [n * 40_000_000 for n in range(10)]


def test_a_size_change_begins_an_epoch(tmp_path):
    frames = frames_of(media.write_size_change(tmp_path / "s.ts"))
    assert [frame.rgb.shape[:2] for frame in frames] == [(48, 64)] * 5 + [(64, 96)] * 5
    assert [frame.epoch for frame in frames] == [0] * 5 + [1] * 5


def test_damage_in_the_middle_is_skipped_and_counted(tmp_path):
    intact = media.write_video(
        tmp_path / "a.mp4", 60, size=(128, 96), options={"g": "5", "tune": "zerolatency"}
    )
    middle = intact.stat().st_size // 2
    with open_source(media.write_damaged(tmp_path / "d.mp4", intact, slice(middle, middle + 300))) as source:
        frames = list(source)
    damaged = source.statistics.damaged_packets
    assert 1 <= damaged <= 20
    account = Account(len(frames), 0, 0, source.statistics)
    told = driver_line(SimpleNamespace(name="d.mp4"), SimpleNamespace(account=account))
    assert re.search(rf"; {damaged} damaged pieces? of the file (was|were) skipped$", told)
    with LoopedSource(tmp_path / "d.mp4", 2 * len(frames) + 1) as rounds:
        assert sum(1 for _ in rounds) == 2 * len(frames) + 1
        assert rounds.statistics.damaged_packets >= 2 * damaged, "of all rounds"
    assert 40 <= len(frames) < 60
    assert media.number_of(frames[-1].rgb) == 59 - 35
    assert frames[-1].captured_ns == 59 * 40_000_000


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
def test_a_file_cut_off_yields_what_it_has(tmp_path, suffix):
    path = media.write_video(tmp_path / f"a.{suffix}", 60, size=(128, 96), options={"g": "5"})
    os.truncate(path, path.stat().st_size * 3 // 4)
    frames = frames_of(path)
    assert 10 <= len(frames) < 60
    times = [frame.captured_ns for frame in frames]
    assert all(b > a for a, b in pairwise(times))


def _text(path: Path) -> Path:
    path.write_text("not a video\n" * 50)
    return path


def _playlist(path: Path) -> Path:
    inner = media.write_video(path.with_name("inner.ts"), 5)
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{inner}\n#EXT-X-ENDLIST\n")
    return path


def _concat(path: Path) -> Path:
    inner = media.write_video(path.with_name("inner.mp4"), 5)
    path.write_text(f"ffconcat version 1.0\nfile '{inner}'\n")
    return path


def _session_description(path: Path) -> Path:
    path.write_text(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    )
    return path


def _no_index(path: Path) -> Path:
    media.write_video(path, 30)
    os.truncate(path, path.stat().st_size // 2)
    return path


def _no_pictures(path: Path) -> Path:
    intact = media.write_video(path.with_name("intact.mp4"), 30)
    return media.write_damaged(path, intact, slice(48, intact.read_bytes().find(b"moov") - 8))


def _unknown_codec(path: Path) -> Path:
    path.write_bytes(media.write_video(path.with_name("i.mp4"), 3).read_bytes().replace(b"avc1", b"zzzz"))
    return path


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _zero_frames(path: Path) -> Path:
    """A film whose only picture was taken away: header and index, no packet."""
    data = media.write_video(path.with_name("i.mkv"), 1).read_bytes()
    path.write_bytes(data[: data.find(b"\x1f\x43\xb6\x75")])  # Matroska's Cluster begins here
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _still(path: Path) -> Path:
    return media.write_video(path, 1, codec="png", pix_fmt="rgb24")


@pytest.mark.parametrize(
    ("make", "name", "words"),
    [
        (_text, "a.mp4", "not a video|not read as a video"),
        (_text, "a.txt", "not read as a video"),
        (_playlist, "a.m3u8", "playlist"),
        (_playlist, "a.mp4", "not a video"),
        (_concat, "a.ffconcat", "playlist"),
        (_session_description, "a.sdp", "playlist"),
        (_still, "a.png", "still picture"),
        (_no_index, "a.mp4", "index is damaged"),
        (_no_pictures, "a.mp4", "not one picture.*30 damaged"),
        (_unknown_codec, "a.mp4", "codec"),
        (_empty, "a.mp4", "empty"),
        (_zero_frames, "a.mkv", "before its first picture"),
        (_folder, "a.mp4", "folder"),
        (media.write_sound, "a.m4a", "only sound"),
    ],
)
def test_what_is_no_video_is_named(tmp_path, make, name, words):
    with pytest.raises(SourceUnreadable, match=words) as caught:
        open_source(make(tmp_path / name))
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(SourceMissing, match=r"none\.mp4 does not exist"):
        open_source(tmp_path / "none.mp4")


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/a.mp4", "concat:a.mp4|b.mp4", "rtsp://127.0.0.1/x"])
def test_an_address_is_only_a_name_of_no_file(address):
    with pytest.raises(SourceMissing):
        open_source(address)


def test_too_large_pictures_are_refused_before_decoding(tmp_path):
    wide = np.zeros((16, MAX_SIDE + 2, 3), np.uint8)
    path = media.write_video(tmp_path / "w.mkv", 1, size=(MAX_SIDE + 2, 16), codec="ffv1", picture=wide)
    with pytest.raises(SourceUnreadable, match=f"{MAX_SIDE + 2}x16.*{MAX_SIDE}"):
        open_source(path)


def test_a_closed_source_is_at_its_end(tmp_path):
    source = open_source(media.write_video(tmp_path / "a.mp4", 5))
    next(source)
    source.close()
    source.close()
    assert list(source) == []


def test_leaving_a_source_open_does_not_hang_the_exit(tmp_path):
    path = media.write_video(tmp_path / "a.mp4", 60, size=(320, 240))
    script = "import sys\nfrom streamfx.source import open_source\ns = open_source(sys.argv[1])\nnext(s)\n"
    subprocess.run([sys.executable, "-c", script, path], check=True, timeout=60)


def test_pictures_keep_their_times_and_slips_are_mended_by_the_smallest_step():
    clock, ms = PictureClock(500, 40_000_000), 1_000_000
    good = [clock.stamp(500 + time * ms, [])[0] for time in (0, 1, 50_000)]
    assert good == [0, ms, 50_000 * ms]
    assert clock.repaired == 0
    clock = PictureClock(-80 * ms, 40 * ms)
    stamped = [clock.stamp(t and t * ms, [])[0] for t in (-80, -80, -90, None, 40, 80)]
    assert stamped == [0, MIN_STEP_NS, 2 * MIN_STEP_NS, 42 * ms, 120 * ms, 160 * ms]
    assert clock.repaired == 3


def _packets(*stamps: tuple[str, float], apart: float = 0.0) -> list[SimpleNamespace]:
    """Packets of pictures ("v", 40 ms) and sound ("a", 20 ms), by their seconds; `apart`: pts after dts."""
    made = []
    for track, seconds in stamps:
        stream = SimpleNamespace(index="va".index(track), type={"v": "video", "a": "audio"}[track])
        dts, lasts = round(1000 * seconds), 40 if track == "v" else 20
        pts = dts + round(1000 * apart) * (track == "v")
        made.append(
            SimpleNamespace(
                stream=stream, pts=pts, dts=dts, duration=lasts, time_base=Fraction(1, 1000), size=1
            )
        )
    return made


def _run(begin: float, count: int = 100) -> list[tuple[str, float]]:
    """Both tracks from `begin` on, interleaved, a picture every 40 ms."""
    return [
        one
        for n in range(count)
        for one in (("v", begin + 0.04 * n), ("a", begin + 0.04 * n), ("a", begin + 0.04 * n + 0.02))
    ]


def _placed(*stamps: tuple[str, float]) -> tuple[dict[str, list[int]], list[int]]:
    """ms of each track on the common clock, and the jumps in ms."""
    timeline = Timeline()
    found: dict[str, list[int]] = {"video": [], "audio": []}
    for packet in timeline.place(_packets(*stamps)):
        found[packet.stream.type].append(packet.pts)
    return found, [jump // 1_000_000 for jump in timeline.jumps]


@pytest.mark.parametrize("leap_s", [-3600, -3.9, 97, 7200, 2**33 / 90_000])
def test_a_leap_moves_pictures_and_sound_by_the_same_amount(leap_s):
    found, jumps = _placed(*_run(100), *_run(104 + leap_s))
    assert found["video"] == [100_000 + 40 * n for n in range(200)]
    assert found["audio"] == [100_000 + 20 * n for n in range(400)]
    assert jumps == [104_000]


def test_tracks_that_leap_one_after_the_other_stay_in_step():
    """At a join, the old part's last sound comes behind the new part's first pictures."""
    one, two = _run(100, 50), _run(0, 50)
    sound = [stamp for stamp in one[-30:] if stamp[0] == "a"]
    pictures = [stamp for stamp in two[:30] if stamp[0] == "v"]
    mixed = [*(s for s in one if s not in sound), *pictures, *sound, *(s for s in two if s not in pictures)]
    found, jumps = _placed(*mixed)
    assert found["video"] == [100_000 + 40 * n for n in range(100)]
    assert found["audio"] == [100_000 + 20 * n for n in range(200)]
    assert jumps == [102_000]


def test_a_pause_of_the_pictures_is_none_of_the_sound():
    """A camera that was off for two minutes while the microphone was on: nothing is cut out."""
    sound = [("a", 0.02 * n) for n in range(6500)]
    pictures = [("v", 0.04 * n) for n in range(50)] + [("v", 122 + 0.04 * n) for n in range(50)]
    found, jumps = _placed(*sorted(sound + pictures, key=lambda one: one[1]))
    assert found["video"][50] == 122_000
    assert not jumps
    found, jumps = _placed(*pictures)
    assert (found["video"][50], jumps) == (2_000, [2_000])


def test_tracks_may_be_stored_one_behind_the_other():
    pictures, sound = [("v", 5 + 0.04 * n) for n in range(5000)], [("a", 5 + 0.02 * n) for n in range(10_000)]
    for stamps in (pictures + sound, sound + pictures):
        found, jumps = _placed(*stamps)
        assert found["video"] == [5_000 + 40 * n for n in range(5000)]
        assert found["audio"] == [5_000 + 20 * n for n in range(10_000)]
        assert not jumps


def test_tracks_by_clocks_of_their_own_begin_together():
    """A recorder that counts sound from 0 and pictures from when the machine was started."""
    for first, second in ((0, 36_000), (36_000, 0)):
        stamps = [(("a", first + 0.02 * n), ("v", second + 0.02 * n))[n % 2] for n in range(400)]
        found, _ = _placed(*stamps)
        apart = [abs(a - b) for a, b in zip(found["audio"], found["video"], strict=True)]
        assert max(apart) < 200


def test_a_damaged_stamp_moves_nothing_but_itself():
    stamps = _run(0)
    for place in (61, 150):
        stamps[place] = (stamps[place][0], stamps[place][1] + 5_000)
    found, jumps = _placed(*stamps)
    assert not jumps
    assert found["video"].count(None) + found["audio"].count(None) == 2
    assert [time for time in found["video"] if time is not None] == [
        40 * n for n in range(100) if found["video"][n] is not None
    ]


def test_sound_whose_clock_alone_leaps_goes_on_where_it_was():
    video = [("v", 0.04 * n) for n in range(200)]
    sound = [("a", 0.02 * n + (9_000 if n >= 200 else 0)) for n in range(400)]
    found, jumps = _placed(*sorted(video + sound, key=lambda one: one[1] % 9_000))
    assert found["video"] == [40 * n for n in range(200)]
    assert found["audio"] == [20 * n for n in range(400)]
    assert len(jumps) == 1


def test_pictures_stored_in_another_order_are_no_leaps():
    packets = _packets(*(("v", one) for one in (0.0, 0.6, 0.2, 0.4, 1.2, 0.8, 1.0)))
    for packet in packets:
        packet.dts = None
    timeline = Timeline()
    assert [one.pts for one in timeline.place(packets)] == [0, 600, 200, 400, 1200, 800, 1000]
    assert not timeline.jumps


@pytest.mark.shared
def test_the_real_clips_are_read_whole():
    folder = _shared() / "data" / "driving"
    expected = {"lp_d13.mp4": (720, 1280, 352), "pyfeat_face_noface.mov": (960, 540, 169)}
    for name, (width, height, count) in expected.items():
        with open_source(folder / name) as source:
            shapes = {frame.rgb.shape for frame in source}
        assert shapes == {(height, width, 3)}
        assert source.statistics.decoded == count
        assert source.statistics.damaged_packets == source.statistics.repaired_timestamps == 0


def _shared() -> Path:
    folder = Path(os.environ.get("STREAMFX_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data" / "driving").is_dir():
        pytest.skip(f"the shared data is not at {folder}")
    return folder
