"""The measures of `streamfx eval` that judge networks beside the warp alone, and how their tables read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from streamfx.cli.progress import frame_bar
from streamfx.cli.show import print_columns, print_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Thing = TypeVar("Thing")

REFINE: Final = """\
Refiners on people no network has seen, neutral photo to real smile: compared in the upright 256 px crop over
the face oval without the inner mouth, beside the copied photo and the warp alone."""
REENACT: Final = """\
Self-reenactment: a clip's rest picture as the photo, its other pictures as driver and truth, compared in the
upright 256 px crop over the face oval without the inner mouth."""
MOUTH: Final = """\
The inside of the mouth: on unseen smiles that show teeth, compared with the real one in the 96 px mouth crop;
and in clips with speech, its steadiness and what shows through closed lips."""

SHEET: Final = """\
Picture sheets: every unseen person in six expressions (the own smile beside the truth, and five of drivers)
by the warp, with refined face, and with the mouth; one PNG each."""
ABLATION: Final = """\
Ablation (the paper's fig. 6 and 7): refiners trained with warped face or plain photo, with or without the
displacement map, and one network for face and mouth, compared inside the 256 px crop on unseen smiles."""

FIGURES: Final = """\
sharpness: Laplacian energy over the truth's. l1: grey levels of 255. gmsd, features: 0 is best; features is
a stand-in for LPIPS, made of MediaPipe's landmark network."""
IDENTITY: Final = """\
identity: distance of dlib's embeddings of output and truth, to be read beside `copy`, the distance of two
real pictures of that person; no threshold fits all."""
REFINE_NOTES: Final = f"""\
crop: what the network gives at 256 px, vertices where the smile has them; exact: the finished frame, alike;
motion: the frame, vertices where the product puts them, unsmoothed. copy: the photo put
where the true head is; warp: no network. Both d: gain over the warp.
{FIGURES}
{IDENTITY}
skin: by the typology angle (ITA) of the cheeks as photographed: light above 41 degrees, dark below 10."""
REENACT_NOTES: Final = f"""\
shown: vertices where the product puts them; motion: the same without smoothing; exact: where the clip has
them. copy: the rest picture put where the true head is; warp: no network. Both d: gain over the warp.
{FIGURES}
{IDENTITY}
aim: wanted from true landmarks, akd: found in the output from wanted, in percent of the distance between
the outer eye corners. temporal: what optical flow does not explain of a picture's change, over the same of
the real clip."""
SMILES_NOTES: Final = f"""\
Smiles with lips apart by .15 cm in the mean, and a quarter of what is between them as light as three quarters
of the cheeks' L* and less red than they. Vertices where the smile has them. dPSNR: gain over `procedural`.
{FIGURES}
reference: teeth from a photo of that person: the smile itself, turned by 5 degrees, at 0.8 of its size,
darker (gain 0.85, gamma 1.12) and through JPEG at quality 60: no second smile of these people is at hand."""
ABLATION_NOTES: Final = f"""\
W+: the network sees the warped face; W-: the photo, put where the head is. M+: it sees the displacement map;
M-: zeros. one: it paints the mouth as well; the others' mouths are a second network's (--mouth), or
procedural. First the face without the mouth, then the true opening alone. dPSNR: gain over the warp.
{FIGURES}"""
SPEECH_NOTES: Final = """\
open: neighbouring pictures with an open mouth in output and clip. temporal, real: what optical flow does not
explain of the mouth's change from one to the next, grey levels; ratio: of both; rigid: the same of drawn
teeth in the same motion and constant light, which cannot flicker; over rigid: temporal over that; per
contrast: ratio, each divided by its mouth's own contrast. flicker: RMS of the second difference of its mean
luma, over the clip's.
closed: pictures with closed lips; leak: pixels that change in them when the mouth is drawn: must be none."""


def refine(data: Path, arguments: argparse.Namespace) -> None:
    """Print one row per sitter, placing and method, then means over all and over groups of skin tone."""
    from streamfx.lab.evaluation import refine as refining
    from streamfx.lab.evaluation.contenders import contenders
    from streamfx.lab.evaluation.contenders import refining as methods_of
    from streamfx.lab.evaluation.likeness import open_judge
    from streamfx.lab.evaluation.methods import WARP_ONLY
    from streamfx.lab.evaluation.people import sittings, unseen_pairs
    from streamfx.lab.evaluation.stage import open_studio
    from streamfx.models.store import Store

    methods = [WARP_ONLY, *methods_of(contenders(arguments.weights))]
    store, pairs = Store.default(), unseen_pairs(data)
    judge = open_judge(data, store)
    with open_studio(store) as studio, frame_bar("judging", len(pairs)) as step:
        rows = list(refining.refine(watched(sittings(pairs, studio), step), methods, judge))
    print_rows([*rows, *refining.summary(rows)], arguments.json, REFINE_NOTES)


def reenact(data: Path, arguments: argparse.Namespace) -> None:
    """Print one row per clip, placing and method, then means over all, and every network's worst clip."""
    from streamfx.lab.evaluation import reenact as reenacting
    from streamfx.lab.evaluation.clips import Driver, track_clip
    from streamfx.lab.evaluation.contenders import complete, contenders, refining
    from streamfx.lab.evaluation.likeness import open_judge
    from streamfx.lab.evaluation.stage import open_studio
    from streamfx.models.store import Store

    found = contenders(arguments.weights)
    store, paths = Store.default(), reenacting.all_clips(data)
    judge = open_judge(data, store)
    with open_studio(store) as studio, frame_bar("reenacting", len(paths)) as step:
        driver = Driver(studio.geometry.vertices, studio.geometry.rms)
        clips = watched(reenacting.tracked_clips(paths, store, track_clip), step)
        rows = list(reenacting.reenact(clips, driver, studio, [*refining(found), *complete(found)], judge))
    print_rows([*rows, *reenacting.summary(rows)], arguments.json, REENACT_NOTES)


def mouth(data: Path, arguments: argparse.Namespace) -> None:
    """Print one row per smile and method and their means; then one per clip of speech and method."""
    from streamfx.lab.evaluation import mouth as mouths
    from streamfx.lab.evaluation import speech as speaking
    from streamfx.lab.evaluation.clips import Driver, track_clip
    from streamfx.lab.evaluation.contenders import contenders
    from streamfx.lab.evaluation.people import sittings, unseen_pairs
    from streamfx.lab.evaluation.perceptual import LandmarkFeatures
    from streamfx.lab.evaluation.reenact import tracked_clips
    from streamfx.lab.evaluation.stage import open_studio
    from streamfx.models.store import Store

    methods = mouths.methods(contenders(arguments.weights))
    store, pairs = Store.default(), unseen_pairs(data)
    films = [data / name for name in speaking.FILMS]
    features = LandmarkFeatures(store.path("face_landmarker"))
    with open_studio(store) as studio, frame_bar("judging", len(pairs) + len(films)) as step:
        smiles = mouths.smiles(watched(sittings(pairs, studio), step), studio)
        rows = list(mouths.mouth(smiles, methods, features))
        driver = Driver(studio.geometry.vertices, studio.geometry.rms)
        clips = watched(tracked_clips(films, store, track_clip), step)
        spoken = list(
            speaking.speech(clips, driver, studio, [one.method for one in methods if not one.reference])
        )
    print_tables(
        {"smiles": [*rows, *mouths.summary(rows)], "speech": spoken},
        arguments.json,
        {"smiles": SMILES_NOTES, "speech": SPEECH_NOTES},
    )


def sheet(data: Path, arguments: argparse.Namespace) -> None:
    """Write one sheet per unseen person into the output folder and name them."""
    from streamfx.lab.evaluation import sheets
    from streamfx.lab.evaluation.clips import Driver, track_clip
    from streamfx.lab.evaluation.contenders import complete, contenders, refining
    from streamfx.lab.evaluation.methods import WARP_ONLY
    from streamfx.lab.evaluation.people import sittings, unseen_pairs
    from streamfx.lab.evaluation.reenact import tracked_clips
    from streamfx.lab.evaluation.stage import open_studio
    from streamfx.models.store import Store

    found = contenders(arguments.weights)
    methods = [WARP_ONLY, *refining(found), *complete(found)]
    store, pairs = Store.default(), unseen_pairs(data)
    films = [data / "driving" / f"{name}.mp4" for name in sheets.DRIVERS]
    arguments.output.mkdir(parents=True, exist_ok=True)
    with open_studio(store) as studio, frame_bar("drawing", len(pairs)) as step:
        driver = Driver(studio.geometry.vertices, studio.geometry.rms)
        shown = sheets.expressions(tracked_clips(films, store, track_clip), driver)
        people = watched(sittings(pairs, studio), step)
        written = [str(path) for path in sheets.sheets(people, shown, methods, arguments.output)]
    if arguments.json:
        print_json(written)
        return
    print("\n".join(written))


def ablation(data: Path, arguments: argparse.Namespace) -> None:
    """Print one row per sitter and variant, then their means; draw the sheet where asked."""
    from streamfx.lab.evaluation import ablation as ablating
    from streamfx.lab.evaluation.contenders import contenders
    from streamfx.lab.evaluation.grid import save_png
    from streamfx.lab.evaluation.people import sittings, unseen_pairs
    from streamfx.lab.evaluation.perceptual import LandmarkFeatures
    from streamfx.lab.evaluation.stage import open_studio
    from streamfx.models.store import Store

    trained = [ablating.trained_as(text, arguments.network) for text in arguments.weights]
    painter = contenders([arguments.mouth])[0] if arguments.mouth else None
    store, pairs = Store.default(), unseen_pairs(data)
    features = LandmarkFeatures(store.path("face_landmarker"))
    with open_studio(store) as studio, frame_bar("judging", len(pairs)) as step:
        people = watched(sittings(pairs, studio), step)
        compared = list(ablating.compare(people, trained, painter))
    if arguments.sheet:
        save_png(arguments.sheet, ablating.sheet(compared))
    print_rows(ablating.table(compared, features), arguments.json, ABLATION_NOTES)


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


def print_tables(
    tables: Mapping[str, Sequence[DataclassInstance]], as_json: bool, notes: Mapping[str, str]
) -> None:
    """Several tables, each with its notes; or one JSON object."""
    from streamfx.lab.evaluation.tables import documents

    if as_json:
        print_json({name: documents(rows) for name, rows in tables.items()})
        return
    for name, rows in tables.items():
        print_rows(rows, False, f"{notes[name]}\n")
