"""Fetching, before anything is begun, the models that every animation needs; imports nothing heavy."""

from __future__ import annotations

from typing import Final

from streamfx import kept
from streamfx.cli.progress import bars
from streamfx.limits import FILM_BYTES, FILM_THREADS, require_addresses, require_memory, require_threads
from streamfx.models.store import Store

MODELS: Final = ("face_landmarker", "selfie_segmentation")
"""What every animation needs."""


def fetch_models(*more: str) -> Store:
    """The account's store with what every animation needs; fetched, with a progress bar, at the first use.

    Raises:
        LimitReached: there is too little memory, or there are too few threads, to begin any.
    """
    require_memory(FILM_BYTES)
    require_addresses()
    require_threads(FILM_THREADS)
    kept.check()
    store = Store.default()
    with bars() as progress:
        for name in (*MODELS, *more):
            store.ensure(name, progress)
    return store
