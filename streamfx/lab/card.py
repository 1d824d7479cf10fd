"""What an NVIDIA card does with this renderer: `python -m streamfx.lab.card` (scripts/check-cuda).

Per size and profile, the card's milliseconds per frame, sent operation by operation and played back as CUDA
graphs, beside the CPU's renderer; memory over thousands of frames, to the byte; and how many sessions of 30
frames a second one card carries, each a process of its own, as in the daemon.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from time import perf_counter
from typing import Final

import torch

from streamfx import config
from streamfx.errors import StreamfxError
from streamfx.frames import Motion, Rig
from streamfx.models.store import Store
from streamfx.models.weights import Profile
from streamfx.pipeline import Animator, Networks, check_canvas, load_portrait
from streamfx.render.base import Studio
from streamfx.render.cuda.networks import untrained_network
from streamfx.render.cuda.studio import CudaStudio
from streamfx.render.studio import CpuStudio
from streamfx.telemetry import StageTimer
from streamfx.track.template import MotionTemplate

SIZES: Final = ((640, 480), (1280, 720), (1920, 1080))
RATE: Final = 30.0
"""Frames a second of a session."""
_WARM_UP: Final = 60
_SESSION_S: Final = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print, a line each."""
    parser = argparse.ArgumentParser(prog="python -m streamfx.lab.card", description=__doc__)
    add = parser.add_argument
    add("--device", default="", help="a device of torch's: cpu rehearses (the card)")
    add("--frames", type=int, default=300, metavar="N", help="per measurement (300)")
    add(
        "--long", type=int, default=10_000, metavar="N", help="frames over which memory must not grow (10000)"
    )
    add("--sessions", type=int, default=32, metavar="N", help="processes beside one another (32)")
    add("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        device = torch.device(options.device) if options.device else None
        if options.one:
            print(json.dumps(_session(device)))
            return 0
        _measure(device, options)
    except StreamfxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _measure(device: torch.device | None, options: argparse.Namespace) -> None:
    studio = CudaStudio(check_canvas, device)
    on_card = studio.device.type == "cuda"
    print(f"{torch.cuda.get_device_name() if on_card else 'rehearsal on the CPU'}, torch {torch.__version__}")
    motions = _motions()
    for size in SIZES:
        rig = _rig(size)
        for name, one, profile in _studios(device):
            canvas = one.canvas(rig, Networks(profile, profile))
            animator = Animator(rig, canvas=canvas, timer=StageTimer())
            _tell(f"{size[0]}x{size[1]} {profile} {name}", animator, islice(motions, options.frames))
    _tell_growth(studio, motions, options.long)
    _tell_sessions(options.device, options.sessions)


def _studios(device: torch.device | None) -> Iterator[tuple[str, Studio, Profile]]:
    """What is compared, and with which networks. The paper's do not ship: untrained ones take as long."""
    for name, recorded in (("graphs", True), ("eager", False)):
        yield name, CudaStudio(check_canvas, device, recorded=recorded), Profile.LITE
        plain = CudaStudio(_no_check, device, recorded=recorded, load=untrained_network)
        yield f"{name}, untrained", plain, Profile.PAPER
    yield "cpu", CpuStudio(), Profile.LITE


def _no_check(*_: object) -> None:
    """Untrained networks have no CPU's picture to be compared with."""


def _tell(what: str, animator: Animator, motions: Iterator[Motion]) -> None:
    timer, taken = animator.timer, StageTimer()
    for number, motion in enumerate(motions):
        if number == _WARM_UP:
            timer.clear()
        start = perf_counter()
        animator.animate(motion)
        if number >= _WARM_UP:
            taken.add("frame", round((perf_counter() - start) * 1e9))
    whole = taken.times()[0]
    stages = ", ".join(f"{time.stage} {time.median_ms:.2f}" for time in timer.times())
    times = f"{whole.median_ms:.2f} / {whole.p95_ms:.2f} / {whole.p99_ms:.2f} ms"
    print(f"{what}: frame p50 / p95 / p99 {times}; {stages}", flush=True)


def _tell_growth(studio: CudaStudio, motions: Iterator[Motion], frames: int) -> None:
    rig = _rig(SIZES[0])
    animator = Animator(rig, canvas=studio.canvas(rig, Networks(Profile.LITE, Profile.LITE)))
    for motion in islice(motions, 1000):
        animator.animate(motion)
    before = torch.cuda.memory_allocated() if studio.device.type == "cuda" else 0
    for motion in islice(motions, frames):
        animator.animate(motion)
    if studio.device.type == "cuda":
        grown, peak = torch.cuda.memory_allocated() - before, torch.cuda.max_memory_allocated()
        print(f"memory over {frames} frames: grown by {grown} bytes; at most {peak / 1e6:.0f} MB")
    else:
        print("memory: asked of a card's allocator only")


def _tell_sessions(device: str, most: int) -> None:
    count = 1
    while count <= most:
        command = [
            sys.executable,
            "-m",
            "streamfx.lab.card",
            "--one",
            *(["--device", device] if device else []),
        ]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
        answers = [json.loads(one.communicate()[0] or "{}") for one in running]
        rates = [float(answer.get("fps", 0)) for answer in answers]
        memory = max((int(answer.get("mb", 0)) for answer in answers), default=0)
        held = sum(rate >= RATE for rate in rates)
        print(f"{count} sessions: {held} hold {RATE:.0f} fps, slowest {min(rates):.1f}; {memory} MB each")
        count *= 2


def _session(device: torch.device | None) -> dict[str, float]:
    """Frames a second of one process among others, and the card's memory that it takes."""
    studio = CudaStudio(check_canvas, device)
    rig = _rig(SIZES[0])
    animator = Animator(rig, canvas=studio.canvas(rig, Networks(Profile.LITE, Profile.LITE)))
    motions = _motions()
    for motion in islice(motions, _WARM_UP):
        animator.animate(motion)
    start, frames = perf_counter(), 0
    while perf_counter() - start < _SESSION_S:
        animator.animate(next(motions))
        frames += 1
    reserved = torch.cuda.memory_reserved() if studio.device.type == "cuda" else 0
    return {"fps": round(frames / (perf_counter() - start), 1), "mb": reserved // 2**20}


def _rig(size: tuple[int, int]) -> Rig:
    store = Store.default()
    store.pull()
    return load_portrait(store.path("astronaut"), size, store).rig


def _motions() -> Iterator[Motion]:
    return cycle(list(MotionTemplate.load(config.demo_motion_file()).frames()))


if __name__ == "__main__":
    sys.exit(main())
