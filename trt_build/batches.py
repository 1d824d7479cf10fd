"""A shipped network's graph for several pictures at a time: it ships for one."""

from __future__ import annotations

from typing import Final

import onnx

from streamfx.errors import ModelUnusable

_COUNT: Final = "pictures"
"""Of a batch: the name of its size in the graph."""


def for_batches(graph: bytes) -> bytes:
    """The same graph for any number of pictures.

    Args:
        graph: the bytes of an ONNX file: one input and one output, of one picture each.

    Raises:
        ModelUnusable: it would still give one picture: something in it has the number for granted.
    """
    model = onnx.load_from_string(graph)
    body = model.graph
    wanted = [int(side.dim_value) for side in body.output[0].type.tensor_type.shape.dim]
    del body.value_info[:]
    _free(body.input[0])
    body.output[0].type.tensor_type.ClearField("shape")
    found = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph.output[0]
    sides = found.type.tensor_type.shape.dim
    if sides[0].HasField("dim_value") or [side.dim_value for side in sides[1:]] != wanted[1:]:
        raise ModelUnusable("The network takes one picture at a time, whatever it is given")
    body.output[0].CopyFrom(found)
    _free(body.output[0])
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _free(value: onnx.ValueInfoProto) -> None:
    """Let its first side be of any length."""
    side = value.type.tensor_type.shape.dim[0]
    side.Clear()
    side.dim_param = _COUNT
