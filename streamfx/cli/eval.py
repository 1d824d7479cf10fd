"""`streamfx eval MEASURE`: how good the animation is, measured on the shared evaluation data."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from streamfx.cli import add_json
from streamfx.cli.progress import frame_bar
from streamfx.cli.show import print_columns, print_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from streamfx.cli import Subparsers
    from streamfx.lab.evaluation.closure import ClosureRow, Spread
    from streamfx.lab.evaluation.rest import RestRow

Thing = TypeVar("Thing")

DESCRIPTION = """\
Measures the animation against real faces. Needs the evaluation data, which is not part of the package:
a folder with driving/ and portraits/ inside (--data, or the one above it in STREAMFX_SHARED)."""

REENACT = """\
Self-reenactment: a clip's rest frame as the photo, its other frames as driver and truth, compared in the
upright 256 px crop over the face oval without the inner mouth."""
CLOSURE = """\
Gaps of the rendered lips and lids where the driver's are closed, and the jitter of a still face, in px at
110 px between the outer eye corners."""
REFINE = """\
Refiners on people no network has seen, neutral photo to real smile: compared in the upright 256 px crop over
the face oval without the inner mouth, beside the copied photo and the warp alone."""
REST = "Difference between photo and output at rest, in grey levels of 255, over the whole picture."


FIGURES = """\
sharpness: Laplacian energy over the truth's. l1: grey levels of 255. gmsd, features: 0 is best; features is
a stand-in for LPIPS, made of MediaPipe's landmark network. identity: distance of dlib's embeddings of output
and truth, to be read beside `copy`, the distance of two real pictures of a person; no threshold fits all."""
REFINE_NOTES = f"""\
exact: vertices where the smile has them; motion: where the product puts them, unsmoothed. copy: the photo put
where the true head is; warp: no network. Both d: gain over the warp.
{FIGURES}
skin: by the typology angle (ITA) of the cheeks as photographed: light above 41 degrees, dark below 10."""
REENACT_NOTES = f"""\
shown: vertices where the product puts them; motion: the same without smoothing; exact: where the clip has
them. copy: the rest picture put where the true head is; warp: no network. Both d: gain over the warp.
{FIGURES}
aim: wanted from true landmarks, akd: found in the output from wanted, in percent of the distance between
the outer eye corners. temporal: what optical flow does not explain of a picture's change, over the same of
the real clip."""
WEIGHTS = "judge these weights (safetensors) instead of the shipped ones; may be repeated"


def add_parser(subparsers: Subparsers) -> None:
    """Describe `eval` and its measures."""
    parser = subparsers.add_parser(
        "eval",
        help="measure the animation's quality on evaluation data",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    measures = parser.add_subparsers(title="measures", metavar="MEASURE", required=True)
    for name, measure, text in (
        ("refine", refine, REFINE),
        ("reenact", reenact, REENACT),
        ("closure", closure, CLOSURE),
        ("rest", rest, REST),
    ):
        one = measures.add_parser(
            name,
            help=text.partition(",")[0].partition(":")[0].replace("\n", " "),
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.add_argument("--data", type=Path, metavar="DIR", help="the evaluation data")
        add_json(one)
        one.set_defaults(run=run, measure=measure)
        if measure in (refine, reenact):
            one.add_argument("--weights", action="append", default=[], metavar="[NETWORK=]FILE", help=WEIGHTS)


def run(arguments: argparse.Namespace) -> int:
    """Measure one thing."""
    from streamfx.lab.evaluation.clips import data_folder

    measure: Callable[[Path, argparse.Namespace], None] = arguments.measure
    measure(data_folder(arguments.data), arguments)
    return 0


def refine(data: Path, arguments: argparse.Namespace) -> None:
    """Print one row per sitter, placing and method, then means over all and over groups of skin tone."""
    from streamfx.lab.evaluation.contenders import contender, refining
    from streamfx.lab.evaluation.likeness import open_judge
    from streamfx.lab.evaluation.methods import WARP_ONLY
    from streamfx.lab.evaluation.people import sittings, unseen_pairs
    from streamfx.lab.evaluation.refine import refine as measured
    from streamfx.lab.evaluation.refine import summary
    from streamfx.lab.evaluation.stage import open_studio
    from streamfx.models.store import Store

    methods = [WARP_ONLY, *refining([contender(text) for text in arguments.weights])]
    store, pairs = Store.default(), unseen_pairs(data)
    judge = open_judge(data, store)
    with open_studio(store) as studio, frame_bar("judging", len(pairs)) as step:
        rows = list(measured(watched(sittings(pairs, studio), step), methods, judge))
    print_rows([*rows, *summary(rows)], arguments.json, REFINE_NOTES)


def watched(things: Iterable[Thing], step: Callable[[], None]) -> Iterator[Thing]:
    """The same things; a step is taken after each."""
    for thing in things:
        yield thing
        step()


def print_rows(rows: Sequence[DataclassInstance], as_json: bool, notes: str) -> None:
    """A table with its notes, or JSON."""
    from streamfx.lab.evaluation.tables import cells, documents

    if as_json:
        print_json(documents(rows))
        return
    print_columns(cells(rows))
    print(notes)


def reenact(data: Path, arguments: argparse.Namespace) -> None:
    """Print one row per clip, placing and method, then means over all, and every network's worst clip."""
    from streamfx.lab.evaluation import reenact as reenacting
    from streamfx.lab.evaluation.clips import Driver, track_clip
    from streamfx.lab.evaluation.contenders import complete, contender, refining
    from streamfx.lab.evaluation.likeness import open_judge
    from streamfx.lab.evaluation.stage import open_studio
    from streamfx.models.store import Store

    named = [contender(text) for text in arguments.weights]
    store, paths = Store.default(), reenacting.all_clips(data)
    judge = open_judge(data, store)
    with open_studio(store) as studio, frame_bar("reenacting", len(paths)) as step:
        driver = Driver(studio.geometry.vertices, studio.geometry.rms)
        clips = watched(reenacting.tracked_clips(paths, store, track_clip), step)
        rows = list(reenacting.reenact(clips, driver, studio, [*refining(named), *complete(named)], judge))
    print_rows([*rows, *reenacting.summary(rows)], arguments.json, REENACT_NOTES)


