"""`streamfx train refine|mouth`: train a network from photos and videos of people, or go on with a run."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from streamfx.cli import options
from streamfx.cli.standing import StandingLine
from streamfx.errors import UsageError
from streamfx.importing import require_current_folder

if TYPE_CHECKING:
    from streamfx.cli import Subparsers
    from streamfx.lab.training.engine import Report
    from streamfx.lab.training.task import Task
    from streamfx.lab.training.validation import Score

DESCRIPTION: Final = """\
Train one of the two networks: `refine`, which cleans and details the warped face, or `mouth`, which
invents the inside of the mouth. DIR holds index.csv and the pictures that it lists (docs/training.md).
What a run was told, where it stands, its losses, sample sheets and weights are in OUT.
Ctrl-C saves; --resume goes on, bit for bit on a CPU. Needs: pip install 'streamfx[train]'"""

_PACKAGES: Final = {"torch": "torch", "lightning_fabric": "lightning-fabric", "safetensors": "safetensors"}
_REDRAWN_S: Final = 0.2
_SPOKEN_S: Final = 60.0
"""Between lines of progress where stderr is no terminal."""


def add_parser(subparsers: Subparsers) -> None:
    """Describe `train`."""
    parser = subparsers.add_parser(
        "train",
        help="train a network on pictures of people",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("what", choices=("refine", "mouth"), help="the face's network, or the mouth's")
    add("--profile", choices=("lite", "paper"), default="lite", help="for real time (lite), or the paper's")
    add("--data", type=Path, metavar="DIR", required=True, help="folder of index.csv and pictures")
    add("--out", type=Path, metavar="OUT", required=True, help="folder of the run")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=options.count(1, 10**9), metavar="N", help="steps (by recipe)")
    length.add_argument("--minutes", type=options.number(0.01, 10**6), metavar="M", help="time instead")
    add("--batch", type=options.count(1, 4096), metavar="N", help="pictures a step and process (by recipe)")
    add("--seed", type=options.count(0, 2**31), metavar="N", help="another one, another run (0)")
    add("--resume", action="store_true", help="go on with the run in OUT")
    add("--from", dest="begin", metavar="WEIGHTS", help="begin from `shipped`, or a .safetensors file")
    add("--every", type=options.count(1, 10**9), default=500, metavar="K", help="steps to a sheet (500)")
    add("--devices", type=_devices, metavar="N", help="GPUs, or processes on a CPU; auto (default)")
    add("--precision", choices=("32", "bf16-mixed"), help="number format (32)")
    add("--crops", type=Path, metavar="DIR", help="folder of built crops, to share by runs (OUT/data)")
    text = "a setting of the recipe, as perceptual=0; repeatable; docs/training.md lists them"
    add("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE", help=text)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, and say what came of it."""
    missing = [package for module, package in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise UsageError(
            f"Training needs packages that are not installed: {', '.join(missing)}",
            "Install them: pip install 'streamfx[train]'",
        )
    require_current_folder()
    from streamfx.lab.training.task import train

    with StandingLine(sys.stderr) as terminal:
        teller = Teller(terminal)
        path = train(_task(arguments), teller)
    if path is not None:
        _tell(arguments, path, teller)
    return 0


def _devices(text: str) -> int | None:
    return None if text == "auto" else options.count(1, 1024)(text)


def _task(arguments: argparse.Namespace) -> Task:
    from streamfx.lab.training.task import Task

    return Task(
        network=f"{arguments.what}-{arguments.profile}",
        data=arguments.data,
        out=arguments.out,
        crops=arguments.crops,
        seed=arguments.seed,
        batch=arguments.batch,
        precision=arguments.precision,
        steps=arguments.steps,
        minutes=arguments.minutes,
        settings=tuple(arguments.settings),
        begin=arguments.begin,
        every=arguments.every,
        devices=arguments.devices,
        resume=arguments.resume,
    )


def _tell(arguments: argparse.Namespace, path: Path, teller: Teller) -> None:
    """What was made, how good it is, and what to do next."""
    print(f"made {path}: {teller.account()}")
    if teller.best:
        print(f"best on people never learned from: {path.with_name('best.safetensors')}, {teller.best}")
    print(f"sample sheets: {arguments.out / 'sheets'}; losses and validations: {arguments.out / 'log.jsonl'}")
    print("next, to put it to use:")
    print(
        f"  python -m streamfx.lab.export {path.stem} {path} --samples {arguments.out / 'samples.npz'} "
        "-o streamfx/models/weights"
    )


class Teller:
    """Tells on stderr how a run goes: one line, redrawn, on a terminal; elsewhere a line now and then."""

    def __init__(self, terminal: StandingLine) -> None:
        """Nothing is told yet.

        Args:
            terminal: standard error.
        """
        self.best = ""
        """The best validation of this sitting."""
        self._report: Report | None = None
        self._due = 0.0
        self._terminal = terminal

    def building(self, rows: int, subject: str) -> None:
        """While crops are built: rows so far, and whose the last one is."""
        self._progress(f"building crops: {rows}, now {subject}")

    def stepped(self, report: Report) -> None:
        """After each step."""
        self._report = report
        self._progress(_line(report))

    def validated(self, step: int, result: Score, best: bool) -> None:
        """After each validation."""
        before, after = result.before, result.after
        text = (
            f"PSNR {after.psnr:.2f} dB ({after.psnr - before.psnr:+.2f}), "
            f"SSIM {after.ssim:.4f} ({after.ssim - before.ssim:+.4f}), "
            f"sharpness {after.sharpness:.2f} (without the network {before.sharpness:.2f})"
        )
        if best:
            self.best = f"step {step}: {text}"
        self._terminal.say(f"step {step}: {text}{', the best so far' if best else ''}")

    def account(self) -> str:
        """How long this sitting took the run."""
        if self._report is None:
            return "the run was at its end already"
        return f"{self._report.step} steps, {duration(self._report.seconds)}"

    def _progress(self, text: str) -> None:
        now = monotonic()
        if now < self._due:
            return
        self._due = now + (_REDRAWN_S if self._terminal.is_there else _SPOKEN_S)
        if self._terminal.is_there:
            self._terminal.draw(text)
        else:
            self._terminal.say(text)


def _line(report: Report) -> str:
    of = f"/{report.steps}" if report.steps else ""
    terms = "  ".join(f"{name} {value:.4g}" for name, value in report.terms.items())
    return f"step {report.step}{of}  {report.per_second:.2f}/s  {duration(report.left)} left  {terms}"


def duration(seconds: float) -> str:
    """`2 h 05 min`, `7 min`, `41 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
