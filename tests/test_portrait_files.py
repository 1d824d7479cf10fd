"""Photos as files, what is checked about them, and solved rigs on disk: round trips, oddities, damage."""

from __future__ import annotations

import io
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest
import synthetic
from PIL import Image

from streamfx.errors import PhotoUnreadable, PhotoUnsuitable
from streamfx.frames import Rig
from streamfx.pipeline import Animator
from streamfx.portrait.cache import RigCache
from streamfx.portrait.checks import Finding, check_face, choose_face, face_height
from streamfx.portrait.photo import MAX_PIXELS, load_photo

SMALL = (240, 180)

# -- the cache -----------------------------------------------------------------------------------------------

FOUND = (Finding("the face is turned 22 degrees sideways", "a frontal photo animates better"),)


@pytest.fixture
def small() -> Rig:
    return synthetic.rig(frame=SMALL)


def _same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(_same, a, b))
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(_same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))  # type: ignore[arg-type]
    return type(a) is type(b) and a == b


def test_a_cached_rig_comes_back_whole(tmp_path: Path, small: Rig):
    cache = RigCache(tmp_path / "deep" / "rigs")
    assert cache.load(small.digest) is None
    cache.save(small, FOUND, ["a" * 64])
    loaded = cache.load(small.digest)
    assert loaded is not None
    assert _same(loaded[0], small)
    assert loaded[1] == FOUND
    motion = synthetic.motion(turn=(3, 8, 2), jaw=0.8)
    assert np.array_equal(Animator(loaded[0]).animate(motion).rgb, Animator(small).animate(motion).rgb)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-40],
        lambda data: b"not a rig at all",
        lambda data: data[:5000] + bytes(1000) + data[6000:],
        lambda data: data.replace(b"photo.npy", b"phot0.npy"),
    ],
    ids=["empty", "half", "end cut off", "foreign", "overwritten", "field renamed"],
)
def test_a_damaged_rig_counts_as_absent(tmp_path: Path, small: Rig, damage):
    cache = RigCache(tmp_path)
    cache.save(small, (), ["a" * 64])
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert cache.load(small.digest) is None
    cache.save(small, (), ["a" * 64])
    assert cache.load(small.digest) is not None


def test_another_photos_file_is_not_taken(tmp_path: Path, small: Rig):
    cache = RigCache(tmp_path)
    cache.save(small, (), ["a" * 64])
    (file,) = tmp_path.iterdir()
    other = "f" * 64
    file.rename(tmp_path / file.name.replace(small.digest[:32], other[:32]))
    assert cache.load(other) is None


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path: Path, small: Rig):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    RigCache(blocked / "rigs").save(small, (), ["a" * 64])
    assert blocked.read_text() == ""


# -- checks --------------------------------------------------------------------------------------------------


def _checked(size: tuple[int, int] = (640, 480), **shape: object) -> list[Finding]:
    face = synthetic.track(synthetic.landmarks(size, **shape))  # type: ignore[arg-type]
    return check_face(face, synthetic.geometry().pose(face.landmarks), size, "me.jpg")


def test_a_good_portrait_has_no_findings():
    assert _checked() == []


def test_small_and_turned_faces_are_named_with_their_figures():
    assert "100 px tall" in str(_checked(height=100 / 480)[0])
    with pytest.raises(PhotoUnsuitable, match="60 px tall"):
        _checked(height=60 / 480)
    assert "25 degrees sideways" in str(_checked(turned=(0, 25, 0))[0])
    with pytest.raises(PhotoUnsuitable, match="45 degrees sideways"):
        _checked(turned=(0, 45, 0))
    assert "degrees up or down" in str(_checked(turned=(-26, 0, 0))[0])


def test_a_cropped_head_is_refused_with_what_is_missing():
    face = synthetic.track(synthetic.landmarks() - np.array([0, 200, 0], np.float32))
    with pytest.raises(PhotoUnsuitable, match=r"cut off at the photo's edge \(\d+ px are missing\)"):
        check_face(face, synthetic.geometry().pose(face.landmarks), (640, 480), "me.jpg")


def test_one_clear_subject_is_wanted():
    large, small, tiny = (synthetic.track(synthetic.landmarks(height=h)) for h in (0.6, 0.5, 0.2))
    assert choose_face([tiny, large], "me.jpg") is large
    assert face_height(large) == pytest.approx(0.6 * 480, rel=0.02)
    with pytest.raises(PhotoUnsuitable, match="2 faces of similar size"):
        choose_face([small, large], "me.jpg")
    with pytest.raises(PhotoUnsuitable, match=r"No face was found in me\.jpg"):
        choose_face([], "me.jpg")


