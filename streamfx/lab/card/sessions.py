"""Memory over thousands of frames, and sessions beside one another, each a process, as in the daemon."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from time import perf_counter
from typing import Final

import torch

from streamfx.lab.card.common import SIZES, WARM_UP, motions, rig_of
from streamfx.models.weights import Profile
from streamfx.pipeline import Animator, Networks, check_canvas
from streamfx.render.cuda.studio import CudaStudio

RATE: Final = 30.0
"""Frames a second of a session."""
_SESSION_S: Final = 10.0
_SETTLED: Final = 1000
"""Frames after which windows and lists have grown to what the film needs."""


def tell_growth(studio: CudaStudio, frames: int) -> None:
    """Print by how many bytes the card's memory grows over so many frames."""
    rig, seen = rig_of(SIZES[0]), motions()
    animator = Animator(rig, canvas=studio.canvas(rig, Networks(Profile.LITE, Profile.LITE)))
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
    """Print how many of 1, 2, 4 ... processes beside one another hold their rate."""
    arguments = ["--one", *(["--device", device] if device else [])]
    count = 1
    while count <= most:
        command = [sys.executable, "-m", "streamfx.lab.card", *arguments]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
        answers = [json.loads(one.communicate()[0] or "{}") for one in running]
        rates = [float(answer.get("fps", 0)) for answer in answers]
        memory = max((int(answer.get("mb", 0)) for answer in answers), default=0)
        held = sum(rate >= RATE for rate in rates)
        print(f"{count} sessions: {held} hold {RATE:.0f} fps, slowest {min(rates):.1f}; {memory} MB each")
        count *= 2


def session(device: torch.device | None) -> dict[str, float]:
    """Frames a second of one process among others, and the card's memory that it takes."""
    studio = CudaStudio(check_canvas, device)
    rig = rig_of(SIZES[0])
    animator = Animator(rig, canvas=studio.canvas(rig, Networks(Profile.LITE, Profile.LITE)))
    seen = motions()
    for motion in islice(seen, WARM_UP):
        animator.animate(motion)
    start, frames = perf_counter(), 0
    while perf_counter() - start < _SESSION_S:
        animator.animate(next(seen))
        frames += 1
    reserved = torch.cuda.memory_reserved() if studio.device.type == "cuda" else 0
    return {"fps": round(frames / (perf_counter() - start), 1), "mb": reserved // 2**20}
