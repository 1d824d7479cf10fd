"""The way through the house, from top to bottom:

    camera -> face -> motion -> warped photo -> refined face -> mouth -> blended frame

A driver yields Motions (numbers, no pixel); an Animator turns each Motion and one Rig into a Rendered
picture. The two never share a picture: the driver's camera cannot reach the output.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from time import perf_counter_ns
from typing import Final

from streamfx.frames import U8, Deformation, FaceTrack, Motion, Rendered, Rig
from streamfx.models.face_basis import load_face_basis
from streamfx.models.face_model import load_face_model
from streamfx.models.store import Store
from streamfx.models.weights import NetworkName, Profile
from streamfx.portrait.cache import RigCache
from streamfx.portrait.checks import Finding, bystanders, check_face, check_size, choose_face
from streamfx.portrait.deform import FAITHFUL, Gains, deform
from streamfx.portrait.photo import load_photo
from streamfx.portrait.reference import Sitter
from streamfx.portrait.rig import FaceGeometry, rig_digest, solve_rig
from streamfx.realtime import ahead
from streamfx.render.base import Mode, MouthPainter, Network, Refiner, Renderer
from streamfx.render.composite import finish
from streamfx.render.cpu import CpuRenderer
from streamfx.render.mouth import ProceduralMouth
from streamfx.render.painter import LiteNetworkPainter, PaperNetworkPainter
from streamfx.render.refiner import LiteNetworkRefiner, PaperNetworkRefiner
from streamfx.render.temporal import MouthBlender
from streamfx.source import Source
from streamfx.telemetry import StageTimer
from streamfx.track.landmarker import FaceTracker
from streamfx.track.motion import MotionEstimator
from streamfx.track.photo import PhotoAnalyser

LOOKAHEAD: Final = 300
"""Pictures looked through for the driver's neutral before a film's first frame: no drifting start."""


@dataclass(frozen=True, slots=True)
class Portrait:
    """A photo, ready to be animated."""

    rig: Rig
    findings: tuple[Finding, ...]
    """What about the photo will show in the result."""
    sha256: str
    """Of the photo's bytes."""


def load_portrait(
    path: Path,
    size: tuple[int, int],
    store: Store,
    cache: RigCache | None = None,
    references: Sequence[Path] = (),
) -> Portrait:
    """photo -> face -> checks -> rig; from the cache when the same photos were solved before.

    Args:
        path: the photo.
        size: (width, height) px of the frame.
        store: the models.
        cache: where solved rigs are kept.
        references: other photos of the person, whose teeth the mouth shows.

    Raises:
        PhotoUnreadable, PhotoUnsuitable, RigUnsolvable, ModelError.
    """
    photo, others = load_photo(path), [load_photo(reference) for reference in references]
    digest = rig_digest(photo, size, others)
    if cache is not None and (cached := cache.load(digest)) is not None:
        return Portrait(*cached, photo.sha256)
    check_size(photo.size, photo.name)
    task = store.path("face_landmarker")
    geometry = _face_geometry(task)
    with PhotoAnalyser(task, store.path("selfie_segmentation")) as analyser:
        faces = analyser.faces(photo.rgb)
        face = choose_face(faces, photo.name)
        pose = geometry.pose(face.landmarks)
        checked = check_face(face, pose, photo.size, photo.name)
        person = analyser.person_mask(photo.rgb, face)
        sitter = Sitter.of(photo.rgb, face, pose, geometry.weights)
        seen = [
            sitter.reference(other, choose_face(analyser.faces(other.rgb), other.name)) for other in others
        ]
    findings = (*bystanders(faces), *checked, *(finding for one in seen for finding in one.findings))
    rig = solve_rig(photo, face, person, geometry, size, seen)
    if cache is not None:
        cache.save(rig, findings)
    return Portrait(rig, findings, photo.sha256)


def _face_geometry(task: Path) -> FaceGeometry:
    model, basis = load_face_model(task), load_face_basis()
    return FaceGeometry(model.vertices, model.triangles, basis.rms, basis.smile, basis.smile_at_rest)


@dataclass(frozen=True, slots=True)
class _Tracked:
    """One picture of the driver after tracking: its face, if one was found, and its place in time."""

    track: FaceTrack | None
    captured_ns: int
    seq: int
    epoch: int


