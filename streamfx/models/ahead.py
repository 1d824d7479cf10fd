"""Networks that are compiled while the rest of the process is still being imported: a worker is up sooner."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamfx.models.network import Network

_begun: dict[str, Future[Network]] = {}
"""By name; whoever takes one has it for itself."""


def compile_ahead(names: Iterable[str]) -> None:
    """Begin to compile shipped networks; returns at once."""
    for name in names:
        _begun[name] = Future()
        Thread(target=_compile, args=(name, _begun[name]), name="streamfx-compiler", daemon=True).start()


def take_network(name: str) -> Network:
    """A network that was begun, waited for; otherwise one that is compiled now. Raises as Network."""
    begun = _begun.pop(name, None)
    return begun.result() if begun is not None else _compiled(name)


def _compile(name: str, done: Future[Network]) -> None:
    try:
        done.set_result(_compiled(name))
    except BaseException as error:  # noqa: BLE001 - raised again where the network is taken
        done.set_exception(error)


def _compiled(name: str) -> Network:
    from streamfx.models.network import Network  # OpenVINO takes a third of a second to import

    return Network(name)
