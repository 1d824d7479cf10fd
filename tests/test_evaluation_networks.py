"""Judging networks: what their tables are made of, on painted people and networks without training."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import pytest
import synthetic
from on_cells import face_cells, mouth_cells

from streamfx.errors import ModelCorrupt, ModelMissing, UsageError
from streamfx.frames import FaceTrack
from streamfx.lab.evaluation.ablation import Trained, Variant, compare, trained_as
from streamfx.lab.evaluation.contenders import Contender, complete, contenders, painting, refining
from streamfx.lab.evaluation.grid import grid, save_png
from streamfx.lab.evaluation.identity import Identity, apart
from streamfx.lab.evaluation.likeness import Gain, Judge, Likeness
from streamfx.lab.evaluation.methods import COPY, WARP, WARP_ONLY, Method, Show
from streamfx.lab.evaluation.mouth import PROCEDURAL, MouthMethod, Smile, as_reference, mouth, teeth_share
from streamfx.lab.evaluation.openings import Opening
from streamfx.lab.evaluation.people import Pair, Sitting, unseen_pairs
from streamfx.lab.evaluation.perceptual import LandmarkFeatures
from streamfx.lab.evaluation.refine import RefineRow, refine, summary
from streamfx.lab.evaluation.sheets import Expression, sheets
from streamfx.lab.evaluation.stage import Stage, View
from streamfx.lab.evaluation.tables import Column, cells, documents, mean
from streamfx.lab.skin import SkinGroup
from streamfx.models.store import Store
from streamfx.models.weights import NetworkName
from streamfx.portrait.deform import deform
from streamfx.portrait.framing import frame_portrait
from streamfx.topology import FACE_OVAL, FACE_VERTICES, LIP_LOWER


@dataclass(frozen=True, slots=True)
class Inner:
    b: Annotated[float, Column("B", ".1f")]


@dataclass(frozen=True, slots=True)
class Outer:
    name: Annotated[str, Column("NAME")]
    inner: Inner
    c: Annotated[float, Column("C", "+.2f")]


ROWS = [Outer("x", Inner(1.0), math.nan), Outer("y", Inner(2.0), 0.5)]


def test_rows_inside_rows_stand_in_their_place():
    assert cells(ROWS) == [["NAME", "B", "C"], ["x", "1.0", "-"], ["y", "2.0", "+0.50"]]
    assert cells([]) == [[]]


def test_json_knows_no_nan():
    assert documents(ROWS) == [{"name": "x", "b": 1.0, "c": None}, {"name": "y", "b": 2.0, "c": 0.5}]
    assert json.dumps(documents(ROWS), allow_nan=False)


def test_means_leave_out_what_was_not_measured():
    assert mean(ROWS, name="both") == Outer("both", Inner(1.5), 0.5)


# -- people, painted -----------------------------------------------------------------------------------------


def stage() -> Stage:
    photo, face, person = synthetic.portrait()
    placement = frame_portrait(photo.size, face.landmarks[list(FACE_OVAL), :2], person, synthetic.FRAME)
    return Stage("painted", face, placement, synthetic.rig(), synthetic.geometry())


def smiling(opened: float = 10.0) -> FaceTrack:
    """A broad smile with the lips `opened` px apart."""
    points, broad = synthetic.landmarks(), synthetic.motion(smile=1.5).expression
    points[:FACE_VERTICES, :2] += synthetic.rig().scale * broad[:, :2]
    points[list(LIP_LOWER), 1] += opened
    return synthetic.track(points)


def sitting(opened: float = 10.0) -> Sitting:
    """A painted person whose truth is what the warp shows, only lighter: 6 grey levels are to be found."""
    set_up, face = stage(), smiling(opened)
    shown = Show(set_up.rig, WARP_ONLY).picture(set_up.matched(face))
    truth = np.clip(shown.astype(int) + 6, 0, 255).astype(np.uint8)
    pair = Pair("painted", Path("neutral.jpg"), Path("smile.jpg"))
    return Sitting(pair, SkinGroup.MEDIUM, set_up, face, truth)


class Lighter:
    """A refining network that adds a constant."""

    def __init__(self, levels: float) -> None:
        self._levels = levels

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.full((256, 256, 3), self._levels / 255, np.float32)


class Plain:
    """A mouth network that paints one colour."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.full((*x.shape[:2], 3), 0.5, np.float32)


