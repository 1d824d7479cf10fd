"""Makes the motion that the demo plays, `streamfx/assets/demo.sfxm`.

    python -m streamfx.lab.demo_motion --data DIR -o FILE

Speech is measured (two sentences of the Grid corpus), smiles are the mean of the London set; brows, the wide
mouth, blinks, gaze and head are composed. All of it may be shipped; the file's header carries the credits.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from streamfx.driving.template import MotionTemplate
from streamfx.errors import StreamfxError
from streamfx.frames import FaceTrack, Motion
from streamfx.geometry import rotation_matrix, vertex_weights
from streamfx.lab.actions import Actions
from streamfx.lab.expressions import canonical_mesh, offsets, read_index, track_people
from streamfx.lab.mesh_prior import F64, face_parts
from streamfx.models.face_basis import MODES, FaceBasis, Part, load_face_basis
from streamfx.portrait.photo import load_photo
from streamfx.topology import FACE_VERTICES, LIP_LOWER, LIP_UPPER
from streamfx.track.motion import MotionEstimator
from streamfx.track.photo import PhotoAnalyser

FPS = 30
SECONDS = 11.5
SPEECH_FPS = 25
SENTENCES = (("A_grid_lrwp9a", 0.25, 0.95, 2.3), ("A_grid_lbax4n", 0.3, 5.9, 2.1))
"""Clip, where to begin in it, when it is played, for how long (s)."""
FADE_S = 0.2

ORIGIN = """\
May be used under CC-BY 4.0. Speech from the Grid Audio-Visual Speech Corpus (Cooke, Barker, Cunningham &
Shao 2006, Zenodo 3625687, CC-BY 4.0); smiles: mean of the Face Research Lab London Set (DeBruine & Jones
2017, doi:10.6084/m9.figshare.5047666.v5, CC-BY 4.0). Changed: tracked, reduced to 48 numbers a frame, mixed,
composed with authored brows, jaw, blinks, gaze and head motion by the streamfx authors.
"""
SOURCE = "python -m streamfx.lab.demo_motion"

Knots = tuple[tuple[float, float], ...]
"""(time s, value) pairs, eased between. Expressions at 1 are whole; angles in degrees."""

SMILE: Knots = (
    (0, 0), (0.5, 0.1), (3.2, 0.12), (3.8, 1.1), (5.3, 1.0), (5.9, 0.12), (8.2, 0.1), (8.8, 0.3),
    (9.6, 0.15), (10.1, 0.9), (10.7, 0.6), (11.3, 0),
)  # fmt: skip
BROW: Knots = (
    (0, 0), (1.3, 0), (1.55, 0.6), (2.0, 0), (4.5, 0), (4.8, 1), (5.35, 0.9), (5.8, 0), (6.9, 0),
    (7.15, 0.5), (7.5, 0), (8.3, 0), (8.65, 1.1), (9.3, 1.0), (9.7, 0),
)  # fmt: skip
WIDE: Knots = (
    (0, 0), (8.3, 0), (8.75, 0.9), (9.25, 0.85), (9.65, 0),
)  # fmt: skip
YAW: Knots = (
    (0, 0), (0.5, 0), (1.2, -4), (2.2, 5), (3.0, 0), (4.0, 13), (4.6, 11), (5.6, -3), (6.4, -13),
    (7.3, -8), (8.2, 0), (9.6, 2), (10.3, -4), (11.3, 0),
)  # fmt: skip
PITCH: Knots = (
    (0, 0), (0.5, 0), (1.5, -2.5), (1.9, 3), (2.4, -1), (3.0, 2), (3.7, -1), (4.8, -4), (5.8, 1),
    (6.5, 3.5), (7.1, -2), (8.2, 2), (8.8, -6), (9.3, -5), (9.8, 2), (10.4, 1), (11.3, 0),
)  # fmt: skip
ROLL: Knots = (
    (0, 0), (0.5, 0), (2.0, 2), (3.2, 0), (4.0, -5.5), (5.0, -4), (6.2, 3.5), (7.5, 2), (8.4, 0),
    (10.2, 4), (11.3, 0),
)  # fmt: skip
GAZE_X: Knots = (
    (0, 0), (3.5, 0), (3.57, 0.08), (4.6, 0.06), (4.67, -0.03), (5.7, 0), (5.77, -0.1),
    (6.3, -0.08), (6.37, 0.04), (8.2, 0), (11.5, 0),
)  # fmt: skip
GAZE_Y: Knots = (
    (0, 0), (2.25, 0), (2.32, 0.03), (3.0, 0.03), (3.07, 0), (6.3, 0), (6.37, -0.03), (7.0, -0.025),
    (7.7, -0.02), (7.77, 0.035), (8.2, 0.03), (8.27, 0), (11.5, 0),
)  # fmt: skip
BLINKS = (0.45, 2.25, 3.35, 5.72, 7.7, 9.75, 10.95)
"""Times of closure (s): at the end of phrases and where the gaze moves, as people do."""

_NECK_CM = np.array([0.0, 11.0, 7.0])
"""The joint about which heads turn, from the canonical origin."""
_VIEWER_CM = 60.0
_LID_FOLLOWS = 2.5
"""Share of the eye's opening per eye width: the upper lid goes with the iris, on eyes 0.3 widths high."""
_SWAY_DEGREES = (0.5, 0.7, 0.35)


