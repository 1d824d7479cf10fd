"""A driving video for measurements where there is no camera: the demo's own film, a face that moves."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from streamfx import config
from streamfx.driving.template import MotionTemplate
from streamfx.frames import Motion
from streamfx.models.store import Store
from streamfx.pipeline import Animator, animate, load_portrait
from streamfx.sink.film import FilmWriter

SIZE = (640, 480)


def demo_clip(folder: Path, frames: int | None = None) -> Path:
    """Render the demo's photo and motion to a video in `folder`; fetches the models.

    Raises:
        ModelError, OutputError.
    """
    store = Store.default()
    store.pull()
    motion = MotionTemplate.load(config.demo_motion_file())
    portrait = load_portrait(store.path("astronaut"), SIZE, store)
    path = folder / "demo-clip.mp4"
    with FilmWriter(path, SIZE, motion.fps) as film:
        for rendered in animate(Animator(portrait.rig), _first(motion, frames)):
            film.write(rendered)
    return path


def _first(motion: MotionTemplate, frames: int | None) -> Iterator[Motion]:
    return islice(motion.frames(), frames)
