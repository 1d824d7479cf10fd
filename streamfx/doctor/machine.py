"""The checks of `streamfx doctor` for the machine: Python, packages, processor, memory, files, cameras."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Final

from streamfx import __version__, config, kept, limits
from streamfx.checks import Check, State
from streamfx.errors import LimitReached, StreamfxError
from streamfx.files import try_folder
from streamfx.models.store import State as ModelState
from streamfx.models.store import Store
from streamfx.models.weights import shipped_weights

PACKAGES: Final = (
    "av", "grpcio", "mediapipe", "numba", "numpy", "opencv-python-headless", "openvino", "pillow", "rich",
)  # fmt: skip
"""What must be installed for the core, by distribution name."""
DECODERS: Final = ("h264", "hevc", "vp9", "av1", "mjpeg")
ENCODERS: Final = ("libx264", "aac")
MEMORY_NEEDED: Final = 1 << 30
"""Bytes; the program stays below 700 MB."""
CPU_WANTED: Final = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd")
"""Features that speed up networks and pixels, as /proc/cpuinfo names them."""


def _python(name: str) -> Check:
    return Check(
        name,
        State.OK,
        f"{platform.python_version()} at {sys.executable}, streamfx {__version__}, {platform.platform()}",
    )


def _packages(name: str) -> Check:
    """The versions of the packages of the core."""
    found, absent = [], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            absent.append(package)
    if absent:
        return Check(
            name, State.FAIL, f"not installed: {', '.join(absent)}", f"pip install {' '.join(absent)}"
        )
    return Check(name, State.OK, ", ".join(found))


def _cpu(name: str) -> Check:
    """Cores that this process may use, and the features of the processor."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    features = cpu_features()
    known = [feature for feature in CPU_WANTED if feature in features]
    finding = f"{cores} cores, {platform.machine()}, {' '.join(known) or 'features unknown'}"
    if cores < 2:
        return Check(name, State.WARN, finding, "Two cores are needed for 30 frames per second")
    if features and not {"avx2", "asimd"} & features:
        return Check(name, State.WARN, finding, "Expect a low frame rate: this processor has no AVX2")
    return Check(name, State.OK, finding)


def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The processor's features as the kernel names them; empty where it does not tell."""
    for line in _lines(cpuinfo):
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def _memory(name: str) -> Check:
    """Memory that can be had without swapping, and how much of it this program may have."""
    available, allowed = memory_available(), limits.memory_allowed()
    if available is None:
        return Check(name, State.OK, "available memory is not told by this system")
    finding = f"{available / 1e9:.1f} GB available"
    if available < MEMORY_NEEDED:
        return Check(name, State.WARN, finding, "Close other programs: 1 GB should be free")
    if allowed is not None and allowed < available:
        finding = f"{allowed / 1e9:.1f} GB allowed by this container or service (cgroup)"
        if allowed < MEMORY_NEEDED:
            return Check(name, State.WARN, finding, "Allow it 1 GB: docker run -m 1g, or MemoryMax=1G")
    return Check(name, State.OK, finding)


def _files(name: str) -> Check:
    """How many files may be open at the same time."""
    limits.allow_many()
    most = limits.most_files()
    finding = f"{most} may be open at the same time"
    if most < limits.DAEMON:
        remedy = "ulimit -n 1024; for a systemd unit LimitNOFILE=1024"
        return Check(name, State.FAIL, f"{finding}: live and serve need {limits.DAEMON}", remedy)
    return Check(name, State.OK, finding)


def _threads(name: str) -> Check:
    """Whether live and serve can have their threads, and what they map."""
    try:
        limits.require_addresses()
        limits.require_threads(limits.LIVE_THREADS)
    except LimitReached as error:
        return Check(name, State.FAIL, error.cause, error.remedy)
    return Check(name, State.OK, "as many as live and serve need can be had")


