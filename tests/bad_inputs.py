"""The table of command lines that cannot work: what is wrong, the exit code, and what the one line must say.

The folder in which they run holds `me.png` (a good photo), `motion.sfxm` (a good template), `clip.mp4` (a
good video) and `film.mp4` (an older film, which must survive).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import bad_files as make
from PIL import Image

GOOD = "-o film.mp4 --yes"
LONG_NAME = "n" * 300 + ".jpg"


@dataclass(frozen=True, slots=True)
class Case:
    """A command line and what is to come of it."""

    what: str
    """The fault, for a person; the test's name."""
    command: tuple[str, ...]
    words: tuple[str, ...]
    """All of them stand in the line on stderr."""
    code: int = 1
    prepare: Callable[[Path], None] | None = field(default=None, repr=False)
    """Makes the bad file in the folder; the good photo is there already."""


def photo(what: str, name: str, maker: Callable[[Path, Image.Image], None] | None, *words: str) -> Case:
    """A bad portrait."""

    def prepare(folder: Path) -> None:
        if maker:
            maker(folder / name, Image.open(folder / "me.png").convert("RGB"))

    return Case(f"photo: {what}", ("render", name, "motion.sfxm", *GOOD.split()), words, prepare=prepare)


def driver(what: str, name: str, maker: Callable[[Path], None] | None, *words: str) -> Case:
    """A bad driver."""

    def prepare(folder: Path) -> None:
        if maker:
            maker(folder / name)

    return Case(f"driver: {what}", ("render", "me.png", name, *GOOD.split()), words, prepare=prepare)


def output(what: str, options: str, code: int, *words: str, **more: Callable[[Path], None]) -> Case:
    """A bad place to write to."""
    command = ("render", "me.png", "clip.mp4", *options.split())
    return Case(f"output: {what}", command, words, code, **more)


def usage(options: str, *words: str, driver: str = "motion.sfxm") -> Case:
    """A command line that makes no sense."""
    command = ("render", "me.png", driver, *GOOD.split(), *options.split())
    return Case(f"usage: {options} ({driver})", command, words, 2)


def other(line: str, code: int, *words: str, prepare: Callable[[Path], None] | None = None) -> Case:
    """Another command."""
    return Case(line, tuple(line.split()), words, code, prepare)


DEVICES = (
    usage("--device gpu", "invalid choice: 'gpu'"),
    other("render me.png motion.sfxm -o film.mp4 --yes --device cuda", 1, "or render on the CPU"),
    other("bench --device cuda", 1, "or render on the CPU"),
)

