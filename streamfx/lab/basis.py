"""Learns the expression basis that ships in `streamfx/models/face_basis.npz`.

    python -m streamfx.lab.basis --data DIR -o FILE

A statistical shape model of expressions (principal components of faces in training photos and speech),
augmented by authored facial actions and a smooth Gaussian process, so that what the photos lack can still be
represented (Luethi et al. 2018, "Gaussian Process Morphable Models"). The same data give the same file.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamfx.errors import StreamfxError
from streamfx.geometry import vertex_weights
from streamfx.lab.actions import Actions
from streamfx.lab.expressions import Person, canonical_mesh, offsets, track_people
from streamfx.lab.mesh_prior import F64, Mesh, face_parts, part_sigma, reflected, smooth_prior
from streamfx.lab.smile import learn_smile
from streamfx.models.face_basis import MODES
from streamfx.topology import FACE_VERTICES

VERSION = "2"
PROVENANCE = """\
Modes: covariance of expressions in the Face Research Lab London Set (DeBruine & Jones 2017,
doi:10.6084/m9.figshare.5047666.v5, CC-BY 4.0: neutral to smile, 78 people) and the Grid Audio-Visual Speech
Corpus (Cooke et al. 2006, Zenodo 3625687, CC-BY 4.0: 9 talkers), both mirrored; plus authored facial actions
(blinks, brows, jaw, cheeks, lips) and a smooth Gaussian process on MediaPipe's canonical face mesh (Google,
Apache-2.0). Landmarks by MediaPipe FaceLandmarker (Apache-2.0). It contains no picture and no person's shape.
Smile: mean of the London set's smiles, mirrored, sized by MediaPipe's blendshape mouthSmile.
Weak: anger, surprise and blinks are authored, not measured; the speech is of low resolution.
"""

NOISE_CM = 0.03
"""Tracking noise of a vertex at rest."""
POSE_LEAK_CM = 0.06
"""What errors of the pose fit add to the movement of every vertex."""
WIDER = 1.6
"""Ratio of variances: people move more than the photos show (wide mouths)."""
REACHES_CM = (1.0, 2.5)
"""Correlation lengths of the smooth prior: a lip, and a cheek."""


ACTIONS_SHARE = 0.001
"""Weight of the sum of the authored actions' covariances."""
SMOOTH_SHARE = 0.0005
"""Weight of the smooth prior. Both are small because they were measured to cost: on unseen people, what the
photos teach about MediaPipe's own range of shapes explains blinks and raised brows better than either."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What goes into the file; shapes and units as in `FaceBasis`."""

    modes: F64
    std: F64
    rms: F64
    sigma: F64
    parts: F64
    smile: F64
    smile_at_rest: float
    version: str
    provenance: str


def learn(people: Sequence[Person], mesh: Mesh) -> Learned:
    """The basis from tracked people; each tier counts the same, whatever its size. With nobody: priors.

    Measures twice: the spread of each vertex decides the weights of the pose fit, by which the tracker will
    measure, and the modes are learned from expressions measured in just that way.
    """
    actions = np.stack(list(Actions(mesh).all().values()))
    rms = vertex_rms([*_samples(people, mesh, vertex_weights()), actions])
    weights = vertex_weights(rms)
    modes, std = principal_modes(covariance(_samples(people, mesh, weights), actions, mesh))
    smile, smile_at_rest = learn_smile(people, mesh, weights)
    return Learned(
        modes=modes,
        std=std,
        rms=rms,
        sigma=part_sigma(mesh),
        parts=face_parts(mesh[0]).astype(np.float64),
        smile=smile,
        smile_at_rest=smile_at_rest,
        version=VERSION,
        provenance=PROVENANCE,
    )


def _samples(people: Sequence[Person], mesh: Mesh, weights: F64) -> list[F64]:
    """Expressions f64 [N,468,3] cm of each tier that has any, mirrored too."""
    tiers = offsets(people, mesh[0], weights).values()
    return [mirror_expressions(part, mesh) for part in tiers if len(part)]


def covariance(samples: Sequence[F64], actions: F64, mesh: Mesh) -> F64:
    """f64 [1404,1404] cm^2: of the samples, each set [N,468,3] counting the same, plus the priors."""
    measured = sum((second_moment(part) for part in samples), np.zeros(1))
    authored = ACTIONS_SHARE * len(actions) * second_moment(actions)
    return np.asarray(measured + authored + SMOOTH_SHARE * smooth_prior(mesh, REACHES_CM))


def mirror_expressions(samples: F64, mesh: Mesh) -> F64:
    """`samples` [N,468,3] followed by their mirror images: [2N,468,3]."""
    return np.concatenate([samples, reflected(samples, mesh[0])])


def second_moment(samples: F64) -> F64:
    """Mean outer product of [N,468,3] about zero, which is rest (not about the mean), f64 [1404,1404]."""
    flat = samples.reshape(len(samples), FACE_VERTICES * 3)
    return np.asarray(flat.T @ flat / len(samples))


def principal_modes(covariance: F64) -> tuple[F64, F64]:
    """Orthonormal modes f64 [48,468,3] that keep most variance, and their standard deviations f64 [48] cm."""
    variance, vectors = np.linalg.eigh(covariance)
    modes = vectors[:, : -MODES - 1 : -1].T
    modes = modes * np.sign(modes[np.arange(MODES), np.abs(modes).argmax(axis=1)])[:, None]
    return modes.reshape(MODES, FACE_VERTICES, 3), np.sqrt(variance[: -MODES - 1 : -1])


def vertex_rms(sets: Sequence[F64]) -> F64:
    """Root mean square expression of each vertex, f64 [468] cm: the mean over the sets, corrected.

    Measured on speech: with these weights the fitted pitch follows jaw and smile less than with a table of
    three levels (r2 .19 instead of .31), and the fitted size is steadier (.53 instead of .70 %).
    """
    moved = np.mean([(part**2).sum(axis=2).mean(axis=0) for part in sets], axis=0)
    return np.asarray(np.sqrt(WIDER * np.maximum(moved - POSE_LEAK_CM**2, 0) + NOISE_CM**2))


def encode(learned: Learned) -> bytes:
    """The npz file: half-precision modes, no clock in it, so that equal content gives equal bytes."""
    arrays = {
        "modes": learned.modes.astype("<f2"),
        "std": learned.std.astype("<f4"),
        "rms": learned.rms.astype("<f4"),
        "sigma": learned.sigma.astype("<f4"),
        "parts": learned.parts.astype("<i4"),
        "smile": learned.smile.astype("<f4"),
        "smile_at_rest": np.array(learned.smile_at_rest, "<f4"),
        "version": np.array(learned.version),
        "provenance": np.array(learned.provenance),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m streamfx.lab.basis", description="Learn the expression basis."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with train/index.csv and models/")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the npz file to write")
    options = parser.parse_args(arguments)
    try:
        people = track_people(options.data)
        data = encode(learn(people, canonical_mesh(options.data)))
    except StreamfxError as error:
        print(error)
        return error.exit_code
    options.output.write_bytes(data)
    print(f"{options.output}: {len(data)} bytes from {len(people)} people and clips")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
