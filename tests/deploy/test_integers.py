"""The network in 8-bit integers: what activations cut off costs nothing, and harmful layers stay float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from seglab.deploy.export.integers import Quantiser

IMAGES = [
    np.random.default_rng(seed).integers(0, 256, (1, 3, 24, 32)).astype(np.float32)
    for seed in range(6)
]
EYE = np.eye(3)
Layer = tuple[np.ndarray, tuple[float, float] | None]


def write_network(path: Path, layers: list[Layer]) -> Path:
    """Write convolutions of one pixel, each with the limits of its activation."""
    nodes, weights, last = [], [], "image"
    for number, (matrix, limits) in enumerate(layers):
        name = "logits" if number == len(layers) - 1 else f"y{number}"
        weight = matrix.astype(np.float32).reshape(*matrix.shape, 1, 1)
        weights.append(numpy_helper.from_array(weight, f"w{number}"))
        given = f"x{number}" if limits else name
        nodes.append(helper.make_node("Conv", [last, f"w{number}"], [given], f"conv{number}"))
        if limits:
            ends = [
                numpy_helper.from_array(np.array(one, np.float32), f"l{number}{one}")
                for one in limits
            ]
            weights += ends
            words = [given, *(one.name for one in ends)]
            nodes.append(helper.make_node("Clip", words, [name], f"clip{number}"))
        last = name
    sides = ("batch", None, "height", "width")
    kind = TensorProto.FLOAT
    first = helper.make_tensor_value_info("image", kind, ["batch", 3, "height", "width"])
    end = helper.make_tensor_value_info("logits", kind, list(sides))
    graph = helper.make_graph(nodes, "layers", [first], [end], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def agreement(one: Path, other: Path) -> float:
    masks = []
    for path in (one, other):
        session = ort.InferenceSession(str(path))
        masks.append([session.run(["logits"], {"image": i})[0].argmax(1) for i in IMAGES])
    return float((np.array(masks[0]) == np.array(masks[1])).mean())


def test_range_of_a_layer_is_that_of_its_activation(tmp_path: Path) -> None:
    # Before the limits the values reach 25,500; as one of 256 steps, everything within 0 to 6 were the same.
    source = write_network(
        tmp_path / "a.onnx", [(EYE / 50, (0, 6)), (100 * EYE, (0, 6)), (EYE, None)]
    )
    Quantiser(source, IMAGES).write(tmp_path / "b.onnx", 0.0)
    written = onnx.load(str(tmp_path / "b.onnx"))
    scales = {
        one.name: float(numpy_helper.to_array(one))
        for one in written.graph.initializer
        if one.name in ("y0_scale", "y1_scale")
    }
    assert scales == pytest.approx({"y0_scale": 5.1 / 255, "y1_scale": 6 / 255}, rel=1e-3)


def test_layers_that_do_harm_stay_float(tmp_path: Path) -> None:
    # The third channel is 1,000 times the others, which decide and are lost beside it.
    spread, without = EYE * [[1], [1], [1000]], np.eye(3)[:2]
    plain = np.eye(2)
    layers: list[Layer] = [(EYE, (0, 1e6)), (spread, (0, 1e6)), (without, None), (plain, None)]
    source = write_network(tmp_path / "a.onnx", layers)
    quantiser = Quantiser(source, IMAGES)
    shares = {}
    for share in (0.0, 0.5):
        quantiser.write(tmp_path / "b.onnx", share)
        shares[share] = agreement(source, tmp_path / "b.onnx")
    assert shares[0.0] < 0.6
    assert shares[0.5] > 0.98
    nodes = onnx.load(str(tmp_path / "b.onnx")).graph.node
    floats = {one.name for one in nodes if one.op_type == "Conv" and one.input[1].startswith("w")}
    assert {one.rstrip("_quant") for one in floats if one[4] in "12"} == {"conv1", "conv2"}
