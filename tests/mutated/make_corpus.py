"""Makes the corpus that is mutated: `python tests/mutated/make_corpus.py`, with FFmpeg's encoders in PyAV.

Small files of every kind that the two readers of foreign files take, and of some that they must not: one
generated picture, and films of it. Made once and committed, since encoders change.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image, ImageCms

CORPUS = Path(__file__).parent / "corpus"
IMAGES, VIDEOS = CORPUS / "images", CORPUS / "videos"
BAIT = "bait.ts"
"""What playlists name, beside themselves; nobody may open it."""


def drawn(size: tuple[int, int], turn: float = 0.0) -> np.ndarray:
    """u8 [H,W,3]: a head of sorts before a gradient."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    rgb = np.stack([60 + 120 * x / width, 90 + 90 * y / height, 160 - 60 * x / width], -1)
    middle = (round(width * (0.5 + 0.1 * turn)), round(height * 0.45))
    cv2.ellipse(rgb, middle, (width // 4, height // 3), 0, 0, 360, (224, 172, 140), -1)
    for side in (-1, 1):
        cv2.circle(rgb, (middle[0] + side * width // 9, middle[1] - height // 12), 2, (40, 30, 30), -1)
    mouth = (middle[0], middle[1] + height // 7)
    cv2.ellipse(rgb, mouth, (width // 9, max(1, round(3 + 2 * turn))), 0, 0, 360, (150, 60, 60), -1)
    return rgb.clip(0, 255).astype(np.uint8)


# -- images --------------------------------------------------------------------------------------------------

SIZE = (40, 52)


def images() -> None:
    """Every image of the corpus, by its name."""
    rgb = Image.fromarray(drawn(SIZE))
    more = [Image.fromarray(drawn(SIZE, turn)) for turn in (0.5, 1.0)]
    alpha = rgb.copy()
    alpha.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, SIZE[0], dtype=np.uint8), (SIZE[1], 1))))
    palette = rgb.quantize(32)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    marked = {"exif": exif, "icc_profile": profile}
    sixteen = np.asarray(rgb).astype(np.uint16) * 257
    grey_16 = Image.fromarray(sixteen[..., 1])
    animated = {"save_all": True, "append_images": more, "duration": 80}

    def save(name: str, image: Image.Image = rgb, **options: object) -> None:
        image.save(IMAGES / name, **options)

    save("baseline.jpg", quality=70)
    save("progressive.jpg", quality=70, progressive=True)
    save("restarts.jpg", quality=70, restart_marker_blocks=2)
    save("full-chroma.jpg", quality=90, subsampling=0)
    save("grey.jpg", rgb.convert("L"))
    save("cmyk.jpg", rgb.convert("CMYK"))
    save("exif-and-icc.jpg", quality=70, **marked)
    save("two-pictures.mpo", save_all=True, append_images=more)
    save("one-bit.png", rgb.convert("1"))
    save("grey.png", rgb.convert("L"))
    save("grey-alpha.png", alpha.convert("LA"))
    save("palette.png", palette)
    save("palette-clear.png", palette, transparency=bytes(range(32)))
    save("rgb.png", **marked)
    save("rgba.png", alpha)
    save("grey16.png", grey_16)
    cv2.imwrite(str(IMAGES / "rgb16.png"), sixteen[..., ::-1])
    (IMAGES / "interlaced.png").write_bytes(interlaced_png(np.asarray(rgb.convert("L"))))
    (IMAGES / "gamma.png").write_bytes(with_chunks(rgb, gAMA=struct.pack(">I", 45455), cHRM=CHROMATICITIES))
    (IMAGES / "cicp.png").write_bytes(with_chunks(rgb, cICP=bytes((9, 16, 0, 1))))
    save("animated.png", **animated)
    save("plain.gif", palette)
    save("animated.gif", palette, **{**animated, "append_images": [one.quantize(16) for one in more]})
    save("lossy.webp", quality=60)
    save("lossless.webp", lossless=True)
    save("alpha.webp", alpha, quality=60, **marked)
    save("animated.webp", alpha, **animated)
    save("plain.avif", quality=50)
    save("alpha.avif", alpha, quality=50, **marked)
    save("animated.avif", **animated, quality=40)
    for packing in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        save(f"{packing.removeprefix('tiff_')}.tiff", compression=packing)
    save("fax.tiff", rgb.convert("1"), compression="group4")
    save("predicted.tiff", compression="tiff_lzw", tiffinfo={317: 2})
    save("cmyk.tiff", rgb.convert("CMYK"), compression="tiff_lzw", icc_profile=profile)
    save("lab.tiff", ImageCms.profileToProfile(rgb, srgb(), lab(), outputMode="LAB"))
    save("grey16.tiff", grey_16)
    save("float.tiff", Image.fromarray(np.asarray(rgb.convert("L")).astype(np.float32) / 255))
    save("palette.tiff", palette)
    save("alpha.tiff", alpha)
    save("big.tiff", big_tiff=True, compression="packbits")
    save("pages.tiff", rgb.resize((10, 13)), save_all=True, append_images=[rgb], tiffinfo={254: 1})
    for mode in ("1", "L", "RGB"):
        save(f"{mode.lower()}.bmp", rgb.convert(mode))
    save("rgba.bmp", alpha)
    save("plain.jp2", quality_layers=[20])
    save("alpha.jp2", alpha, irreversible=True, quality_layers=[30])
    save("grey16.jp2", grey_16)
    save("tiles.j2k", tile_size=(16, 16), quality_layers=[20])
    small = rgb.resize((20, 26))
    for suffix, mode in (("pbm", "1"), ("pgm", "L"), ("ppm", "RGB")):
        save(f"plain.{suffix}", small.convert(mode))
    save("grey16.pgm", grey_16.resize((20, 26)))
    save("float.pfm", Image.fromarray(np.asarray(small.convert("L")).astype(np.float32) / 255))
    numbers = " ".join(map(str, np.asarray(rgb.resize((10, 13))).ravel()))
    (IMAGES / "written-out.ppm").write_bytes(b"P3\n# words\n10 13\n255\n" + numbers.encode())
    foreign(rgb)


CHROMATICITIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def lab() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunks(image: Image.Image, **chunks: bytes) -> bytes:
    """A PNG with more chunks behind its header."""
    file = io.BytesIO()
    image.save(file, "PNG")
    data = file.getvalue()
    added = b"".join(png_chunk(name.encode(), content) for name, content in chunks.items())
    return data[:33] + added + data[33:]


def interlaced_png(grey: np.ndarray) -> bytes:
    """Adam7: no library here writes it."""
    passes = ("0088", "0488", "4084", "0244", "2042", "0122", "1021")  # first row, column, step down, along
    rows = b"".join(
        b"\0" + row.tobytes()
        for y, x, down, along in (map(int, one) for one in passes)
        for row in grey[y::down, x::along]
        if row.size
    )
    head = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 1)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def foreign(rgb: Image.Image) -> None:
    """Formats that must be refused by name."""
    noise = np.random.default_rng(0).bytes(600)
    (IMAGES / "drawing.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>\n')
    (IMAGES / "phone.heic").write_bytes(
        b"\x00\x00\x00\x24ftypheic\x00\x00\x00\x00mif1MiHEMiPrmiafheictmap" + noise
    )
    (IMAGES / "page.pdf").write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n")
    cards = (b"SIMPLE  = T", b"BITPIX  = 8", b"NAXIS   = 2", b"NAXIS1  = 8", b"NAXIS2  = 8", b"END")
    (IMAGES / "stars.fits").write_bytes(b"".join(card.ljust(80) for card in cards).ljust(2880) + bytes(64))
    rgb.resize((8, 8)).save(IMAGES / "print.eps")
    (IMAGES / "layers.psd").write_bytes(b"8BPS\0\1" + noise)
    exif = {50706: b"\x01\x04\x00\x00", 254: 1}
    rgb.resize((10, 13)).save(IMAGES / "raw.dng.tiff", tiffinfo=exif)


# -- videos --------------------------------------------------------------------------------------------------


def film(
    name: str,
    codec: str = "libx264",
    sound: str = "",
    *,
    size: tuple[int, int] = (64, 48),
    count: int = 10,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    format: str | None = None,
    rotation: int = 0,
    begin: int = 0,
) -> None:
    """A film of the drawn head, 25 pictures a second, with a tone of the same length."""
    wanted = {"threads": "1", **(options or {})}
    if codec == "libx265":
        wanted["x265-params"] = "log-level=none:pools=none:info=0:keyint=5"
    path = VIDEOS / name
    flags = {"fflags": "+bitexact", **(muxing or {})}
    with av.open(str(path), "w", format=format, container_options=flags) as out:
        stream = out.add_stream(codec, rate=25, options=wanted)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.flags |= 1 << 23  # bitexact
        stream.codec_context.gop_size = 5
        if rotation:
            stream.set_display_rotation(rotation)
        rate = 48_000 if sound in {"libopus", "aac"} else 44_100
        track = out.add_stream(sound, rate=rate) if sound else None
        if track is not None:
            track.codec_context.layout = "mono"
            track.codec_context.bit_rate = 32_000
        for number in range(count):
            shown = drawn(size, number / count)
            picture = av.VideoFrame.from_ndarray(shown, "rgb24").reformat(format=pix_fmt)
            picture.pts, picture.time_base = number + begin, Fraction(1, 25)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
        if track is not None:
            _tone(out, track, count / 25)


def _tone(out: av.container.OutputContainer, track: av.AudioStream, seconds: float) -> None:
    rate = track.codec_context.rate
    wave = (8000 * np.sin(np.arange(round(seconds * rate)) * 2 * np.pi * 330 / rate)).astype(np.int16)
    resampler = av.AudioResampler(track.codec_context.format, "mono", rate)
    frame = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
    frame.sample_rate, frame.pts = rate, 0
    fifo = av.AudioFifo()
    for part in resampler.resample(frame):
        fifo.write(part)
    length = track.codec_context.frame_size or 1152
    for part in fifo.read_many(length, partial=True):
        out.mux(track.encode(part))
    out.mux(track.encode(None))


X264 = {"preset": "veryfast", "crf": "30", "x264-params": "info=0"}
TFF = {**X264, "x264-params": "info=0:tff=1"}


def videos() -> None:
    """Every video of the corpus, by its name."""
    film("sound.mp4", "libx264", "aac", options=X264)
    film("index-first.mp4", options=X264, muxing={"movflags": "+faststart"})
    film("fragments.mp4", "libx264", "aac", options=X264, muxing={"movflags": "+frag_keyframe+empty_moov"})
    film("late.mp4", options={**X264, "bf": "0"}, begin=30, muxing={"avoid_negative_ts": "disabled"})
    film("hevc.mp4", "libx265", count=6)
    film("av1.mp4", "libsvtav1", count=6, options={"preset": "10", "crf": "50"})
    film("mpeg4.mp4", "mpeg4", "aac")
    film("turned.mov", options=X264, rotation=90)
    film("jpegs.mov", "mjpeg", "pcm_s16le", count=4, pix_fmt="yuvj420p", size=(48, 32))
    film("prores.mov", "prores_ks", count=2, pix_fmt="yuv422p10le", size=(48, 32))
    film("animation.mov", "qtrle", count=3, pix_fmt="rgb24", size=(32, 24))
    film("sorenson.mov", "svq1", count=5, pix_fmt="yuv410p")
    film("phone.3gp", "h263", size=(128, 96), count=5)
    film("opus.mkv", "libx264", "libopus", options=X264)
    film("lossless.mkv", "ffv1", "pcm_s16le", count=4, size=(48, 32), options={"level": "3"})
    film("vp8.webm", "libvpx", "libopus", count=8)
    film("vp9.webm", "libvpx-vp9", count=8, options={"cpu-used": "8", "deadline": "realtime"})
    film("clear.webm", "libvpx-vp9", count=4, pix_fmt="yuva420p", options={"deadline": "realtime"})
    film("browser.webm", "libvpx", "libopus", count=8, muxing={"live": "1"})
    film("mpeg4.avi", "mpeg4", "mp3")
    film("jpegs.avi", "mjpeg", count=5, pix_fmt="yuvj422p", size=(48, 32))
    film("msmpeg4.avi", "msmpeg4")
    film("huffyuv.avi", "huffyuv", count=3, pix_fmt="yuv422p", size=(32, 24))
    film("cinepak.avi", "cinepak", count=3, pix_fmt="rgb24")
    film("screen.avi", "zmbv", count=4, pix_fmt="bgr0", size=(32, 24))
    film("h264.flv", "libx264", "aac", options=X264)
    film("sorenson.flv", "flv", "mp3")
    film("screen.flv", "flashsv", count=3, pix_fmt="bgr24")
    film("h264.ts", "libx264", "aac", options=X264)
    film("interlaced.ts", "mpeg2video", "mp2", options={"flags": "+ildct+ilme"})
    film("hevc.ts", "libx265", count=5)
    film("program.mpg", "mpeg2video", "mp2", format="vob")
    film("wmv.asf", "wmv2", "wmav2")
    film("broadcast.mxf", "mpeg2video", count=3)
    film("vp8.ogg", "libvpx", "libopus", count=8)
    film("snow.nut", "snow", count=4)
    film("real.rm", "rv10", size=(128, 96), count=4)
    film("recorded.wtv", "mpeg2video", "mp2", count=4)
    film("animated.gif", "gif", count=4, pix_fmt="rgb8", size=(32, 24))
    film("animated.apng", "apng", count=3, pix_fmt="rgb24", size=(32, 24))
    film("vp8.ivf", "libvpx", count=6)
    film("raw.y4m", "rawvideo", count=3, size=(16, 12), format="yuv4mpegpipe")
    film("raw.mjpeg", "mjpeg", count=4, pix_fmt="yuvj420p", size=(48, 32))
    film("raw.m1v", "mpeg1video", count=6)
    film("raw.m4v", "mpeg4", count=6)
    film("raw.h264", options=X264, count=8)
    film("fields.h264", options=TFF, count=8)
    film("raw.hevc", "libx265", count=5)
    film("raw.obu", "libsvtav1", count=5, options={"preset": "10", "crf": "50"})
    sound_only()
    joined()
    playlists()


def sound_only() -> None:
    codecs = {"only.wav": "pcm_s16le", "only.mp3": "mp3", "only.flac": "flac", "only.aac": "aac"}
    for name, codec in codecs.items():
        with av.open(str(VIDEOS / name), "w", container_options={"fflags": "+bitexact"}) as out:
            track = out.add_stream(codec, rate=44_100)
            track.codec_context.layout = "mono"
            _tone(out, track, 0.1)


def joined() -> None:
    """Streams that change on the way, as recorders and broadcasts make them."""
    for suffix in ("ts", "h264"):
        film(f"small.{suffix}", options=X264, count=6)
        film(f"large.{suffix}", options=X264, count=4, size=(96, 64))
        parts = [VIDEOS / f"{name}.{suffix}" for name in ("small", "large", "small")]
        (VIDEOS / f"size-changes.{suffix}").write_bytes(b"".join(part.read_bytes() for part in parts))
        for part in set(parts):
            part.unlink()


def playlists() -> None:
    """What makes FFmpeg open other files or addresses, if it may."""
    address = "http://127.0.0.1:9/" + BAIT
    texts = {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{0}\n#EXTINF:1,\nfile:{0}\n#EXTINF:1,\n"
        '{1}\n#EXT-X-KEY:METHOD=AES-128,URI="{1}"\n#EXTINF:1,\nsubfile,,start,0,end,99,,:{0}\n#EXT-X-ENDLIST\n',
        "list.ffconcat": "ffconcat version 1.0\nfile '{0}'\nfile '{1}'\n"
        "file 'data:video/mp2t;base64,R0AREA=='\n",
        "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "list.mpd": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
        '<BaseURL>{1}</BaseURL><SegmentList><SegmentURL media="{0}"/></SegmentList></Representation>'
        "</AdaptationSet></Period></MPD>\n",
        "list.asx": '<asx version="3.0"><entry><ref href="{1}"/></entry></asx>\n',
        "list.ram": "{1}\nfile:{0}\n",
        "list.m3u": "{0}\n{1}\n",
        "list.edl": "# mpv EDL v0\n{0},0,1\n{1},0,1\n",
    }
    for name, text in texts.items():
        (VIDEOS / name).write_text(text.replace("{0}", BAIT).replace("{1}", address))
    (VIDEOS / "external.mov").write_bytes(with_external_media((VIDEOS / "turned.mov").read_bytes()))
    (VIDEOS / "reference.mov").write_bytes(reference_movie(address))


def box(name: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I", len(data) + 8) + name + data


def with_external_media(movie: bytes) -> bytes:
    """A QuickTime film whose pictures lie in another file (an alias, as `dref` has them)."""
    folder, name = b"\0\0" + b"/", BAIT.encode()
    alias = bytearray(150)
    alias[4:6] = struct.pack(">H", 150)
    alias[50:51] = bytes((len(name),))
    alias[51 : 51 + len(name)] = name
    alias += struct.pack(">HH", 2, len(name)) + name + struct.pack(">HH", 18, 1) + folder[2:] + b"\0"
    alias += struct.pack(">HH", 0xFFFF, 0)
    at = movie.rindex(b"dref") - 4  # of the pictures; the last one
    length = struct.unpack_from(">I", movie, at)[0]
    made = box(b"dref", struct.pack(">II", 0, 1), box(b"alis", bytes(4), bytes(alias)))
    out = bytearray(movie[:at] + made + movie[at + length :])
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        where = movie.rindex(parent, 0, at) - 4
        struct.pack_into(">I", out, where, struct.unpack_from(">I", movie, where)[0] + len(made) - length)
    return bytes(out)


def reference_movie(address: str) -> bytes:
    """A QuickTime film that is nothing but the address of another."""
    place = struct.pack(">I", 0) + b"url " + struct.pack(">I", len(address) + 1) + address.encode() + b"\0"
    return box(b"ftyp", b"qt  ", bytes(4)) + box(b"moov", box(b"rmra", box(b"rmda", box(b"rdrf", place))))


def main() -> None:
    makers: tuple[tuple[Path, Callable[[], None]], ...] = ((IMAGES, images), (VIDEOS, videos))
    for folder, make in makers:
        folder.mkdir(parents=True, exist_ok=True)
        make()


if __name__ == "__main__":
    main()