# -- photos --------------------------------------------------------------------------------------------------

RED_LEFT = np.zeros((40, 60, 3), np.uint8)
RED_LEFT[:, :30, 0] = 255


def _saved(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def test_exif_turns_the_photo_upright(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it
    stored = Image.fromarray(np.rot90(RED_LEFT))
    photo = load_photo(_saved(tmp_path / "phone.jpg", stored, exif=exif, quality=95))
    assert photo.size == (60, 40)
    assert photo.rgb[:, :25, 0].min() > 200
    assert photo.rgb[:, 35:, 0].max() < 60


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("cmyk.jpg", Image.fromarray(RED_LEFT).convert("CMYK")),
        ("palette.png", Image.fromarray(RED_LEFT).convert("P")),
        ("rgb.webp", Image.fromarray(RED_LEFT)),
        ("rgb.bmp", Image.fromarray(RED_LEFT)),
        ("rgb.tiff", Image.fromarray(RED_LEFT)),
    ],
)
def test_common_formats_give_the_same_picture(tmp_path: Path, name: str, picture: Image.Image):
    photo = load_photo(_saved(tmp_path / name, picture))
    assert photo.rgb.dtype == np.uint8
    assert photo.rgb[20, 8, 0] > 220
    assert photo.rgb[20, 8, 1:].max() < 40
    assert photo.rgb[20, 52].max() < 40


def _png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", "empty"),
        ("text.jpg", b"hello, I am no photo" * 10, "not a photo"),
        ("bomb.png", _png(30_000, 30_000), "too large"),
        ("cut.png", _png(64, 64)[:60], "damaged|not a photo"),
        ("eps.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a photo"),
    ],
)
def test_bad_photos_are_named_in_one_line(tmp_path: Path, name: str, content: bytes, message: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PhotoUnreadable, match=message) as caught:
        load_photo(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


# -- files that lost their end -------------------------------------------------------------------------------


def _scene() -> Image.Image:
    """Coarse noise: no two places alike, and not flat at any side."""
    cells = np.random.default_rng(5).integers(0, 256, (30, 40, 3), np.uint8)
    return Image.fromarray(cells).resize((320, 240), Image.Resampling.BICUBIC)


def _encoded(suffix: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    _scene().save(buffer, suffix, **options)
    return buffer.getvalue()


LOSING = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("JPEG", {"restart_marker_rows": 1}),
    ("PNG", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("BMP", {}),
]


@pytest.mark.parametrize(("suffix", "options"), LOSING)
@pytest.mark.parametrize("lost", [1, 2, 5, 14])
def test_a_photo_without_its_last_bytes_is_shown(tmp_path: Path, suffix: str, options: dict, lost: int):
    path = tmp_path / "copied"
    path.write_bytes(_encoded(suffix, **options))
    whole = load_photo(path).rgb
    path.write_bytes(path.read_bytes()[:-lost])
    shown = load_photo(path)
    assert shown.rgb.shape == whole.shape
    other = (cv2.absdiff(shown.rgb, whole).max(2) > 8).mean()
    assert other < 0.005
    assert all("cut short" in str(found) for found in shown.findings)


def test_an_end_marker_is_not_missed(tmp_path: Path):
    path = tmp_path / "me.jpg"
    path.write_bytes(_encoded("JPEG"))
    whole = load_photo(path)
    for data in (path.read_bytes()[:-2], path.read_bytes() + bytes(4000), path.read_bytes() + b"<html>"):
        path.write_bytes(data)
        shown = load_photo(path)
        assert np.array_equal(shown.rgb, whole.rgb)
        assert shown.findings == ()


@pytest.mark.parametrize(("suffix", "options"), LOSING)
@pytest.mark.parametrize("rest", [b"", bytes(60_000), b"\xff\xd9"], ids=["nothing", "zeros", "an end"])
def test_half_a_photo_is_refused(tmp_path: Path, suffix: str, options: dict, rest: bytes):
    if suffix == "BMP" and len(rest) > 2:
        pytest.skip("zeros are black there")
    if "progressive" in options and len(rest) == 2:
        pytest.skip("is soft, not cut")
    path = tmp_path / "copied"
    data = _encoded(suffix, **options)
    path.write_bytes(data[: len(data) // 2] + rest)
    with pytest.raises(PhotoUnreadable, match="cut short"):
        load_photo(path)


def test_the_bomb_is_over_the_limit():
    assert MAX_PIXELS < 30_000 * 30_000
