"""The way through the house, from top to bottom:

    camera -> face -> motion -> warped photo -> refined face -> mouth -> blended frame

A driver yields Motions (numbers, no pixel); an Animator turns each Motion and one Rig into a Rendered
picture. The two never share a picture: the driver's camera cannot reach the output. A film's sound goes its
own way beside it, on the same clock: source/sound decodes it, sink/sound encodes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter_ns
from typing import Final

import numpy as np

from streamfx.errors import DeviceLost
from streamfx.frames import U8, FaceTrack, Motion, Rendered, Rig
from streamfx.framings import AS_IT_FITS, Framing
from streamfx.models.face_basis import load_face_basis
from streamfx.models.face_model import load_face_model
from streamfx.models.store import Store
from streamfx.portrait.appearance import check_appearance
from streamfx.portrait.askew import check_print
from streamfx.portrait.border import without_border
from streamfx.portrait.cache import RigCache
from streamfx.portrait.checks import (
    Finding,
    bystanders,
    check_enlargement,
    check_face,
    check_size,
    choose_face,
)
from streamfx.portrait.deform import FAITHFUL, Gains, deform
from streamfx.portrait.photo import Photo, is_there, load_photo, photo_digest
from streamfx.portrait.reference import Sitter
from streamfx.portrait.rig import FaceGeometry, rig_digest, solve_rig
from streamfx.realtime import ahead
from streamfx.render.base import Canvas, Device, Mode, Networks, Studio
from streamfx.render.canvas import CpuCanvas
from streamfx.render.composite import finish
from streamfx.render.cuda import require_torch
from streamfx.render.studio import CpuStudio
from streamfx.source import Source
from streamfx.telemetry import StageTimer
from streamfx.track.landmarker import FaceTracker
from streamfx.track.motion import MotionEstimator
from streamfx.track.photo import PhotoAnalyser

__all__ = [
    "Animator",
    "Device",
    "FaceDriver",
    "Networks",
    "Portrait",
    "Studio",
    "animate",
    "check_canvas",
    "load_portrait",
    "open_studio",
    "rehearsal",
]

_REHEARSALS: Final = 5
"""Pictures after which a card has recorded all steps."""
_OFF: Final = 2.0
"""Grey levels, on average over a picture: more than half precision explains."""
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
    framing: Framing = AS_IT_FITS,
    read: Photo | None = None,
) -> Portrait:
    """photo -> face -> checks -> rig; from the cache when the same photos were solved before.

    Args:
        path: the photo.
        size: (width, height) px of the frame.
        store: the models.
        cache: where solved rigs are kept.
        references: other photos of the person, whose teeth the mouth shows.
        framing: how much of the photo the frame shows.
        read: the photo, where it was read already.

    Raises:
        PhotoUnreadable, PhotoUnsuitable, RigUnsolvable, ModelError.
    """
    own, *foreign = (photo_digest(one) for one in (path, *references))
    if cache is not None and (cached := cache.load(rig_digest(own, size, foreign, framing))) is not None:
        return Portrait(*cached, own)
    photo, others = read or load_photo(path), [load_photo(reference) for reference in references]
    check_size(photo.size, photo.name)
    photo, others = without_border(photo), [without_border(other) for other in others]
    task = store.path("face_landmarker")
    geometry = _face_geometry(task)
    with PhotoAnalyser(task, store.path("selfie_segmentation")) as analyser:
        photo, faces = _upright(analyser, photo)
        face = choose_face(faces, photo.name)
        pose = geometry.pose(face.landmarks)
        checked = check_face(face, pose, photo.size, photo.name)
        checked += check_appearance(photo.rgb, face, pose, photo.name)
        checked += check_print(photo.rgb, face)
        person = analyser.person_mask(photo.rgb, face)
        sitter = Sitter.of(photo.rgb, face, pose, geometry.weights)
        seen = [
            sitter.reference(other, choose_face(found, other.name))
            for other, found in (_upright(analyser, other) for other in others)
        ]
    told = (finding for one in seen for finding in one.findings)
    rig = solve_rig(photo, face, person, geometry, size, seen, framing)
    enlarged = check_enlargement(rig.scale / pose.scale, size)
    findings = (*photo.findings, *bystanders(faces), *checked, *enlarged, *told)
    if cache is not None:
        cache.save(rig, findings, [one.sha256 for one in (photo, *others)])
        if not is_there(photo, path):  # deleted while it was solved: nothing of it stays
            cache.forget(photo.sha256)
    return Portrait(rig, findings, photo.sha256)


def _upright(analyser: PhotoAnalyser, photo: Photo) -> tuple[Photo, list[FaceTrack]]:
    """The photo, turned if its face does not stand upright, and its faces."""
    faces = analyser.faces(photo.rgb)
    turns = analyser.turns(photo.rgb, faces)
    if not turns:
        return photo, faces
    turned = photo.turn(turns)
    return turned, analyser.faces(turned.rgb)


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
            lookahead: pictures of a file that are looked through ahead, for the neutral of whoever comes.
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
        self.turned = 0
        """Those in whose picture it was followed after the picture was turned upright."""
        self.turn = 0
        """Quarter turns counter-clockwise by which the latest of these pictures was turned."""

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
        coming = deque(islice(tracks, self._lookahead))
        self._estimator.prime([one.track for one in coming if one.track is not None])
        for newest in tracks:
            coming.append(newest)
            yield self._motion(coming.popleft(), coming)
        while coming:
            yield self._motion(coming.popleft(), coming)

    def _motion(self, one: _Tracked, coming: Iterable[_Tracked]) -> Motion:
        track = one.track
        self.pictures += 1
        if track is not None:
            self.tracked += 1
            self.turned += track.turn != 0
            self.turn = track.turn
            if self._lookahead and not self._estimator.knows(track.person):
                own = (some.track for some in (one, *coming) if some.track is not None)
                self._estimator.prime([some for some in own if some.person == track.person])
        with self._timer.measure("motion"):
            return self._estimator.update(track, one.captured_ns, one.seq, one.epoch)


def open_studio(device: Device = Device.CPU, tell: Callable[[str], None] = lambda _: None) -> Studio:
    """Where portraits are drawn.

    Args:
        device: what draws.
        tell: gets lines for a person: that TensorRT engines are built, and why one is not taken.

    Raises:
        DeviceUnavailable: there is no such device, or what drives it is not installed.
    """
    if device is Device.CPU:
        return CpuStudio()
    require_torch()
    from streamfx.render.cuda.studio import CudaStudio  # torch: an extra, and seconds to import

    return CudaStudio(check_canvas, tell=tell)


def check_canvas(canvas: Canvas, rig: Rig, networks: Networks, mode: Mode) -> None:
    """Show a canvas before it goes live what the CPU draws: a wrong driver shows here, not in a call.

    Raises:
        DeviceLost: it draws something else.
    """
    reference = CpuStudio().canvas(rig, networks, mode)
    for motion in rehearsal(_REHEARSALS):  # often enough for a card to record all steps now
        there, here = (Animator(rig, canvas=one).animate(motion) for one in (canvas, reference))
        off = max(_apart(there.rgb, here.rgb), _apart(there.alpha, here.alpha))
        if off > _OFF:
            cause = f"The card draws wrong pictures: {off:.1f} grey levels off"
            raise DeviceLost(cause, "Update its driver, or render on the CPU")


def _apart(some: U8 | None, others: U8 | None) -> float:
    """Mean difference of two pictures' values; 0 where neither has any."""
    if some is None or others is None:
        return 0.0 if some is others else 255.0
    return float(np.abs(some.astype(np.int16) - others).mean())


