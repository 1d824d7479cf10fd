"""The expression basis: what ships is sound, symmetric and small, and represents people it has not seen."""

from __future__ import annotations

import io
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from streamfx.driving.template import MotionTemplate
from streamfx.errors import ModelCorrupt, SourceMissing
from streamfx.frames import FaceTrack
from streamfx.geometry import rotation_matrix, vertex_weights
from streamfx.lab.actions import Actions
from streamfx.lab.basis import encode, learn, mirror_expressions
from streamfx.lab.basis_check import clip_expressions, residual_by_part
from streamfx.lab.expressions import Person, canonical_mesh, offsets, read_index, track_people
from streamfx.lab.mesh_prior import (
    edge_weights,
    face_parts,
    heat_correlation,
    interpolate,
    laplacian,
    mirror_of,
    part_sigma,
)
from streamfx.lab.smile import score, size_at_one
from streamfx.models import face_basis
from streamfx.models.face_basis import MODES, Part, load_face_basis, parse_face_basis
from streamfx.topology import EYE_CORNERS, LID_LOWER, LID_UPPER, LIP_LOWER, LIP_UPPER

MIRRORED = ((61, 78, 57, 205, 50, 36, 159), (291, 308, 287, 425, 280, 266, 386))
ASSETS = Path(face_basis.__file__).parents[1] / "assets"
NPZ = Path(face_basis.__file__).with_name("face_basis.npz")
SHARED = Path(os.environ.get("STREAMFX_SHARED", Path(__file__).parents[2] / "shared"))
DATA = SHARED / "data"
needs_data = pytest.mark.skipif(
    not (DATA / "models").is_dir(), reason="needs the shared data (STREAMFX_SHARED)"
)


@pytest.fixture(scope="module")
def mesh():
    return canonical_mesh(DATA)


def test_the_shipped_basis_is_small_and_sound():
    basis = load_face_basis()
    assert NPZ.stat().st_size < 300_000
    flat = basis.modes.reshape(MODES, -1)
    assert np.abs(flat @ flat.T - np.eye(MODES)).max() < 2e-3
    assert (np.diff(basis.std) <= 0).all()
    assert (basis.std > 0).all()
    assert "CC-BY" in basis.provenance
    assert len(basis.sha256) == 64
    assert set(basis.parts.tolist()) == set(Part)
    assert not basis.modes.flags.writeable


def test_lips_move_most_and_the_bridge_least():
    rms = load_face_basis().rms
    assert 0.02 < rms[[168, 6]].max() < 0.06
    assert rms[[33, 133, 362, 263]].max() < 0.1
    assert rms[[61, 291, 14]].min() > 0.4
    assert rms.max() < 1.0


def test_sigma_follows_the_published_table():
    basis = load_face_basis()
    mouth, eye = (basis.sigma[basis.parts == part].mean(axis=0) for part in (Part.MOUTH, Part.EYE))
    assert mouth == pytest.approx([3.8, 6.4], rel=0.25)
    assert eye == pytest.approx([1.2, 1.7], rel=0.25)
    assert basis.sigma.min() > 0.8


def test_projection_undoes_expansion():
    basis = load_face_basis()
    coefficients = np.random.default_rng(0).normal(size=(3, 5, MODES)).astype(np.float32)
    expressions = basis.expand(coefficients)
    assert expressions.shape == (3, 5, 468, 3)
    assert np.abs(basis.project(expressions) - coefficients).max() < 1e-4
    assert not basis.expand(np.zeros(MODES, np.float32)).any()


def test_projection_is_the_nearest_expression():
    basis = load_face_basis()
    expression = np.random.default_rng(1).normal(size=(468, 3)).astype(np.float32)
    missed = expression - basis.expand(basis.project(expression))
    assert np.abs(basis.project(missed)).max() < 1e-4


def test_the_smile_is_symmetric_and_lifts_the_corners():
    basis = load_face_basis()
    smile = basis.smile
    assert smile[list(MIRRORED[0])] == pytest.approx(smile[list(MIRRORED[1])] * [-1, 1, 1], abs=1e-5)
    assert 0.5 < smile[291, 0] < 1.0  # outwards
    assert -1.0 < smile[291, 1] < -0.5  # and up
    assert 0.0 <= basis.smile_at_rest < 0.1
    assert isinstance(basis.smile_at_rest, float)
    assert basis.smile_of(basis.expand(basis.project(smile))) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("amount", [-0.5, 0.0, 0.3, 1.4])
def test_the_smile_itself_gives_its_amount(amount: float):
    basis = load_face_basis()
    assert basis.smile_of(amount * basis.smile) == pytest.approx(amount, abs=1e-6)


def test_the_demo_smiles_clearly_but_not_beyond_what_people_do():
    basis = load_face_basis()
    smiles = [
        basis.smile_of(motion.expression) for motion in MotionTemplate.load(ASSETS / "demo.sfxm").frames()
    ]
    assert 0.6 < max(smiles) < 0.95
    assert min(smiles) > -0.4


