"""What is said and done about photos that will not look as hoped: real ones, and good ones made worse."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import media
import numpy as np
import pytest
import scenes
import synthetic
from PIL import Image

from streamfx.errors import PhotoUnsuitable
from streamfx.models.weights import Profile
from streamfx.pipeline import Animator, Portrait, load_portrait
from streamfx.portrait.appearance import check_appearance
from streamfx.portrait.askew import check_print
from streamfx.portrait.border import without_border
from streamfx.portrait.checks import Finding
from streamfx.portrait.photo import Photo, load_photo
from streamfx.render.base import Networks
from streamfx.rendering import open_device
from streamfx.topology import EYE_CORNERS, FACE_OVAL
from streamfx.track.photo import PhotoAnalyser

SIZE = (320, 240)
MASK = (197, 122, 120, 118, 123, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397,
        288, 361, 323, 352, 347, 349, 351)  # fmt: skip
"""Vertices around a mask, from the bridge of the nose over cheek and chin."""


@pytest.fixture(scope="module")
def analyser() -> Iterator[PhotoAnalyser]:
    store = scenes.store()
    with PhotoAnalyser(store.path("face_landmarker"), store.path("selfie_segmentation")) as analyser:
        yield analyser


@pytest.fixture(scope="module")
def good() -> np.ndarray:
    return load_photo(scenes.photo()).rgb


@pytest.fixture(scope="module")
def landmarks(analyser: PhotoAnalyser, good: np.ndarray) -> np.ndarray:
    return analyser.faces(good)[0].landmarks


def found(analyser: PhotoAnalyser, rgb: np.ndarray) -> list[Finding]:
    face = analyser.faces(rgb)[0]
    return check_appearance(rgb, face, synthetic.geometry().pose(face.landmarks), "me.jpg")


def portrait(tmp_path: Path, rgb: np.ndarray, size: tuple[int, int] = SIZE) -> Portrait:
    path = tmp_path / "me.png"
    Image.fromarray(rgb).save(path)
    return load_portrait(path, size, scenes.store())


def shaded(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """f32 [H,W,1]: the light on a face, to shade with it what is painted over it."""
    reach = 0.06 * float(np.ptp(points[list(FACE_OVAL), 1]))
    light = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), reach)
    return np.clip(0.5 + 0.5 * light / np.median(light), 0.5, 1.4)[..., None]


def masked(rgb: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    area = synthetic._filled(np.zeros(rgb.shape), points[list(MASK), :2], (1, 1, 1))
    noise = np.random.default_rng(0).normal(0, 3, rgb.shape)
    cloth = np.array(colour) * shaded(rgb, points) + noise
    return np.clip(rgb * (1 - area) + cloth * area, 0, 255).astype(np.uint8)


def with_sunglasses(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    out = rgb.copy()
    for outer, inner in EYE_CORNERS:
        middle, width = points[[outer, inner], :2].mean(0), np.linalg.norm(points[outer] - points[inner])
        cv2.ellipse(out, (tuple(map(float, middle)), (1.75 * width, 1.35 * width), 0.0), (18, 18, 22), -1)
    return out


def moved(rgb: np.ndarray, _: np.ndarray) -> np.ndarray:
    """As by a hand that shook."""
    return cv2.filter2D(rgb, -1, np.eye(9, dtype=np.float32) / 9)


def with_fingers(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Four fingers before the mouth, of the skin's colour and with shadows between."""
    tall = float(np.ptp(points[list(FACE_OVAL), 1]))
    x, y = points[[13, 14], :2].mean(0)
    skin = np.median([rgb[int(b), int(a)] for a, b in points[[50, 280, 151], :2]], axis=0)
    area = np.zeros(rgb.shape[:2], np.float32)
    for finger in range(4):
        at = y + (0.09 * finger - 0.16) * tall
        start, end = (int(x - 0.35 * tall), int(at + 0.05 * tall)), (int(x + 0.32 * tall), int(at))
        cv2.line(area, start, end, 1.0, int(0.09 * tall))
    shade = 1 - 0.12 * np.cos((np.arange(len(rgb)) - y) * 2 * np.pi / (0.09 * tall))[:, None, None]
    area = cv2.GaussianBlur(area, (0, 0), 0.008 * tall)[..., None]
    return np.clip(rgb * (1 - area) + skin * shade * area, 0, 255).astype(np.uint8)