def rehearsal(times: int = 2) -> tuple[Motion, ...]:
    """Motions in which everything that draws has part: after them nothing is left to be compiled or loaded.

    Twice, for the mouth is blended with the one before; at rest in the end: nothing is left of them.
    """
    speaking = replace(
        Motion.rest(),
        expression=load_face_basis().smile,
        rotation=np.array([0.05, 0.12, -0.05], np.float32),
        lip_gaps=np.full(9, 0.8, np.float32),
        presence=1.0,
        held=False,
    )
    return (*[speaking] * times, Motion.rest())


class Animator:
    """motion -> warped photo -> refined face -> mouth -> blended frame, for one portrait."""

    def __init__(
        self,
        rig: Rig,
        *,
        canvas: Canvas | None = None,
        gains: Gains = FAITHFUL,
        timer: StageTimer | None = None,
    ) -> None:
        """Keep what is needed.

        Args:
            rig: the portrait.
            canvas: where its pictures are made (Studio.canvas); None: on the CPU, without networks.
            gains: the user's sliders.
            timer: takes the times of the stages.
        """
        self.gains = gains
        """Replaced whole while it runs, by the user's sliders."""
        self._rig, self._canvas = rig, canvas or CpuCanvas(rig)
        self.timer = timer or StageTimer()
        """Takes the times of the stages."""
        if timer is not None:
            self._canvas.time_with(timer)

    def animate(self, motion: Motion, *, networks: bool = True) -> Rendered:
        """One finished picture.

        Args:
            motion: what the driver does.
            networks: False leaves them out, on a machine that is too busy for them.
        """
        measure, canvas = self.timer.measure, self._canvas
        refines = networks and canvas.refines
        with measure("deform"):
            deformation = deform(self._rig, motion, self.gains)
        with measure("warp"):
            canvas.warp(deformation)
        if refines:
            with measure("refine"):
                canvas.refine(deformation)
        with measure("mouth"):
            canvas.draw_mouth(deformation, networks=networks)
        return finish(canvas.picture(), deformation, refined=refines, grey=self._rig.grey)


def animate(animator: Animator, motions: Iterable[Motion]) -> Iterator[Rendered]:
    """The whole way for every motion of a driver."""
    return map(animator.animate, motions)
