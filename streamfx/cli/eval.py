"""`streamfx eval MEASURE`: how good the animation is, measured on evaluation data."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamfx.cli import add_json, eval_networks, eval_warp
from streamfx.importing import require_current_folder

if TYPE_CHECKING:
    from streamfx.cli import Subparsers

DESCRIPTION = """\
Measures the animation against real faces. Needs the evaluation data, which is not part of the package:
a folder with driving/, portraits/, train/ and eval_sequences/ inside (--data, or the one above it in
STREAMFX_SHARED). Networks are those that ship, or weights on trial (--weights)."""
WEIGHTS = "judge these weights (safetensors) instead of the shipped ones; may be repeated"


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing to measure."""

    name: str
    text: str
    """Up to the first comma or colon it is the help's line."""
    run: Callable[[Path, argparse.Namespace], None]
    networks: bool = False
    """Whether it compares networks."""
    options: Callable[[argparse.ArgumentParser], None] | None = None
    """Describes what else it takes."""


def _sheet_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("sheets"),
        metavar="DIR",
        help="where the sheets go (sheets)",
    )


def _ablation_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        action="append",
        required=True,
        metavar="VARIANT=FILE",
        help="a refiner's weights, trained as W+M+, W+M-, W-M+, W-M- or one; repeat for each",
    )
    parser.add_argument("--network", default="refine-lite", choices=("refine-lite", "refine-paper"))
    parser.add_argument("--mouth", metavar="[NETWORK=]FILE", help="the second network; else procedural")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="draw the pictures, too")


MEASURES: Final = (
    Measure("refine", eval_networks.REFINE, eval_networks.refine, networks=True),
    Measure("reenact", eval_networks.REENACT, eval_networks.reenact, networks=True),
    Measure("mouth", eval_networks.MOUTH, eval_networks.mouth, networks=True),
    Measure("sheet", eval_networks.SHEET, eval_networks.sheet, networks=True, options=_sheet_options),
    Measure("ablation", eval_networks.ABLATION, eval_networks.ablation, options=_ablation_options),
    Measure("closure", eval_warp.CLOSURE, eval_warp.closure),
    Measure("rest", eval_warp.REST, eval_warp.rest),
)


def add_parser(subparsers: Subparsers) -> None:
    """Describe `eval` and its measures."""
    parser = subparsers.add_parser(
        "eval",
        help="measure the animation's quality on evaluation data",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    measures = parser.add_subparsers(title="measures", metavar="MEASURE", required=True)
    for measure in MEASURES:
        one = measures.add_parser(
            measure.name,
            help=measure.text.partition(",")[0].partition(":")[0].replace("\n", " "),
            description=measure.text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.add_argument("--data", type=Path, metavar="DIR", help="the evaluation data")
        if measure.networks:
            one.add_argument("--weights", action="append", default=[], metavar="[NETWORK=]FILE", help=WEIGHTS)
        if measure.options is not None:
            measure.options(one)
        add_json(one, reads=True)
        one.set_defaults(run=run, measure=measure)


def run(arguments: argparse.Namespace) -> int:
    """Measure one thing."""
    require_current_folder()
    from streamfx.lab.evaluation.clips import data_folder

    measure: Measure = arguments.measure
    measure.run(data_folder(arguments.data), arguments)
    return 0
