"""A shipped network's graph with its convolutions in int8: what engines of precision int8 are built from.

Nothing is calibrated here, for nobody has the samples: each convolution's input has the range that was found
at export, which stands in the network's int8 files for OpenVINO. What differs is TensorRT's: zero is zero in
int8, too, so a range is as wide below it as above. The last convolution stays in half precision, as all else
does: what it takes has the widest range, and in int8 it alone made more than half of all error.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from streamfx.errors import ModelCorrupt
from streamfx.frames import F32
from streamfx.models.network import CORE
from trt_build.half import in_half_precision

_STEPS: Final = 127
"""To either side of zero: -128 is left out, as TensorRT leaves it out of weights."""
_OPSET: Final = 19
"""Of ONNX: the first in which a scale may be f16."""
_AT_MOST_OFF: Final = 0.51
"""Steps that a weight in int8 may be off: rounding explains a half, f16 a little."""
_FILTER_SIDES: Final = (1, 2, 3)
_INT8: Final = ".int8"
"""What the names of rounded tensors end in."""


class Quantised:
    """A convolution of the network's int8 files."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401 - OpenVINO's types are not checked
        """Read it.

        Raises:
            AttributeError, IndexError: it is not as NNCF writes it.
        """
        low, high = (float(_source(_source(layer, 0), place).data) for place in (1, 2))
        self.largest = max(abs(low), abs(high))
        scaled = _source(layer, 1)
        self._rounded = _source(_source(scaled, 0), 0).data.astype(np.float32)
        self._step = _source(scaled, 1).data.astype(np.float32)

    def is_of(self, weights: F32) -> bool:
        """Whether these are the weights that were rounded to its own."""
        if weights.shape != self._rounded.shape:
            return False
        return bool((np.abs(weights - self._rounded * self._step) <= _AT_MOST_OFF * self._step).all())


def quantised_layers(graph: bytes, constants: bytes) -> list[Quantised]:
    """The convolutions of a network's int8 files, in their order.

    Raises:
        ModelCorrupt: these are no files of NNCF's.
    """
    try:
        layers = CORE.read_model(graph, constants).get_ordered_ops()
        return [Quantised(one) for one in layers if one.get_type_name() == "Convolution"]
    except (RuntimeError, AttributeError, IndexError) as error:
        raise _unlike() from error


def in_int8(graph: bytes, layers: list[Quantised]) -> bytes:
    """The same graph in half precision, with each convolution's input and weights rounded to int8.

    Args:
        graph: the bytes of a shipped ONNX file (see half.in_half_precision).
        layers: of the same network's int8 files.

    Raises:
        ModelCorrupt: these are another network's.
    """
    exact = _weights(graph)
    model = onnx.load_from_string(in_half_precision(graph))
    body = model.graph
    nodes, made = list[onnx.NodeProto](), dict[str, npt.NDArray[Any]]()
    left = [node.name for node in body.node if node.op_type == "Conv"][:-1]
    for node in body.node:
        if node.name in left:
            weights = exact.pop(node.input[1])
            layer = next((one for one in layers if one.is_of(weights)), None)
            if layer is None:
                raise _unlike()
            nodes += _rounded(node, weights, layer.largest, made)
        nodes.append(node)
    replaced = {name.removesuffix(_INT8) for name in made}
    tensors = [tensor for tensor in body.initializer if tensor.name not in replaced]
    tensors += [numpy_helper.from_array(values, name) for name, values in made.items()]
    for field, values in ((body.node, nodes), (body.initializer, tensors)):
        del field[:]
        field.extend(values)
    model.opset_import[0].version = _OPSET
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _rounded(
    node: onnx.NodeProto, weights: F32, largest: float, made: dict[str, npt.NDArray[Any]]
) -> list[onnx.NodeProto]:
    """What rounds a convolution's input, and widens it and the rounded weights again: it takes these now.

    The numbers for that go to `made`.
    """
    seen, filters = node.input[:2]
    step, steps = f"{node.name}.step", f"{filters}.steps"
    each = np.maximum(np.abs(weights).max(_FILTER_SIDES) / _STEPS, np.finfo(np.float16).tiny)
    made[step], made[steps] = np.asarray(largest / _STEPS, np.float16), each.astype(np.float16)
    wide = made[steps].astype(np.float32)[:, None, None, None]
    made[f"{filters}{_INT8}"] = np.clip(np.rint(weights / wide), -_STEPS, _STEPS).astype(np.int8)
    for scale in (step, steps):
        made[f"{scale}.zero"] = np.zeros_like(made[scale], np.int8)
    node.input[0], node.input[1] = f"{node.name}.seen", f"{filters}.seen"
    ways: tuple[tuple[str, str, str, str, dict[str, int]], ...] = (
        ("QuantizeLinear", seen, step, f"{node.name}{_INT8}", {}),
        ("DequantizeLinear", f"{node.name}{_INT8}", step, node.input[0], {}),
        ("DequantizeLinear", f"{filters}{_INT8}", steps, node.input[1], {"axis": 0}),
    )
    return [
        helper.make_node(kind, [what, by, f"{by}.zero"], [gives], gives, **axis)
        for kind, what, by, gives, axis in ways
    ]


def _source(layer: Any, place: int) -> Any:  # noqa: ANN401 - OpenVINO's types are not checked
    """The layer from which another takes an input."""
    return layer.input_value(place).get_node()


def _weights(graph: bytes) -> dict[str, F32]:
    """What convolutions multiply by, by the names that they know it by."""
    body = onnx.load_from_string(graph).graph
    stored = {tensor.name: tensor for tensor in body.initializer}
    named = {node.output[0]: node.input[0] for node in body.node if node.op_type == "Cast"}
    names = {node.input[1] for node in body.node if node.op_type == "Conv"}
    return {name: numpy_helper.to_array(stored[named[name]]).astype(np.float32) for name in names}


def _unlike() -> ModelCorrupt:
    return ModelCorrupt("The network's int8 files are not those of its ONNX file", "Install streamfx again")
