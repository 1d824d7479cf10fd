"""What a network sees in use, to quantise it by and to judge its files by."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from streamfx.errors import UsageError
from streamfx.files import ANY_FILE, open_regular
from streamfx.frames import F32, Mask
from streamfx.models.weights import Fidelity, NetworkName

FEWEST: Final = 64
_JUDGE_EVERY: Final = 4
"""Of so many samples one is kept from the calibration, to judge by."""
_RESIDUAL: Final = frozenset({NetworkName.REFINE_LITE})
"""Networks whose output is added to the first three channels of their input."""

_SQUARE_FLOOR: Final = 1e-12
"""Mean square difference that counts as none: 120 dB."""
_MAKE: Final = "Make one by `streamfx train`, or as docs/training.md describes"


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs of a network, and where its outputs count."""

    inputs: npt.NDArray[np.float16 | np.float32] = field(repr=False)
    """[N,C,H,W]"""
    mask: Mask = field(repr=False)
    """bool [N,1,H,W]"""

    @property
    def calibration(self) -> Samples:
        """Those to quantise by."""
        return self._where(np.arange(len(self.inputs)) % _JUDGE_EVERY != 0)

    @property
    def judges(self) -> Samples:
        """Those to judge by, none of which calibrates."""
        return self._where(np.arange(len(self.inputs)) % _JUDGE_EVERY == 0)

    def _where(self, chosen: Mask) -> Samples:
        return Samples(self.inputs[chosen], self.mask[chosen])


def load_samples(path: Path, input_shape: tuple[int, int, int]) -> Samples:
    """Samples from an npz file with `inputs` [N,C,H,W] and `mask` [N,1,H,W]; the mask counts above one half.

    Raises:
        UsageError: no npz file, arrays missing or of other shapes, fewer than FEWEST, numbers not finite, or
            a mask that is empty.
    """
    try:
        with open_regular(path, ANY_FILE) as file, np.load(file, allow_pickle=False) as archive:
            inputs, mask = archive["inputs"], np.asarray(archive["mask"])
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is no file of samples: {error}", _MAKE) from error
    if inputs.shape[1:] != input_shape or mask.shape != (len(inputs), 1, *input_shape[1:]):
        shapes = f"inputs {list(inputs.shape)} and mask {list(mask.shape)}"
        raise UsageError(f"{path} has {shapes}, but the network takes [N,{str(input_shape)[1:-1]}]", _MAKE)
    if len(inputs) < FEWEST:
        raise UsageError(f"{path} has {len(inputs)} samples, at least {FEWEST} are needed", _MAKE)
    if inputs.dtype.kind != "f" or not np.isfinite(inputs).all():
        raise UsageError(f"{path} has inputs that are no finite numbers", _MAKE)
    samples = Samples(inputs, mask > 0.5)
    if not samples.judges.mask.any():
        raise UsageError(f"{path} has an empty mask: the network would count nowhere", _MAKE)
    return samples


Picture = Callable[[F32], F32]
"""f32 [H,W,C] to f32 [H,W,C']."""


def fidelity(name: NetworkName, judged: Picture, trained: Picture, samples: Samples) -> Fidelity:
    """How far a file's result lies from the trained network's, as shown and within the mask."""
    total = squares = worst = 0.0
    count = 0
    for planes, mask in zip(samples.inputs, samples.mask[:, 0], strict=True):
        x = np.ascontiguousarray(planes.transpose(1, 2, 0), np.float32)
        difference = np.abs(_shown(name, x, judged(x)) - _shown(name, x, trained(x)))[mask].astype(np.float64)
        total += float(difference.sum())
        squares += float(np.square(difference).sum())
        count += difference.size
        worst = max(worst, float(difference.max(initial=0.0)))
    psnr = -10 * float(np.log10(max(squares / count, _SQUARE_FLOOR)))
    return Fidelity(
        mean_error=round(total / count, 6),
        max_error=round(worst, 5),
        psnr=round(psnr, 2),
        samples=len(samples.inputs),
    )


def _shown(name: NetworkName, x: F32, output: F32) -> F32:
    """What a person would see: RGB 0..1."""
    return np.clip(x[..., :3] + output if name in _RESIDUAL else output, 0, 1)
