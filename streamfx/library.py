"""What programs call: a portrait, what drives it, where its pictures go. `import streamfx` has all of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path

from streamfx.driving.film import Driver
from streamfx.driving.film import open_driver as _open_driver
from streamfx.models.store import Store
from streamfx.models.weights import NetworkName, Profile, shipped_weights
from streamfx.pipeline import Animator, Portrait
from streamfx.pipeline import load_portrait as _load_portrait
from streamfx.portrait.cache import RigCache
from streamfx.render.base import Device, Mode, Networks
from streamfx.rendering import open_device
from streamfx.settings.framing import AS_IT_FITS, Framing
from streamfx.settings.session import Gains
from streamfx.sink.camera import VirtualCamera, open_camera
from streamfx.sink.film import FilmWriter
from streamfx.telemetry import StageTimer

__all__ = ["Animator", "Portrait", "VirtualCamera", "animate", "animator", "load_portrait", "open_camera",
           "open_driver"]  # fmt: skip


def load_portrait(
    photo: str | Path,
    size: tuple[int, int] = (640, 480),
    *,
    references: Sequence[str | Path] = (),
    framing: Framing = AS_IT_FITS,
) -> Portrait:
    """A photo, ready to be animated. Models are fetched the first time (about 4 MB).

    Args:
        photo: its file.
        size: (width, height) px of the pictures, both even.
        references: other photos of the person, whose teeth the mouth shows.
        framing: how much of the photo is shown.

    Raises:
        PhotoError, RigUnsolvable, ModelError.
    """
    others = [Path(one) for one in references]
    return _load_portrait(Path(photo), size, _models(), RigCache.default(), others, framing)


def animator(
    portrait: Portrait,
    *,
    networks: bool = True,
    device: str = "cpu",
    mode: str = "layer",
    gains: Gains | None = None,
) -> Animator:
    """What turns each Motion into a picture of the portrait.

    Args:
        portrait: of `load_portrait`.
        networks: whether the networks that ship refine the face and paint the mouth.
        device: `cpu`, or `cuda` for an NVIDIA GPU.
        mode: `layer`, or `cutout`: pictures have alpha in place of a background (render.base.Mode).
        gains: how strongly the driver is followed.

    Raises:
        DeviceUnavailable: there is no such device.
    """
    chosen = Networks(_shipped("refine"), _shipped("mouth")) if networks else Networks()
    renderer = open_device(Device(device)).renderer(portrait.rig, chosen, Mode(mode))
    return Animator(portrait.rig, renderer=renderer, gains=gains or Gains())


def open_driver(
    driver: str | Path, *, fps: float | None = None, duration_s: float | None = None
) -> AbstractContextManager[Driver]:
    """What drives, open: its `motions()` are even in time.

    Args:
        driver: a video, a motion template, a camera (`0`, `/dev/video0`) or `feed:NAME`.
        fps: of the motions; None takes the driver's own.
        duration_s: where to end; needed for cameras.

    Raises:
        SourceError, MotionUnreadable: it cannot be opened.
    """
    return _open_driver(str(driver), _models(), StageTimer(), fps=fps, duration_s=duration_s)


def animate(
    photo: str | Path,
    driver: str | Path,
    film: str | Path,
    *,
    size: tuple[int, int] = (640, 480),
    fps: float | None = None,
    duration_s: float | None = None,
    networks: bool = True,
) -> int:
    """Make a film of a photo that moves as its driver does; the number of its pictures.

    Args:
        photo, driver, size, fps, duration_s, networks: as the functions above take them.
        film: .mp4, .mkv, .mov or .webm; an existing file is replaced once the new one is complete.

    Raises:
        StreamfxError: what cannot be read, animated or written, and why.
    """
    with open_driver(driver, fps=fps, duration_s=duration_s) as opened:
        drawn = animator(load_portrait(photo, size), networks=networks)
        with FilmWriter(Path(film), size, opened.fps) as writer, closing(opened.motions()) as motions:
            for motion in motions:
                writer.write(drawn.animate(motion))
            return writer.frames


def _models() -> Store:
    store = Store.default()
    for name in ("face_landmarker", "selfie_segmentation"):
        store.ensure(name)
    return store


def _shipped(task: str) -> Profile | None:
    return Profile.LITE if shipped_weights().has(NetworkName(f"{task}-{Profile.LITE}")) else None
