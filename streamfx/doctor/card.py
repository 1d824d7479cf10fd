"""The check of `streamfx doctor` for a graphics card: only who installed what draws on one is warned."""

from __future__ import annotations

from importlib.util import find_spec

from streamfx.checks import Check, State
from streamfx.errors import DeviceUnavailable, ModelError
from streamfx.models.engines import Engines
from streamfx.session import cards


def examine_card() -> list[Check]:
    """Whether `--device cuda` would be drawn, and by which engines."""
    name = "card"
    if find_spec("torch") is None:
        return [Check(name, State.OK, "not asked for: --device cuda needs pip install 'streamfx[gpu]'")]
    try:
        card = cards.look()
    except DeviceUnavailable as error:
        return [Check(name, State.WARN, f"{error.cause}; --device cuda is refused", error.remedy)]
    finding = f"{card.name}, {card.free_mib} of {card.total_mib} MiB free"
    if card.free_mib < cards.FIRST_MIB:
        remedy = "Close other programs that use the card"
        return [Check(name, State.WARN, f"{finding}; a session takes {cards.FIRST_MIB}", remedy)]
    return [Check(name, State.OK, finding), _engines("engines")]


def _engines(name: str) -> Check:
    engines = Engines.default()
    found = []
    for stem in engines.stems():
        try:
            found.append(f"{stem} for {','.join(engines.manifest(stem).targets)}")
        except ModelError as error:
            return Check(name, State.WARN, error.cause, error.remedy)
    return Check(name, State.OK, ", ".join(found) or "none built: networks run in torch")
