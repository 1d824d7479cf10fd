"""Engines that are not there yet: built by `python -m trt_build`, in a process of its own, before use.

The product knows no more of building than this command: what reads graphs and compiles them stays out of its
processes.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from typing import IO, Final

from streamfx.ipc.spawn import PIPE, own, start
from streamfx.models.engines import LIBRARIES, PRECISIONS, USUAL_PRECISION, Engines, Purpose
from streamfx.models.weights import NetworkName, shipped_weights

COMMAND: Final = own("trt_build", "build", "--missing")
"""Builds; tests put others in its place."""
LONGEST_S: Final = 30.0
"""Building takes seconds; a session's worker may be silent for a minute as it starts (session.process)."""
_BY_HAND: Final = "Build by hand: python -m trt_build build --target this"
_LAST_WORDS: Final = 4096

Tell = Callable[[str], None]


def wanted_engine(name: NetworkName, engines: Engines) -> Purpose | None:
    """What a network's engine must have been built for; None if there is none, or no TensorRT.

    Raises:
        ModelMissing, ModelCorrupt: the network does not ship with this version, or not whole.
    """
    kept = set(engines.stems())
    for library in _libraries():
        for precision in PRECISIONS:
            purpose = _purpose(name, precision, library)
            if purpose.stem in kept:
                return purpose
    return None


def build_missing(
    names: Iterable[str], capability: str, tell: Tell, command: Sequence[str] = COMMAND
) -> None:
    """Build the engines that a card lacks, stale ones anew. Quick if none is, or if no TensorRT is installed.

    What cannot be built is told, with cause and remedy, and is no error: torch runs the network.

    Args:
        names: of the networks; those that ship in no form to build from are passed over.
        capability: of the card ("sm_89").
        tell: gets lines for a person: what is done, and what went wrong.
        command: what builds into this account's folder of engines.

    Raises:
        ModelCorrupt: there is an engine that was not built here, or was changed since; it is left alone.
    """
    libraries, engines = list(_libraries()), Engines.default()
    if not libraries:
        return
    new, stale = list[NetworkName](), dict[tuple[str, str], list[NetworkName]]()
    for name in _buildable(names):
        wanted = wanted_engine(name, engines)
        if wanted is None:
            new.append(name)
        elif engines.lacks(wanted, capability):
            stale.setdefault((wanted.library, wanted.precision), []).append(name)
    for (library, precision), there in stale.items():
        _build([library], precision, there, capability, tell, command)
    if new:
        _build(libraries, USUAL_PRECISION, new, capability, tell, command)


def _libraries() -> Iterator[str]:
    """Each TensorRT that is installed and can be loaded, as manifests have it: name and exact version."""
    for name, module in LIBRARIES.items():
        if find_spec(module) is None:
            continue
        try:
            yield f"{name} {import_module(module).__version__}"
        except (ImportError, OSError, AttributeError):  # its libraries are not for this system
            continue


def _purpose(name: NetworkName, precision: str, library: str) -> Purpose:
    return Purpose(name, shipped_weights().find(name).safetensors.sha256, precision, library)


def _buildable(names: Iterable[str]) -> list[NetworkName]:
    """Those of the networks that ship in a form that engines are built from."""
    there = {row.name for row in shipped_weights().rows if row.onnx is not None}
    return [name for name in map(NetworkName, names) if name in there]


def _build(
    libraries: Sequence[str],
    precision: str,
    names: Sequence[NetworkName],
    capability: str,
    tell: Tell,
    command: Sequence[str],
) -> None:
    """Build by the first of the libraries that can."""
    called = " and ".join(names)
    tell(f"This card has no engine of {called} yet. It is built once, and kept:")
    for library in libraries:
        options = ["--library", library.partition(" ")[0], "--precision", precision, "--target", capability]
        options += [word for name in names for word in ("--network", str(name))]
        trouble = _run([*command, *options], tell)
        if not trouble:
            return
        tell(f"No engine was built: {trouble}")
    tell(f"{called} will run in torch.")


def _run(command: Sequence[str], tell: Tell) -> str:
    """Run it, and tell each line that it prints; what went wrong, or nothing."""
    with ExitStack() as stack:
        try:
            said = stack.enter_context(tempfile.TemporaryFile())
            child = start(command, stdout=PIPE, stderr=said)
        except OSError as error:  # no program, or no folder for temporary files
            return f"{command[0]} cannot be run ({error.strerror}). {_BY_HAND}."
        code, late = _watched(child, tell)
        if late:
            return f"it took longer than {LONGEST_S:.0f} s. {_BY_HAND}."
        return "" if code == 0 else _last_words(said, code)


def _watched(child: subprocess.Popen[bytes], tell: Tell) -> tuple[int, bool]:
    """Code with which a process ended, and whether it had to be ended; it never outlives this call."""
    assert child.stdout is not None  # noqa: S101
    late = threading.Event()

    def end() -> None:
        late.set()
        child.kill()

    timer = threading.Timer(LONGEST_S, end)
    timer.daemon = True
    timer.start()
    try:
        for line in child.stdout:
            tell(line.decode("utf-8", "replace").rstrip())
        return child.wait(), late.is_set()
    finally:
        timer.cancel()
        child.kill()
        child.stdout.close()
        child.wait()


def _last_words(said: IO[bytes], code: int) -> str:
    """The reason that a process gave."""
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - _LAST_WORDS))
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    reason = (
        lines[-1].removeprefix("trt_build: error: ") if lines else f"it ended with code {code}. {_BY_HAND}."
    )
    return "".join(c if c.isprintable() else "?" for c in reason)
