"""A perceptual distance for tables: features of MediaPipe's face landmarker. A stand-in for LPIPS.

LPIPS compares features of a classifier, weighted by what people said about pictures. No such classifier is at
hand, and the one that training uses must not be its own judge. This takes the landmark network's features at
four sizes, each pixel's scaled to length 1, unweighted: it rises with distortion and blur, its figures are
comparable only with one another, and nobody has measured how it agrees with people.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import cv2
import numpy as np
import openvino

from streamfx.errors import ModelCorrupt
from streamfx.frames import F32, U8
from streamfx.lab.evaluation.metrics import Mask
from streamfx.models.network import CORE

_NETWORK: Final = "face_landmarks_detector.tflite"
_INPUT_PX: Final = 256
_SIZES_PX: Final = (128, 64, 32, 16)
"""Sides of the feature maps compared: the last activation of each."""


class LandmarkFeatures:
    """Measures how unlike two faces are in the landmark network's features."""

    def __init__(self, task: Path) -> None:
        """Load the network of `face_landmarker.task`.

        Raises:
            ModelCorrupt: the file holds no such network.
        """
        model = _network(task)
        model.reshape([1, _INPUT_PX, _INPUT_PX, 3])
        outputs = [_last_activation(model, side) for side in _SIZES_PX]
        wanted = openvino.Model(outputs, model.get_parameters(), "features")
        self._compiled = CORE.compile_model(wanted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def distance(self, picture: U8, truth: U8, mask: Mask) -> float:
        """0 for equal pictures, in hundredths; u8 [256,256,3] each, compared on bool [256,256].

        Outside the mask the truth stands in for the picture, so that nothing there counts.
        """
        patched = np.where(mask[..., None], picture, truth)
        pairs = zip(self._features(patched), self._features(truth), strict=True)
        return 100 * float(np.mean([_apart(a, b, mask) for a, b in pairs]))

    def _features(self, picture: U8) -> list[F32]:
        """f32 [C,n,n] for each of _SIZES_PX, every pixel's of length 1."""
        found = self._compiled(picture[None].astype(np.float32) / 255)
        return [_unit(np.asarray(found[i][0])) for i in range(len(_SIZES_PX))]


def _network(task: Path) -> openvino.Model:
    """OpenVINO reads this format from files only, and lets go of the file once the model is made."""
    try:
        with TemporaryDirectory() as folder:
            return CORE.read_model(zipfile.ZipFile(task).extract(_NETWORK, folder))
    except (OSError, KeyError, zipfile.BadZipFile, RuntimeError) as error:
        raise ModelCorrupt(f"{task} holds no {_NETWORK}", "Run `streamfx models pull`") from error


def _last_activation(model: openvino.Model, side: int) -> openvino.Output:
    """The last activation of that size."""
    shape = [1, side, side]
    found = [op.output(0) for op in model.get_ordered_ops() if op.get_type_name() == "PRelu"]
    return [one for one in found if [one.shape[0], *list(one.shape)[2:]] == shape][-1]


def _unit(features: F32) -> F32:
    length = np.sqrt(np.square(features).sum(0, keepdims=True))
    return np.asarray(features / np.maximum(length, 1e-6), np.float32)


def _apart(a: F32, b: F32, mask: Mask) -> float:
    """Mean squared distance of [C,n,n] where the mask is."""
    weight = cv2.resize(mask.astype(np.float32), a.shape[1:], interpolation=cv2.INTER_AREA)
    return float((np.square(a - b).sum(0) * weight).sum() / max(float(weight.sum()), 1e-6))
