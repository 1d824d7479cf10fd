"""The report of a film as JSON: what went in, what came out, how long each stage took, and with what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from streamfx.cli.fetch import MODELS
from streamfx.cli.film import Production
from streamfx.cli.machine import machine, versions
from streamfx.driving.film import Driver
from streamfx.files import atomic_output
from streamfx.models.manifest import ModelRow
from streamfx.models.store import Store
from streamfx.models.weights import NetworkRow, shipped_weights
from streamfx.pipeline import Portrait
from streamfx.quality import Quality
from streamfx.render.base import Networks
from streamfx.telemetry import peak_bytes

VERSION: Final = 1
"""Of the report's form."""


def film_report(
    made: Production,
    driver: Driver,
    portrait: Portrait,
    store: Store,
    networks: Networks,
    settings: Mapping[str, object],
    output: Path,
) -> dict[str, object]:
    """The report's document; times are in ms where the key does not say otherwise."""
    account = made.account
    return {
        "report": VERSION,
        "film": {
            "path": str(output),
            "size": list(portrait.rig.size),
            "fps": made.fps,
            "seconds": round(made.seconds, 3),
        },
        "frames": {"in": account.pictures, "out": made.frames},
        "driver": {
            "name": driver.name,
            "kind": driver.kind.value,
            "tracked": account.tracked,
            "tracked_share": round(account.share, 4),
            "source": asdict(account.statistics) if account.statistics else None,
        },
        "sound": asdict(made.sound) if made.sound else None,
        "quality": {quality.value: made.quality[quality] for quality in Quality},
        "stages": [
            {
                "stage": time.stage,
                "median_ms": round(time.median_ms, 3),
                "p95_ms": round(time.p95_ms, 3),
                "p99_ms": round(time.p99_ms, 3),
                "count": time.count,
            }
            for time in made.stages
        ],
        "end_to_end_fps": round(made.end_to_end_fps, 2),
        "elapsed_s": round(made.elapsed_s, 3),
        "peak_memory_mb": round(peak_bytes() / 1e6, 1),
        "photo": {
            "sha256": portrait.sha256,
            "findings": [str(finding) for finding in portrait.findings],
        },
        "settings": dict(settings),
        "versions": versions(),
        "models": [_named(row, row.sha256) for row in store.rows if row.name in MODELS],
        "networks": [
            _named(row, row.safetensors.sha256) for row in map(shipped_weights().find, networks.names)
        ],
        "machine": machine(),
    }


def _named(row: ModelRow | NetworkRow, sha256: str) -> dict[str, str]:
    return {"name": row.name, "version": row.version, "sha256": sha256}


def save_report(path: Path, document: Mapping[str, object]) -> None:
    """Write it, whole or not at all. Raises OutputError."""
    with atomic_output(path) as part:
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        part.write_bytes(text.encode("utf-8", "backslashreplace"))  # a file's name need not be UTF-8
