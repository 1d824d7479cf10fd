"""Reading the portrait photo: the only door to Pillow. Any common format in, upright u8 RGB out."""

from __future__ import annotations

import ctypes
import hashlib
import io
import logging
import re
import struct
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from streamfx import files
from streamfx.errors import PhotoUnreadable
from streamfx.frames import U8
from streamfx.portrait import endings
from streamfx.portrait.checks import Finding
from streamfx.portrait.colour import Chromaticities, Coding, coded, to_srgb, with_gamma
from streamfx.portrait.fill import to_u8

MAX_BYTES: Final = 60 * 2**20
MAX_PIXELS: Final = 100_000_000
WORKING_PIXELS: Final = 12_000_000
"""Larger photos are reduced to this: a frame shows at most two million of them."""

_FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM")
"""Pillow's rarer formats are refused: that is where its decompression bombs were found."""

# What is wrong with a file is raised; Pillow, and the libtiff in it, would write it to standard error, too.
logging.getLogger("PIL").setLevel(logging.CRITICAL)
with suppress(AttributeError, OSError):  # Windows' Pillow does not export it
    _libtiff = ctypes.CDLL(Image.core.__file__)  # type: ignore[attr-defined]  # missing in Pillow's types
    _libtiff.TIFFSetErrorHandler(None)
    _libtiff.TIFFSetWarningHandler(None)

_DAMAGED: Final = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    RuntimeError,
    AssertionError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    SystemError,
    struct.error,
    zlib.error,
    ImageCms.PyCMSError,
)
"""What Pillow's readers raise at damaged files: seven kinds in 33,000 of them, others by their sources."""

_UPRIGHT: Final = "Save it upright, if that was wrong"
_AS_JPEG: Final = "Export it as JPEG with the camera's or any photo program"
_FOREIGN: Final = (
    (rb"\xff\x0a|(?s:....)JXL ", "a JPEG XL picture", "Save it as JPEG or PNG"),
    (rb"(?s)....ftyp(?:hei|hev|mif1|msf1)", "a HEIC photo", "Save it as JPEG (phones and viewers export it)"),
    (rb"(?s)....ftypcrx |FUJIFILMCCD-RAW|IIU\x00|II\x52\x4f|MMOR|FOVb", "a camera's RAW file", _AS_JPEG),
    (rb"(?s)....ftyp|\x1a\x45\xdf\xa3|RIFF....AVI ", "a video", "Save one of its pictures as JPEG"),
    (rb"II[*+]\x00|MM\x00[*+]", "a TIFF of a kind (RAW, or a rare coding)", "Export it as JPEG or PNG"),
    (rb"8BPS", "a Photoshop document", "Save it as JPEG or PNG"),
    (rb"%PDF", "a PDF document", "Save it as JPEG or PNG"),
    (rb"(?s)\s*<.{0,400}<svg|\s*<svg", "an SVG drawing", "Save it as JPEG or PNG"),
)
"""First bytes of what people take for a photo, its name, and what to do."""

_CUT_SHORT = rb"(?s)\xff\xd8\xff|\x89PNG|GIF8|RIFF....WEBP|....ftypavi[fs]|....jP  "
"""First bytes of the formats that are read."""

_DNG_VERSION, _SUBFILE, _PHOTOMETRIC, _SUB_IFDS = 50706, 254, 262, 330  # TIFF tags
_SENSOR = (32803, 34892)  # photometric: a colour filter array, and what was made of one
_WHITE_IS_ZERO = 0  # photometric
_MANY_TIMES = 4  # a page so many times larger than the first is the picture, the first its preview
_MOST_PAGES = 64  # looked at
_COLOURS = {"1": "L"}  # what modes without a palette become; others RGB
_BY_SPACE = {"GRAY": "L", "RGB": "RGB"}  # modes that profiles take
_OPAQUE = 250  # alpha from which on a pixel counts as opaque
_LEAST_CLEAR = 0.005  # of the picture that is transparent, from which on it is told
_HEADER = 65536  # bytes in which an AVIF file's properties stand


