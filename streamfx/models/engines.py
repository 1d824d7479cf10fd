"""TensorRT engines on this machine: given out only if they are what was built here, for what is here.

An engine is a program: whoever deserialises a foreign one runs it. So beside each lies a manifest that says
for what it was built, signed with a key that never leaves this installation, and nobody gets an engine's
bytes before signature, hash and purpose agree. `trt_build` makes them; no pickle takes part.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from streamfx import config
from streamfx.errors import ModelCorrupt, ModelMissing, ModelUnusable, OutputError
from streamfx.files import atomic_output
from streamfx.ipc.locks import lock, open_lock
from streamfx.models.weights import NetworkName

FORMAT: Final = 2
"""Of the manifest; raised when its meaning changes."""
LIBRARIES: Final[Mapping[str, str]] = {"tensorrt-rtx": "tensorrt_rtx", "tensorrt": "tensorrt"}
"""What builds and runs engines: the name in their manifests, and the Python module."""
PRECISIONS: Final = ("int8", "fp16", "fp32")
"""In the order in which they are taken: int8 is there only if somebody asked for it."""
USUAL_PRECISION: Final = "fp16"
LARGEST_BATCH: Final = 16
"""Pictures that an engine takes at a time, at most: as many sessions can be drawn together."""
BUILD: Final = "Build it: python -m trt_build build"
_MANIFEST: Final = ".manifest"
"""A line with the signature (HMAC-SHA-256, hexadecimal), then JSON: nothing unsigned is parsed."""
_KEY_BYTES: Final = 32
_LARGEST_MANIFEST: Final = 1 << 16
_LARGEST_ENGINE: Final = 1 << 31
_LOCK: Final = "building.lock"
_ELSEWHERE: Final = "Set XDG_CACHE_HOME"
_AGAIN_S: Final = 0.2
"""Until a lock that another process has is tried again."""
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

Engine = TypeVar("Engine")


class EngineStale(ModelUnusable):
    """An engine that was built here, but for something else than is wanted: it may be built anew."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What an engine is built for. An engine is used for exactly this, and nothing near it."""

    network: NetworkName
    weights: str
    """sha256 of the weights (the network's safetensors)."""
    precision: str
    """Of PRECISIONS."""
    library: str
    """Which TensorRT builds and runs it, with its exact version: "tensorrt-rtx 1.7.1.116"."""
    batch: int = LARGEST_BATCH
    """Pictures that it takes at a time, at most."""

    @property
    def stem(self) -> str:
        """Of the file names: one engine of a network, precision and library at a time."""
        return f"{self.network}.{self.precision}.{self.library.partition(' ')[0]}"


@dataclass(frozen=True, slots=True)
class EngineManifest:
    """What is said of an engine, signed."""

    purpose: Purpose
    targets: tuple[str, ...]
    """Compute capabilities of the cards that run it: "sm_75", "sm_89" ..."""
    driver: str
    """Version of the driver that it was built with; empty where it was built without a card."""
    error: float
    """Mean difference of the graph that it was built from to the shipped network, of full brightness."""
    size: int = 0
    """Bytes of the engine."""
    sha256: str = ""

    def fits(self, capability: str) -> bool:
        """Whether a card of a compute capability runs it."""
        return capability in self.targets


