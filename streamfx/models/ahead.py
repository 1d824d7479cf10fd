"""Networks that are compiled while the rest of the process is still being imported: a worker is up sooner."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamfx.models.network import Network

_begun: dict[str, Future[Network]] = {}
"""By name; whoever takes one has it for itself."""


def compile_ahead(names: Sequence[str]) -> None:
    """Begin to compile shipped networks, each in a thread; returns at once."""
    if names:
        compilers = ThreadPoolExecutor(len(names), "streamfx-compiler")
        _begun.update({name: compilers.submit(_compiled, name) for name in names})
        compilers.shutdown(wait=False)


def await_networks() -> None:
    """Wait until all that were begun are compiled, or could not be: whoever takes one is told."""
    wait(list(_begun.values()))


def take_network(name: str) -> Network:
    """A network that was begun, waited for; otherwise one that is compiled now. Raises as Network."""
    begun = _begun.pop(name, None)
    return begun.result() if begun is not None else _compiled(name)


def _compiled(name: str) -> Network:
    from streamfx.models.network import Network  # OpenVINO takes a third of a second to import

    return Network(name)
