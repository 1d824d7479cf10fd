"""Measures what the shipped expression basis cannot represent, on people it was not learned from.

    python -m streamfx.lab.basis_check --data DIR [--seconds N]

Per driving clip and part of the face, in cm rms: what projection misses, and the expression itself.
"""

from __future__ import annotations

import argparse
from itertools import takewhile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streamfx.errors import StreamfxError
from streamfx.frames import F32
from streamfx.lab.expressions import canonical_mesh
from streamfx.lab.mesh_prior import F64
from streamfx.models.face_basis import FaceBasis, Part, load_face_basis
from streamfx.source import open_source
from streamfx.topology import FACE_VERTICES
from streamfx.track.landmarker import FaceTracker
from streamfx.track.motion import MotionEstimator

LEAST_PICTURES = 10
"""Clips with fewer pictures of a face are left out."""


def residual_by_part(basis: FaceBasis, expressions: F32) -> F64:
    """f64 [7,2] cm per `Part`: rms of what the basis misses of [N,468,3], and rms of the expressions."""
    missed = expressions - basis.expand(basis.project(expressions))
    return np.array(
        [[_rms(values[:, basis.parts == part]) for values in (missed, expressions)] for part in Part]
    )


def _rms(values: F32) -> float:
    """Root mean square length of the vectors in [N,V,3]."""
    return float(np.sqrt((values.astype(np.float64) ** 2).sum(axis=2).mean()))


def clip_expressions(clip: Path, data: Path, basis: FaceBasis, seconds: float) -> F32:
    """f32 [N,468,3] cm: the expressions of the clip's first seconds, as the product tracks them.

    Raises:
        SourceMissing, SourceUnreadable: from the clip.
        ModelMissing, ModelCorrupt: from the tracker.
    """
    with open_source(clip) as source, FaceTracker(data / "models" / "face_landmarker.task") as tracker:
        frames = takewhile(lambda frame: frame.captured_ns <= seconds * 1e9, source)
        tracks = [face for frame in frames if (face := tracker.track(frame)) is not None]
    estimator = MotionEstimator(canonical_mesh(data)[0].astype(np.float32), basis.rms)
    estimator.prime(tracks)
    motions = [estimator.update(face, face.captured_ns, seq) for seq, face in enumerate(tracks)]
    return np.array([motion.expression for motion in motions], np.float32).reshape(-1, FACE_VERTICES, 3)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m streamfx.lab.basis_check", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with driving/ and models/")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each clip (default 4)")
    options = parser.parse_args(arguments)
    basis = load_face_basis()
    table = Table("clip", *(part.name.lower() for part in Part), title="missed / moved, cm rms")
    rows: list[F64] = []
    try:
        for clip in track(sorted((options.data / "driving").iterdir()), "Tracking"):
            expressions = clip_expressions(clip, options.data, basis, options.seconds)
            if len(expressions) >= LEAST_PICTURES:
                rows.append(residual_by_part(basis, expressions))
                table.add_row(clip.stem, *_cells(rows[-1]))
    except StreamfxError as error:
        print(error)
        return error.exit_code
    table.add_row("mean", *_cells(np.mean(rows, axis=0)))
    Console().print(table)
    return 0


def _cells(row: F64) -> list[str]:
    return [f"{missed:.3f}/{moved:.2f}" for missed, moved in row]


if __name__ == "__main__":
    raise SystemExit(main())