FAULTS = {
    "empty": b"",
    "text": b"no archive",
    "truncated": NPZ.read_bytes()[:5000],
    "damaged": NPZ.read_bytes()[:5000] + bytes(500) + NPZ.read_bytes()[5500:],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_bytes_are_refused(fault: str):
    with pytest.raises(ModelCorrupt, match="expression basis"):
        parse_face_basis(FAULTS[fault])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("modes", np.zeros((48, 468, 3)), "cannot be read"),
        ("modes", np.zeros((47, 468, 3)), "expected numbers"),
        ("std", np.full(48, np.nan), "not finite"),
        ("rms", np.array(["x"] * 468), "expected numbers"),
        ("parts", np.array([object()] * 468), "allow_pickle"),
        ("smile", np.zeros((478, 3)), "expected numbers"),
        ("smile_at_rest", np.array([0.0]), "expected numbers"),
        ("smile_at_rest", np.array(np.nan), "not finite"),
    ],
)
def test_wrong_arrays_are_refused(name: str, value: np.ndarray, message: str):
    with np.load(NPZ) as archive:
        arrays = {key: archive[key] for key in archive.files} | {name: value}
    out = io.BytesIO()
    np.savez(out, **arrays)
    with pytest.raises(ModelCorrupt, match=message):
        parse_face_basis(out.getvalue())


def test_the_demo_is_lively_and_begins_and_ends_at_rest():
    template = MotionTemplate.load(ASSETS / "demo.sfxm")
    motions = list(template.frames())
    assert template.fps == 30
    assert template.duration_ns >= 8e9
    assert "CC-BY" in template.origin
    for rest in (motions[0], motions[-1]):
        assert np.abs(rest.expression).max() < 0.02
        assert np.degrees(np.abs(rest.rotation)).max() < 0.2
        assert rest.lip_gaps.max() < 0.02
    assert template.lip_gaps.mean(axis=1).max() > 1.5  # a wide mouth
    assert 4 <= _runs(template.lid_closure[:, 0] > 0.7) <= 10  # blinks
    assert np.degrees(np.ptp(template.rotation[:, 1])) > 20  # head turns
    assert not template.held.any()


def test_the_demo_moves_without_jumps():
    motions = list(MotionTemplate.load(ASSETS / "demo.sfxm").frames())
    steps = [np.abs(b.expression - a.expression).max() for a, b in pairwise(motions)]
    turns = [np.abs(b.rotation - a.rotation).max() for a, b in pairwise(motions)]
    assert max(steps) < 0.6  # cm a frame: fast speech
    assert np.degrees(max(turns)) < 2


def _runs(flags: np.ndarray) -> int:
    return int((np.diff(flags.astype(int)) == 1).sum())


def person(vertices: np.ndarray) -> Person:
    """Somebody who smiles, turned and sized by chance; scored 0.2 at rest and 0.7 when smiling."""
    rng = np.random.default_rng(3)
    smile = np.zeros((478, 3))
    smile[[61, 291, 146, 375]] = [[-0.5, -0.4, 0.2], [0.5, -0.4, 0.2], [-0.3, -0.2, 0.1], [0.3, -0.2, 0.1]]
    still = np.vstack([vertices, np.zeros((10, 3))])

    def seen(share: float) -> FaceTrack:
        turn = rotation_matrix(rng.normal(size=3) * 0.1)
        landmarks = rng.uniform(8, 14) * (still + share * smile) @ turn.T + [320, 240, 0]
        blendshapes = np.zeros(52, np.float32)
        blendshapes[44:46] = 0.2 + 0.5 * share
        return FaceTrack(landmarks.astype(np.float32), blendshapes, 1.0, 0)

    return Person("london", (seen(0), seen(0)), tuple(seen(1) for _ in range(40)))