def scanned(rgb: np.ndarray, _: np.ndarray) -> np.ndarray:
    """A grey photo, dark, with a scanner's faint cast."""
    grey = 0.4 * cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None]
    return np.clip(grey + np.float32([2, 0, -2]), 0, 255).astype(np.uint8)


# -- light, sharpness, eyes, mouth ---------------------------------------------------------------------------

WORSE: dict[str, tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], str]] = {
    "dark": (lambda rgb, _: (rgb * 0.25).astype(np.uint8), r"too dark: .* reaches \d+ of 255"),
    "blurred": (lambda rgb, _: cv2.GaussianBlur(rgb, (0, 0), 3), r"blurred \(sharpness 0\.\d+"),
    "grey": (lambda rgb, _: np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, 2), "is grey"),
    "scanned": (scanned, "is grey"),
    "moved": (moved, r"blurred \(sharpness 0\.\d+"),
    "fingers": (with_fingers, "the mouth is covered"),
    "sunglasses": (with_sunglasses, r"sunglasses hide the eyes \(there is \d+ % of"),
    "blue mask": (lambda rgb, at: masked(rgb, at, (150, 190, 215)), "the mouth is covered"),
    "white mask": (lambda rgb, at: masked(rgb, at, (225, 225, 222)), "the mouth is covered"),
    "black mask": (lambda rgb, at: masked(rgb, at, (28, 28, 32)), "the mouth is covered"),
}


@pytest.mark.parametrize("how", WORSE)
def test_what_will_show_is_said_with_its_figure(
    analyser: PhotoAnalyser, good: np.ndarray, landmarks: np.ndarray, how: str
):
    make, words = WORSE[how]
    findings = found(analyser, make(good, landmarks))
    assert [f for f in findings if f.remedy and _says(f, words)], findings


@pytest.mark.shared
def test_a_blurred_mouth_is_no_covered_one(analyser: PhotoAnalyser):
    rgb = load_photo(scenes.shared("portraits/london_061_neutral.jpg")).rgb
    reach = 0.03 * float(np.ptp(analyser.faces(rgb)[0].landmarks[list(FACE_OVAL), 1]))
    (only,) = found(analyser, cv2.GaussianBlur(rgb, (0, 0), reach))
    assert _says(only, "blurred")


def _says(finding: Finding, words: str) -> bool:
    return re.search(words, finding.cause) is not None


def test_of_a_good_photo_nothing_is_said(tmp_path: Path, good: np.ndarray):
    (only,) = portrait(tmp_path, good).findings
    assert "108 px tall" in only.cause  # and so it is


@pytest.mark.shared
def test_of_good_portraits_nothing_is_said(analyser: PhotoAnalyser):
    """All that were taken as portraits: skin, light, beards, glasses and paintings of every kind."""
    folder = scenes.shared("portraits")
    photos = sorted(p for p in folder.rglob("*") if p.suffix in {".jpg", ".png"} and "smile" not in p.name)
    assert len(photos) >= 21
    told = {path.name: found(analyser, load_photo(path).rgb) for path in photos}
    assert {name: findings for name, findings in told.items() if findings} == {}


@pytest.mark.shared
@pytest.mark.parametrize("number", ["0010", "0313"])
def test_shut_eyes_are_said(analyser: PhotoAnalyser, number: str):
    rgb = load_photo(scenes.shared(f"train_more/caltech_faces/image_{number}.jpg")).rgb
    assert "the eyes are shut (open by" in found(analyser, rgb)[0].cause


@pytest.mark.shared
def test_a_hand_before_the_mouth_is_said(analyser: PhotoAnalyser):
    clip = scenes.shared("driving/pexels_emotions.mp4")
    for rgb in media.pictures_at(clip, 2.5, 4.2, 5.4):
        assert any("the mouth is covered" in one.cause for one in found(analyser, rgb))


@pytest.mark.shared
def test_how_far_a_mouth_is_open_decides(analyser: PhotoAnalyser):
    clip = scenes.shared("driving/lp_d18.mp4")
    shut, wide, too_wide, laughing, bared, widest = media.pictures_at(clip, 0.0, 2.17, 2.4, 3.85, 4.0, 4.5)
    assert found(analyser, shut) == []
    assert "wide open (1.9 cm)" in found(analyser, wide)[0].cause
    assert "laughs (lips 1.4 cm apart)" in found(analyser, laughing)[0].cause
    for rgb, gap in ((too_wide, "2.4"), (bared, "2.2"), (widest, "3.1")):
        with pytest.raises(PhotoUnsuitable, match=f"open by {gap} cm, and can be closed from up to 2.0"):
            found(analyser, rgb)