def memory_available(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes available, by the kernel's estimate; None where it does not tell."""
    for line in _lines(meminfo):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _models(name: str) -> Check:
    """Every model file, hashed anew."""
    found = Store.default().verify()
    bad = [f"{status.row.name} {status.state}" for status in found if status.state is not ModelState.OK]
    if bad:
        return Check(name, State.FAIL, ", ".join(bad), "streamfx models pull")
    return Check(name, State.OK, f"{len(found)} files verified in {Store.default().root}")


def _networks(name: str) -> Check:
    """Every file of the networks that ship, hashed, and each network compiled by OpenVINO (imported late)."""
    from streamfx.models.network import Network

    weights = shipped_weights()
    for row in weights.rows:
        for file in row.files:
            weights.read(file)
    running = [Network(row.name, weights=weights) for row in weights.rows]
    if not running:
        finding = "none ship with this version: pictures stay unrefined"
        return Check(name, State.WARN, finding, "Train and export them: streamfx train --help")
    return Check(name, State.OK, ", ".join(f"{one.row.name} {one.precision}" for one in running))


def _codecs(name: str) -> Check:
    """What the FFmpeg inside PyAV can read and write. (Imported late: it takes a while.)"""
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    absent = []
    for mode, names in (("r", DECODERS), ("w", ENCODERS)):
        for codec in names:
            try:
                Codec(codec, "r" if mode == "r" else "w")
            except UnknownCodecError:
                absent.append(f"{'decoder' if mode == 'r' else 'encoder'} {codec}")
    if absent:
        return Check(name, State.FAIL, f"missing: {', '.join(absent)}", "pip install --force-reinstall av")
    return Check(name, State.OK, f"reads {' '.join(DECODERS)}; writes {' '.join(ENCODERS)}")


def _cameras(name: str) -> Check:
    """The real cameras, without opening one."""
    from streamfx.source import list_cameras

    cameras = [camera for camera in list_cameras() if not camera.virtual]
    if not cameras:
        return Check(name, State.WARN, "none found", "Plug one in, or drive the portrait with a video file")
    finding = ", ".join(f"{camera.spec} ({camera.name})" for camera in cameras)
    if not any(camera.permitted for camera in cameras):
        return Check(
            name, State.WARN, f"no permission: {finding}", "sudo usermod -aG video $USER, then log in again"
        )
    return Check(name, State.OK, finding)


def _cache(name: str) -> Check:
    """The folder of what can be made again; nothing needs it."""
    try:
        folder = config.cache_folder()
        try_folder(folder, "Make room or permit writing there, or set XDG_CACHE_HOME to another folder")
    except StreamfxError as error:
        finding = f"{error.cause}: photos are solved anew each time"
        return Check(name, State.WARN, finding, error.remedy)
    return Check(name, State.OK, f"{folder} takes files")


def _data(name: str) -> Check:
    """The folder of portraits: `serve` needs it, `live` does without."""
    folder = config.data_folder()
    try_folder(folder, "Make room or permit writing there, or set XDG_DATA_HOME to another folder")
    return Check(name, State.OK, f"{folder} takes files")


def _runtime(name: str) -> Check:
    """The folder of sockets and locks."""
    folder = config.runtime_folder()
    try_folder(folder, "Set XDG_RUNTIME_DIR to a folder of your own")
    return Check(name, State.OK, f"{folder} takes files")


def _kept(name: str) -> Check:
    """What has been kept of photos, and where."""
    portraits, rigs = config.data_folder() / "portraits", kept.rigs_folder()
    said = [f"portraits: {_count(portraits)}"]
    said += [f"solved photos: {_count(rigs)}"] if rigs else []
    return Check(name, State.OK, "; ".join(said), "What, and how to delete it: streamfx cache list")


def _count(folder: Path) -> str:
    try:
        size = kept.size_of(folder)
        entries = [one for one in kept.entries(folder) if not one.name.startswith(".")]
    except StreamfxError as error:
        return error.cause
    return f"{len(entries)}, {size / 1e6:.1f} MB in {folder}" if entries else "none"


def _numba(name: str) -> Check:
    """Where numba keeps compiled functions: without such a place every start compiles anew, for seconds."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    reasons = []
    given: list[Callable[[], Path]] = [partial(Path, named)] if named else []
    for find in (*given, _beside_source, config.kernels_folder):
        try:
            folder = find()
            try_folder(folder)
            return Check(name, State.OK, f"compiled functions are kept in {folder}")
        except StreamfxError as error:
            reasons.append(error.cause)
    finding = f"{reasons[-1]}: each start compiles anew"
    return Check(name, State.WARN, finding, "Set NUMBA_CACHE_DIR to a folder you can write")


def _beside_source() -> Path:
    return Path(__file__).parents[1] / "render" / "__pycache__"


def _lines(path: Path) -> list[str]:
    """The lines of one of the kernel's files; none where there is no such file."""
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


CHECKS: Final[dict[str, Callable[[str], Check]]] = {
    "python": _python,
    "packages": _packages,
    "cpu": _cpu,
    "memory": _memory,
    "files": _files,
    "threads": _threads,
    "cache": _cache,
    "data": _data,
    "runtime": _runtime,
    "kept": _kept,
    "models": _models,
    "networks": _networks,
    "codecs": _codecs,
    "compiler": _numba,
    "cameras": _cameras,
}
"""The checks by name, in order."""