def closure(data: Path, arguments: argparse.Namespace) -> None:
    """Print one row per driver."""
    from streamfx.lab.evaluation.clips import track_clip
    from streamfx.lab.evaluation.closure import closure as measured
    from streamfx.lab.evaluation.closure import overall
    from streamfx.models.store import Store

    drivers = measured(data, Store.default(), track_clip)
    rows = [*(driver.row() for driver in drivers), overall(drivers)]
    if arguments.json:
        print_json([_document(row) for row in rows])
        return
    head = (
        "DRIVER",
        "LIPS n",
        "p99",
        "max",
        "SEEN p99",
        "LIDS n",
        "p99",
        "max",
        "SEEN p99",
        "STILL",
        "JITTER",
        "IN",
    )
    print_columns([head, *map(_closure, rows)])
    print("px at 110 px between the eyes. p99, max: where lips or lids are asked to close; seen: where the")
    print(
        "driver's are closed in that very picture, so with the lag of smoothing; in: the driver's own jitter."
    )


def _closure(row: ClosureRow) -> Sequence[str]:
    def gaps(asked: Spread, seen: Spread) -> Sequence[str]:
        if not asked.count:
            return "0", "-", "-", "-"
        return str(asked.count), f"{asked.p99:.2f}", f"{asked.largest:.2f}", f"{seen.p99:.2f}"

    jitter = ["-" if math.isnan(value) else f"{value:.3f}" for value in (row.jitter, row.jitter_in)]
    return (
        row.clip,
        *gaps(row.lips, row.lips_seen),
        *gaps(row.lids, row.lids_seen),
        str(row.still_pictures),
        *jitter,
    )


def rest(data: Path, arguments: argparse.Namespace) -> None:
    """Print one row per portrait."""
    from streamfx.lab.evaluation.rest import rest as measured
    from streamfx.models.store import Store

    rows = measured(data, Store.default())
    if arguments.json:
        print_json([_document(row) for row in rows])
        return
    print_columns([("PORTRAIT", "LAYER", "SHEET", "WORST", "MOUTH CLOSED"), *map(_rest, rows)])
    print("grey levels of 255, mean over the whole picture; worst: the largest difference of one pixel.")


def _rest(row: RestRow) -> Sequence[str]:
    return row.portrait, f"{row.layer:.3f}", f"{row.sheet:.3f}", str(row.worst), f"{row.mouth_closed:.3f}"


def _document(row: ClosureRow | RestRow) -> dict[str, object]:
    """The row's fields; what was not measured is null, for JSON knows no nan."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in asdict(row).items()
    }