PHOTOS = (
    photo("text", "essay.jpg", make.text, "essay.jpg is not a photo", "Save it as JPEG, PNG or WebP"),
    photo("SVG", "drawing.svg", make.starts_with(make.SVG), "an SVG drawing", "Save it as JPEG"),
    photo("PDF", "scan.pdf", make.starts_with(make.PDF), "a PDF document", "Save it as JPEG"),
    photo("HEIC", "phone.jpg", make.starts_with(make.HEIC), "a HEIC photo", "Save it as JPEG"),
    photo("video", "clip.mp4", None, "a video", "Save one of its pictures as JPEG"),
    photo("template", "motion.sfxm", None, "not a photo", "JPEG, PNG or WebP"),
    photo("JPEG cut short", "cut.jpg", make.cut_short, "cut.jpg is cut short", "again"),
    photo("PNG cut short", "cut.png", make.cut_short, "cut.png is cut short", "again"),
    photo("WebP cut short", "cut.webp", make.cut_short, "cut.webp is cut short", "again"),
    photo("zero bytes", "nothing.jpg", make.empty, "nothing.jpg is empty (0 bytes)", "again"),
    photo("bomb by header", "b.png", make.claims_a_size(30_000, 30_000), "900 megapixels", "Reduce"),
    photo("bomb in full", "b.png", make.bomb, "900 megapixels", "the limit is 100 megapixels", "Reduce"),
    photo("too large, no bomb", "b.png", make.claims_a_size(12_000, 9_000), "12000 x 9000", "100 megapixels"),
    photo("lying header", "liar.png", make.claims_a_size(900, 700), "damaged or cut short", "again"),
    photo("one pixel", "dot.png", make.plain(1, 1), "only 1 x 1 pixels", "larger"),
    photo("10 x 10", "tiny.png", make.plain(10, 10), "only 10 x 10 pixels", "larger"),
    photo("1 x 3000", "line.png", make.plain(1, 3000), "only 1 x 3000 pixels", "larger"),
    photo("a ribbon", "ribbon.png", make.plain(20_000, 90), "No face was found", "one face"),
    photo("noise", "noise.png", make.noise, "No face was found in noise.png", "one face"),
    photo("landscape", "hills.jpg", make.landscape, "No face was found in hills.jpg", "one face"),
    photo("two faces", "twins.png", make.twins, "2 faces of similar size", "px tall", "Crop"),
    photo("a face far away", "far.png", make.far_away, "px tall, at least 80 are needed", "closer"),
    photo("a face cut off", "cropped.png", make.cut_off, "cut off at the photo's edge", "px", "whole head"),
    photo("profile", "side.png", make.turned_away(65, 0), "No face was found", "turned to the camera"),
    photo("looking down", "down.png", make.turned_away(-42, 1), "degrees up or down", "looks at the camera"),
    photo("a folder", "album", make.folder, "album is a folder"),
    photo("a pipe", "pipe.jpg", make.fifo, "pipe.jpg is a pipe"),
    photo("a device", "/dev/zero", None, "/dev/zero is a device"),
    photo(
        "a loop of links", "loop.jpg", make.link_loop, "loop.jpg cannot be opened: its links lead in a circle"
    ),
    photo("missing", "nobody.jpg", None, "nobody.jpg does not exist", "spelling"),
    photo("missing, with a line break", "two\nlines.jpg", None, "two lines.jpg does not exist"),
    photo("missing, with an escape code", "\x1b[31mred.jpg", None, "?[31mred.jpg does not exist"),
    photo("missing, not in UTF-8", "caf\udce9.jpg", None, ".jpg does not exist"),
    photo("missing, in Unicode", "портрет 🙂.jpg", None, "портрет 🙂.jpg does not exist"),
    photo("too long a name", LONG_NAME, None, "name too long", "path"),
    photo("address", "https://example.org/me.jpg", None, "an address", "Download it first"),
)

DRIVERS = (
    driver("text", "essay.mp4", make.text, "essay.mp4 is", "not", "video", "convert it to MP4"),
    driver("MP4 without index", "cut.mp4", make.no_index, "its beginning or index is damaged", "MP4"),
    driver("sound only", "song.m4a", make.sound_only, "holds only sound", "Choose a video of a face"),
    driver("no picture decodes", "zeros.mp4", make.no_pictures, "not one picture", "12 damaged", "MP4"),
    driver("zero pictures", "none.mkv", make.zero_frames, "ends before its first picture"),
    driver("unknown codec", "new.mp4", make.unknown_codec, "video codec", "Convert it to MP4"),
    driver("a photo", "me.png", None, "me.png is", "still picture"),
    driver("playlist", "list.m3u8", make.playlist, "a playlist", "Choose a video"),
    driver("concatenation", "list.ffconcat", make.concatenation, "a playlist", "Choose a video"),
    driver("empty", "nothing.mp4", make.empty, "nothing.mp4 is empty (0 bytes)", "again"),
    driver("a folder", "clips", make.folder, "clips is a folder"),
    driver("a pipe", "pipe.mp4", make.fifo, "pipe.mp4 is a pipe"),
    driver("a device", "/dev/zero", None, "/dev/zero is a device"),
    driver("missing", "no.mp4", None, "no.mp4 does not exist", "spelling"),
    driver(
        "address",
        "http://localhost:9/clip.mp4",
        None,
        "http://localhost:9/clip.mp4 is an address",
        "Download",
    ),
    driver("stream address", "rtsp://localhost:9/live", None, "an address", "Download it first"),
    driver("foreign template", "essay.sfxm", make.text, "no motion template", "streamfx record"),
    driver("empty template", "empty.sfxm", make.empty, "empty.sfxm", "empty (0 bytes)"),
    driver("template cut short", "cut.sfxm", make.cut_template, "cut.sfxm", "its header says", "record"),
    driver("damaged template", "bad.sfxm", make.damaged_template, "bad.sfxm", "checksum", "record"),
    driver("newer template", "new.sfxm", make.template_of_version_9, "new.sfxm", "version 9"),
    driver(
        "template of another basis",
        "b.sfxm",
        make.template_of_another_basis,
        "b.sfxm: The",
        "expression basis",
    ),
    other(f"render me.png 97 {GOOD} --duration 1", 1, "There is no camera /dev/video97", "amera"),
)