REFINER = Contender(NetworkName.REFINE_LITE, "lighter", face_cells(Lighter(6)))
PAINTER = Contender(NetworkName.MOUTH_LITE, "plain", mouth_cells(Plain()))


@pytest.fixture(scope="module")
def features() -> LandmarkFeatures:
    try:
        return LandmarkFeatures(Store.default().path("face_landmarker"))
    except ModelMissing as error:
        pytest.skip(f"{error}")


def test_a_refiner_that_finds_the_truth_wins_everywhere(features: LandmarkFeatures):
    rows = list(refine([sitting()], [WARP_ONLY, *refining([REFINER])], Judge(features)))
    assert [(row.placing, row.method) for row in rows] == [
        (placing, method) for placing in ("crop", "exact", "motion") for method in (COPY, WARP, "lighter")
    ]
    in_crop, (copy, warp, refined) = rows[2], rows[3:6]
    assert in_crop.gain.psnr_gain > 1
    assert refined.gain.psnr_gain > 3
    assert refined.likeness.l1 < warp.likeness.l1 - 2
    assert warp.gain == Gain(0.0, 0.0)
    assert copy.likeness.ssim < warp.likeness.ssim
    assert refined.likeness.sharpness == pytest.approx(1, abs=0.1)


def test_the_truth_itself_is_a_perfect_likeness(features: LandmarkFeatures):
    person = sitting()
    view = View.of(person.stage, person.face, person.smile)
    found = Judge(features).trial(view).likeness(view.picture, view.landmarks)
    assert found.psnr == math.inf
    assert (found.ssim, found.sharpness, found.l1, found.gmsd, found.perceptual) == pytest.approx(
        (1, 1, 0, 0, 0)
    )
    assert math.isnan(found.identity)


def test_the_mask_has_neither_mouth():
    person = sitting()
    view = View.of(person.stage, person.face, person.smile)
    shut = view.mask(person.stage.rig.landmarks)
    wide = view.mask(person.stage.matched(smiling(25)).vertices)
    assert shut.sum() > wide.sum()
    assert not (wide & ~shut).any()


def test_skin_groups_are_averaged_apart():
    likeness = Likeness(30.0, 0.9, 1.0, 1.0, 0.1, 1.0, math.nan)
    rows = [
        RefineRow("a", "dark", "exact", WARP, Gain(0.0, 0.0), likeness),
        RefineRow("b", "light", "exact", WARP, Gain(0.0, 0.0), replace(likeness, psnr=20.0)),
    ]
    means = {row.skin: (row.sitter, row.likeness.psnr) for row in summary(rows)}
    assert means == {"all": ("mean of 2", 25.0), "dark": ("mean of 1", 30.0), "light": ("mean of 1", 20.0)}


def test_features_see_blur_and_are_blind_outside_the_mask(features: LandmarkFeatures):
    rng = np.random.default_rng(0)
    truth = cv2.GaussianBlur(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8), (0, 0), 1.0)
    mask = np.zeros((256, 256), bool)
    mask[64:192, 64:192] = True
    blurred = cv2.GaussianBlur(truth, (0, 0), 3.0)
    outside = np.where(mask[..., None], truth, 255 - truth)
    assert features.distance(truth, truth, mask) == 0
    assert features.distance(outside, truth, mask) == 0
    assert features.distance(blurred, truth, mask) > 1


def test_a_file_that_is_no_landmarker_is_refused(tmp_path: Path):
    (tmp_path / "not.task").write_bytes(b"no zip")
    with pytest.raises(ModelCorrupt, match="holds no face_landmarks_detector"):
        LandmarkFeatures(tmp_path / "not.task")


def test_embeddings_need_their_network(tmp_path: Path):
    pytest.importorskip("dlib", reason="dlib is part of the extra `train`")
    with pytest.raises(ModelMissing, match=r"There is no dlib_face"):
        Identity(tmp_path)
    (tmp_path / "dlib_face_recognition_resnet_model_v1.dat").write_bytes(b"no network")
    with pytest.raises(ModelCorrupt, match="cannot be read as dlib's network"):
        Identity(tmp_path)


