"""Makers of photos, videos and templates with something wrong (or odd) about them; each is named by it.

Every maker takes the path to be made; a photo's maker takes the good photo as well.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import media
import numpy as np
from PIL import Image
from scenes import MOTION, store

from streamfx.driving.template_format import _CRC_AT, _HEADER
from streamfx.models.face_model import load_face_model
from streamfx.track.photo import PhotoAnalyser

HEADER_BYTES = _HEADER.size
GREY = (128, 128, 128)

# -- any file ------------------------------------------------------------------------------------------------


def text(path: Path, _photo: Image.Image | None = None) -> None:
    path.write_text("I am neither a photo nor a video.\n" * 20)


def empty(path: Path, _photo: Image.Image | None = None) -> None:
    path.touch()


def folder(path: Path, _photo: Image.Image | None = None) -> None:
    path.mkdir()


def fifo(path: Path, _photo: Image.Image | None = None) -> None:
    os.mkfifo(path)


def link_loop(path: Path, _photo: Image.Image | None = None) -> None:
    path.symlink_to(path.name)


def starts_with(data: bytes):
    """The maker of a file of a foreign format: its first bytes, then noise."""

    def make(path: Path, _photo: Image.Image | None = None) -> None:
        path.write_bytes(data + np.random.default_rng(0).bytes(4000))

    return make


SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>\n'
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"
HEIC = b"\x00\x00\x00\x24ftypheic\x00\x00\x00\x00mif1MiHEMiPrmiafheictmap"

# -- photos --------------------------------------------------------------------------------------------------


def cut_short(path: Path, photo: Image.Image) -> None:
    photo.save(path)
    os.truncate(path, path.stat().st_size * 2 // 3)


def claims_a_size(width: int, height: int):
    """The maker of a PNG whose header names a size that its content has not."""

    def make(path: Path, photo: Image.Image) -> None:
        photo.resize((16, 16)).save(path)
        data = bytearray(path.read_bytes())
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        path.write_bytes(data)

    return make


def bomb(path: Path, _photo: Image.Image) -> None:
    """A whole, valid PNG of 30,000 x 30,000 px in a hundred kilobytes."""
    packer = zlib.compressobj(1)
    row = bytes(1 + 30_000 // 8)
    body = b"".join(packer.compress(row * 1000) for _ in range(30)) + packer.flush()
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def plain(width: int, height: int):
    """The maker of a picture of one colour."""

    def make(path: Path, _photo: Image.Image) -> None:
        Image.new("RGB", (width, height), (120, 150, 90)).save(path)

    return make


def noise(path: Path, _photo: Image.Image) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)).save(path)


def landscape(path: Path, _photo: Image.Image) -> None:
    """Sky, hills and a sun: round and bright, but no face."""
    picture = np.zeros((360, 480, 3), np.uint8)
    picture[:220] = (120, 170, 230)
    picture[220:] = (60, 120, 50)
    cv2.circle(picture, (330, 110), 50, (250, 230, 120), -1)
    Image.fromarray(picture).save(path)


def twins(path: Path, photo: Image.Image) -> None:
    _beside(photo, 1.0).save(path)


def small_second_face(path: Path, photo: Image.Image) -> None:
    head = photo.crop((100, 0, 360, 260)).resize((520, 520))
    _beside(head, 0.5).save(path)


def _beside(photo: Image.Image, scale: float) -> Image.Image:
    other = photo.resize((round(photo.width * scale), round(photo.height * scale)))
    both = Image.new("RGB", (photo.width + other.width, photo.height), GREY)
    both.paste(photo, (0, 0))
    both.paste(other, (photo.width, 0))
    return both


def far_away(path: Path, photo: Image.Image) -> None:
    wide = Image.new("RGB", (600, 450), GREY)
    wide.paste(photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.LANCZOS), (150, 120))
    wide.save(path)


def cut_off(path: Path, photo: Image.Image) -> None:
    """The same photo without the upper third of the face."""
    whole = photo.resize((photo.width * 2, photo.height * 2))
    whole.crop((0, 235, *whole.size)).save(path)


def turned_away(degrees: float, axis: int):
    """The maker of the photo's face as its mesh looks turned: about the vertical axis (0), up or down (1)."""

    def make(path: Path, photo: Image.Image) -> None:
        rgb = np.array(photo.resize((photo.width * 2, photo.height * 2)))
        task = store().path("face_landmarker")
        with PhotoAnalyser(task, store().path("selfie_segmentation")) as analyser:
            points = analyser.faces(rgb)[0].landmarks[:468]
        turned, depth = _turned(points, np.radians(degrees), axis)
        triangles = sorted(load_face_model(task).triangles, key=lambda corners: -depth[corners].sum())
        Image.fromarray(_drawn(rgb, points, turned, triangles)).save(path)

    return make


