"""The networks at work: the one door to OpenVINO.

OpenVINO sees only bytes that `weights` has verified. Its own cache of compiled networks stays off: it would
save 0.1 s of a start, but what lies in it is run without any check: one flipped byte, and pictures are wrong.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import cache
from typing import Any, Final

import cv2
import numpy as np
import openvino  # models/__init__.py keeps it from reporting to its makers

from streamfx.errors import ModelUnusable, UsageError
from streamfx.frames import F32
from streamfx.limits import shortage
from streamfx.models.weights import NetworkName, NetworkRow, Weights, WeightsFile, shipped_weights

CORE: Final = openvino.Core()
"""The only one, for the life of the process: OpenVINO advises it, and Ctrl-C depends on it.

The CPU plugin of each Core (2026.4) lends the thread that first uses it a stack to hear signals on. Let go in
another thread, or in another order than last made first, it leaves that thread a stack that is unmapped, and
the next signal that has a handler ends the process in a segmentation fault, without a word.
"""
_AVX2: Final = 11
"""CV_CPU_AVX2 of OpenCV, which its Python module does not name."""
_DEVICE: Final = "CPU"
_LAYOUT: Final = "NCHW"
"""Of the networks' own inputs and outputs."""
_MOST_THREADS: Final = 2
"""More gain little at these sizes, and the tracker works beside."""


class Precision(StrEnum):
    """The numbers that a network computes with."""

    INT8 = "int8"
    BF16 = "bf16"
    F32 = "f32"


class CompiledGraph:
    """A graph ready to run, one picture after another. One thread at a time: its buffers are reused."""

    def __init__(
        self, graph: bytes, constants: bytes = b"", *, precision: Precision, threads: int | None = None
    ) -> None:
        """Compile for this machine.

        Args:
            graph: the bytes of a trusted ONNX file, or of the XML file of OpenVINO's intermediate
                representation; f32 [1,C,H,W] in, f32 [1,C',H',W'] out.
            constants: those of the BIN file beside the latter.
            precision: as what to compute what is not quantised; INT8 takes F32 there, which costs the same.
            threads: at most; None takes two, or all where there is only one.

        Raises:
            ModelUnusable: OpenVINO refuses.
        """
        with _openvino_errors():
            model = CORE.read_model(graph, constants) if constants else CORE.read_model(graph)
            compiled = CORE.compile_model(_channels_last(model), _DEVICE, _settings(precision, threads))
            self._request = compiled.create_infer_request()
            self.input_shape = _picture_shape(compiled.input().shape)
            self.output_shape = _picture_shape(compiled.output().shape)
            self._output = np.zeros(self.output_shape, np.float32)
            self._request.set_output_tensor(_tensor(self._output))
        self._input: F32 | None = None

    def __call__(self, x: F32) -> F32:
        """One picture through the graph.

        Args:
            x: f32 [H,W,C]. It is not copied if it is C-contiguous and writable; the same array each time is
                fastest.

        Returns:
            f32 [H',W',C'], overwritten by the next call.

        Raises:
            ValueError: x has another shape or type.
            ModelUnusable: OpenVINO fails.
        """
        with _openvino_errors():
            if x is not self._input:
                self._bind(x)
            self._request.infer(share_outputs=True)
        return self._output

    def _bind(self, x: F32) -> None:
        """Let the network read its input where `x` lies."""
        if x.shape != self.input_shape or x.dtype != np.float32:
            raise ValueError(
                f"the network takes float32 {list(self.input_shape)}, this is {x.dtype} {list(x.shape)}"
            )
        self._memory = np.require(x, requirements=("C", "W"))
        self._request.set_input_tensor(_tensor(self._memory))
        # A copy holds for one call only: x may change until the next.
        self._input = x if self._memory is x else None


