"""The way through the house, from top to bottom:

    camera -> face -> motion -> warped photo -> refined face -> mouth -> blended frame

A driver yields Motions (numbers, no pixel); an Animator turns each Motion and one Rig into a Rendered
picture. The two never share a picture: the driver's camera cannot reach the output. A film's sound goes its
own way beside it, on the same clock: source/sound decodes it, sink/sound encodes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamfx.frames import FaceTrack, Motion, Rendered, Rig
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
from streamfx.portrait.deform import FAITHFUL, deform
from streamfx.portrait.photo import Photo, is_there, load_photo, photo_digest
from streamfx.portrait.rig import FaceGeometry, rig_digest, solve_rig
from streamfx.portrait.teeth.reference import Sitter
from streamfx.render.base import PortraitRenderer
from streamfx.render.composite import finish
from streamfx.render.cpu import CpuRenderer
from streamfx.settings.framing import AS_IT_FITS, Framing
from streamfx.settings.session import Gains
from streamfx.telemetry import StageTimer
from streamfx.track.photo import PhotoAnalyser


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


class Animator:
    """motion -> warped photo -> refined face -> mouth -> blended frame, for one portrait."""

    def __init__(
        self,
        rig: Rig,
        *,
        renderer: PortraitRenderer | None = None,
        gains: Gains = FAITHFUL,
        timer: StageTimer | None = None,
    ) -> None:
        """Keep what is needed.

        Args:
            rig: the portrait.
            renderer: where its pictures are made (RenderDevice.renderer); None: on the CPU, without networks.
            gains: the user's sliders.
            timer: takes the times of the stages.
        """
        self.gains = gains
        """Replaced whole while it runs, by the user's sliders."""
        self._rig, self._renderer = rig, renderer or CpuRenderer(rig)
        self.timer = timer or StageTimer()
        """Takes the times of the stages."""
        if timer is not None:
            self._renderer.time_with(timer)

    def animate(self, motion: Motion, *, networks: bool = True) -> Rendered:
        """One finished picture.

        Args:
            motion: what the driver does.
            networks: False leaves them out, on a machine that is too busy for them.
        """
        measure, renderer = self.timer.measure, self._renderer
        refines = networks and renderer.refines
        with measure("deform"):
            deformation = deform(self._rig, motion, self.gains)
        with measure("warp"):
            renderer.warp(deformation)
        if refines:
            with measure("refine"):
                renderer.refine(deformation)
        with measure("mouth"):
            renderer.draw_mouth(deformation, networks=networks)
        return finish(renderer.picture(), deformation, refined=refines, grey=self._rig.grey)


def animate(animator: Animator, motions: Iterable[Motion]) -> Iterator[Rendered]:
    """The whole way for every motion of a driver."""
    return map(animator.animate, motions)
