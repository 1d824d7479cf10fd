"""The portraits of a session, loaded by a thread of its own, so that a switch takes one frame."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Final

from streamfx.errors import DeviceExhausted, DeviceLost, OutputError, StreamfxError
from streamfx.files import where_else
from streamfx.frames import Motion, Rendered, Rig
from streamfx.models.ahead import await_networks
from streamfx.models.store import Store
from streamfx.models.weights import Profile
from streamfx.pipeline import Animator, load_portrait
from streamfx.portrait.background import on_background
from streamfx.portrait.cache import RigCache
from streamfx.realtime import Closed, Latest, Stalled
from streamfx.render.base import Device, Mode, Networks, RenderDevice
from streamfx.render.compiler import load_kept
from streamfx.rendering import check_renderer, open_device, rehearsal
from streamfx.settings.framing import Framing
from streamfx.settings.session import Background, BackgroundKind, Gains
from streamfx.sink import idle
from streamfx.worker.idle import idle_portrait
from streamfx.worker.protocol import Loaded, Message, PortraitFile, PortraitRejected, WorkerConfig
from streamfx.worker.sharing.client import SharedGpu

_POLL_S: Final = 0.5
_ELSEWHERE: Final = "set XDG_RUNTIME_DIR to another folder"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A portrait as it is to be shown."""

    file: PortraitFile
    framing: Framing
    background: Background
    device: str
    networks: Networks
    """That refine and paint the mouth."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A portrait that can be shown."""

    wanted: _Wanted
    animator: Animator
    sha256: str
    """Of the photo's bytes."""
    idle: str
    """Path of its idle portrait; empty if it could not be written."""


