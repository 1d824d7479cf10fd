"""Options that several commands share: their types, and the checks that are made before any work."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamfx.errors import UsageError
from streamfx.settings import notation
from streamfx.settings.framing import SHIFTS, ZOOMS, Framing, FramingKind

if TYPE_CHECKING:
    from streamfx.models.weights import Profile
    from streamfx.render.base import Networks, RenderDevice
    from streamfx.settings.session import SessionSettings

SIZES: Final = (64, 4096)
"""px: smallest and largest side of a film."""
RATES: Final = (1.0, 240.0)
"""Frames per second."""
PROFILES: Final = ("lite", "paper")
"""`--refine` and `--mouth`: which network; in words, for importing the list would make `--help` slow."""
DEVICES: Final = ("cpu", "cuda")
PRIORITIES: Final = ("auto", "normal", "high", "realtime")
OFF: Final = "off"
"""`--refine`: no network."""
PROCEDURAL: Final = "procedural"
"""`--mouth`: no network."""
LIVE_RATES: Final = (5.0, 60.0)
"""As session.settings.RATES."""
SOURCES: Final = (
    "webcam (0, /dev/video0), feed:NAME, video, motion template, demo, remote or none "
    "(auto: the first webcam)"
)
"""What `--source` takes."""
CAMERAS: Final = "/dev/video10, pipewire or none (auto: the best at hand)"
"""What `--camera` takes."""
BACKGROUNDS: Final = (
    "keep, blur, a colour (green, '#00b140'), a picture's file, "
    "or remove (clear in OBS's plugin, black elsewhere)"
)
"""What `--background` and `ctl background` take."""


def frame_size(text: str) -> tuple[int, int]:
    """`640x480` or `720p` as (width, height); even, within SIZES."""
    low, high = SIZES
    try:
        width, height = notation.frame_size(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(
            f"{error.cause}; {error.remedy[:1].lower()}{error.remedy[1:]}"
        ) from None
    if not (low <= width <= high and low <= height <= high):
        raise argparse.ArgumentTypeError(f"{text} is outside {low}x{low} to {high}x{high}")
    if width % 2 or height % 2:
        raise argparse.ArgumentTypeError(
            f"{text} has an odd side; both must be even, as {width // 2 * 2}x{height // 2 * 2}"
        )
    return width, height


def number(low: float, high: float) -> Callable[[str], float]:
    """The type of an option that takes a number from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is outside {low:g} to {high:g}")
        return value

    return parse


