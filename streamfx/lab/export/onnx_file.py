"""A network as an ONNX file: the bare graph, its large weights stored as f16, the same bytes every time."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OPSET: Final = 18
"""Of ONNX: the oldest that torch's exporter writes without conversion."""
INPUT: Final = "x"
OUTPUT: Final = "y"


def to_onnx(network: nn.Module, input_shape: tuple[int, int, int]) -> bytes:
    """The ONNX file of a network: f32 [1,C,H,W] `x` in, f32 `y` out, all shapes fixed.

    It computes in f32. Weights of two and more dimensions are stored as f16, which the outputs do not show.

    Args:
        network: in evaluation mode.
        input_shape: C, H, W.
    """
    with _quiet():
        program = torch.onnx.export(
            network,
            (torch.zeros(1, *input_shape),),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
        )
    if program is None:
        raise TypeError("torch's exporter gave no program")
    model = _bare(program.model_proto)
    _store_as_f16(model.graph)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks: on operators of torchvision, and on torch's own use of torch."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*LeafSpec.*", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Nothing but the graph: no stack traces of the exporting machine, no names of Python's variables."""
    graph = helper.make_graph(
        [_bare_node(node) for node in model.graph.node],
        "network",
        [_bare_value(value) for value in model.graph.input],
        [_bare_value(value) for value in model.graph.output],
        [_bare_tensor(tensor) for tensor in model.graph.initializer],
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(
        graph, opset_imports=[opset], producer_name="streamfx", ir_version=model.ir_version
    )


def _bare_node(node: onnx.NodeProto) -> onnx.NodeProto:
    bare = onnx.NodeProto()
    bare.CopyFrom(node)
    del bare.metadata_props[:]
    bare.ClearField("doc_string")
    return bare


def _bare_value(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    return helper.make_value_info(value.name, value.type)


def _bare_tensor(tensor: onnx.TensorProto) -> onnx.TensorProto:
    return numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name)


def _store_as_f16(graph: onnx.GraphProto) -> None:
    """Half the file: large weights as f16, each followed by a cast to f32."""
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name, stored = tensor.name, f"{tensor.name}.f16"
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [name], f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
