"""A worker with a deliberate leak: it keeps a picture of 1080p a minute. scripts/live-soak must catch it."""

from __future__ import annotations

from time import monotonic

import cv2

from streamfx.frames import Motion, Rendered
from streamfx.ipc.child import child_main
from streamfx.settings.session import Gains
from streamfx.worker import loop, process
from streamfx.worker.channel import Channel

EVERY_S = 60.0


kept = []


class Keeping(loop.PortraitPool):
    kept_at = 0.0

    def animate(self, portrait: str, motion: Motion, gains: Gains, *, networks: bool) -> Rendered | None:
        picture = super().animate(portrait, motion, gains, networks=networks)
        if picture is not None and monotonic() - self.kept_at >= EVERY_S:
            kept.append(cv2.resize(picture.rgb, (1920, 1080)))
            self.kept_at = monotonic()
        return picture


if __name__ == "__main__":
    loop.PortraitPool = Keeping
    child_main("worker", lambda reader, writer: process.serve(Channel(reader, writer)))