class FaceDriver:
    """source -> face -> motion. Runs ahead of the animation in a thread of its own; pixels end here."""

    def __init__(
        self, source: Source, store: Store, timer: StageTimer, *, lookahead: int = LOOKAHEAD, depth: int = 8
    ) -> None:
        """Prepare the estimation; nothing is read yet.

        Args:
            source: the pictures.
            store: the models.
            timer: takes the times of the stages.
            lookahead: pictures of a file looked through for the neutral before the first motion.
            depth: pictures tracked ahead in a thread of its own; 0 tracks in the caller's thread.
        """
        task = store.path("face_landmarker")
        self._source, self._timer, self._task = source, timer, task
        self._estimator = MotionEstimator(load_face_model(task).vertices, load_face_basis().rms)
        self._lookahead = 0 if source.info.live else lookahead
        self._depth = depth
        self.pictures = 0
        """Motions given, one per picture."""
        self.tracked = 0
        """Those in whose picture a face was followed."""

    def motions(self) -> Generator[Motion]:
        """One Motion per picture of the source. Close it before the source: a thread may be reading."""
        tracked = self._tracks()
        with closing(ahead(tracked, self._depth) if self._depth else tracked) as tracks:
            yield from self._estimated(tracks)

    def calibrate(self) -> None:
        """Take what the driver does now for their neutral."""
        self._estimator.calibrate()

    def _tracks(self) -> Generator[_Tracked]:
        with FaceTracker(self._task) as tracker:
            pictures = iter(self._source)
            while True:
                start_ns = perf_counter_ns()
                frame = next(pictures, None)
                if frame is None:
                    return
                self._timer.add("decode", perf_counter_ns() - start_ns)
                with self._timer.measure("track"):
                    track = tracker.track(frame)
                yield _Tracked(track, frame.captured_ns, frame.seq, frame.epoch)

    def _estimated(self, tracks: Iterator[_Tracked]) -> Iterator[Motion]:
        first = list(islice(tracks, self._lookahead))
        self._estimator.prime([one.track for one in first if one.track is not None])
        for one in chain(first, tracks):
            self.pictures += 1
            self.tracked += one.track is not None
            with self._timer.measure("motion"):
                motion = self._estimator.update(one.track, one.captured_ns, one.seq, one.epoch)
            yield motion


@dataclass(frozen=True, slots=True)
class Networks:
    """Which networks take part in an animation."""

    refine: Profile | None = None
    """None: the face stays as it was warped."""
    mouth: Profile | None = None
    """None: the procedural mouth."""

    @property
    def names(self) -> tuple[NetworkName, ...]:
        """Of the networks that run."""
        chosen = (("refine", self.refine), ("mouth", self.mouth))
        return tuple(NetworkName(f"{place}-{profile}") for place, profile in chosen if profile)

    def refiner(self, load: Callable[[str], Network] | None = None) -> Refiner | None:
        """Load the network that refines the face, if one is to.

        Args:
            load: gives a network by its name; portraits shown in turn may share one.

        Raises:
            ModelError: it is not shipped, or damaged.
        """
        if self.refine is None:
            return None
        network = (load or load_network)(f"refine-{self.refine}")
        return LiteNetworkRefiner(network) if self.refine is Profile.LITE else PaperNetworkRefiner(network)

    def painter(self, rig: Rig, load: Callable[[str], Network] | None = None) -> MouthPainter:
        """Whatever paints the inside of a rig's mouth, loaded; `load` as above.

        Raises:
            ModelError: the network is not shipped, or damaged.
        """
        if self.mouth is None:
            return ProceduralMouth(rig)
        network = (load or load_network)(f"mouth-{self.mouth}")
        is_lite = self.mouth is Profile.LITE
        return LiteNetworkPainter(network, rig) if is_lite else PaperNetworkPainter(network)


def load_network(name: str) -> Network:
    """A network that ships, ready to run.

    Raises:
        ModelError: it is not shipped, or damaged.
    """
    from streamfx.models.network import Network as Loaded  # OpenVINO takes a third of a second to import

    return Loaded(name)


class Animator:
    """motion -> warped photo -> refined face -> mouth -> blended frame, for one portrait."""

    def __init__(
        self,
        rig: Rig,
        *,
        mode: Mode = Mode.LAYER,
        gains: Gains = FAITHFUL,
        refiner: Refiner | None = None,
        painter: MouthPainter | None = None,
        timer: StageTimer | None = None,
    ) -> None:
        """Prepare the renderer.

        Args:
            rig: the portrait.
            mode: what moves with the head.
            gains: the user's sliders.
            refiner: the face's network, where it is at hand.
            painter: the mouth's network; None takes the procedural mouth.
            timer: takes the times of the stages.
        """
        self.gains = gains
        """Replaced whole while it runs, by the user's sliders."""
        self._rig, self._refiner = rig, refiner
        self._renderer: Renderer = CpuRenderer(rig, load_face_basis().sigma, mode)
        self._procedural = ProceduralMouth(rig)
        self._painter = painter or self._procedural
        self._blender = MouthBlender()
        self._timer = timer or StageTimer()

    def animate(self, motion: Motion, *, networks: bool = True) -> Rendered:
        """One finished picture.

        Args:
            motion: what the driver does.
            networks: False leaves them out, on a machine that is too busy for them.
        """
        measure = self._timer.measure
        refiner, painter = (self._refiner, self._painter) if networks else (None, self._procedural)
        with measure("deform"):
            deformation = deform(self._rig, motion, self.gains)
        with measure("warp"):
            picture = self._renderer.warp(deformation)
        if refiner is not None:
            with measure("refine"):
                face = self._renderer.rectify(deformation)
                self._renderer.add_residual(picture, refiner.refine(face, deformation), face)
        with measure("mouth"):
            self._draw_mouth(picture, deformation, painter)
        return finish(picture, deformation, refined=refiner is not None)

    def _draw_mouth(self, picture: U8, deformation: Deformation, painter: MouthPainter) -> None:
        view = self._renderer.mouth_view(picture, deformation, painter.crop)
        if not view.is_open:
            self._blender.reset()
            return
        mouth = self._blender.blend(painter.paint(view, deformation), view, deformation)
        self._renderer.draw_mouth(picture, view, mouth)


def animate(animator: Animator, motions: Iterable[Motion]) -> Iterator[Rendered]:
    """The whole way for every motion of a driver."""
    return map(animator.animate, motions)
