"""A card for FFmpeg's decoders where there is none (fake_card.c), and the program that reads by it."""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from shutil import which

import av
import numpy as np
import pytest

from streamfx.errors import StreamfxError
from streamfx.source import Source, open_source
from streamfx.source.looped import LoopedSource

SOURCE = Path(__file__).with_suffix(".c")
LIBRARY = "libcuda.so.1"


def build(folder: Path) -> Path:
    """Compile it into a folder; skips where nothing compiles C, or FFmpeg has no decoders for cards."""
    compiler = which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler to make a card with")
    if "cuda" not in av.codec.hwaccel.hwdevices_available():
        pytest.skip("this PyAV has no decoders for NVIDIA cards")
    names = set[str]()
    for library in Path(av.__file__).parents[1].glob("av.libs/libav[cu]*"):
        found = re.findall(rb"(?<=\0)cu(?:vid)?[A-Z]\w+(?=\0)", library.read_bytes())
        names |= {name.decode() for name in found}
    if not names:
        pytest.skip("PyAV brings no FFmpeg of its own that tells what it wants of a card")
    missing = sorted(name for name in names if f"int {name}(" not in SOURCE.read_text())
    (folder / "fake_card_names.h").write_text("".join(f"EACH({name})\n" for name in missing))
    made = ["-w", "-shared", "-fPIC", f"-I{folder}", f"-Wl,-soname,{LIBRARY}", "-o", folder / LIBRARY]
    subprocess.run([compiler, *made, SOURCE], check=True)
    (folder / "libnvcuvid.so.1").symlink_to(LIBRARY)
    return folder


def read(card: Path | None, *paths: Path, behaviour: str = "", rounds: int = 0) -> list[dict]:
    """What a process of its own reads from each file, a card being asked for.

    Args:
        card: see `build`; None: what this machine has.
        paths: the files.
        behaviour: FAKE_CARD, see fake_card.c.
        rounds: pictures read in rounds (LoopedSource); 0: from first to last, once.
    """
    env = {**os.environ, "FAKE_CARD": behaviour, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if card is not None:
        env["LD_LIBRARY_PATH"] = str(card)
    command = [sys.executable, __file__, str(rounds), *map(str, paths)]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=90)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main(rounds: int, paths: list[str]) -> None:
    """Read, and tell; pictures as .npy files beside the videos."""
    try:
        library = ctypes.CDLL(LIBRARY)  # kept loaded, with its counters
    except OSError:
        library = None
    for path in paths:
        told: dict[str, object] = {}
        try:
            with open_source(path, hardware=True) if not rounds else _looped(path, rounds) as source:
                frames = list(source)
        except StreamfxError as error:
            told["error"] = f"{type(error).__name__}: {error}"
        else:
            told |= asdict(source.info) | asdict(source.statistics)
            told |= {"times": [one.captured_ns for one in frames], "epochs": [one.epoch for one in frames]}
            np.savez(f"{path}.npz", *[one.rgb for one in frames])
        if library is not None and hasattr(library, "most_contexts"):
            names = ("made_contexts", "live_contexts", "most_contexts", "live_decoders")
            told |= {name: ctypes.c_int.in_dll(library, name).value for name in names}
        sys.stdout.write(json.dumps(told) + "\n")


def _looped(path: str, rounds: int) -> Source:
    return LoopedSource(Path(path), rounds, hardware=True)


def pictures(path: Path) -> list[np.ndarray]:
    """What `main` saw in a file."""
    with np.load(f"{path}.npz") as seen:
        return [seen[name] for name in seen.files]


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
