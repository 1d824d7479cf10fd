"""numba's only door: functions compiled once per machine and kept on disk, where a disk will have them.

They release the GIL, so that tracking goes on beside them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import caching

from streamfx import config, kept
from streamfx.errors import UsageError

_F = TypeVar("_F", bound=Callable[..., Any])
_made: list[Any] = []
"""Dispatchers of the compiled functions."""


class _Beside(caching.UserWideCacheLocator):  # type: ignore[misc]
    """The folder of this account, for installations that it cannot write to."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        self._cache_path = str(config.kernels_folder() / self.get_suitable_cache_subpath(file))

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> _Beside | None:
        try:
            found: _Beside | None = super().from_function(function, file)
        except UsageError:  # there is no such folder
            return None
        return found


class _Places(caching.CompileResultCacheImpl):  # type: ignore[misc]
    """NUMBA_CACHE_DIR if it is set, beside the source, or in this account's folder."""

    _locator_classes = (caching.UserProvidedCacheLocator, caching.InTreeCacheLocator, _Beside)


class _Whole(caching.IndexDataCacheFile):  # type: ignore[misc]
    """An index and its files of code, unpickled only as this version wrote them for this source.

    Each ends with a digest, which unpickling passes over. Without it a damaged file could raise anything,
    or be other code.
    """

    def _load_index(self) -> dict[Any, str]:
        found: dict[Any, str] = super()._load_index() if self._is_whole(self._index_path) else {}
        return found

    def _load_data(self, name: str) -> object:
        if not self._is_whole(self._data_path(name)):
            raise FileNotFoundError(name)  # as numba expects of one that was removed
        return super()._load_data(name)

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
        content = io.BytesIO()
        yield content
        with super()._open_for_write(filepath) as file:
            file.write(content.getvalue() + self._digest(content.getvalue()))

    def _is_whole(self, path: str) -> bool:
        try:
            held = Path(path).read_bytes()
        except FileNotFoundError:
            return False
        size = hashlib.sha256().digest_size
        return held[-size:] == self._digest(held[:-size])

    def _digest(self, content: bytes) -> bytes:
        return hashlib.sha256(repr((self._version, self._source_stamp)).encode() + content).digest()


class _Compiled(caching.FunctionCache):  # type: ignore[misc]
    """numba's cache, which must never decide whether a function runs."""

    _impl_class = _Places

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = _Whole(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, signature: object, target: object) -> object:
        return self._read(lambda: super(_Compiled, self).load_overload(signature, target), None)

    def save_overload(self, signature: object, result: object) -> None:
        try:
            super().save_overload(signature, result)
        except OSError as error:
            self._drop()  # it may name a file that was not written, where an older one lies
            kept.left_out(f"{self.cache_path} cannot be written: {error.strerror}", error)

    def kept(self, codegen: object) -> list[Any]:
        """Signatures for which the function is kept, compiled for this processor by this numba."""
        keys = self._read(lambda: list(self._cache_file._load_index()), [])
        return [key[0] for key in keys if key == self._index_key(key[0], codegen)]

    def _read(self, read: Callable[[], Any], otherwise: Any) -> Any:  # noqa: ANN401 - numba's own
        try:
            return read()
        except OSError:
            self._drop()
            return otherwise

    def _drop(self) -> None:
        """Forget which files are there."""
        with suppress(OSError):
            Path(self._cache_file._index_path).unlink()


def compiled(function: _F) -> _F:
    """Have numba compile a function of scalars and arrays."""
    jitted = numba.njit(nogil=True, fastmath=True, error_model="numpy")(function)
    try:
        jitted._cache = _Compiled(function)
    except RuntimeError as error:  # no folder will have it
        kept.check()
        kept.left_out("no folder can be written for compiled functions", error)
    _made.append(jitted)
    made: _F = jitted
    return made


def load_kept() -> None:
    """Load what earlier runs compiled, before it is called first: it takes 0.3 s, while nobody waits yet."""
    for function in _made:
        if isinstance(function._cache, _Compiled):
            for signature in function._cache.kept(function.targetctx.codegen()):
                function.compile(signature)