class Engines:
    """The engines in a folder that only this user can write."""

    def __init__(self, folder: Path, key: Path) -> None:
        """Nothing is made or read yet.

        Args:
            folder: of engines and manifests.
            key: the file with this installation's key.
        """
        self.folder, self._key_file = folder, key

    @classmethod
    def default(cls) -> Engines:
        """Those of this account: engines in the cache folder, the key with what is kept."""
        return cls(config.cache_folder() / "engines", config.data_folder() / "engine.key")

    def keep(self, manifest: EngineManifest, engine: bytes) -> EngineManifest:
        """Keep an engine that was just built, in place of the last one of its stem.

        Returns:
            The manifest with the engine's size and hash.

        Raises:
            OutputError: folder, key or files cannot be written.
        """
        whole = replace(manifest, size=len(engine), sha256=hashlib.sha256(engine).hexdigest())
        self._make_folder()
        text = _encoded(whole)
        signature = _sign(self._key(make=True), text)
        stem = manifest.purpose.stem
        self._manifest_path(stem).unlink(missing_ok=True)  # never the old manifest beside the new engine
        with atomic_output(self._engine_path(stem)) as part:
            part.write_bytes(engine)
        with atomic_output(self._manifest_path(stem)) as part:
            part.write_bytes(signature + b"\n" + text)
        return whole

    @contextmanager
    def alone(self, wait: Callable[[], None]) -> Iterator[None]:
        """Be the only process that builds or deletes engines here, as soon as no other does.

        Args:
            wait: called once if another does.

        Raises:
            OutputError: the folder cannot be made or written.
        """
        self._make_folder()
        try:
            descriptor = open_lock(self.folder / _LOCK)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written: {error.strerror}", _ELSEWHERE) from error
        try:
            if not _locked(descriptor):
                wait()
                while not _locked(descriptor):
                    time.sleep(_AGAIN_S)
            yield
        finally:
            os.close(descriptor)  # the lock falls with it

    def lacks(self, purpose: Purpose, capability: str) -> bool:
        """Whether an engine is to be built for a card: there is none, or a stale one.

        Raises:
            ModelCorrupt: there is one, but it was not built here, or was changed since.
        """
        try:
            self.load(purpose, capability, len)
        except (ModelMissing, EngineStale):
            return True
        return False

    def load(self, purpose: Purpose, capability: str, deserialise: Callable[[bytes], Engine]) -> Engine:
        """An engine, ready: its bytes reach `deserialise` only if all agrees.

        Args:
            purpose: what it must have been built for.
            capability: of the card that is to run it ("sm_89").
            deserialise: TensorRT's own; called once, with verified bytes.

        Raises:
            ModelMissing: there is none.
            ModelCorrupt: it was not built here, or was changed since.
            EngineStale: it was built for something else.
        """
        manifest = self.manifest(purpose.stem)
        if manifest.purpose != purpose:
            raise EngineStale(f"The engine {purpose.stem} is stale: {_difference(manifest, purpose)}", BUILD)
        if not manifest.fits(capability):
            there = ", ".join(manifest.targets)
            cause = f"The engine {purpose.stem} was built for {there}, this card is {capability}"
            raise EngineStale(cause, f"{BUILD} --target {capability}")
        return deserialise(self.read(manifest))

    def stems(self) -> list[str]:
        """Of the engines whose manifests are there, whatever these are worth."""
        return sorted(path.name.removesuffix(_MANIFEST) for path in self.folder.glob(f"*{_MANIFEST}"))

    def manifest(self, stem: str) -> EngineManifest:
        """What is said of an engine, by this installation.

        Raises:
            ModelMissing: there is none.
            ModelCorrupt: it is not this installation's, or was changed.
            EngineStale: another version of streamfx built it.
        """
        self._require_private()
        data = self._bytes(self._manifest_path(stem), _LARGEST_MANIFEST)
        claimed, _, text = data.partition(b"\n")
        if not hmac.compare_digest(_sign(self._key(make=False), text), claimed):
            raise self._corrupt(stem, "this installation did not sign its manifest")
        try:
            manifest = _parsed(json.loads(text))
        except (ValueError, KeyError, TypeError) as error:  # we signed it: so we wrote it, some time
            cause = f"The engine {stem} is stale: another version of streamfx built it"
            raise EngineStale(cause, BUILD) from error
        if manifest.purpose.stem != stem:
            raise self._corrupt(stem, f"its manifest is that of {manifest.purpose.stem}")
        return manifest

    def read(self, manifest: EngineManifest) -> bytes:
        """The bytes of an engine, exactly those that its manifest names.

        Raises:
            ModelMissing: they are not there.
            ModelCorrupt: they were changed.
        """
        stem = manifest.purpose.stem
        data = self._bytes(self._engine_path(stem), min(manifest.size, _LARGEST_ENGINE))
        if len(data) != manifest.size or hashlib.sha256(data).hexdigest() != manifest.sha256:
            raise self._corrupt(stem, "its bytes are not those that were built")
        return data

    def remove(self, stem: str) -> None:
        """Delete an engine and its manifest, whatever they are worth."""
        for path in (self._manifest_path(stem), self._engine_path(stem)):
            path.unlink(missing_ok=True)

    def _engine_path(self, stem: str) -> Path:
        return self.folder / f"{stem}.engine"

    def _manifest_path(self, stem: str) -> Path:
        return self.folder / f"{stem}{_MANIFEST}"

    def _corrupt(self, stem: str, how: str) -> ModelCorrupt:
        return ModelCorrupt(f"The engine {self._engine_path(stem)} is refused: {how}", BUILD)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be made: {error.strerror}", _ELSEWHERE) from error

    def _require_private(self) -> None:
        """Others must not be able to put files where engines lie."""
        if not hasattr(os, "getuid"):
            return
        try:
            facts = self.folder.lstat()
        except OSError as error:
            raise ModelMissing(f"There are no engines in {self.folder}", BUILD) from error
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o022:
            remedy = f"chmod 700 {self.folder}"
            raise ModelCorrupt(f"The folder of engines {self.folder} can be written by others", remedy)

    def _key(self, *, make: bool) -> bytes:
        """This installation's secret."""
        try:
            key = self._bytes(self._key_file, _KEY_BYTES)
        except ModelMissing:
            if not make:
                raise ModelCorrupt(f"The engines' key {self._key_file} is gone", BUILD) from None
            return self._new_key()
        if len(key) != _KEY_BYTES:
            raise ModelCorrupt(f"The engines' key {self._key_file} is damaged", f"Delete it. {BUILD}")
        return key

    def _new_key(self) -> bytes:
        key = secrets.token_bytes(_KEY_BYTES)
        try:
            self._key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise OutputError(f"{self._key_file} cannot be written: {error.strerror}") from error
        with atomic_output(self._key_file) as part:
            part.chmod(0o600)
            part.write_bytes(key)
        return key

    def _bytes(self, path: Path, most: int) -> bytes:
        """At most `most` + 1 bytes of an ordinary file that is no link."""
        try:
            descriptor = os.open(path, _FLAGS)
            with os.fdopen(descriptor, "rb") as file:
                return file.read(most + 1)
        except OSError as error:
            raise ModelMissing(f"There is no engine {path.stem}: {path} cannot be read", BUILD) from error


