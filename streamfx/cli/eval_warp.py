"""The measures of `streamfx eval` that concern the warp: closed lips and lids, stillness, the rest pose."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamfx.cli.show import print_columns, print_json

if TYPE_CHECKING:
    from streamfx.lab.evaluation.closure import ClosureRow, Spread
    from streamfx.lab.evaluation.rest import RestRow

CLOSURE: Final = """\
Gaps of the rendered lips and lids where the driver's are closed, and the jitter of a still face, in px at
110 px between the outer eye corners."""
REST: Final = "Difference between photo and output at rest, in grey levels of 255, over the whole picture."


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
