"""A shipped network's graph in half precision: what engines of precision fp16 are built from."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_EXACT: Final = {"Resize": (1, 2, 3)}
"""Inputs that ONNX wants as they are: sizes and scales."""


def in_half_precision(graph: bytes) -> bytes:
    """The same graph, computed in f16 from its first operation to its last; f32 in and out.

    Args:
        graph: the bytes of a shipped ONNX file (lab.export.onnx_file): one input, one output, weights stored
            as f16 and widened by a Cast.

    Raises:
        ValueError: the graph casts elsewhere, too.
    """
    model = onnx.load_from_string(graph)
    body = model.graph
    stored = {tensor.name for tensor in body.initializer}
    widened = {node.input[0]: node.output[0] for node in body.node if _widens(node, stored)}
    exact = {
        name
        for node in body.node
        for place in _EXACT.get(node.op_type, ())
        for name in node.input[place : place + 1]
    }
    nodes = [node for node in body.node if not _widens(node, stored)]
    if any(node.op_type == "Cast" for node in nodes):
        raise ValueError("the graph casts in between")
    tensors = [_halved(tensor, widened.get(tensor.name, tensor.name), exact) for tensor in body.initializer]
    renamed = {value.name: f"{value.name}.half" for value in (*body.input, *body.output)}
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    first, last = body.input[0].name, body.output[0].name
    enter = helper.make_node("Cast", [first], [renamed[first]], "enter", to=TensorProto.FLOAT16)
    leave = helper.make_node("Cast", [renamed[last]], [last], "leave", to=TensorProto.FLOAT)
    for field in (body.node, body.initializer, body.value_info):
        del field[:]
    body.node.extend([enter, *nodes, leave])
    body.initializer.extend(tensors)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _widens(node: onnx.NodeProto, stored: set[str]) -> bool:
    """Whether a node makes f32 of stored weights."""
    return node.op_type == "Cast" and node.input[0] in stored


def _halved(tensor: onnx.TensorProto, name: str, exact: set[str]) -> onnx.TensorProto:
    values = numpy_helper.to_array(tensor)
    if values.dtype == np.float32 and tensor.name not in exact:
        values = values.astype(np.float16)
    return numpy_helper.from_array(values, name)
