"""What `streamfx train` can train: each network with its crops, its recipe, and the recipe's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from lightning_fabric import Fabric

from streamfx.errors import UsageError
from streamfx.lab.training.crops import FaceCrops, MouthCrops
from streamfx.lab.training.lessons import (
    CompletionBatch,
    CompletionLessons,
    FaceLessons,
    FacePair,
    Lessons,
    MouthLessons,
    MouthPair,
)
from streamfx.lab.training.recipes.base import Recipe
from streamfx.lab.training.recipes.mouth_lite import MouthLite, MouthLiteConfig
from streamfx.lab.training.recipes.mouth_paper import MouthPaper, MouthPaperConfig
from streamfx.lab.training.recipes.refine_lite import RefineLite, RefineLiteConfig
from streamfx.lab.training.recipes.refine_paper import RefinePaper, RefinePaperConfig

B = TypeVar("B")
C = TypeVar("C")

_TRUTHS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Course(Generic[B, C]):
    """One network's training, before anything is opened or built."""

    network: str
    config: C
    """The recipe's settings, a frozen dataclass."""
    steps: int
    """That it takes by default."""
    batch: int
    """By default, of each process."""
    crops: type[FaceCrops | MouthCrops]
    """What it learns from."""
    recipe: Callable[[Fabric, C], Recipe[B]]
    lessons: Callable[[Path, int, C], Lessons[B]]
    """Opens a folder of crops, to be drawn so many at a time."""

    def adjusted(self, settings: Sequence[str]) -> Course[B, C]:
        """With some of the recipe's settings changed, each given as NAME=VALUE.

        Raises:
            UsageError: there is no such setting, or it takes no such value.
        """
        config: Any = self.config
        for setting in settings:
            name, _, text = setting.partition("=")
            config = replace(config, **{name: _value(asdict(config), name, text)})
        return replace(self, config=config)


def _value(all_settings: Mapping[str, object], name: str, text: str) -> float | int | bool:
    """The value of a setting, of the type that it has."""
    simple = {key: value for key, value in all_settings.items() if isinstance(value, bool | int | float)}
    if name not in simple:
        raise UsageError(f"The recipe has no setting {name!r}", f"Choose one of {', '.join(simple)}")
    try:
        return _TRUTHS[text.lower()] if isinstance(simple[name], bool) else type(simple[name])(text)
    except (KeyError, ValueError) as error:
        kind = "true or false" if isinstance(simple[name], bool) else "a number"
        raise UsageError(
            f"{text!r} is no value of {name}", f"Give {kind}, as {name}={simple[name]}"
        ) from error


def _lite_faces(folder: Path, batch: int, config: RefineLiteConfig) -> Lessons[FacePair]:
    crops = FaceCrops.open(folder)
    balance, with_mouth = config.skin_balance, config.with_mouth
    return FaceLessons(crops, batch, pairs=config.previous, skin_balance=balance, with_mouth=with_mouth)


def _paper_faces(folder: Path, batch: int, _config: RefinePaperConfig) -> Lessons[FacePair]:
    return FaceLessons(FaceCrops.open(folder), batch)


def _mouths(folder: Path, batch: int, config: MouthLiteConfig) -> Lessons[MouthPair]:
    return MouthLessons(MouthCrops.open(folder), batch, pairs=config.pairs)


def _holes(folder: Path, batch: int, _config: MouthPaperConfig) -> Lessons[CompletionBatch]:
    return CompletionLessons(FaceCrops.open(folder), batch)


_ALL: Final[tuple[Course[Any, Any], ...]] = (
    Course("refine-lite", RefineLiteConfig(), 30_000, 8, FaceCrops, RefineLite, _lite_faces),
    Course("refine-paper", RefinePaperConfig(), 50_000, 8, FaceCrops, RefinePaper, _paper_faces),
    Course("mouth-lite", MouthLiteConfig(), 30_000, 16, MouthCrops, MouthLite, _mouths),
    Course("mouth-paper", MouthPaperConfig(), 15_000, 8, FaceCrops, MouthPaper, _holes),
)
COURSES: Final[Mapping[str, Course[Any, Any]]] = MappingProxyType({one.network: one for one in _ALL})
"""By network."""