def count(low: int, high: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return int(text)

    return parse


fps = number(*RATES)
gain = number(0.0, 1.5)
seconds = number(0.04, 24 * 3600)


def add_priority(parser: argparse.ArgumentParser) -> None:
    """Add the option for how the system is to treat what publishes."""
    what = "of what publishes the pictures; auto: realtime, where the system grants it (auto)"
    parser.add_argument("--priority", choices=PRIORITIES, default="", help=what)


def add_networks(parser: argparse.ArgumentParser) -> None:
    """Give a command that animates its choice of networks and device."""
    add = parser.add_argument
    add("--refine", choices=(*PROFILES, OFF), help="network that refines the face (lite)")
    add("--mouth", choices=(*PROFILES, PROCEDURAL), help="what paints the inside of the mouth (lite)")
    what = "what renders, and decodes a video: cpu, or cuda for an NVIDIA card (cpu)"
    add("--device", choices=DEVICES, default=DEVICES[0], help=what)


def add_references(parser: argparse.ArgumentParser) -> None:
    """Give a command that makes a portrait other photos of the person."""
    what = "another photo of the person, for their own teeth; may be repeated"
    parser.add_argument("--reference", type=Path, action="append", default=[], metavar="PHOTO", help=what)


def add_size(parser: argparse.ArgumentParser) -> None:
    """Give a command that makes pictures their size."""
    what = "width and height in px, or lines: 480p, 720p, 1080p (640x480)"
    parser.add_argument("--size", type=frame_size, default=(640, 480), metavar="WxH", help=what)


def add_live_rate(parser: argparse.ArgumentParser) -> None:
    """Give a command that shows pictures live their rate."""
    low, high = LIVE_RATES
    what = f"frames per second, {low:g} to {high:g} (30)"
    parser.add_argument("--fps", type=number(low, high), default=30.0, metavar="N", help=what)


def add_film_rate(parser: argparse.ArgumentParser) -> None:
    """Give a command that makes a file of a driver its rate and length."""
    parser.add_argument("--fps", type=fps, metavar="N", help="frames per second (the driver's own)")
    what = "end after so many seconds; needed for a webcam"
    parser.add_argument("--duration", type=seconds, metavar="SECONDS", help=what)


def add_live_length(parser: argparse.ArgumentParser) -> None:
    """Give a command that goes on until Ctrl-C another end."""
    what = "end after so many seconds (at Ctrl-C)"
    parser.add_argument("--duration", type=seconds, metavar="SECONDS", help=what)


def add_gains(parser: argparse.ArgumentParser, default: float | None = 1.0) -> None:
    """Give a command that animates how strongly the driver is followed; None for what is not named."""
    for name, what in (("head", "the head"), ("expression", "the face"), ("gaze", "the eyes")):
        text = f"how strongly {what} follow{'' if name == 'gaze' else 's'} the driver, 0 to 1.5"
        text += "" if default is None else f" ({default:g})"
        parser.add_argument(f"--{name}", type=gain, default=default, metavar="N", help=text)


def add_session(parser: argparse.ArgumentParser) -> None:
    """Give a command that begins a session what is shown, where, and by what it is driven."""
    add = parser.add_argument
    add("--source", default="auto", metavar="WHAT", help=f"what drives it: {SOURCES}")
    add("--camera", default="auto", metavar="WHAT", help=f"virtual camera: {CAMERAS}")
    add_size(parser)
    add_live_rate(parser)
    add_framing(parser)
    add_gains(parser)
    add("--background", default="keep", metavar="WHAT", help=f"{BACKGROUNDS} (keep)")
    add("--mirror", action="store_true", help="mirror what others see")
    add("--badge", default="", metavar="TEXT", help="a line of text in the corner")
    add("--on-demand", action="store_true", help="open the webcam only while a program reads the camera")
    add_networks(parser)


def session(arguments: argparse.Namespace, portraits: Sequence[str] = ()) -> SessionSettings:
    """The session that was asked for; files as they were named.

    Raises:
        SettingRefused: the background is none.
    """
    from streamfx.settings.session import Gains, Output, SessionSettings, background_named

    return SessionSettings(
        output=Output(arguments.camera, arguments.size, arguments.fps),
        source=arguments.source,
        portraits=tuple(portraits),
        framing=framing(arguments),
        gains=Gains(arguments.head, arguments.expression, arguments.gaze),
        background=background_named(arguments.background),
        mirror=arguments.mirror,
        badge=arguments.badge,
        on_demand=arguments.on_demand,
        refine=arguments.refine or PROFILES[0],
        mouth=arguments.mouth or PROFILES[0],
        device=arguments.device,
    )


def add_framing(parser: argparse.ArgumentParser) -> None:
    """Give a command that animates its choice of how a portrait is framed."""
    add = parser.add_argument
    what = "how much of the photo is shown: auto, the whole photo, close or wide (auto)"
    add("--framing", choices=[str(kind) for kind in FramingKind], default=str(FramingKind.AUTO), help=what)
    add_framing_numbers(parser, Framing())


def add_framing_numbers(parser: argparse.ArgumentParser, default: Framing | None) -> None:
    """The numbers of a framing; without a default those left out are None."""
    what = {
        "zoom": (ZOOMS, "closer, about the face: {} to {} (1)"),
        "x": (SHIFTS, "of the width that the photo is moved to the right: {} to {} (0)"),
        "y": (SHIFTS, "of the height that the photo is moved down: {} to {} (0)"),
    }
    for name, (limits, text) in what.items():
        parser.add_argument(f"--{name}", type=number(*limits), default=getattr(default, name, None),
                            metavar="N", help=text.format(*(f"{limit:g}" for limit in limits)))  # fmt: skip


def framing(arguments: argparse.Namespace) -> Framing:
    """The framing that was asked for."""
    return Framing(FramingKind(arguments.framing), arguments.zoom, arguments.x, arguments.y)


def add_allow_no_face(parser: argparse.ArgumentParser) -> None:
    """Give a command that tracks its way to a driver that shows nobody."""
    what = "go on where the driver shows no face at all: the portrait rests"
    parser.add_argument("--allow-no-face", action="store_true", help=what)


def networks(arguments: argparse.Namespace) -> Networks:
    """The networks that were asked for; unasked, the lite ones as far as they ship.

    Raises:
        ModelError: one was asked for that does not ship, or what ships is damaged.
    """
    from streamfx.render.base import Networks

    return Networks(_profile("refine", arguments.refine), _profile("mouth", arguments.mouth))


def render_device(arguments: argparse.Namespace) -> RenderDevice:
    """Where the pictures are made that were asked for.

    Raises:
        DeviceUnavailable: there is no such device; never is another one taken in its place.
    """
    from streamfx.render.base import Device
    from streamfx.rendering import open_device

    return open_device(Device(arguments.device), partial(print, file=sys.stderr))


def hardware(arguments: argparse.Namespace) -> bool:
    """Whether the device that was asked for may decode a driving video, too (source.open_source)."""
    return bool(arguments.device != DEVICES[0])


def _profile(task: str, asked: str | None) -> Profile | None:
    from streamfx.models.weights import NetworkName, Profile, shipped_weights

    if asked in (OFF, PROCEDURAL):
        return None
    profile = Profile(asked or Profile.LITE)
    name = NetworkName(f"{task}-{profile}")
    if not asked and not shipped_weights().has(name):
        return None
    shipped_weights().find(name)
    return profile


def describe(networks: Networks) -> dict[str, str]:
    """The networks in the words of the options."""
    return {"refine": networks.refine or OFF, "mouth": networks.mouth or PROCEDURAL}


def networks_line(arguments: argparse.Namespace, networks: Networks) -> str:
    """Which networks take part; and which of the default ones cannot, since they do not ship."""
    used = describe(networks)
    absent = [f"{task}-lite" for task in used if not (getattr(arguments, task) or getattr(networks, task))]
    why = f" (this version ships without {' and '.join(absent)})" if absent else ""
    return f"networks: refine {used['refine']}, mouth {used['mouth']}{why}"
