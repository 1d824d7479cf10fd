"""The virtual camera: what a call app lists, and the portrait is shown by."""

from __future__ import annotations

from abc import ABC, abstractmethod

from streamfx.frames import Rendered


class VirtualCamera(ABC):
    """A camera that programs read, and that shows what is published to it."""

    name: str
    """What call apps list."""
    device: str
    """Where it is: `/dev/video10`, `pipewire`."""

    @abstractmethod
    def publish(self, picture: Rendered) -> None:
        """Show the next picture. Never blocks longer than a frame.

        Raises:
            CameraLost: the device went away or refuses pictures.
        """

    @abstractmethod
    def readers(self) -> int | None:
        """Programs that read the camera now; None if it cannot be told."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the device. May be called twice."""
