"""Motion templates: what a driver did, as numbers in a small file, to play on any portrait.

A template holds 48 expression coefficients, head pose, gaze and the lip and lid gaps of each frame;
no picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamfx.driving import template_format
from streamfx.driving.template_format import COLUMNS, FPS_RANGE, MAX_FILE_BYTES, TICK_NS, Content
from streamfx.errors import MotionUnreadable, UsageError
from streamfx.files import TEMPLATE, atomic_output, read_bytes
from streamfx.frames import F32, Motion
from streamfx.models.face_basis import FaceBasis, load_face_basis

_TRACKS = ("coefficients", "rotation", "translation", "scale", "gaze", "lip_gaps", "lid_closure")
"""The columns that are numbers of the motion itself."""

_PROJECTED: F32 = np.zeros((0, 3), np.float32)
"""Stands for an expression of which the coefficients are kept."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let what is wrong with a template be told with its file's name."""
    try:
        yield
    except MotionUnreadable as error:
        raise MotionUnreadable(f"{path}: {error.cause}", error.remedy) from error


@dataclass(frozen=True, slots=True, eq=False)
class MotionTemplate:
    """A recorded motion of N >= 1 frames; the fields of its frames as in `Motion`."""

    times_ns: npt.NDArray[np.int64] = field(repr=False)
    """i64 [N], from 0, rising."""
    held: npt.NDArray[np.bool_] = field(repr=False)
    presence: F32 = field(repr=False)
    coefficients: F32 = field(repr=False)
    """f32 [N,48] of the basis named by `basis_sha256`."""
    rotation: F32 = field(repr=False)
    translation: F32 = field(repr=False)
    scale: F32 = field(repr=False)
    gaze: F32 = field(repr=False)
    lip_gaps: F32 = field(repr=False)
    lid_closure: F32 = field(repr=False)
    fps: float
    """Nominal frames per second; the true times are in `times_ns`."""
    basis_version: str
    basis_sha256: str
    origin: str = ""
    """Who made it and under which licence it may be used."""
    source: str = ""
    """What it was recorded from."""

    @staticmethod
    def from_motions(
        motions: Iterable[Motion],
        fps: float,
        *,
        origin: str = "",
        source: str = "",
        basis: FaceBasis | None = None,
    ) -> MotionTemplate:
        """A template of `motions`, whose `captured_ns` must rise; expressions are projected on the basis.

        Raises:
            MotionUnreadable: no motions, or times that do not rise.
        """
        basis = basis or load_face_basis()
        kept: list[Motion] = []
        coefficients: list[F32] = []
        for motion in motions:  # an hour of full expressions would take gigabytes
            coefficients.append(basis.project(motion.expression))
            kept.append(replace(motion, expression=_PROJECTED))
        times = np.array([motion.captured_ns for motion in kept], np.int64)
        if not kept or (np.diff(times) <= 0).any():
            raise MotionUnreadable(
                f"{len(kept)} frames make no motion template: it needs at least one, with rising times",
                "Record a clip in which a face is seen",
            )
        return MotionTemplate(
            times_ns=times - times[0],
            held=np.array([motion.held for motion in kept]),
            presence=_stack(motion.presence for motion in kept),
            coefficients=np.stack(coefficients),
            rotation=_stack(motion.rotation for motion in kept),
            translation=_stack(motion.translation for motion in kept),
            scale=_stack(motion.scale for motion in kept),
            gaze=_stack(motion.gaze for motion in kept),
            lip_gaps=_stack(motion.lip_gaps for motion in kept),
            lid_closure=_stack(motion.lid_closure for motion in kept),
            fps=fps,
            basis_version=basis.version,
            basis_sha256=basis.sha256,
            origin=origin,
            source=source,
        )

    @staticmethod
    def load(path: Path) -> MotionTemplate:
        """The template in a file.

        Raises:
            MotionUnreadable: no such file, no permission, foreign, damaged, or of another version.
        """
        data = read_bytes(path, MAX_FILE_BYTES, TEMPLATE)
        with naming(path):
            return MotionTemplate.decode(data)

    @staticmethod
    def decode(data: bytes) -> MotionTemplate:
        """The template in the bytes of a file.

        Raises:
            MotionUnreadable: foreign, damaged, or of another version.
        """
        content = template_format.decode(data)
        numbers = {name: _unpack(content, name) for name in _TRACKS}
        return MotionTemplate(
            times_ns=content.columns["ticks"][:, 0].astype(np.int64) * content.tick_ns,
            held=content.columns["held"][:, 0].astype(np.bool_),
            presence=(content.columns["presence"][:, 0].astype(np.float32) / 255).astype(np.float32),
            fps=content.fps,
            basis_version=content.basis_version,
            basis_sha256=content.basis_sha256,
            origin=content.origin,
            source=content.source,
            **numbers,
        )

    def encode(self) -> bytes:
        """The bytes of the file: times to 1 us; wild numbers are clipped to the format's ranges.

        Raises:
            OutputError: longer than the format holds.
        """
        columns: dict[str, template_format.Column] = {name: getattr(self, name) for name in _TRACKS}
        columns["ticks"] = np.round(self.times_ns / TICK_NS)
        columns["held"] = self.held.astype(np.uint8)
        columns["presence"] = np.round(self.presence * 255)
        content = Content(
            columns=columns,
            tick_ns=TICK_NS,
            fps=self.fps,
            basis_version=self.basis_version,
            basis_sha256=self.basis_sha256,
            origin=self.origin,
            source=self.source,
        )
        return template_format.encode(content)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            OutputError: longer than the format holds, or the file cannot be written.
        """
        data = self.encode()
        with atomic_output(path) as part:
            part.write_bytes(data)

    @property
    def duration_ns(self) -> int:
        """From the first frame to the last."""
        return int(self.times_ns[-1])

    def __len__(self) -> int:
        return len(self.times_ns)

    def frames(self, basis: FaceBasis | None = None) -> Iterator[Motion]:
        """The motions in order, `captured_ns` from 0.

        Raises:
            MotionUnreadable: the template was made with another expression basis.
        """
        basis = basis or load_face_basis()
        if basis.sha256 != self.basis_sha256:
            raise MotionUnreadable(
                f"The motion template needs expression basis {self.basis_version} ({self.basis_sha256[:8]}), "
                f"this streamfx has {basis.version} ({basis.sha256[:8]})",
                "Use the streamfx that wrote it, or record the motion again",
            )
        return (self._motion(index, basis) for index in range(len(self)))

    def _motion(self, index: int, basis: FaceBasis) -> Motion:
        return Motion(
            expression=basis.expand(self.coefficients[index]),
            rotation=self.rotation[index],
            translation=self.translation[index],
            scale=float(self.scale[index]),
            gaze=self.gaze[index],
            lip_gaps=self.lip_gaps[index],
            lid_closure=self.lid_closure[index],
            captured_ns=int(self.times_ns[index]),
            seq=index,
            presence=float(self.presence[index]),
            held=bool(self.held[index]),
        )

    def resample(self, fps: float) -> MotionTemplate:
        """The same motion at even times, `fps` a second.

        Interpolates linearly, rotation vectors too: they are small.

        Raises:
            UsageError: a rate that the format does not hold.
        """
        if not FPS_RANGE[0] <= fps <= FPS_RANGE[1]:
            raise UsageError(
                f"{fps:g} frames a second cannot be made",
                f"Choose a rate from {FPS_RANGE[0]:g} to {FPS_RANGE[1]:g}",
            )
        count = int(self.duration_ns * fps / 1e9 + 1e-6) + 1
        times = np.round(np.arange(count) * 1e9 / fps).astype(np.int64)
        middles = (self.times_ns[1:] + self.times_ns[:-1]) // 2
        evenly = {name: _interpolate(times, self.times_ns, getattr(self, name)) for name in _TRACKS}
        return replace(
            self,
            times_ns=times,
            held=self.held[np.searchsorted(middles, times)],
            presence=_interpolate(times, self.times_ns, self.presence),
            fps=fps,
            **evenly,  # type: ignore[arg-type]
        )


def _stack(values: Iterable[F32 | float]) -> F32:
    return np.asarray(list(values), np.float32)


def _unpack(content: Content, name: str) -> F32:
    """f32 [N,width], or [N] where a frame has one value."""
    column = np.ascontiguousarray(content.columns[name], np.float32)
    return column[:, 0] if COLUMNS[name].width == 1 else column


def _interpolate(times: npt.NDArray[np.int64], known: npt.NDArray[np.int64], values: F32) -> F32:
    """`values` [N] or [N,width] of the times `known`, at `times`."""
    columns = values.reshape(len(values), -1).T
    out = np.stack([np.interp(times, known, column) for column in columns], axis=1)
    return np.asarray(out.reshape(len(times), *values.shape[1:]), np.float32)