def _link(name: str, target: str = "clip.mp4") -> Callable[[Path], None]:
    return lambda folder: (folder / name).symlink_to(target)


def _hard_link(name: str, target: str = "clip.mp4") -> Callable[[Path], None]:
    return lambda folder: (folder / name).hardlink_to(folder / target)


def _song(folder: Path) -> None:
    make.sound_only(folder / "song.m4a")


def _film_that_is_the_photo(folder: Path) -> None:
    (folder / "photo.mp4").write_bytes((folder / "me.png").read_bytes())


OUTPUTS = (
    output("missing folder", "-o nowhere/film.mp4", 1, "its folder does not exist", "Create the folder"),
    output("a folder", "-o dir.mp4", 1, "it is a folder", prepare=lambda at: (at / "dir.mp4").mkdir()),
    output("a folder, by its end", "-o out/", 2, "out", "Use .mp4", prepare=lambda at: (at / "out").mkdir()),
    output("a device", "-o /dev/null", 2, "/dev/null", "Use .mp4"),
    output("a file for a folder", "-o me.png/film.mp4", 1, "a part of its path is not a folder"),
    output("unknown suffix", "-o film.xyz", 2, "'.xyz'", "Use .mp4, .mov, .mkv, .webm"),
    output("no suffix", "-o film", 2, "film has no suffix", "Use .mp4"),
    output("too long a name", f"-o {'n' * 300}.mp4", 1, "name is too long", "shorter"),
    output("a loop of links", "-o loop.mp4", 1, "in a circle", prepare=_link("loop.mp4", "loop.mp4")),
    output("the driver", "-o clip.mp4", 2, "are the same file", "another name"),
    output("the driver by a link", "-o link.mp4", 2, "are the same", prepare=_link("link.mp4")),
    output("the driver by a hard link", "-o h.mp4", 2, "are the same", prepare=_hard_link("h.mp4")),
    output("the sheet is the photo", f"{GOOD} --sheet me.png", 2, "me.png and me.png are the same file"),
    output("the sheet is no PNG", f"{GOOD} --sheet s.jpg", 2, "'.jpg'", "Use .png"),
    output("the report is the film", f"{GOOD} --report r.json", 2, "r.json and film.mp4 are the same file",
           prepare=_link("r.json", "film.mp4")),
    output("no folder for the report", f"{GOOD} --report nowhere/r.json", 1, "r.json", "does not exist"),
    output("no folder for the sheet", f"{GOOD} --sheet nowhere/s.png", 1, "s.png", "does not exist"),
    Case("output: the photo, named as a film", ("render", "photo.mp4", "motion.sfxm", "-o", "photo.mp4"),
         ("are the same file",), 2, _film_that_is_the_photo),
)  # fmt: skip