@dataclass(frozen=True, slots=True)
class Photo:
    """An upright photo."""

    rgb: U8 = field(repr=False)
    """u8 [H,W,3] sRGB"""
    sha256: str
    """Of the file's bytes."""
    name: str
    findings: tuple[Finding, ...] = ()
    """What about the file may make it look otherwise than expected."""
    turned: int = 0
    """Quarter turns counter-clockwise by which it was turned, against what the file says."""

    def turn(self, quarters: int) -> Photo:
        """The photo, so many quarter turns counter-clockwise, with a finding."""
        degrees = {1: "90 degrees to the left", 2: "180 degrees", 3: "90 degrees to the right"}[quarters]
        found = Finding(f"the face did not stand upright: the photo was turned by {degrees}", _UPRIGHT)
        rgb = np.ascontiguousarray(np.rot90(self.rgb, quarters))
        return replace(self, rgb=rgb, turned=quarters, findings=(*self.findings, found))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) px."""
        return self.rgb.shape[1], self.rgb.shape[0]


def load_photo(path: Path) -> Photo:
    """Read a photo as viewers show it: upright by its EXIF, colours in sRGB, transparency over white.

    Of several pictures in a file the first, unless that one is the small preview of another.

    Raises:
        PhotoUnreadable: not an image, damaged, too large, a RAW file, or of a refused format.
    """
    data = files.read_bytes(path, MAX_BYTES, files.PHOTO)
    rgb, findings = _decode(data, path.name)
    return Photo(rgb, hashlib.sha256(data).hexdigest(), path.name, findings)


def photo_digest(path: Path) -> str:
    """The sha256 of a photo's bytes, which need not be one. Raises PhotoUnreadable."""
    return hashlib.sha256(files.read_bytes(path, MAX_BYTES, files.PHOTO)).hexdigest()


def is_there(photo: Photo, path: Path) -> bool:
    """Whether a photo's file is still there, and the same."""
    try:
        return photo_digest(path) == photo.sha256
    except PhotoUnreadable:
        return False


def _decode(data: bytes, name: str) -> tuple[U8, tuple[Finding, ...]]:
    try:
        rgb, findings = _read(data, name)
    except Image.DecompressionBombError as error:
        raise _too_large(name, f"it has {_megapixels(error)} megapixels") from error
    except PhotoUnreadable:
        raise
    except _DAMAGED as error:
        if mended := endings.mended(data, name, _readable):
            return mended
        if isinstance(error, UnidentifiedImageError):
            raise _foreign(data, name) from error
        raise PhotoUnreadable(
            f"{name} is damaged or cut short: {_short(error)}", "Copy or export the photo again"
        ) from error
    if endings.may_be_cut(data, rgb):
        return endings.mended(data, name, _readable) or (rgb, findings)
    return rgb, findings


