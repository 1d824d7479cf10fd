"""Memory over thousands of frames, and sessions beside one another on one card, as in the daemon."""

from __future__ import annotations

import json
import socket
from functools import partial
from itertools import islice
from time import perf_counter, sleep
from typing import Final, NoReturn

import numpy as np
import torch

from streamfx.ipc.child import child_main
from streamfx.ipc.spawn import PIPE, own, start
from streamfx.lab.card.common import SIZES, WARM_UP, motions, rig_of
from streamfx.models.weights import Profile
from streamfx.pipeline import Animator
from streamfx.render.base import Networks
from streamfx.render.gpu.gpu_device import GpuDevice
from streamfx.rendering import check_renderer
from streamfx.session.sharing import CardProcess
from streamfx.worker.sharing.__main__ import main as card_process
from streamfx.worker.sharing.client import SharedGpu

RATE: Final = 30.0
"""Frames a second of a session."""
_HELD: Final = 0.99
"""Of that: a session holds its rate if it misses one frame in a hundred."""
_SESSION_S: Final = 10.0
_PROGRAM: Final = own("streamfx.lab.card")
_SETTLED: Final = 1000
"""Frames after which windows and lists have grown to what the film needs."""


def tell_growth(studio: GpuDevice, frames: int) -> None:
    """Print by how many bytes the card's memory grows over so many frames."""
    rig, seen = rig_of(SIZES[0]), motions()
    animator = Animator(rig, renderer=studio.renderer(rig, Networks(Profile.LITE, Profile.LITE)))
    for motion in islice(seen, min(_SETTLED, frames)):
        animator.animate(motion)
    before = torch.cuda.memory_allocated() if studio.device.type == "cuda" else 0
    for motion in islice(seen, frames):
        animator.animate(motion)
    if studio.device.type == "cuda":
        grown, peak = torch.cuda.memory_allocated() - before, torch.cuda.max_memory_allocated()
        print(f"memory over {frames} frames: grown by {grown} bytes; at most {peak / 1e6:.0f} MB")
    else:
        print("memory: asked of a card's allocator only")


def tell_sessions(device: str, most: int) -> None:
    """Print how many of 1, 2, 4 ... sessions beside one another hold their rate.

    As in the daemon: one process draws for all (session/sharing.py), each worker is one of its own, with its
    geometry; nobody tracks. The first line is of a process that has warmed up.
    """
    options = ["--device", device] if device else []
    counts = [count for count in (0, *(1 << step for step in range(32))) if count <= most]
    card = CardProcess((*_PROGRAM, *options, "--serve"))
    card.start()
    try:
        free = _free(device)
        for count in counts:
            command = [*_PROGRAM, "--one", card.name]
            running = [start(command, stdout=PIPE) for _ in range(max(count, 1))]
            lowest = free - _free(device)
            answers = [json.loads(one.communicate()[0] or "{}") for one in running]
            taken = max(lowest, free - _free(device))
            if count:
                _tell(answers, taken)
    finally:
        card.close()


def _tell(answers: list[dict[str, float]], taken: int) -> None:
    rates, waits = ([float(one.get(name, 0)) for one in answers] for name in ("fps", "p95"))
    held = sum(rate >= _HELD * RATE for rate in rates)
    print(
        f"{len(answers)} sessions: {held} hold {RATE:.0f} fps, slowest {min(rates):.1f}; 95 % of the frames "
        f"take up to {max(waits):.1f} ms; {taken >> 20} MiB of the card in all",
        flush=True,
    )


def _free(device: str) -> int:
    """Bytes of the card that are free; 0 in a rehearsal."""
    if device and torch.device(device).type != "cuda":
        return 0
    return torch.cuda.mem_get_info()[0]


def serve(listener: int, device: torch.device | None) -> NoReturn:
    """Be the card's process, on whatever device."""
    make = partial(GpuDevice, check_renderer, device)
    child_main("card", lambda _, writer: card_process(socket.socket(fileno=listener), writer, make))


def session(card: str) -> dict[str, float]:
    """Frames a second of one worker among others, and the time of a frame that 95 % stay under, in ms."""
    rig = rig_of(SIZES[0])
    networks = Networks(Profile.LITE, Profile.LITE)
    animator = Animator(rig, renderer=SharedGpu(card, check_renderer).renderer(rig, networks))
    seen = motions()
    for motion in islice(seen, WARM_UP):
        animator.animate(motion)
    taken, start, due = list[float](), perf_counter(), 0.0
    while due < _SESSION_S:
        sleep(max(0.0, start + due - perf_counter()))
        begun = perf_counter()
        animator.animate(next(seen))
        taken.append(perf_counter() - begun)
        due = max(due + 1 / RATE, begun - start)  # what was missed is not made up for
    fps = len(taken) / (perf_counter() - start)
    return {"fps": round(fps, 2), "p95": round(1e3 * float(np.percentile(taken, 95)), 2)}
