"""Reading the portrait photo: the only door to Pillow. Any common format in, upright u8 RGB out."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from streamfx import files
from streamfx.errors import PhotoUnreadable
from streamfx.frames import U8

MAX_BYTES: Final = 60 * 2**20
MAX_PIXELS: Final = 100_000_000
WORKING_PIXELS: Final = 12_000_000
"""Larger photos are reduced to this: a frame shows at most two million of them."""

_FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM")
"""Pillow's rarer formats are refused: that is where its decompression bombs were found."""

_FOREIGN: Final = (
    (rb"(?s)....ftyp(?:hei|hev|mif1|msf1)", "a HEIC photo", "Save it as JPEG (phones and viewers export it)"),
    (rb"(?s)....ftyp|\x1a\x45\xdf\xa3|RIFF....AVI ", "a video", "Save one of its pictures as JPEG"),
    (rb"%PDF", "a PDF document", "Save it as JPEG or PNG"),
    (rb"(?s)\s*<.{0,400}<svg|\s*<svg", "an SVG drawing", "Save it as JPEG or PNG"),
)
"""First bytes of what people take for a photo, its name, and what to do."""


@dataclass(frozen=True, slots=True)
class Photo:
    """An upright photo."""

    rgb: U8 = field(repr=False)
    """u8 [H,W,3] sRGB"""
    sha256: str
    """Of the file's bytes."""
    name: str

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) px."""
        return self.rgb.shape[1], self.rgb.shape[0]


def load_photo(path: Path) -> Photo:
    """Read a photo, upright by its EXIF, colours in sRGB, transparency over mid-grey.

    Of several pictures in a file, the first.

    Raises:
        PhotoUnreadable: not an image, damaged, too large, or of a refused format.
    """
    data = files.read_bytes(path, MAX_BYTES, files.PHOTO)
    rgb = _decode(data, path.name)
    return Photo(rgb, hashlib.sha256(data).hexdigest(), path.name)


def _decode(data: bytes, name: str) -> U8:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                _check_size(image, name)
                image.draft("RGB", _draft_size(image))
                return _upright_rgb(image)
    except UnidentifiedImageError as error:
        raise _foreign(data, name) from error
    except Image.DecompressionBombError as error:
        raise _too_large(name, f"it has {_megapixels(error)} megapixels") from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, IndexError) as error:
        raise PhotoUnreadable(
            f"{name} is damaged or cut short: {_short(error)}", "Copy or export the photo again"
        ) from error


def _foreign(data: bytes, name: str) -> PhotoUnreadable:
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


def _upright_rgb(image: Image.Image) -> U8:
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    width, height = image.size
    if width * height > WORKING_PIXELS:
        image.thumbnail(_draft_size(image), Image.Resampling.LANCZOS)
    picture = np.array(_to_srgb(_eight_bit(image)), np.uint8)
    return np.ascontiguousarray(picture)


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit and float greys are scaled to 8 bit: Pillow's own conversion would clip them to white."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float32)
        top = 65535.0 if image.mode.startswith("I") else max(float(values.max()), 1e-6)
        return Image.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8))
    if "A" in image.mode or "transparency" in image.info:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (128, 128, 128, 255))
        ground.info = dict(image.info)
        return Image.alpha_composite(ground, rgba)
    return image


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile and image.mode in {"RGB", "CMYK"}:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            converted = None  # a broken profile is no reason to refuse a good photo
        if converted is not None:
            return converted
    return image.convert("RGB")


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__).split("\n")[0][:80]