USAGES = (
    usage("--size 641x480", "odd side", "640x480"),
    usage("--size 0x0", "outside 64x64 to 4096x4096"),
    usage("--size -640x480", "--size"),
    usage("--size 99999x99999", "outside 64x64 to 4096x4096"),
    usage("--size abc", "no size", "640x480"),
    usage("--size 640", "no size", "640x480"),
    usage("--fps 0", "outside 1 to 240"),
    usage("--fps -1", "outside 1 to 240"),
    usage("--fps 1000", "outside 1 to 240"),
    usage("--fps nan", "outside 1 to 240"),
    usage("--fps fast", "'fast' is no number"),
    usage("--duration 0", "outside 0.04"),
    usage("--duration inf", "outside 0.04"),
    usage("--head -0.1", "outside 0 to 1.5"),
    usage("--gaze 2", "outside 0 to 1.5"),
    usage("--expression nan", "outside 0 to 1.5"),
    usage("--mode mirror", "invalid choice", "layer"),
    usage("--passthrough", "--passthrough", "--help"),
    usage("--audio", "--audio needs a video", "Leave out --audio"),
    usage("--audio", "has no sound track to keep", "Leave out --audio", driver="clip.mp4"),
    usage("--compare", "--compare needs a video", "Leave out --compare"),
    usage("--compare --duration 1", "the driver is a camera", driver="0"),
    usage("--json", "has no end", "--duration SECONDS", driver="/dev/video0"),
    other("render me.png motion.sfxm", 2, "-o/--output", "streamfx render --help"),
    other("render me.png", 2, "DRIVER", "streamfx render --help"),
)

OTHERS = (
    other("record motion.sfxm -o new.sfxm", 2, "is a motion template already", "Name a video"),
    other("record clip.mp4 -o new.mp4", 2, "'.mp4'", "Use .sfxm"),
    other("record clip.mp4 -o new.sfxm", 1, "No face was found in any of the 12 pictures", "one face"),
    other("record song.m4a -o new.sfxm", 1, "only sound", prepare=_song),
    other("demo -o me.png", 1, "me.png cannot be made", "-o FOLDER"),
    other("bench --driver no.mp4 --size 320x240", 1, "no.mp4 does not exist"),
    other("bench --driver me.png --size 320x240", 1, "still picture"),
    other("models pull face_landmaker", 2, "face_landmaker", "face_landmarker"),
)  # fmt: skip

CASES = PHOTOS + DRIVERS + OUTPUTS + USAGES + DEVICES + OTHERS


@dataclass(frozen=True, slots=True)
class Oddity:
    """A photo that is odd and good: its film must look like the plain photo's."""

    what: str
    name: str
    maker: Callable[[Path, Image.Image], None] = field(repr=False)
    grey: bool = False


ODDITIES = (
    *(Oddity(f"EXIF orientation {n}", "phone.jpg", make.with_orientation(n)) for n in range(1, 9)),
    Oddity("CMYK", "print.jpg", make.as_mode("CMYK")),
    Oddity("16 bits a colour", "deep.png", make.sixteen_bit),
    Oddity("16 bits of grey", "deep.png", make.sixteen_bit_grey, grey=True),
    Oddity("grey", "grey.jpg", make.as_mode("L"), grey=True),
    Oddity("alpha", "alpha.png", make.with_alpha),
    Oddity("palette", "palette.png", make.as_mode("P")),
    Oddity("animated GIF", "film.gif", make.animated),
    Oddity("animated WebP", "film.webp", make.animated),
    Oddity("a line break in its name", "two\nlines.png", make.as_mode("RGB")),
    Oddity("a name in Unicode", "портрет 🙂 %d.png", make.as_mode("RGB")),
    Oddity("a name not in UTF-8", "caf\udce9.png", make.as_mode("RGB")),
    Oddity("a PNG named .jpg", "me.jpg.png", make.as_mode("RGB")),
)
