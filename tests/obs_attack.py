"""The OBS plugin's code against a hostile daemon, built with sanitizers: in C, in plugins/obs/test/control.

As a program (scripts/obs-attack): 10,000 changed answers of every method, by twenty seeds, under every
sanitizer. What any of them finds ends it with its report.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from obs_answers import FOLDER as ANSWERS

SOURCE = ANSWERS.parent
SANITIZERS = ("memory", "threads")
"""Addresses, leaks and undefined behaviour; races."""
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}
PLANTS = {
    "beyond": ("memory", "heap-buffer-overflow"),
    "leak": ("memory", "detected memory leaks"),
    "overflow": ("memory", "signed integer overflow"),
    "race": ("threads", "data race"),
    "text": ("memory", "not so: a text is printable"),
}
"""Faults that the program can plant: what finds each, and says what."""


FULL = 10_000
"""Answers of every method."""
PROGRAMS = {
    "attack": {"memory": 1.0, "threads": 1.0},
    "attack-socket": {"memory": 0.02, "threads": 0.005},
    "attack-sync": {"memory": 0.25, "threads": 0.1},
    "attack-reader": {"memory": 1.0, "threads": 0.03},
}
"""How often each does its part for an answer of every method: what takes longer, more seldom."""


def count_of(program: str, sanitizer: str, answers: int) -> int:
    """What a program is to be told, for so many answers of every method."""
    return max(round(answers * PROGRAMS[program][sanitizer]), 20)


def missing() -> str:
    """What is not installed that it is built with; empty: nothing."""
    tools = [tool for tool in ("cmake", "cc", "pkg-config", "protoc-c") if shutil.which(tool) is None]
    if tools:
        return ", ".join(tools)
    libraries = ("libcurl", "libprotobuf-c", "libobs")
    return ", ".join(
        f"the headers of {library}"
        for library in libraries
        if subprocess.run(["pkg-config", library], check=False).returncode != 0
    )


def built(folder: Path, sanitizer: str, *targets: str) -> Path:
    """The folder with the programs, compiled; all, or the named ones."""
    for command in (
        ["cmake", "-S", SOURCE, "-B", folder, f"-DSANITIZE={sanitizer}"],
        ["cmake", "--build", folder, "--parallel", "2", "--target", *(targets or ("all",))],
    ):
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout + made.stderr
    return folder


def attack(program: Path, count: int, seed: int, plant: str = "") -> subprocess.CompletedProcess[str]:
    """One run; 0 where nothing was found."""
    given = [] if program.name == "attack-reader" else [ANSWERS]
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        return subprocess.run(
            [program, folder, *given, str(count), str(seed), *filter(None, [plant])],
            env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=3600, check=False,
        )  # fmt: skip


def figures(done: subprocess.CompletedProcess[str]) -> dict[str, list[int]]:
    """The numbers of a run in which nothing was found, by what they are of: methods, mostly."""
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr[:20_000]
    return {
        name: [int(number) for number in re.findall(r"\d+", rest)]
        for name, rest in (line.split(" ", 1) for line in done.stdout.splitlines())
    }


def attack_often(program: Path, count: int, seeds: int) -> dict[str, list[int]]:
    """The sums of the figures of all seeds."""
    totals: dict[str, list[int]] = {}
    for seed in range(1, seeds + 1):
        for method, numbers in figures(attack(program, count, seed)).items():
            before = totals.get(method, [0] * len(numbers))
            totals[method] = [one + other for one, other in zip(before, numbers, strict=True)]
    return totals


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/obs-attack", description=__doc__)
    parser.add_argument("seeds", nargs="?", type=int, default=20, help="how many series of changes")
    parser.add_argument("--answers", type=int, default=FULL, help="of every method and series")
    chosen = parser.parse_args()
    if lacks := missing():
        sys.stderr.write(f"error: not installed: {lacks}\n")
        return 1
    for sanitizer in SANITIZERS:
        with tempfile.TemporaryDirectory() as folder:
            programs = built(Path(folder), sanitizer)
            for name in PROGRAMS:
                began, count = time.monotonic(), count_of(name, sanitizer, chosen.answers)
                totals = attack_often(programs / name, count, chosen.seeds)
                took = f"{chosen.seeds} x {count}, {time.monotonic() - began:.0f} s"
                sys.stdout.write(f"{name}, {sanitizer}: {took}, nothing found {totals}\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
