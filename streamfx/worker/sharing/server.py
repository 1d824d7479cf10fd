"""The card's process at work: one thread hears all workers and draws for all that wait, together.

A worker has one frame under way at most, and whoever waits is in the next drawing: nobody can starve another.
While one drawing is made the next requests come in, so the busier the card, the larger the batches.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, NoReturn

from streamfx.errors import DeviceError, DeviceExhausted, DeviceLost, ModelError, StreamfxError
from streamfx.frames import Rig
from streamfx.render.base import Mode, Networks
from streamfx.render.gpu.device import device_errors
from streamfx.render.gpu.gpu_device import GpuDevice
from streamfx.render.gpu.target import TensorTarget
from streamfx.worker.sharing.session import Guest
from streamfx.worker.sharing.wire import OPENING_S, PATIENCE_S, Wire

BEAT_S: Final = 0.5
_NONSENSE: Final = (OSError, ValueError, KeyError, TypeError, IndexError, RuntimeError, MemoryError)
"""What a worker's wrong request leads to: it costs that worker its connection."""


class CardServer:
    """Serves until it is killed, or the card fails."""

    def __init__(
        self,
        listener: socket.socket,
        make_gpu: Callable[[], GpuDevice],
        beat: Callable[[float], None],
    ) -> None:
        """Nothing is opened yet.

        Args:
            listener: at which workers connect.
            make_gpu: looks at the card; called when the first worker asks, and again if that failed.
            beat: told that there is progress, and for how many seconds there may be none.
        """
        self._listener, self._make_gpu, self._beat = listener, make_gpu, beat
        self._gpu: GpuDevice | None = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._guests: dict[int, Guest] = {}
        self._beaten = 0.0
        self.drawings: dict[int, int] = {}
        """How many drawings there were of how many frames."""

    def run(self) -> NoReturn:
        """Serve.

        Raises:
            DeviceLost: the card failed; whoever waited was told.
        """
        while True:
            self.turn(BEAT_S)

    def turn(self, wait_s: float) -> None:
        """Hear all who speak, then draw for all who wait. Raises as `run`."""
        for key, _ in self._selector.select(wait_s):
            if key.fileobj is self._listener:
                self._welcome()
            else:
                self._hear(self._guests[key.fd])
        waiting = [guest for guest in self._guests.values() if guest.asked]
        if waiting:
            self._draw(waiting)
        if monotonic() - self._beaten > BEAT_S:
            self._tell(PATIENCE_S)

    @property
    def guests(self) -> int:
        """Portraits that are open."""
        return len(self._guests)

    def _tell(self, patience_s: float) -> None:
        self._beat(patience_s)
        self._beaten = monotonic()

    def _welcome(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it is gone already, or there are too many
            return
        connection.setblocking(False)
        wire = Wire(connection)
        if not wire.is_ours():
            wire.close()
            return
        self._guests[connection.fileno()] = Guest(wire, self._target)
        self._selector.register(connection, selectors.EVENT_READ)

    def _part(self, guest: Guest) -> None:
        """See a guest off; what the card held for it is free."""
        self._selector.unregister(guest.wire.socket)
        del self._guests[guest.wire.socket.fileno()]
        guest.wire.close()

    def _hear(self, guest: Guest) -> None:
        try:
            with device_errors():
                if not guest.hear():
                    self._part(guest)
        except DeviceLost as error:
            self._end(error)
        except (DeviceError, ModelError) as error:
            self._answer(guest, error)
        except _NONSENSE as error:
            self._answer(guest, StreamfxError(f"The card's process refuses: {error}"))
            self._part(guest)

    def _target(self, rig: Rig, outside: int, networks: Networks, mode: Mode) -> TensorTarget:
        self._tell(OPENING_S)
        try:
            if self._gpu is None:
                self._gpu = self._make_gpu()
            return self._gpu.target(rig, outside, networks, mode)
        finally:
            self._tell(PATIENCE_S)

    def _draw(self, guests: Sequence[Guest]) -> None:
        """Draw for all together; where that fails, for each alone, so that it fails for whom it must."""
        try:
            self._render_batch(guests)
        except DeviceLost as error:
            self._end(error)
        except (DeviceExhausted, *_NONSENSE) as error:
            if len(guests) > 1:
                for guest in guests:
                    self._draw([guest])
            elif isinstance(error, DeviceExhausted):
                self._answer(guests[0], error)
            else:
                self._answer(guests[0], StreamfxError(f"The card's process cannot draw this: {error}"))
                self._part(guests[0])
        else:
            for guest in guests:
                self._answer(guest)

    def _render_batch(self, guests: Sequence[Guest]) -> None:
        assert self._gpu is not None  # noqa: S101 - who waits has a target
        targets = [(guest.target, guest.asked) for guest in guests if guest.target is not None]
        for guest in guests:
            guest.bring()
        self._gpu.draw(targets)
        for guest in guests:
            guest.give()
        self.drawings[len(guests)] = self.drawings.get(len(guests), 0) + 1

    def _answer(self, guest: Guest, error: StreamfxError | None = None) -> None:
        try:
            guest.answer(error)
        except OSError:  # it is gone, or does not listen: what it says next, or its end, is heard
            return

    def _end(self, error: DeviceLost) -> None:
        """Nothing works on the card any more: all who wait are told, and this process ends."""
        for guest in self._guests.values():
            self._answer(guest, error)
        raise error