def _read(data: bytes, name: str) -> tuple[U8, tuple[Finding, ...]]:
    """Raises PhotoUnreadable, and what Pillow raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            findings = _chosen_page(image, name)
            _check_size(image, name)
            image.draft("RGB", _draft_size(image))
            rgb, more = _upright_rgb(image, _profile(image, data), _coding(image, data))
            return rgb, (*findings, *more)


def _readable(data: bytes, name: str) -> tuple[U8, tuple[Finding, ...]] | None:
    try:
        return _read(data, name)
    except (*_DAMAGED, Image.DecompressionBombError):
        return None


def _chosen_page(image: Image.Image, name: str) -> tuple[Finding, ...]:
    """Go to the page that is the photo, and tell where there are others."""
    if isinstance(image, TiffImageFile):
        _refuse_raw(image, name)
    pages = getattr(image, "n_frames", 1)
    if pages < 2 or image.format == "MPO":  # a phone's second picture is a depth or brightness map
        return ()
    chosen = _largest_page(image, min(pages, _MOST_PAGES)) if isinstance(image, TiffImageFile) else 0
    image.seek(chosen)
    if chosen:
        return ()  # the first was its preview: nobody misses it
    remedy = "Save the one that you mean as JPEG, if it is another"
    return (Finding(f"the file holds {pages} pictures; the first is animated", remedy),)


def _largest_page(image: TiffImageFile, pages: int) -> int:
    """Number of the page that is the photo: the first, unless that is the preview of another."""
    areas, reduced = [], []
    for page in range(pages):
        image.seek(page)
        areas.append(image.size[0] * image.size[1])
        reduced.append(int(image.tag_v2.get(_SUBFILE, 0)) & 1)
    largest = int(np.argmax(areas))
    return largest if reduced[0] or areas[largest] >= _MANY_TIMES * areas[0] else 0


def _refuse_raw(image: TiffImageFile, name: str) -> None:
    """Raises PhotoUnreadable for a RAW file: what Pillow sees of it is a thumbnail."""
    tags = image.tag_v2
    raw = _DNG_VERSION in tags or tags.get(_PHOTOMETRIC) in _SENSOR
    # A first picture that is marked as reduced, with the whole one in a part that Pillow does not read.
    hidden = int(tags.get(_SUBFILE, 0)) & 1 and _SUB_IFDS in tags
    if raw or hidden:
        width, height = image.size
        raise PhotoUnreadable(
            f"{name} is a camera's RAW file, and its own picture of {width} x {height} pixels a preview",
            _AS_JPEG,
        )


def _foreign(data: bytes, name: str) -> PhotoUnreadable:
    if re.match(_CUT_SHORT, data):
        return PhotoUnreadable(
            f"{name} is damaged or cut short: its beginning is not whole", "Copy or export the photo again"
        )
    for pattern, kind, remedy in _FOREIGN:
        if re.match(pattern, data):
            return PhotoUnreadable(f"{name} is {kind}, which streamfx does not read", remedy)
    return PhotoUnreadable(
        f"{name} is not a photo in a format streamfx reads", "Save it as JPEG, PNG or WebP"
    )


def _megapixels(error: Image.DecompressionBombError) -> int:
    """The size that Pillow's message names, the one place where it stands."""
    pixels = re.search(r"\d+", str(error))
    return int(pixels[0]) // 10**6 if pixels else 0


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(name, f"it has {width} x {height} pixels")


def _too_large(name: str, why: str) -> PhotoUnreadable:
    return PhotoUnreadable(
        f"{name} is too large: {why}, the limit is {MAX_PIXELS // 10**6} megapixels", "Reduce the photo first"
    )


def _draft_size(image: Image.Image) -> tuple[int, int]:
    """JPEG can be decoded at a fraction of its size: saves time and memory for huge photos."""
    factor = min(1.0, (WORKING_PIXELS / (image.size[0] * image.size[1])) ** 0.5)
    return max(1, round(image.size[0] * factor)), max(1, round(image.size[1] * factor))


def _upright_rgb(image: Image.Image, profile: bytes | None, coding: Coding) -> tuple[U8, tuple[Finding, ...]]:
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    image = _plain(_eight_bit(image))
    width, height = image.size
    if width * height > WORKING_PIXELS:
        image.thumbnail(_draft_size(image), Image.Resampling.LANCZOS)
    if not image.mode.endswith("A"):
        return _in_srgb(image, profile, coding)
    alpha = np.array(image.getchannel("A"), np.uint8)
    rgb, findings = _in_srgb(image.convert(image.mode[:-1]), profile, coding)
    if clear := float((alpha < _OPAQUE).mean()):
        rgb = to_u8(rgb * (alpha / np.float32(255))[..., None] + (255 - alpha.astype(np.float32))[..., None])
    if clear >= _LEAST_CLEAR:
        cause = f"{100 * clear:.0f} % of the photo is transparent and counts as white"
        findings += (Finding(cause, "Put the background that you want behind it"),)
    return rgb, findings