class PortraitPool:
    """Animators by the identifiers of their portraits."""

    def __init__(
        self,
        size: tuple[int, int],
        store: Store,
        report: Callable[[Message], None],
        patience: AbstractContextManager[None],
        card: str = "",
        idle_folder: Path | None = None,
    ) -> None:
        """Start the thread that loads.

        Args:
            size: (width, height) px of the frame.
            store: the models.
            report: told of every portrait that is loaded or refused; called by the loading thread.
            patience: entered while one is loaded.
            card: socket of the process that draws on the card for all sessions; empty: this process does.
            idle_folder: where idle portraits are handed over to the daemon; None: nowhere.
        """
        self._size, self._store, self._report, self._patience, self._card = (
            size,
            store,
            report,
            patience,
            card,
        )
        self._idle_folder, self._told = idle_folder, False
        """Where idle portraits are handed over; whether it was said that they cannot be, since one was."""
        self._wanted: Latest[WorkerConfig] = Latest()
        self._ready: dict[str, _Ready] = {}
        self._refused: set[str] = set()
        """Portraits of which the daemon was last told that they cannot be shown as wanted."""
        self._devices: dict[Device, RenderDevice] = {}
        self._turn = threading.Lock()
        """Portraits share their networks, which serve one thread at a time."""
        self._cache = RigCache.default()
        self._thread = threading.Thread(target=self._run, name="streamfx-loader", daemon=True)
        self._thread.start()

    def prepare(self, config: WorkerConfig) -> None:
        """Have these portraits loaded, the selected one first, and others forgotten. Returns at once."""
        self._wanted.put(config)

    def animate(self, portrait: str, motion: Motion, gains: Gains, *, networks: bool) -> Rendered | None:
        """A picture of a portrait; None while it is not loaded, and where a card has no room even for a warp.

        Raises:
            DeviceLost: the card failed; this process cannot use it any more.
        """
        entry = self._ready.get(portrait)
        if entry is None:
            return None
        entry.animator.gains = gains
        with self._turn:
            for full in (True, False) if networks else (False,):
                with suppress(DeviceExhausted):  # where there is no room, less is drawn; then nothing, once
                    return entry.animator.animate(motion, networks=full)
        return None

    def _run(self) -> None:
        with self._patience:  # on a busy machine they keep this process from all else for seconds
            await_networks()
        while True:
            try:
                self._load(self._wanted.take(_POLL_S))
            except Stalled:
                continue
            except Closed:
                return

    def stop(self) -> None:
        """Load no more."""
        self._wanted.close()

    def _load(self, config: WorkerConfig) -> None:
        settings = config.settings
        refine, mouth = settings.refine, settings.mouth
        networks = Networks(
            None if refine == "off" else Profile(refine), None if mouth == "procedural" else Profile(mouth)
        )
        wanted = [
            _Wanted(file, settings.framing, settings.background, settings.device, networks)
            for file in config.portraits
        ]
        if not wanted:
            load_kept()
        kept = {one.file.id for one in wanted}
        self._ready = {name: entry for name, entry in self._ready.items() if name in kept}
        for one in sorted(wanted, key=lambda one: one.file.id != settings.selected):
            if self._wanted.waiting:
                return  # what is loaded goes on being shown; the newer config says what to load next
            entry = self._ready.get(one.file.id)
            if entry is None or entry.wanted != one:
                with self._patience:
                    self._load_one(one)
            elif one.file.id in self._refused:  # what was refused is wanted no more
                self._tell_ready(entry)

    def _load_one(self, wanted: _Wanted) -> None:
        try:
            photo, rig = self._rig(wanted)
            animator = self._animator(rig, wanted)
            # Now, not when the person first speaks, or the machine first is too busy for networks.
            for full, motion in product((False, True), rehearsal()):
                with self._turn:
                    animator.animate(motion, networks=full)
            path = self._hand_over_idle(rig, animator, wanted)
        except DeviceLost:
            raise  # this process cannot use the card any more: another one may
        except StreamfxError as error:
            self._refused.add(wanted.file.id)
            self._report(PortraitRejected(wanted.file.id, error.cause, error.remedy))
            return
        ready = _Ready(wanted, animator, photo, str(path or ""))
        self._ready = {**self._ready, wanted.file.id: ready}
        self._tell_ready(ready)

    def _tell_ready(self, ready: _Ready) -> None:
        self._refused.discard(ready.wanted.file.id)
        cut_out = ready.wanted.background.kind is BackgroundKind.REMOVE
        self._report(Loaded(ready.wanted.file.id, ready.idle, cut_out, ready.sha256))

    def _rig(self, wanted: _Wanted) -> tuple[str, Rig]:
        """The sha256 of the photo, and its rig with the background."""
        references = [Path(name) for name in wanted.file.references]
        photo = Path(wanted.file.photo)
        made = load_portrait(photo, self._size, self._store, self._cache, references, wanted.framing)
        return made.sha256, on_background(made.rig, wanted.background)

    def _animator(self, rig: Rig, wanted: _Wanted) -> Animator:
        mode = Mode.CUTOUT if wanted.background.kind is BackgroundKind.REMOVE else Mode.LAYER
        return Animator(
            rig, renderer=self._device(Device(wanted.device)).renderer(rig, wanted.networks, mode)
        )

    def _device(self, device: Device) -> RenderDevice:
        """One for all portraits: they take turns at its networks."""
        if device not in self._devices:
            is_shared = device is Device.CUDA and self._card
            self._devices[device] = (
                SharedGpu(self._card, check_renderer) if is_shared else open_device(device, _log.info)
            )
        return self._devices[device]

    def _hand_over_idle(self, rig: Rig, animator: Animator, wanted: _Wanted) -> Path | None:
        """The file of the idle portrait, for the daemon, which deletes it; None if it cannot be written."""
        if self._idle_folder is None:
            return None
        text = f"{rig.digest} {wanted.background}"
        path = self._idle_folder / f"{os.getpid()}-{sha256(text.encode()).hexdigest()[:32]}.npz"
        try:
            idle.save(idle_portrait(rig, animator), path)
        except OutputError as error:
            if not self._told:
                _log.warning(
                    "At rest an older picture is shown: %s. %s.", error.cause, where_else(error, _ELSEWHERE)
                )
            self._told = True
            return None
        self._told = False
        return path