def _turned(points: np.ndarray, angle: float, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """f32 [N,2] px and depths [N] of a face f32 [N,3] px; its middle stays where it was."""
    centred = points - points.mean(0)
    along, depth = centred[:, axis], centred[:, 2]
    turned = centred[:, :2].copy()
    turned[:, axis] = along * np.cos(angle) + depth * np.sin(angle)
    return (turned + points.mean(0)[:2]).astype(np.float32), depth * np.cos(angle) - along * np.sin(angle)


def _drawn(
    rgb: np.ndarray, points: np.ndarray, turned: np.ndarray, triangles: list[np.ndarray]
) -> np.ndarray:
    """The triangles of u8 [H,W,3] where they were turned to, the nearest last."""
    out = np.full_like(rgb, 128)
    for corners in triangles:
        matrix = cv2.getAffineTransform(points[corners, :2], turned[corners])
        mask = np.zeros(rgb.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, np.round(turned[corners]).astype(int), 1)
        seen = cv2.warpAffine(rgb, matrix, rgb.shape[1::-1])
        out[mask > 0] = seen[mask > 0]
    return out


# -- photos that are odd and good ----------------------------------------------------------------------------


def with_orientation(number: int):
    """The maker of a photo stored so that the EXIF orientation `number` shows it upright."""
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[number]

    def make(path: Path, photo: Image.Image) -> None:
        exif = Image.Exif()
        exif[0x0112] = number
        (photo if undo is None else photo.transpose(undo)).save(path, exif=exif, quality=95)

    return make


def as_mode(mode: str):
    """The maker of a photo in another of Pillow's colour modes."""

    def make(path: Path, photo: Image.Image) -> None:
        photo.convert(mode).save(path)

    return make


def sixteen_bit(path: Path, photo: Image.Image) -> None:
    cv2.imwrite(str(path), np.array(photo)[..., ::-1].astype(np.uint16) * 257)


def sixteen_bit_grey(path: Path, photo: Image.Image) -> None:
    cv2.imwrite(str(path), np.array(photo.convert("L")).astype(np.uint16) * 257)


def with_alpha(path: Path, photo: Image.Image) -> None:
    """Opaque but for one corner."""
    alpha = Image.new("L", photo.size, 255)
    alpha.paste(0, (0, 0, 40, 40))
    photo.putalpha(alpha)
    photo.save(path)


def animated(path: Path, photo: Image.Image) -> None:
    """The photo first, then black pictures."""
    photo.save(path, save_all=True, append_images=[Image.new("RGB", photo.size)] * 2, duration=100)


# -- drivers -------------------------------------------------------------------------------------------------


def video(path: Path) -> None:
    media.write_video(path, 12, size=(160, 120))


def no_index(path: Path) -> None:
    """An MP4 cut off: its index would have stood at its end."""
    media.write_video(path, 30)
    os.truncate(path, path.stat().st_size // 2)


def truncated(path: Path) -> None:
    """A film cut off after two thirds, in a container that is read from its start."""
    media.write_video(path, 60, size=(160, 120), options={"g": "5"})
    os.truncate(path, path.stat().st_size * 2 // 3)


def sound_only(path: Path) -> None:
    media.write_sound(path)


def no_pictures(path: Path) -> None:
    """A video track of no picture: all of its pictures are zeros."""
    intact = path.with_name("intact.mp4")
    media.write_video(intact, 12)
    media.write_damaged(path, intact, slice(48, intact.read_bytes().find(b"moov") - 8))
    intact.unlink()


def zero_frames(path: Path) -> None:
    """Header and index, and then nothing."""
    media.write_video(path, 1)
    data = path.read_bytes()
    path.write_bytes(data[: data.find(b"\x1f\x43\xb6\x75")])  # Matroska's Cluster begins here


def size_change(path: Path) -> None:
    media.write_size_change(path)
    for part in path.parent.glob(f"?-{path.name}"):
        part.unlink()


def unknown_codec(path: Path) -> None:
    media.write_video(path, 3)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))


def playlist(path: Path) -> None:
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/hostname\n#EXT-X-ENDLIST\n")


def concatenation(path: Path) -> None:
    path.write_text("ffconcat version 1.0\nfile '/etc/hostname'\n")


# -- templates -----------------------------------------------------------------------------------------------


def cut_template(path: Path) -> None:
    path.write_bytes(MOTION.read_bytes()[:-500])


def damaged_template(path: Path) -> None:
    data = bytearray(MOTION.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def template_of_version_9(path: Path) -> None:
    data = bytearray(MOTION.read_bytes())
    data[4:6] = struct.pack("<H", 9)
    path.write_bytes(data)


def template_of_another_basis(path: Path) -> None:
    """Whole, with a checksum that fits."""
    data = bytearray(MOTION.read_bytes())
    data[36:68] = b"\xab" * 32
    data[_CRC_AT:HEADER_BYTES] = bytes(4)
    data[_CRC_AT:HEADER_BYTES] = struct.pack("<I", zlib.crc32(data))
    path.write_bytes(data)