@pytest.mark.shared
def test_one_person_is_nearer_to_themself_than_to_another():
    from streamfx.lab.evaluation.people import sitting as analysed
    from streamfx.lab.evaluation.stage import open_studio

    pytest.importorskip("dlib", reason="dlib is part of the extra `train`")
    data, store = shared()
    identity = Identity(data / "models")
    pairs = {pair.person: pair for pair in unseen_pairs(data)}
    with open_studio(store) as studio:
        one, two = (analysed(pairs[name], studio) for name in ("london_012", "london_100"))
    a, b = (identity.embed(person.stage.photo, person.stage.rig.landmarks) for person in (one, two))
    smile = identity.embed(one.stage.framed(one.smile), one.stage.landmarks(one.face))
    assert apart(a, smile) < 0.45 < apart(a, b)
    assert {one.group, two.group} == {SkinGroup.MEDIUM}


def shared() -> tuple[Path, Store]:
    from streamfx.errors import SourceMissing
    from streamfx.lab.evaluation.clips import data_folder

    try:
        data, store = data_folder(), Store.default()
        store.path("selfie_segmentation")
    except (SourceMissing, ModelMissing) as error:
        pytest.skip(f"{error}")
    return data, store


@pytest.mark.shared
def test_the_unseen_people_are_all_there():
    data, _ = shared()
    pairs = unseen_pairs(data)
    assert len(pairs) == len({pair.person for pair in pairs}) == 22
    assert all(pair.neutral.is_file() and pair.smile.is_file() for pair in pairs)


# -- mouths --------------------------------------------------------------------------------------------------


def test_an_opening_is_the_true_one():
    person = sitting(opened=12)
    opening = Opening.of(person.stage, person.face)
    assert opening.gap == pytest.approx(12 / person.stage.rig.scale, rel=0.15)
    assert opening.mask.sum() < opening.near().sum() < opening.box().sum()
    assert not Opening.of(person.stage, synthetic.track(synthetic.landmarks())).mask.any()


def test_teeth_are_told_from_an_empty_mouth():
    person = sitting(opened=25)
    opening = Opening.of(person.stage, person.face)
    white, black = (_mouth_of(person, level) for level in (235, 10))
    assert teeth_share(white, opening) > 0.8
    assert teeth_share(black, opening) == 0


def _mouth_of(person: Sitting, level: int) -> Sitting:
    """The same with a mouth all of one grey."""
    lips = person.face.landmarks[:, :2][list(_inner())]
    picture = person.smile.copy()
    cv2.fillPoly(picture, [np.rint(lips).astype(np.int32)], (level,) * 3)
    return replace(person, smile=picture)


def _inner() -> tuple[int, ...]:
    from streamfx.topology import INNER_MOUTH

    return INNER_MOUTH


def test_the_reference_is_the_smile_but_none_of_its_pixels():
    photo = np.random.default_rng(1).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    photo = cv2.GaussianBlur(photo, (0, 0), 3)
    taken = as_reference(photo)
    assert taken.shape == (160, 240, 3)
    assert taken.mean() < 0.9 * photo.mean()
    smaller = cv2.resize(photo, (240, 160))
    assert np.abs(taken.astype(int) - smaller).mean() > 5


def test_mouths_are_compared_with_the_procedural_one(features: LandmarkFeatures):
    person = sitting(opened=12)
    smile = Smile(person, Opening.of(person.stage, person.face), person.stage)
    plain = MouthMethod(painting([PAINTER])[0][1])
    procedural, painted = mouth([smile], [MouthMethod(PROCEDURAL), plain], features)
    assert (procedural.method, procedural.gain) == ("procedural", 0.0)
    assert painted.gain == painted.psnr - procedural.psnr < 0
    assert procedural.psnr > 25
    assert painted.perceptual > procedural.perceptual


# -- networks on trial ---------------------------------------------------------------------------------------


def test_weights_are_told_by_their_name_or_their_file(tmp_path: Path):
    torch = pytest.importorskip("torch", reason="torch is part of the extra `train`")
    from safetensors.torch import save_file

    from streamfx.nets import build

    torch.manual_seed(0)
    path = tmp_path / "refine-lite-7.safetensors"
    save_file(build("refine-lite").state_dict(), path)
    (found,) = contenders([str(path)])
    assert (found.name, found.label) == (NetworkName.REFINE_LITE, "refine-lite-7")
    out = found.network(np.zeros((60, 48, 54), np.float32))
    assert out.shape == (60, 48, 48)
    with pytest.raises(ModelCorrupt, match="holds no weights of LiteMouth"):
        contenders([f"mouth-lite={path}"])
    assert trained_as(f"W-M+={path}", "refine-lite").variant is Variant.M