@needs_data
@pytest.mark.shared
class TestLearning:
    def test_parts_and_sigma_are_symmetric(self, mesh):
        other = mirror_of(mesh[0])
        assert (other[other] == np.arange(468)).all()
        assert (face_parts(mesh[0])[other] == face_parts(mesh[0])).all()
        assert np.allclose(part_sigma(mesh)[other], part_sigma(mesh))

    def test_the_mesh_is_cut_at_lips_and_lids(self, mesh):
        weights = edge_weights(mesh)
        for upper, lower in [(LIP_UPPER, LIP_LOWER), *zip(LID_UPPER, LID_LOWER, strict=True)]:
            assert not weights[np.ix_(upper, lower)].any()

    def test_the_smooth_prior_is_a_correlation_that_lips_do_not_share(self, mesh):
        correlation = heat_correlation(laplacian(mesh), 1.0)
        assert np.linalg.eigvalsh(correlation).min() > -1e-9
        assert np.allclose(np.diag(correlation), 1)
        assert correlation[13, 14] < 0.2 < 0.5 < correlation[14, 17]

    def test_interpolation_keeps_what_is_pinned(self, mesh):
        field = interpolate(laplacian(mesh), {14: (0, 1, 0), 13: (0, 0, 0), 10: (0, 0, 0)})
        assert field[14] == pytest.approx([0, 1, 0], abs=1e-2)
        assert np.abs(field[13]).max() < 1e-2
        assert 0.3 < field[17, 1] < 1.05

    def test_actions_do_what_they_say(self, mesh):
        actions = Actions(mesh).all()
        jaw, blink = actions["jaw_open"], actions["blink_right"]
        assert jaw[14, 1] - jaw[13, 1] > 1.3
        assert np.abs(jaw[[33, 263, 1]]).max() < 0.05
        shut = mesh[0] + blink
        assert np.abs(shut[list(LID_LOWER[0]), 1] - shut[list(LID_UPPER[0]), 1]).max() < 0.02
        assert np.abs(blink[list(EYE_CORNERS[1])]).max() < 0.02
        assert actions["brow_inner_up"][107, 1] < -0.4
        assert np.allclose(actions["smile_left"], mirror_expressions(actions["smile_right"][None], mesh)[1])

    def test_learning_is_deterministic_and_symmetric(self, mesh):
        first, second = (encode(learn([person(mesh[0])], mesh)) for _ in range(2))
        assert first == second
        learned = parse_face_basis(first)
        assert np.allclose(learned.rms[mirror_of(mesh[0])], learned.rms, atol=1e-5)
        mirrored = mirror_expressions(learned.modes[:5], mesh)[5:]
        again = learned.expand(learned.project(mirrored.astype(np.float32)))
        assert np.abs(again - mirrored).max() < 2e-3

    def test_what_moves_in_the_pictures_is_what_is_measured(self, mesh):
        someone = person(mesh[0])
        measured = offsets([someone], mesh[0], vertex_weights())["london"]
        assert measured.shape == (40, 468, 3)
        assert np.abs(measured[:, 61] - [-0.5, -0.4, 0.2]).max() < 0.01
        assert np.abs(measured[:, 291] - [0.5, -0.4, 0.2]).max() < 0.01
        assert np.abs(measured[:, [1, 33, 263]]).max() < 0.01

    def test_a_smile_is_learned_at_the_size_of_score_one(self, mesh):
        learned = learn([person(mesh[0])], mesh)
        assert learned.smile_at_rest == pytest.approx(0.2)
        assert learned.smile[[61, 291]] == pytest.approx(
            2 * np.array([[-0.5, -0.4, 0.2], [0.5, -0.4, 0.2]]), abs=0.02
        )

    def test_smiles_without_a_rise_of_the_score_are_taken_as_they_are(self):
        smiles = np.ones((3, 468, 3))
        assert size_at_one(smiles[0], smiles, np.zeros(3)) == 1
        assert size_at_one(smiles[0], 1.5 * smiles, np.full(3, 0.5)) == pytest.approx(3)

    def test_other_actions_are_no_smile(self, mesh):
        basis, actions = load_face_basis(), Actions(mesh).all()
        smiles = {name: basis.smile_of(action) for name, action in actions.items()}
        assert {name for name, amount in smiles.items() if amount > 0.1} == {
            "smile_right",
            "smile_left",
            "stretch",
        }
        still = {"jaw_open", "brow_inner_up", "blink_left", "brow_down_right", "jaw_side", "sneer_left"}
        assert max(abs(smiles[name]) for name in still) < 0.06

    def test_without_data_the_priors_make_a_basis(self, mesh):
        learned = parse_face_basis(encode(learn([], mesh)))
        blink = Actions(mesh).all()["blink_left"].astype(np.float32)
        assert np.abs(learned.expand(learned.project(blink)) - blink).max() < 0.05
        assert learned.smile[291, 0] > 0.3
        assert learned.smile_at_rest == 0

    def test_only_training_people_are_learned_from(self):
        pictures = read_index(DATA, "train")
        held_out = {picture.group for picture in read_index(DATA, "val")}
        assert len(pictures) > 800
        assert held_out
        assert not held_out & {picture.group for picture in pictures}

    def test_a_missing_index_is_named(self, tmp_path):
        with pytest.raises(SourceMissing, match=r"index\.csv"):
            read_index(tmp_path, "train")

    def test_people_not_learned_from_are_represented(self):
        basis = load_face_basis()
        expressions = clip_expressions(DATA / "driving" / "lp_d0.mp4", DATA, basis, seconds=2.5)
        missed = residual_by_part(basis, expressions)[:, 0]
        assert len(expressions) > 50
        assert missed[Part.MOUTH] < 0.035
        assert missed.max() < 0.05

    def test_smiles_of_people_not_learned_from_agree_with_the_tracker(self):
        people = track_people(DATA, "val", tiers=["london"])
        basis, canonical = load_face_basis(), canonical_mesh(DATA)[0]
        smiles = offsets(people, canonical, vertex_weights(basis.rms))["london"]
        found = np.array([basis.smile_of(smile) for smile in smiles])
        rises = np.array([score(one.moving) - score(one.rest) for one in people])
        assert len(found) == 10
        assert np.corrcoef(found, rises)[0, 1] > 0.9
        assert np.abs(found - rises).mean() < 0.15