@dataclass(frozen=True, slots=True)
class Shape:
    """An expression at full strength."""

    coefficients: F64 = field(repr=False)
    """f64 [48] cm"""
    gaps: F64 = field(repr=False)
    """f64 [9] cm: how far it opens the lips."""


def compose(speech: list[MotionTemplate], smile: Shape, brow: Shape, wide: Shape) -> list[Motion]:
    """The demo's motions, from rest to rest."""
    basis = load_face_basis()
    times = np.arange(round(SECONDS * FPS)) / FPS
    amounts = np.stack([eased(times, knots) for knots in (SMILE, BROW, WIDE)], axis=1)
    starts = [start for _, _, start, _ in SENTENCES]
    said = sum(placed(part, times, start) for part, start in zip(speech, starts, strict=True))
    numbers = np.asarray(said) + amounts @ np.stack(
        [np.concatenate([shape.coefficients, shape.gaps]) for shape in (smile, brow, wide)]
    )
    turns = head_turns(times, numbers[:, MODES:].mean(axis=1))
    gaze = np.stack([eased(times, GAZE_X), eased(times, GAZE_Y)], axis=1)
    lids = lid_closure(times, amounts, gaze[:, 1])
    return [
        _motion(basis, index, numbers[index], turns[index], float(lids[index]), gaze[index])
        for index in range(len(times))
    ]


def _motion(basis: FaceBasis, index: int, numbers: F64, turn: F64, lids: float, gaze: F64) -> Motion:
    swing = _NECK_CM - rotation_matrix(turn) @ _NECK_CM
    return Motion(
        expression=basis.expand(numbers[:MODES].astype(np.float32)),
        rotation=turn.astype(np.float32),
        translation=swing.astype(np.float32),
        scale=float(_VIEWER_CM / (_VIEWER_CM + swing[2])),
        gaze=gaze.astype(np.float32),
        lip_gaps=np.maximum(numbers[MODES:], 0).astype(np.float32),
        lid_closure=np.full(2, lids, np.float32),
        captured_ns=round(index * 1e9 / FPS),
        seq=index,
    )


def eased(times: F64, knots: Knots) -> F64:
    """The value of `knots` at `times`, with no speed at the knots (smoothstep between them)."""
    at, values = np.array(knots).T
    right = np.clip(np.searchsorted(at, times, side="right"), 1, len(at) - 1)
    share = np.clip((times - at[right - 1]) / (at[right] - at[right - 1]), 0, 1)
    return np.asarray(values[right - 1] + (values[right] - values[right - 1]) * share**2 * (3 - 2 * share))


def placed(speech: MotionTemplate, times: F64, start: float) -> F64:
    """Coefficients and lip gaps f64 [N,57] of a sentence that begins at `start`, faded in and out."""
    numbers = np.concatenate([speech.coefficients, speech.lip_gaps], axis=1)
    seconds = speech.times_ns / 1e9
    fade = np.clip(np.minimum(times - start, start + seconds[-1] - times) / FADE_S, 0, 1)
    shifted = [np.interp(times - start, seconds, column) for column in numbers.T]
    return np.asarray(np.stack(shifted, axis=1) * (fade**2 * (3 - 2 * fade))[:, None])


def head_turns(times: F64, gap: F64) -> F64:
    """Rotation vectors f64 [N,3] rad: the composed turns, a slow sway, and nods with the voice."""
    degrees = np.stack([eased(times, knots) for knots in (PITCH, YAW, ROLL)], axis=1)
    rng = np.random.default_rng(2)
    alive = np.clip(np.minimum(times, times[-1] - times) / 1.0, 0, 1)
    for axis, amplitude in enumerate(_SWAY_DEGREES):
        for frequency in (0.23, 0.41, 0.67, 1.1):
            phase = rng.uniform(0, 2 * np.pi)
            degrees[:, axis] += alive * amplitude * np.sin(2 * np.pi * frequency * times + phase) / 2
    voice = np.convolve(gap, np.hanning(15) / np.hanning(15).sum(), "same")
    degrees[:, 0] -= 1.5 * voice
    return np.radians(degrees)