def _eight_bit(image: Image.Image) -> Image.Image:
    """Greys of 16 or 32 bits and floats in 8 bits: Pillow's own conversion would clip them to white."""
    if not image.mode.startswith("I") and image.mode != "F":
        return image
    values = np.asarray(image).astype(np.float32)
    tops = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    most = float(np.nanmax(values))
    top = next((top for top in tops if most <= top), most)
    shown = np.nan_to_num(values) / top
    if isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        shown = 1 - shown
    grey = Image.fromarray(to_u8(255 * shown))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _plain(image: Image.Image) -> Image.Image:
    """Without palette and odd modes: L, LA, RGB, RGBA, CMYK or LAB."""
    if image.mode == "RGBX" or not image.has_transparency_data:
        return (
            image
            if image.mode in {"L", "RGB", "CMYK", "LAB"}
            else image.convert(_COLOURS.get(image.mode, "RGB"))
        )
    return image.convert("LA" if image.mode in {"L", "LA", "La"} else "RGBA")


def _in_srgb(image: Image.Image, profile: bytes | None, coding: Coding) -> tuple[U8, tuple[Finding, ...]]:
    """u8 [H,W,3]: an opaque picture's colours, by its profile if it has one that fits."""
    findings: tuple[Finding, ...] = ()
    if image.mode == "LAB":
        image = _by_profile(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    elif profile:
        try:
            return np.array(_by_profile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile))), np.uint8), ()
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            cause = "its colour profile is damaged or of another kind and was left out: colours may be off"
            findings = (Finding(cause, "Save the photo again as sRGB"),)
    rgb = np.array(image.convert("RGB"), np.uint8)
    return (rgb if coding.is_srgb else to_srgb(rgb, coding)), findings


def _by_profile(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    """Raises ImageCms.PyCMSError where the profile is damaged or not for such a picture."""
    image = image.convert(_BY_SPACE.get(source.profile.xcolor_space.strip(), image.mode))
    intent = ImageCms.Intent(source.profile.rendering_intent)
    srgb = ImageCms.createProfile("sRGB")
    made = ImageCms.profileToProfile(image, source, srgb, renderingIntent=intent, outputMode="RGB")
    if made is None:
        raise ImageCms.PyCMSError("no picture")
    return made


def _profile(image: Image.Image, data: bytes) -> bytes | None:
    """The file's ICC profile. Pillow leaves that of a JPEG 2000 file out (ISO 15444-1, I.5.3.3)."""
    if image.format != "JPEG2000":
        profile: bytes | None = image.info.get("icc_profile")
        return profile
    found = re.search(rb"(?s)(....)colr[\x02\x03]..", data[: max(data.find(b"jp2c"), 0)])
    return data[found.end() : found.start() + int.from_bytes(found[1])] if found else None


def _coding(image: Image.Image, data: bytes) -> Coding:
    """What the file says of its numbers, beside a profile."""
    if image.format == "PNG":
        if (found := data.find(b"\x00\x00\x00\x04cICP", 0, max(data.find(b"IDAT"), 0))) >= 0:
            return coded(data[found + 8], data[found + 9])
        if "srgb" in image.info:
            return Coding()
        return with_gamma(image.info.get("gamma"), _primaries(image.info.get("chromaticity")))
    if image.format == "AVIF" and (found := data.find(b"colrnclx", 0, _HEADER)) >= 0:
        return coded(*struct.unpack_from(">HH", data, found + 8))
    return Coding()


def _primaries(white_red_green_blue: tuple[float, ...] | None) -> Chromaticities | None:
    """PNG's cHRM, in the order of `colour.Chromaticities`."""
    if white_red_green_blue is None or len(white_red_green_blue) != 8:
        return None
    white, red, green, blue = zip(white_red_green_blue[::2], white_red_green_blue[1::2], strict=True)
    return red, green, blue, white


def _short(error: BaseException) -> str:
    said = "" if isinstance(error, (LookupError, AssertionError)) else str(error).split("\n")[0][:80]
    return said if said.strip() and said.isprintable() else "its parts contradict each other"