def test_a_covered_mouth_stays_covered(tmp_path: Path, good: np.ndarray, landmarks: np.ndarray):
    made = portrait(tmp_path, masked(good, landmarks, (150, 190, 215)))
    rig = made.rig
    assert rig.mouth_hidden
    assert not rig.opening.any()
    speaking = synthetic.motion(jaw=1.0)
    shown = Animator(rig).animate(speaking).rgb.astype(int)
    x, y = np.rint(rig.landmarks[[13, 14], :2].mean(0)).astype(int)
    patch = shown[y - 6 : y + 7, x - 8 : x + 9]
    assert (patch[..., 2] > patch[..., 0] + 15).all(), "something else than blue cloth shows"
    open_mouthed = Animator(replace(rig, mouth_hidden=False)).animate(speaking).rgb.astype(int)
    inside = open_mouthed[y - 6 : y + 7, x - 8 : x + 9]
    assert not (inside[..., 2] > inside[..., 0] + 15).all(), "the test could not fail"


def test_the_mouth_of_a_grey_photo_is_grey(tmp_path: Path, good: np.ndarray):
    grey = np.repeat(cv2.cvtColor(good, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    rig = portrait(tmp_path, grey).rig
    networks = Networks(refine=Profile.LITE, mouth=Profile.LITE)
    renderer = open_device().renderer(rig, networks)
    shown = Animator(rig, renderer=renderer).animate(synthetic.motion(jaw=1.5)).rgb.astype(int)
    assert np.ptp(shown, axis=2).max() == 0
    assert not portrait(tmp_path, good).rig.grey


# -- standing upright, borders, size -------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_photo_that_lies_or_hangs_is_turned_and_that_is_said(tmp_path: Path, good: np.ndarray, turns: int):
    upright = portrait(tmp_path, good)
    turned = portrait(tmp_path, np.ascontiguousarray(np.rot90(good, turns)))
    assert turned.rig.turned == (4 - turns) % 4
    assert np.abs(turned.rig.landmarks - upright.rig.landmarks)[:, :2].max() < 3
    finding, *others = turned.findings
    assert others == list(upright.findings)
    degrees = {1: "90 degrees to the right", 2: "180 degrees", 3: "90 degrees to the left"}[turns]
    assert finding.cause == f"the face did not stand upright: the photo was turned by {degrees}"


@pytest.mark.shared
@pytest.mark.parametrize("name", ["london_061_neutral", "london_006_neutral", "canada_045f", "lisa1"])
def test_faces_of_any_skin_and_light_are_told_upright(analyser: PhotoAnalyser, name: str):
    """The landmarker alone took the first for one on its head."""
    rgb = load_photo(scenes.shared(f"portraits/{name}.jpg")).rgb
    for turns in (0, 2):
        seen = np.ascontiguousarray(np.rot90(rgb, turns))
        assert analyser.turns(seen, analyser.faces(seen)) == turns


@pytest.mark.shared
@pytest.mark.parametrize("name", ["london_006_smile", "london_008_smile"])
def test_masked_people_are_not_turned(analyser: PhotoAnalyser, name: str):
    """The detector alone took the masks' upper edges for mouths."""
    rgb = load_photo(scenes.shared(f"portraits/smile_gt/{name}.jpg")).rgb
    worn = masked(rgb, analyser.faces(rgb)[0].landmarks, (28, 28, 32))
    assert analyser.turns(worn, analyser.faces(worn)) == 0


def test_leaning_heads_are_not_turned(tmp_path: Path, good: np.ndarray):
    height, width = good.shape[:2]
    lean = cv2.getRotationMatrix2D((width / 2, height / 4), 35, 1.0)
    leaning = cv2.warpAffine(good, lean, (width, height), borderMode=cv2.BORDER_REFLECT)
    assert portrait(tmp_path, leaning).rig.turned == 0


def plain(rgb: np.ndarray) -> Photo:
    return Photo(rgb, "0", "me.png")


@pytest.mark.parametrize(
    ("sides", "colour"),
    [((20, 20, 20, 20), (255, 255, 255)), ((40, 40, 0, 0), (0, 0, 0)), ((0, 0, 60, 30), (200, 30, 40)),
     ((16, 60, 16, 16), (240, 238, 225))],
)  # fmt: skip
@pytest.mark.parametrize("grain", [0, 4])
def test_a_border_is_cut_off_and_said(
    good: np.ndarray, sides: tuple[int, ...], colour: tuple[int, int, int], grain: int
):
    framed = cv2.copyMakeBorder(good, *sides, cv2.BORDER_CONSTANT, value=colour).astype(np.float32)
    framed += np.random.default_rng(0).normal(0, grain, framed.shape)
    framed = np.clip(framed, 0, 255).astype(np.uint8)
    cut = without_border(plain(framed))
    height, width = good.shape[:2]
    assert width - 8 <= cut.size[0] <= width
    assert height - 8 <= cut.size[1] <= height
    assert f"a plain border ({max(sides) + 2} px)" in cut.findings[0].cause


def test_a_plain_wall_is_no_border(good: np.ndarray):
    assert without_border(plain(good)).findings == ()
    wall = np.full((400, 300, 3), 210, np.uint8)
    cv2.ellipse(wall, (150, 220), (90, 130), 0, 0, 360, (150, 110, 90), -1)
    assert without_border(plain(wall)).findings == ()
    assert without_border(plain(np.full((100, 100, 3), 9, np.uint8))).findings == ()


def in_a_circle(rgb: np.ndarray, ground: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture's middle in a circle on a plain ground, and the same without the ground."""
    side = min(rgb.shape[:2])
    left = (rgb.shape[1] - side) // 2
    square = rgb[:side, left : left + side]
    inside = np.zeros((side, side), np.float32)
    middle = (side - 1) / 2
    cv2.circle(inside, (round(middle), round(middle)), round(middle), 1.0, -1, cv2.LINE_AA)
    avatar = np.full_like(square, ground) + inside[..., None] * (square.astype(np.float32) - ground)
    return cv2.copyMakeBorder(
        avatar.astype(np.uint8), *[24] * 4, cv2.BORDER_CONSTANT, value=[ground] * 3
    ), square


@pytest.mark.parametrize("ground", [0, 255])
def test_a_circle_is_a_border_whose_corners_are_filled(good: np.ndarray, ground: int):
    avatar, square = in_a_circle(good, ground)
    made = without_border(plain(avatar))
    assert "the picture is a circle" in made.findings[0].cause
    assert np.abs(np.subtract(made.size, square.shape[1::-1])).max() <= 4
    edge = round(0.17 * square.shape[0])  # of the circle, on the diagonal
    filled, beside = (
        made.rgb[2:edge, 2:edge].mean((0, 1)),
        square[edge : edge + 12, edge : edge + 12].mean((0, 1)),
    )
    assert np.abs(filled - ground).min() > 60, "nothing of the ground is left"
    assert np.abs(filled - beside).max() < 30, "it goes on as at the circle's edge"
    at = slice(square.shape[0] // 3, square.shape[0] // 2)
    assert np.abs(made.rgb[at, at].astype(int) - square[at, at]).mean() < 12, "the middle is as it was"


@pytest.mark.parametrize("degrees", [-12, 6])
def test_a_print_that_lies_askew_is_said(analyser: PhotoAnalyser, good: np.ndarray, degrees: int):
    height, width = good.shape[:2]
    lean = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 0.7)
    wood = np.array([140, 95, 60]) + np.random.default_rng(0).normal(0, 4, good.shape)
    table = np.clip(wood, 0, 255).astype(np.uint8)
    cv2.warpAffine(good, lean, (width, height), table, borderMode=cv2.BORDER_TRANSPARENT)
    (found,) = check_print(table, analyser.faces(table)[0])
    assert f"a print that lies askew (by {abs(degrees)} degrees)" in found.cause
    assert check_print(good, analyser.faces(good)[0]) == []


@pytest.mark.shared
def test_no_good_portrait_has_a_border():
    for path in scenes.shared("portraits").rglob("*.[jp][pn]g"):
        assert without_border(load_photo(path)).findings == (), path


def test_a_photo_too_small_for_the_size_is_said(tmp_path: Path, good: np.ndarray):
    small = cv2.resize(good[:260, 90:350], None, fx=0.85, fy=0.85, interpolation=cv2.INTER_AREA)
    findings = [str(one) for one in portrait(tmp_path, small, (1280, 720)).findings]
    assert any("times for 1280x720 and will look soft" in one for one in findings), findings