def lid_closure(times: F64, amounts: F64, down: F64) -> F64:
    """f64 [N]: blinks (100 ms down, 170 ms up) over what smile, brows and vertical gaze do to the lids.

    Args:
        amounts: f64 [N,3] of smile, brow and wide.
        down: f64 [N] eye widths that the gaze is lowered by.
    """
    smile, brow, wide = amounts.T
    resting = 0.1 * smile - 0.18 * brow - 0.15 * wide + _LID_FOLLOWS * down
    blink = np.zeros(len(times))
    for moment in BLINKS:
        late = times - moment
        share = np.clip(np.where(late < 0, 1 + late / 0.1, 1 - late / 0.17), 0, 1)
        blink = np.maximum(blink, share**2 * (3 - 2 * share))
    return np.asarray(resting + blink * (1 - resting))


def sentence(data: Path, clip: str, begin: float, seconds: float) -> MotionTemplate:
    """A piece of a clip's speech at 30 frames a second, tracked and filtered as a camera's would be."""
    pictures = [picture for picture in read_index(data, "train") if picture.group == clip]
    models = data / "models"
    tracks: list[FaceTrack] = []
    with PhotoAnalyser(models / "face_landmarker.task", models / "selfie_segmentation.tflite") as analyser:
        tracks = [analyser.faces(load_photo(picture.path).rgb)[0] for picture in pictures]
    estimator = MotionEstimator(canonical_mesh(data)[0].astype(np.float32), load_face_basis().rms)
    estimator.prime(tracks)
    times = [round(index * 1e9 / SPEECH_FPS) for index in range(len(tracks))]
    motions = [
        estimator.update(face, time, seq) for seq, (face, time) in enumerate(zip(tracks, times, strict=True))
    ]
    wanted = [motion for motion in motions if begin <= motion.captured_ns / 1e9 <= begin + seconds]
    return MotionTemplate.from_motions(wanted, SPEECH_FPS).resample(FPS)


def mean_smile(data: Path) -> Shape:
    """The mean of the smiles that show teeth."""
    people = track_people(data, tiers=["london"])
    weights = vertex_weights(load_face_basis().rms)
    smiles = offsets(people, canonical_mesh(data)[0], weights)["london"]
    opening = opened(smiles)
    teeth = opening.mean(axis=1) > 0.2
    coefficients = load_face_basis().project(smiles[teeth].mean(axis=0).astype(np.float32))
    return Shape(coefficients.astype(np.float64), opening[teeth].mean(axis=0))


def opened(expression: F64) -> F64:
    """f64 [...,9] cm: how far expressions [...,468,3] part the lips of a closed mouth."""
    return np.asarray(expression[..., list(LIP_LOWER), 1] - expression[..., list(LIP_UPPER), 1])


def likely(target: F64, parts: tuple[Part, ...], data: Path) -> Shape:
    """The likeliest expression that brings `parts` where `target` f64 [468,3] cm has them.

    The posterior mean of the shape model given those vertices (Albrecht et al. 2013): the rest of the face
    goes along as it does in people, which an authored action cannot know.
    """
    basis = load_face_basis()
    seen = np.isin(face_parts(canonical_mesh(data)[0]), parts)
    modes = basis.modes[:, seen].reshape(MODES, -1).astype(np.float64)
    noise = 0.1**2
    normal = modes @ modes.T / noise + np.diag(1.0 / basis.std.astype(np.float64) ** 2)
    coefficients = np.linalg.solve(normal, modes @ target[seen].ravel() / noise)
    gaps = opened(basis.expand(coefficients.astype(np.float32)).reshape(FACE_VERTICES, 3).astype(np.float64))
    return Shape(np.asarray(coefficients, np.float64), np.maximum(gaps, 0))


def make(data: Path) -> MotionTemplate:
    """The demo's template from the training data."""
    actions = Actions(canonical_mesh(data)).all()
    raised = actions["brow_inner_up"] + 0.6 * (actions["brow_outer_up_right"] + actions["brow_outer_up_left"])
    motions = compose(
        speech=[sentence(data, clip, begin, seconds) for clip, begin, _, seconds in SENTENCES],
        smile=mean_smile(data),
        brow=likely(raised, (Part.BROW, Part.EYE, Part.MOUTH), data),
        wide=likely(1.5 * actions["jaw_open"], (Part.MOUTH, Part.JAW, Part.EYE), data),
    )
    return MotionTemplate.from_motions(motions, FPS, origin=ORIGIN, source=SOURCE)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=SOURCE, description="Make the demo's motion template.")
    parser.add_argument("--data", type=Path, required=True, help="folder with train/index.csv and models/")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the template to write")
    options = parser.parse_args(arguments)
    try:
        template = make(options.data)
        template.save(options.output)
    except StreamfxError as error:
        print(error)
        return error.exit_code
    print(f"{options.output}: {len(template)} frames, {options.output.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
