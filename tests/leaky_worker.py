"""A worker with a deliberate leak: it shows the camera's picture. The canary must catch it."""

from __future__ import annotations

from dataclasses import replace

import cv2

from streamfx.frames import Frame, Motion, Rendered
from streamfx.ipc.child import child_main
from streamfx.settings.session import Gains
from streamfx.track.landmarker import FaceTracker
from streamfx.worker import loop, process
from streamfx.worker.channel import Channel

seen = []


def spying(tracker: FaceTracker, frame: Frame, track=FaceTracker.track) -> object:
    seen[:] = [frame.rgb]
    return track(tracker, frame)


class Leaky(loop.PortraitPool):
    def animate(self, portrait: str, motion: Motion, gains: Gains, *, networks: bool) -> Rendered | None:
        picture = super().animate(portrait, motion, gains, networks=networks)
        if picture is None or not seen:
            return picture
        height, width = picture.rgb.shape[:2]
        leak = cv2.resize(seen[0], (width, height))
        return replace(picture, rgb=cv2.addWeighted(picture.rgb, 0.2, leak, 0.8, 0))


if __name__ == "__main__":
    FaceTracker.track = spying
    loop.PortraitPool = Leaky
    child_main("worker", lambda reader, writer: process.serve(Channel(reader, writer)))
