"""What `pip install streamfx` brings along: resolved against the real index, nothing is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OF_CARDS = ("torch", "nvidia-", "cuda-", "tensorrt", "triton")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def resolved(*extras: str) -> set[str]:
    """Names of the packages that would be installed; resolving them proves that they do not conflict.

    By uv, which reads of each wheel what it needs: pip downloads gigabytes of them.
    """
    asked = [word for extra in extras for word in ("--extra", extra)]
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", *asked]
    done = subprocess.run(
        [*command, str(ROOT / "pyproject.toml")],
        env={**os.environ, **as_pip_is_told()}, capture_output=True, text=True, timeout=550, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return {name.lower().replace("_", "-") for name in re.findall(r"^([\w.-]+)==", done.stdout, re.M)}


def as_pip_is_told() -> dict[str, str]:
    """The index and its certificate, for uv."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    told = dict(re.findall(r"^[\w:.]*\.(index-url|cert)='(.*)'$", said, re.M))
    names = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}
    return {names[key]: value for key, value in told.items()}


def of_cards(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith(OF_CARDS)}


def test_a_plain_install_brings_nothing_of_cuda():
    names = resolved()
    assert {"openvino", "mediapipe", "numba"} <= names
    assert of_cards(names) == set()


def test_what_cards_need_can_be_installed_together():
    names = resolved("gpu", "trt-rtx")
    assert {"torch", "safetensors", "tensorrt-rtx-cu13", "onnx"} <= names