def _encoded(manifest: EngineManifest) -> bytes:
    """The bytes that are signed."""
    return json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1).encode()


def _sign(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, "sha256").hexdigest().encode()


def _parsed(document: Mapping[str, Any]) -> EngineManifest:
    """A manifest from JSON that we signed."""
    if document["format"] != FORMAT or set(document) != {"format", *EngineManifest.__dataclass_fields__}:
        raise ValueError("another format")
    said = document["purpose"]
    purpose = Purpose(
        NetworkName(said["network"]), str(said["weights"]), str(said["precision"]), str(said["library"]),
        int(said["batch"]),
    )  # fmt: skip
    return EngineManifest(
        purpose, tuple(str(one) for one in document["targets"]), str(document["driver"]),
        float(document["error"]), int(document["size"]), str(document["sha256"]),
    )  # fmt: skip


def _difference(manifest: EngineManifest, purpose: Purpose) -> str:
    """What an engine was built for, where that is not what is wanted."""
    built, wanted = asdict(manifest.purpose), asdict(purpose)
    return ", ".join(
        f"built for {name} {built[name]!s:.40}, here is {wanted[name]!s:.40}"
        for name in wanted
        if built[name] != wanted[name]
    )


def _locked(descriptor: int) -> bool:
    """Whether the lock could be taken; that another process has it is said so by Linux or so by Windows."""
    try:
        lock(descriptor)
    except (BlockingIOError, PermissionError):
        return False
    return True
