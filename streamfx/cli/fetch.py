"""Fetching, before anything is begun, the models that every animation needs; imports nothing heavy."""

from __future__ import annotations

from typing import Final

from streamfx import kept
from streamfx.cli.progress import bars
from streamfx.models.store import Store

MODELS: Final = ("face_landmarker", "selfie_segmentation")
"""What every animation needs."""


def fetch_models(*more: str) -> Store:
    """The account's store with what every animation needs; fetched, with a progress bar, at the first use."""
    kept.check()
    store = Store.default()
    with bars() as progress:
        for name in (*MODELS, *more):
            store.ensure(name, progress)
    return store