def test_foreign_weights_are_refused(tmp_path: Path):
    pytest.importorskip("torch", reason="torch is part of the extra `train`")
    with pytest.raises(UsageError, match="does not say which network"):
        contenders(["best.safetensors"])
    with pytest.raises(ModelMissing):
        contenders([f"refine-lite={tmp_path / 'none.safetensors'}"])
    (tmp_path / "bad.safetensors").write_bytes(b"{}")
    with pytest.raises(ModelCorrupt, match="is damaged"):
        contenders([f"refine-lite={tmp_path / 'bad.safetensors'}"])
    with pytest.raises(UsageError, match="refine-paper paints no mouth"):
        trained_as("one=a.safetensors", "refine-paper")
    with pytest.raises(UsageError, match="names no variant"):
        trained_as("W+=a.safetensors", "refine-lite")


def test_a_refiner_is_paired_with_the_painters_of_its_profile():
    paper = Contender(NetworkName.MOUTH_PAPER, "other", Plain())
    assert [method.name for method in complete([REFINER, PAINTER, paper])] == ["lighter + plain"]


def test_what_is_shown_again_has_no_past():
    """A network that adds to its last residual starts anew."""

    class Growing:
        def __call__(self, x: np.ndarray) -> np.ndarray:
            return x[..., 6:9] + np.float32(0.05)

    rig, motion = synthetic.rig(), synthetic.motion(smile=0.3)
    show = Show(
        rig, Method("growing", Contender(NetworkName.REFINE_LITE, "growing", face_cells(Growing())).refiner)
    )
    place = deform(rig, motion)
    first, second = show.picture(place), show.picture(place)
    show.again()
    np.testing.assert_array_equal(show.picture(place), first)
    assert second.astype(int).sum() > first.astype(int).sum()


# -- sheets and ablation -------------------------------------------------------------------------------------


def test_a_sheet_has_every_expression_by_every_method(tmp_path: Path):
    talking = Expression("speech", (synthetic.motion(jaw=0.3), synthetic.motion(jaw=0.6)))
    path, overview = sheets([sitting()], [talking], [WARP_ONLY, *refining([REFINER])], tmp_path)
    picture = cv2.imread(str(path))
    assert cv2.imread(str(overview)).shape == (26 + 204, 110 + 2 * 204, 3)
    assert picture.shape == (26 + 2 * 324, 110 + 4 * 324, 3)
    truth_of_speech = picture[26 + 324 + 10 : 26 + 2 * 324 - 10, 110 + 3 * 324 + 10 : -10]
    assert (truth_of_speech > 240).all()


def test_a_grid_is_saved_whole(tmp_path: Path):
    tile = np.full((10, 20, 3), (200, 30, 60), np.uint8)
    save_png(tmp_path / "g.png", grid([[tile, None]], ["row"], ["a", "b"], 40))
    back = cv2.imread(str(tmp_path / "g.png"))
    assert back[26 + 20, 110 + 20].tolist() == [60, 30, 200]


class Recorder:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.seen.append(x.copy())
        return np.zeros((256, 256, 3), np.float32)


def test_ablation_takes_away_what_it_says():
    seen = {variant: Recorder() for variant in Variant}
    trained = [Trained(v, Contender(NetworkName.REFINE_LITE, v, face_cells(seen[v]))) for v in Variant]
    (found,) = compare([sitting()], trained, None)
    warped = {variant: recorder.seen[0][..., :3] for variant, recorder in seen.items()}
    moved = {variant: recorder.seen[0][..., 4:6] for variant, recorder in seen.items()}
    assert np.abs(warped[Variant.W_M] - warped[Variant.M]).max() > 0.1
    np.testing.assert_array_equal(warped[Variant.W_M], warped[Variant.W])
    assert np.abs(moved[Variant.W_M]).max() > 0.05
    assert not moved[Variant.W].any()
    assert not moved[Variant.NEITHER].any()
    assert list(found.pictures) == [WARP, *Variant]
    assert found.pictures[Variant.ONE][found.mouth].mean() < found.pictures[Variant.W_M][found.mouth].mean()
