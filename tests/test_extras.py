"""What `pip install streamfx` brings along: resolved by pip against the real index, nothing is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OF_CARDS = ("torch", "nvidia-", "cuda-", "tensorrt", "triton")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def resolved(extras: str, folder: Path) -> set[str]:
    """Names of the packages that pip would install; resolving them proves that they do not conflict."""
    report = folder / "report.json"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--dry-run"]
    command = [*pip, "--ignore-installed", "--report", str(report), f"{ROOT}{extras}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(report.read_text("utf-8"))["install"]
    return {one["metadata"]["name"].lower().replace("_", "-") for one in found}


def of_cards(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith(OF_CARDS)}


def test_a_plain_install_brings_nothing_of_cuda(tmp_path: Path):
    names = resolved("", tmp_path)
    assert {"openvino", "mediapipe", "numba"} <= names
    assert of_cards(names) == set()


def test_what_cards_need_can_be_installed_together(tmp_path: Path):
    names = resolved("[gpu,trt-rtx]", tmp_path)
    assert {"torch", "safetensors", "tensorrt-rtx-cu13", "onnx"} <= names
