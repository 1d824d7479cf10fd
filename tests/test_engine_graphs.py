"""What engines are built from: the shipped graphs in lower precision and for batches, against what ships."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from scenes import MOTION, photo, store

from streamfx.driving.template import MotionTemplate
from streamfx.errors import ModelCorrupt, ModelMissing, ModelUnusable
from streamfx.frames import F32
from streamfx.models.engines import LARGEST_BATCH, PRECISIONS
from streamfx.models.network import CompiledGraph, Precision
from streamfx.models.weights import NetworkName, Profile, shipped_weights
from streamfx.nets import AsRun, build
from streamfx.pipeline import Animator, load_portrait
from streamfx.render.base import Networks
from streamfx.render.gpu.gpu_device import GpuDevice
from streamfx.render.gpu.networks import shipped_network
from trt_build.batches import for_batches
from trt_build.building import LARGEST_ERROR, answers, difference, lowered
from trt_build.crops import made_up_crops
from trt_build.half import in_half_precision
from trt_build.int8 import in_int8, quantised_layers

NETWORKS = (NetworkName.REFINE_LITE, NetworkName.MOUTH_LITE)


def graph(name: NetworkName, precision: str = "fp32") -> bytes:
    return lowered(shipped_weights().find(name), precision, shipped_weights())


class TestHalfPrecision:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_all_is_half_but_the_ends(self, name: NetworkName):
        weights = shipped_weights()
        exact = weights.read(weights.find(name).onnx)
        half = onnx.shape_inference.infer_shapes(onnx.load_from_string(in_half_precision(exact)))
        ends = {value.name for value in (*half.graph.input, *half.graph.output)}
        inner = {v.name: v.type.tensor_type.elem_type for v in half.graph.value_info if v.name not in ends}
        computed = {kind for kind in inner.values() if kind in (TensorProto.FLOAT, TensorProto.FLOAT16)}
        assert computed == {TensorProto.FLOAT16}
        assert [node.op_type for node in half.graph.node].count("Cast") == 2
        row, rng = weights.find(name), np.random.default_rng(1)
        seen = rng.random((*row.input_shape[1:], row.input_shape[0])).astype(np.float32)
        given = [
            CompiledGraph(data, precision=Precision.F32)(seen).copy()
            for data in (exact, in_half_precision(exact))
        ]
        assert np.abs(given[0] - given[1]).mean() < LARGEST_ERROR

    def test_graphs_that_cast_in_between_are_refused(self):
        value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 2, 2]) for name in "xy"]
        nodes = [
            helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
            helper.make_node("Cast", ["half"], ["y"], to=TensorProto.FLOAT),
        ]
        model = helper.make_model(helper.make_graph(nodes, "network", value[:1], value[1:]))
        with pytest.raises(ValueError, match="casts in between"):
            in_half_precision(model.SerializeToString())


class TestInt8:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_all_convolutions_but_the_last_take_int8(self, name: NetworkName):
        body = onnx.load_from_string(graph(name, "int8")).graph
        makers = {output: node for node in body.node for output in node.output}
        tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in body.initializer}
        layers = [node for node in body.node if node.op_type == "Conv"]
        assert len(layers) == 20
        for layer in layers[:-1]:
            seen, filters = (makers[name] for name in layer.input[:2])
            assert (seen.op_type, filters.op_type) == ("DequantizeLinear", "DequantizeLinear")
            assert makers[seen.input[0]].op_type == "QuantizeLinear"
            assert tensors[filters.input[0]].dtype == np.int8
            assert np.abs(tensors[filters.input[0]].astype(int)).max() == 127
            assert len(tensors[filters.input[1]]) == len(tensors[filters.input[0]])
            assert tensors[seen.input[1]].shape == ()
            for node in (seen, filters):
                assert tensors[node.input[1]].dtype == np.float16
                assert (tensors[node.input[1]] > 0).all()
                assert not tensors[node.input[2]].any()
        assert tensors[layers[-1].input[1]].dtype == np.float16

    @pytest.mark.parametrize("name", NETWORKS)
    def test_it_is_nearer_to_what_ships_in_f32_than_openvinos_int8(self, name: NetworkName):
        row, weights = shipped_weights().find(name), shipped_weights()
        crops = made_up_crops(name, 4, seed=3)
        exact, theirs = (
            np.stack([network(x).copy() for x in np.ascontiguousarray(crops.transpose(0, 2, 3, 1))])
            for network in (
                CompiledGraph(graph(name), precision=Precision.F32),
                CompiledGraph(
                    weights.read(row.int8.graph), weights.read(row.int8.constants), precision=Precision.INT8
                ),
            )
        )
        ours = answers(for_batches(graph(name, "int8")), crops).transpose(0, 2, 3, 1)
        assert np.abs(ours - exact).mean() < 1.1 * np.abs(theirs - exact).mean()

    def test_ranges_of_another_network_are_refused(self):
        row, weights = shipped_weights().find(NetworkName.MOUTH_LITE), shipped_weights()
        layers = quantised_layers(weights.read(row.int8.graph), weights.read(row.int8.constants))
        with pytest.raises(ModelCorrupt, match="not those of its ONNX"):
            in_int8(graph(NetworkName.REFINE_LITE), layers)
        with pytest.raises(ModelCorrupt):
            in_int8(graph(NetworkName.MOUTH_LITE), layers[1:])

    def test_what_nncf_did_not_write_is_refused(self):
        row, weights = shipped_weights().find(NetworkName.MOUTH_LITE), shipped_weights()
        with pytest.raises(ModelCorrupt):
            quantised_layers(b"<net", weights.read(row.int8.constants))
        with pytest.raises(ModelCorrupt):
            quantised_layers(weights.read(row.onnx), b"")


class TestBatches:
    @pytest.mark.parametrize("precision", PRECISIONS)
    @pytest.mark.parametrize("name", NETWORKS)
    def test_a_batch_gives_what_its_pictures_give_one_by_one(self, name: NetworkName, precision: str):
        made = for_batches(graph(name, precision))
        crops = made_up_crops(name, LARGEST_BATCH, seed=1)
        together = answers(made, crops)
        alone = np.concatenate([answers(made, crops[i : i + 1]) for i in range(0, LARGEST_BATCH, 5)])
        assert np.abs(together[::5] - alone).max() < 1e-5
        assert np.abs(together[0] - together[1]).max() > 0.01

    def test_a_network_that_has_one_picture_for_granted_is_refused(self):
        value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 2, 2]) for name in "xy"]
        shape = numpy_helper.from_array(np.array([1, 4, 2, 2], np.int64), "shape")
        body = helper.make_graph(
            [helper.make_node("Reshape", ["x", "shape"], ["y"])], "g", value[:1], value[1:], [shape]
        )
        model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)])
        with pytest.raises(ModelUnusable, match="one picture at a time"):
            for_batches(model.SerializeToString())


class TestCrops:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_they_are_packed_as_the_network_packs(self, name: NetworkName):
        crops = made_up_crops(name, 2, seed=1)
        assert crops.shape[1:] == shipped_weights().find(name).input_shape
        assert np.abs(crops).max() <= 1
        packed = AsRun(build(name))
        if name is NetworkName.MOUTH_LITE:
            again = packed.pack(packed.unpack(torch.from_numpy(crops))).numpy()
            assert np.array_equal(again, crops)

    def test_there_are_none_for_the_papers(self):
        with pytest.raises(ModelMissing, match="nothing to judge"):
            made_up_crops(NetworkName.MOUTH_PAPER, 1, seed=1)

    def test_errors_on_them_are_those_on_a_photo(self):
        """Int8's are the only ones large enough to compare."""
        real = crops_of_the_demo()
        for name in NETWORKS:
            made, exact = for_batches(graph(name, "int8")), graph(name)
            on_photo = difference(made, exact, real[name])
            assert on_photo < LARGEST_ERROR
            assert 0.5 < on_photo / difference(made, exact, made_up_crops(name, 6, seed=2018)) < 2


def crops_of_the_demo() -> dict[str, F32]:
    """What the networks see while a photo moves as the demo does: every fifteenth picture."""
    seen: dict[str, list[F32]] = {name: [] for name in NETWORKS}

    def noted(name: str, device: torch.device):
        network, packed = shipped_network(name, device), AsRun(build(name))

        def run(pictures: torch.Tensor) -> torch.Tensor:
            seen[name].append(packed.pack(pictures).numpy().copy())
            return network(pictures)

        return run

    rig = load_portrait(photo(), (640, 480), store()).rig
    studio = GpuDevice(lambda *_: None, torch.device("cpu"), load=noted)
    animator = Animator(rig, renderer=studio.renderer(rig, Networks(Profile.LITE, Profile.LITE)))
    for motion in list(MotionTemplate.load(MOTION).frames())[30:180:15]:
        animator.animate(motion)
    return {name: np.concatenate(crops) for name, crops in seen.items()}
