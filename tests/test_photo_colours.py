"""Photos of every mode, depth and profile come out as a viewer shows them, by textbook formulas."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import icc
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from streamfx.errors import PhotoUnreadable
from streamfx.portrait.photo import load_photo

_LEVELS = (12, 60, 128, 190, 245)
CHART = np.array([(r, g, b) for r in _LEVELS for g in _LEVELS for b in _LEVELS], np.uint8).reshape(5, 25, 3)
"""125 colours."""
CELL = 8
"""px of a colour's square: lossy formats blur the squares' edges."""


def chart(colours: np.ndarray = CHART) -> np.ndarray:
    return colours.repeat(CELL, 0).repeat(CELL, 1)


def seen(path: Path) -> np.ndarray:
    """The colours [5,25,3] that are read of a chart."""
    rgb = load_photo(path).rgb
    assert rgb.dtype == np.uint8
    return rgb[CELL // 2 :: CELL, CELL // 2 :: CELL].astype(float)


def save(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def assert_alike(found: np.ndarray, wanted: np.ndarray, most: float = 2.0):
    difference = np.abs(np.asarray(found, float) - wanted)
    assert difference.mean() <= most / 2
    assert difference.max() <= most


RGB = Image.fromarray(chart())
GREY = np.linspace(0, 255, 125).astype(np.uint8).reshape(5, 25)

# -- profiles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [icc.ADOBE, icc.PROPHOTO, icc.DISPLAY_P3], ids=["Adobe", "ProPhoto", "P3"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX"])
def test_a_profile_holds_for_every_kind_of_rgb(tmp_path: Path, space: icc.Space, mode: str):
    picture = RGB.convert(mode)
    path = save(tmp_path / f"a.{'tiff' if mode == 'RGBX' else 'png'}", picture, icc_profile=space.profile())
    assert_alike(seen(path), space.shown(CHART), 3)


@pytest.mark.parametrize("suffix", ["png", "gif.png", "webp", "avif", "jpg"])
def test_palettes_and_lossy_files_have_profiles_too(tmp_path: Path, suffix: str):
    picture = RGB.quantize(256) if "png" in suffix else RGB
    stored = np.array(picture.convert("RGB"))[CELL // 2 :: CELL, CELL // 2 :: CELL]
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}.get(suffix, {})
    if suffix == "avif":
        options = {"quality": 100, "subsampling": "4:4:4"}
    if suffix == "gif.png":
        options = {"transparency": 255}
    path = save(tmp_path / f"a.{suffix}", picture, icc_profile=icc.ADOBE.profile(), **options)
    found, wanted = seen(path), icc.ADOBE.shown(stored)
    assert np.abs(found - wanted).mean() < 2.5
    assert np.abs(found - stored).mean() > 4, "the profile was left out"


def test_a_jpeg_2000_file_has_a_profile_too(tmp_path: Path):
    data = save(tmp_path / "a.jp2", RGB).read_bytes()
    box = b"colr\2\0\0" + icc.ADOBE.profile()
    old, outer = data.index(b"colr") - 4, data.index(b"jp2h") - 4
    length, whole = (int.from_bytes(data[at : at + 4]) for at in (old, outer))
    grown = whole - length + len(box) + 4
    parts = (data[:outer], struct.pack(">I", grown), data[outer + 4 : old], struct.pack(">I", len(box) + 4))
    (tmp_path / "a.jp2").write_bytes(b"".join((*parts, box, data[old + length :])))
    assert_alike(seen(tmp_path / "a.jp2"), icc.ADOBE.shown(CHART), 3)


def test_grey_has_profiles_of_its_own(tmp_path: Path):
    grey = Image.fromarray(chart(GREY))
    for name, picture in {"l": grey, "la": grey.convert("LA")}.items():
        path = save(tmp_path / f"{name}.png", picture, icc_profile=icc.grey_profile(1.5))
        assert_alike(seen(path), np.repeat(icc.grey_shown(GREY, 1.5)[..., None], 3, 2))
    path = save(tmp_path / "rgb-profile.png", grey, icc_profile=icc.ADOBE.profile())
    assert_alike(seen(path), icc.ADOBE.shown(np.repeat(GREY[..., None], 3, 2)))
    path = save(
        tmp_path / "grey-profile.png", RGB.convert("L").convert("RGB"), icc_profile=icc.grey_profile(1.5)
    )
    assert_alike(seen(path)[..., 0], icc.grey_shown(np.array(RGB.convert("L"))[4::8, 4::8], 1.5))


INKS = np.array([(c, m, y, k) for c in (0, 80, 200) for m in (0, 100, 220) for y in (0, 90, 210)
                 for k in (0, 60, 150)], np.uint8).reshape(9, 9, 4)  # fmt: skip


@pytest.mark.parametrize("suffix", ["tiff", "jpg"])
def test_inks_with_and_without_a_profile(tmp_path: Path, suffix: str):
    picture = Image.fromarray(chart(INKS), "CMYK")
    options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    plain = seen(save(tmp_path / f"plain.{suffix}", picture, **options))
    inks = INKS / 255.0
    assert_alike(plain, 255 * (1 - inks[..., :3]) * (1 - inks[..., 3:]), 4)
    profiled = seen(save(tmp_path / f"icc.{suffix}", picture, icc_profile=icc.cmyk_profile(), **options))
    assert np.abs(profiled - icc.lab_shown(icc.ink_lab(inks))).mean() < 2.5


@pytest.mark.parametrize("profile", [b"no profile", icc.ADOBE.profile()[:300], icc.cmyk_profile()])
def test_a_broken_or_foreign_profile_is_left_out_aloud(tmp_path: Path, profile: bytes):
    photo = load_photo(save(tmp_path / "a.png", RGB, icc_profile=profile))
    assert_alike(photo.rgb[4::8, 4::8], CHART, 0)
    (finding,) = photo.findings
    assert "colour profile" in finding.cause
    assert finding.remedy


# -- depths and modes ----------------------------------------------------------------------------------------


def deep_png(pixels: np.ndarray, kind: int, chunks: dict[bytes, bytes] | None = None) -> bytes:
    """A PNG of big-endian values [H,W,C]: Pillow writes none of 16 bits a colour."""
    height, width = pixels.shape[:2]
    bits = 8 * pixels.dtype.itemsize
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    parts = {b"IHDR": struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0), **(chunks or {}),
             b"IDAT": zlib.compress(rows), b"IEND": b""}  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts.items()
    )


def test_sixteen_bits_keep_their_tones(tmp_path: Path):
    deep = (chart().astype(">u2") * 257).astype(">u2")
    path = tmp_path / "a.png"
    path.write_bytes(deep_png(deep, 2))
    assert_alike(seen(path), CHART)
    half = np.full((*deep.shape[:2], 1), 32768, ">u2")
    path.write_bytes(deep_png(np.concatenate([deep, half], -1).astype(">u2"), 6))
    assert_alike(seen(path), CHART / 2 + 127.5)
    clear = struct.pack(">3H", *(257 * int(v) for v in CHART[0, 3]))
    path.write_bytes(deep_png(deep, 2, {b"tRNS": clear}))
    wanted = CHART.astype(float)
    wanted[0, 3] = 255
    assert_alike(seen(path), wanted)


@pytest.mark.parametrize("profile", [None, icc.grey_profile(1.5)], ids=["plain", "profile"])
def test_deep_greys_keep_their_tones(tmp_path: Path, profile: bytes | None):
    wanted = GREY if profile is None else icc.grey_shown(GREY, 1.5)
    deep = chart(GREY).astype(np.uint16) * 257
    options = {"icc_profile": profile} if profile else {}
    pictures = {
        "I16.tiff": Image.fromarray(deep), "I16.png": Image.fromarray(deep),
        "I32.tiff": Image.fromarray(deep.astype(np.int32)),
        "F.tiff": Image.fromarray(deep.astype(np.float32) / 65535),
    }  # fmt: skip
    for name, picture in pictures.items():
        assert_alike(seen(save(tmp_path / name, picture, **options))[..., 1], wanted)


def test_dark_floats_stay_dark(tmp_path: Path):
    dark = Image.fromarray(chart(GREY).astype(np.float32) / 1020)
    assert_alike(seen(save(tmp_path / "a.tiff", dark))[..., 1], GREY / 4)


def test_big_endian_tiff_and_pgm(tmp_path: Path):
    deep = chart(GREY).astype(">u2") * 257
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 %d %d 65535\n" % deep.shape[::-1] + deep.astype(">u2").tobytes())
    assert_alike(seen(path)[..., 0], GREY)
    tiff = save(tmp_path / "b.tiff", Image.frombytes("I;16B", deep.shape[::-1], deep.astype(">u2").tobytes()))
    assert_alike(seen(tiff)[..., 0], GREY)
    inverse = Image.fromarray(65535 - chart(GREY).astype(np.uint16) * 257)
    white_is_zero = save(tmp_path / "c.tiff", inverse, tiffinfo={262: 0})
    assert_alike(seen(white_is_zero)[..., 0], GREY)


def test_lab_and_ycc_tiffs(tmp_path: Path):
    lab = np.array([(L, a, b) for L in (40, 60, 75) for a in (-20, 0, 25) for b in (-20, 0, 25)], float)
    stored = np.clip(np.rint(lab * [2.55, 1, 1]), -128, 255).astype(np.int16).astype(np.uint8)
    picture = Image.frombytes("LAB", (72, 24), chart(stored.reshape(3, 9, 3)).tobytes())
    found = seen(save(tmp_path / "lab.tiff", picture))
    assert np.abs(found - icc.lab_shown(lab).reshape(3, 9, 3)).mean() < 1.5
    ycc = save(tmp_path / "ycc.tiff", RGB.convert("YCbCr"))
    assert_alike(seen(ycc), CHART, 4)


# -- what the file says of its numbers without a profile -----------------------------------------------------


def test_gamma_and_primaries_of_a_png(tmp_path: Path):
    path = tmp_path / "a.png"
    gamma = {b"gAMA": struct.pack(">I", round(100000 / 1.8))}
    path.write_bytes(deep_png(chart(), 2, gamma))
    assert_alike(seen(path), icc.srgb_code((CHART / 255.0) ** 1.8))
    adobe = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
    path.write_bytes(deep_png(chart(), 2, {b"gAMA": struct.pack(">I", 45455), b"cHRM": adobe}))
    assert np.abs(seen(path) - icc.ADOBE.shown(CHART)).mean() < 1.5
    usual = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    path.write_bytes(deep_png(chart(), 2, {b"gAMA": struct.pack(">I", 45455), b"cHRM": usual}))
    assert_alike(seen(path), CHART, 0)
    path.write_bytes(deep_png(chart(), 2, {b"sRGB": b"\0", b"gAMA": struct.pack(">I", 90000)}))
    assert_alike(seen(path), CHART, 0)


def _pq_code(nits: np.ndarray) -> np.ndarray:
    y = np.clip(nits / 10000, 0, 1) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)


def test_hdr_is_shown_at_the_brightness_of_its_white(tmp_path: Path):
    """A grey of so many cd/m2 in PQ: 203 is white; what is brighter is no less bright than what is darker."""
    grey = np.array([0.5, 5, 20, 50, 100, 150, 203, 400, 1000, 4000])
    code = np.rint(255 * _pq_code(grey)).astype(np.uint8)[None, :, None].repeat(3, 2)
    path = tmp_path / "a.png"
    path.write_bytes(deep_png(chart(code), 2, {b"cICP": bytes((9, 16, 0, 1))}))
    found = seen(path)[0, :, 1]
    assert found[:5] == pytest.approx(icc.srgb_code(grey[:5] / 203), abs=4)
    assert (np.diff(found) >= 0).all()
    assert 235 < found[6] < 250 <= found[-1]


def test_wide_gamuts_without_a_profile(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(deep_png(chart(), 2, {b"cICP": bytes((12, 13, 0, 1))}))
    wanted = icc.srgb_code(_linear(CHART) @ (icc._FROM_D50 @ icc.DISPLAY_P3.to_xyz).T)
    assert_alike(seen(path), wanted, 3)


def _linear(code: np.ndarray) -> np.ndarray:
    code = code / 255.0
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


# -- transparency, pages, RAW --------------------------------------------------------------------------------


def test_what_is_transparent_is_white_and_told(tmp_path: Path):
    alpha = np.full(chart().shape[:2], 255, np.uint8)
    alpha[:, :100], alpha[:, 100:104] = 0, 128
    photo = load_photo(save(tmp_path / "a.png", Image.fromarray(np.dstack([chart(), alpha]))))
    assert (photo.rgb[:, :100] == 255).all()
    assert_alike(photo.rgb[4::8, 108::8], CHART[:, 13:], 0)
    assert photo.rgb[4::8, 101] == pytest.approx((CHART[:, 12] + 255.0) / 2, abs=2)
    assert str(photo.findings[0]).startswith("52 % of the photo is transparent and counts as white")
    opaque = load_photo(save(tmp_path / "b.png", RGB.convert("RGBA")))
    assert opaque.findings == ()


def _tiff_pages(path: Path, *pages: tuple[Image.Image, dict[int, int]]) -> Path:
    made = []
    for picture, tags in pages:
        info = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in tags.items():
            info[tag] = value
        picture.encoderinfo = {"tiffinfo": info}
        made.append(picture)
    first, *rest = made
    info = first.encoderinfo["tiffinfo"]
    first.save(path, tiffinfo=info, save_all=True, append_images=rest)
    return path


def test_a_preview_before_the_picture_is_not_the_photo(tmp_path: Path):
    small = Image.new("RGB", (50, 10), (1, 2, 3))
    photo = load_photo(_tiff_pages(tmp_path / "a.tiff", (small, {254: 1}), (RGB.copy(), {})))
    assert photo.size == RGB.size
    assert photo.findings == ()
    scans = load_photo(_tiff_pages(tmp_path / "b.tiff", (RGB.copy(), {}), (RGB.rotate(180), {})))
    assert_alike(scans.rgb[4::8, 4::8], CHART, 0)
    assert "holds 2 pictures; the first is animated" in scans.findings[0].cause


@pytest.mark.parametrize(
    "tags", [{50706: b"\x01\x04\x00\x00"}, {254: 1, 330: 8}], ids=["DNG", "a preview beside hidden pictures"]
)
def test_a_raw_files_thumbnail_is_not_the_photo(tmp_path: Path, tags: dict[int, object]):
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[tag] = value
    path = save(tmp_path / "a.dng", RGB, format="TIFF", tiffinfo=info)
    with pytest.raises(PhotoUnreadable, match=r"a\.dng is a camera's RAW file.* 200 x 40 pixels") as caught:
        load_photo(path)
    assert "JPEG" in caught.value.remedy


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a camera's RAW file"),
        (b"FUJIFILMCCD-RAW 0201FF", "a camera's RAW file"),
        (b"IIU\0\x08\0\0\0", "a camera's RAW file"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(40), "RAW"),
        (b"8BPS\0\1" + bytes(30), "a Photoshop document"),
        (b"\xff\x0a\xfa\x1f" + bytes(30), "a JPEG XL picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(30), "a JPEG XL picture"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "damaged or cut short"),
    ],
)
def test_other_raw_files_are_named(tmp_path: Path, head: bytes, kind: str):
    path = tmp_path / "a.cr3"
    path.write_bytes(head)
    with pytest.raises(PhotoUnreadable, match=kind):
        load_photo(path)


def _animated(suffix: str) -> bytes:
    buffer = io.BytesIO()
    RGB.save(buffer, suffix, save_all=True, append_images=[RGB.rotate(180)], duration=100, lossless=True)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", ["WEBP", "PNG"])
def test_an_animation_shows_its_first_picture_and_says_so(tmp_path: Path, suffix: str):
    path = tmp_path / "a.bin"
    path.write_bytes(_animated(suffix))
    photo = load_photo(path)
    assert_alike(photo.rgb[4::8, 4::8], CHART, 0)
    assert "holds 2 pictures" in photo.findings[0].cause