class Network(CompiledGraph):
    """A shipped network, verified and ready: f32 [H,W,C] in, f32 [H,W,C'] out, one picture per call.

    Not thread-safe; each thread makes its own.
    """

    def __init__(
        self,
        name: NetworkName | str,
        *,
        threads: int | None = None,
        precision: Precision | None = None,
        weights: Weights | None = None,
    ) -> None:
        """Verify, read and compile.

        Args:
            name: which network.
            threads: at most; None takes two, or all where there is only one.
            precision: None takes the fastest that this processor and the files have.
            weights: where from; None takes what ships with streamfx.

        Raises:
            ModelMissing: it does not ship, or a file is not there.
            ModelCorrupt: a file is not what the manifest names, or made for another expression basis.
            ModelUnusable: OpenVINO refuses.
            UsageError: the precision cannot be had.
        """
        weights = weights or shipped_weights()
        self.row = weights.find(NetworkName(name))
        self.precision = precision or best_precision(self.row)
        _require(self.row, self.precision)
        data = [weights.read(file) for file in _files(self.row, self.precision)]
        super().__init__(*data, precision=self.precision, threads=threads)


def best_precision(row: NetworkRow) -> Precision:
    """The fastest precision for a network on this processor, of those whose quality was found good enough."""
    return next(precision for precision in Precision if _lacks(row, precision) == "")


def _require(row: NetworkRow, precision: Precision) -> None:
    if lack := _lacks(row, precision):
        raise UsageError(f"{row.name} cannot run in {precision}: {lack}", f"{best_precision(row)} is at hand")


def _files(row: NetworkRow, precision: Precision) -> tuple[WeightsFile, ...]:
    """What a network runs from in a precision; empty where it does not ship so."""
    if precision is Precision.INT8:
        return (row.int8.graph, row.int8.constants) if row.int8 else ()
    return (row.onnx,) if row.onnx else ()


def _lacks(row: NetworkRow, precision: Precision) -> str:
    """What keeps a network from running in a precision at full speed; empty if nothing does."""
    if not _files(row, precision):
        return "it does not ship so"
    # Slow there, but where nothing else ships it has to do.
    if precision is Precision.INT8 and row.onnx and not cv2.checkHardwareSupport(_AVX2):
        return "this processor has no AVX2"
    # Without such hardware OpenVINO emulates bf16, 3 to 9 times slower than f32.
    if precision is Precision.BF16 and not _has_bf16():
        return "this processor has no bf16"
    return ""


@cache
def _has_bf16() -> bool:
    with _openvino_errors():
        return "BF16" in CORE.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")


def _settings(precision: Precision, threads: int | None) -> dict[str, Any]:
    # Left to itself, OpenVINO would pick bf16.
    inexact = Precision.BF16 if precision is Precision.BF16 else Precision.F32
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": inexact.value,
        "INFERENCE_NUM_THREADS": threads or min(_MOST_THREADS, _cores()),
        # Pinned threads wait for their own core while the tracker has it.
        "ENABLE_CPU_PINNING": False,
    }


def _cores() -> int:
    """How many this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _channels_last(model: openvino.Model) -> openvino.Model:
    """The model with pictures as OpenCV holds them, [1,H,W,C], on both sides."""
    prepared = openvino.preprocess.PrePostProcessor(model)
    for side in (prepared.input(), prepared.output()):
        side.tensor().set_layout(openvino.Layout("NHWC"))
        side.model().set_layout(openvino.Layout(_LAYOUT))
    return prepared.build()


def _picture_shape(shape: openvino.Shape) -> tuple[int, int, int]:
    _, height, width, channels = (int(side) for side in shape)
    return height, width, channels


def _tensor(array: F32) -> openvino.Tensor:
    """OpenVINO's view of a picture's memory, as a batch of one."""
    return openvino.Tensor(array[None], shared_memory=True)


_SHORT: Final = {"alloc": errno.ENOMEM, os.strerror(errno.EAGAIN): errno.EAGAIN}
"""Words of OpenVINO's where the system gives too little, and the system's number."""


@contextmanager
def _openvino_errors() -> Iterator[None]:
    """The one place where OpenVINO's errors become ours."""
    try:
        yield
    except RuntimeError as error:
        # Source line and indentation of C++ say nothing to a person; the last line names the reason.
        reason = str(error).strip().splitlines()[-1]
        what = f"OpenVINO {openvino.__version__} cannot run the network"
        number = next((number for word, number in _SHORT.items() if word in reason), 0)
        short = OSError(number, reason)
        raise ModelUnusable(*shortage(what, short, "pip install --upgrade openvino")) from error
