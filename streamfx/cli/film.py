"""Making one film: what `render` and `demo` share, from an open driver to the file and its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns

from streamfx.cli import outputs
from streamfx.cli.show import megabytes
from streamfx.driving.film import Account, Driver
from streamfx.errors import SourceError, UsageError
from streamfx.frames import Rendered
from streamfx.models.store import Store
from streamfx.pipeline import Animator, Portrait, load_portrait
from streamfx.portrait.cache import RigCache
from streamfx.portrait.photo import load_photo
from streamfx.quality import Quality
from streamfx.settings.framing import AS_IT_FITS, Framing
from streamfx.sink import animation
from streamfx.sink.sheet import Variety, draw_sheet, save_sheet
from streamfx.source import SoundReader
from streamfx.telemetry import StageTime, StageTimer

Write = Callable[[Rendered], None]


@dataclass(frozen=True, slots=True)
class SoundAccount:
    """What became of the driver's sound."""

    codec: str | None
    """With which it begins; None if the film has none."""
    seconds: float
    """Of the film in which it is heard."""
    undecoded_s: float
    """Of it that could not be decoded."""
    trouble: str | None
    """Why the film has none."""


@dataclass(frozen=True, slots=True)
class Production:
    """What making a film gave and took."""

    frames: int
    fps: float
    elapsed_s: float
    """From the driver's first picture to the last frame handed to the encoder."""
    quality: Counter[Quality]
    account: Account
    stages: tuple[StageTime, ...]
    variety: Variety = field(repr=False)
    sound: SoundAccount | None = None
    """None if it was not asked for."""

    @property
    def end_to_end_fps(self) -> float:
        """Frames made per second, everything included."""
        return self.frames / max(self.elapsed_s, 1e-9)

    @property
    def seconds(self) -> float:
        """The film's length."""
        return self.frames / self.fps


def prepare(
    photo: Path,
    size: tuple[int, int],
    store: Store,
    references: Sequence[Path] = (),
    framing: Framing = AS_IT_FITS,
) -> Portrait:
    """The photo, ready to be animated; solved once, kept in the cache folder.

    Args:
        photo, size, store: what to animate, how large, by which models.
        references: other photos of the person, whose teeth the mouth shows.
        framing: how much of the photo the frame shows.
    """
    return load_portrait(photo, size, store, RigCache.default(), references, framing)


def produce(
    driver: Driver, animator: Animator, timer: StageTimer, write: Write, tick: Callable[[], None]
) -> Production:
    """Animate everything that the driver gives.

    Args:
        driver, animator, timer: the way to a picture, and the timer that both were given.
        write: takes each finished picture.
        tick: called after each.
    """
    quality: Counter[Quality] = Counter()
    variety = Variety()
    started = monotonic_ns()
    with closing(driver.motions()) as motions:
        for motion in motions:
            rendered = animator.animate(motion)
            with timer.measure("encode"):
                write(rendered)
            quality[rendered.quality] += 1
            variety.offer(rendered, motion)
            tick()
    elapsed_s = (monotonic_ns() - started) / 1e9
    account, stages = driver.account(), tuple(timer.times())
    return Production(quality.total(), driver.fps, elapsed_s, quality, account, stages, variety)


class FilmSound:
    """The driver's sound for a film, open; or why there is none."""

    def __init__(self, driver: Driver, path: Path) -> None:
        """Open it.

        Raises:
            UsageError: the driver has no sound track at all.
        """
        self.reader: SoundReader | None = None
        self._trouble: str | None = None
        try:
            self.reader = driver.sound()
        except SourceError as error:  # the film is wanted all the same
            self._trouble = error.cause
        else:
            if self.reader is None:
                raise UsageError(f"{path} has no sound track to keep", "Leave out --audio")

    def close(self) -> None:
        """Release the file."""
        if self.reader is not None:
            self.reader.close()

    def account(self, film_s: float) -> SoundAccount:
        """What was made of it in a film of that length."""
        if self.reader is None:
            return SoundAccount(None, 0.0, 0.0, self._trouble)
        heard_s = min(film_s, self.reader.heard_s)
        return SoundAccount(self.reader.codec, heard_s, self.reader.lost_s, None)


def write_sheet(path: Path, photo: Path, made: Production, title: str) -> None:
    """The contact sheet of a film just made. Raises OutputError."""
    save_sheet(path, draw_sheet(load_photo(photo).rgb, made.variety.shots(), title, made.stages))


def made_line(path: Path, portrait: Portrait, made: Production) -> str:
    """What was made, for a person."""
    width, height = portrait.rig.size
    facts = f"{made.frames} frames, {width}x{height}, {made.fps:.4g} fps, {made.seconds:.1f} s"
    is_heavy = path.suffix.lower() in animation.SUFFIXES  # for what it shows: messengers have limits
    size = f", {megabytes(path.stat().st_size)}" if is_heavy else ""
    return f"made {outputs.called(path)}: {facts}{size}"


def driver_line(driver: Driver, made: Production) -> str:
    """How well the driver could be followed."""
    account = made.account
    followed = f"a face in {account.tracked} of {account.pictures} pictures ({account.share:.0%})"
    hint = "" if account.tracked else "; without a face the portrait rests"
    if account.turned:
        hint += f"; {account.turned} were turned: faces stood upside down or lay sideways"
    if account.statistics and account.statistics.unread:
        hint += f"; the last {account.statistics.unread:.0%} of the file are another film, joined to this one"
    if account.statistics and (damaged := account.statistics.damaged_packets):
        pieces = "piece of the file was" if damaged == 1 else "pieces of the file were"
        hint += f"; {damaged} damaged {pieces} skipped"
    return f"driver: {driver.name}, {followed}{hint}"


def sound_lines(made: Production) -> Iterator[str]:
    """What became of the driver's sound, if it was asked for."""
    sound = made.sound
    if sound is None:
        return
    if sound.codec is None:
        yield f"warning: the film is without sound. {sound.trouble}"
        return
    silent_s = made.seconds - sound.seconds
    yield f"sound: {sound.seconds:.1f} s" + (f", and {silent_s:.1f} s of silence" if silent_s > 0.1 else "")
    if sound.undecoded_s > 0.05:
        yield f"warning: {sound.undecoded_s:.1f} s of the sound cannot be decoded and are silent"


def quality_line(made: Production) -> str:
    """How the frames came about."""
    return "quality: " + ", ".join(f"{count} {quality.value}" for quality, count in made.quality.items())


def speed_lines(made: Production) -> Iterator[str]:
    """How fast it was made, for a person."""
    stages = ", ".join(f"{time.stage} {time.median_ms:.1f}" for time in made.stages)
    yield f"speed: {made.end_to_end_fps:.1f} frames a second, encoding included"
    yield f"stages: {stages} (median ms)"
