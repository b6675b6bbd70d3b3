"""A bundle of one small convolution, made in milliseconds: for tests of what stands on bundles."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from seglab.bundle.loader import Bundle, read_files
from seglab.bundle.sealing import seal

CLASSES = ("sky", "road", "car")
PALETTE = ((70, 130, 180), (128, 64, 128), (0, 0, 142))


def tiny_weights(channels: int = 3, classes: int = 3, kernel: int = 1) -> np.ndarray:
    """Return the convolution's weights, float32 `(classes, channels, kernel, kernel)`."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(classes, channels, kernel, kernel)) / 64 / kernel).astype(np.float32)


def tiny_model(weights: np.ndarray) -> bytes:
    """Return an ONNX model: the convolution gives the logits, the channels' means the features."""
    kernel = weights.shape[-1]
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["logits"], pads=[kernel // 2] * 4),
        helper.make_node("ReduceMean", ["image", "axes"], ["features"], keepdims=0),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", None, "h", "w"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", None, "h", "w"])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", None])
    held = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
    ]
    graph = helper.make_graph(nodes, "tiny", [image], [logits, features], held)
    opset = [helper.make_opsetid("", 18)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def tiny_info(**changes: Any) -> dict[str, Any]:
    """Return the content of a bundle.json; `input`, `predict` and the rest may be changed in part."""
    accepts = {"channels": 3, "bands": None, "mean": [0.0] * 3, "std": [1.0] * 3}
    accepts |= {"size_divisor": 1, "min_size": 1, "image_size": None, "max_pixels": 100_000_000}
    info: dict[str, Any] = {
        "name": "tiny",
        "run_id": "20261127-080000-abcdef",
        "created": "2026-11-27T08:00:00+00:00",
        "licence": "CC0-1.0",
        "labels": {
            "class_names": list(CLASSES),
            "palette": [list(colour) for colour in PALETTE],
            "ignore_index": 255,
        },
        "input": accepts,
        "predict": {"window": None, "overlap": 0.5, "flips": [], "scales": [1.0]},
        "temperature": 1.0,
        "variant": "fp32",
        "variants": {"fp32": ["model.onnx"]},
        "scores": {},
        "data": {"name": "none", "fingerprint": "", "split": "val", "images": 0},
        "versions": {},
        "golden": [],
    }
    for key, value in changes.items():
        info[key] = {**info[key], **value} if isinstance(info.get(key), dict) else value
    return info


def write_tiny_bundle(
    folder: Path, weights: np.ndarray | None = None, golden: bool = True, **changes: Any
) -> Path:
    """Write a sealed bundle with one golden image, and return its folder."""
    (folder / "golden").mkdir(parents=True)
    info = tiny_info(**changes)
    kernel = tiny_weights(info["input"]["channels"]) if weights is None else weights
    (folder / "model.onnx").write_bytes(tiny_model(kernel))
    if golden:
        pixels = np.random.default_rng(1).integers(0, 256, (9, 13, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "golden" / "0.png")
        seal(folder, info)
        bundle = Bundle(read_files(folder), None, 1)
        found = bundle.predict(bundle.decode((folder / "golden" / "0.png").read_bytes()))
        held = io.BytesIO()
        np.savez_compressed(held, fp32=found.probabilities.astype(np.float16))
        (folder / "golden" / "0.npz").write_bytes(held.getvalue())
        entry = {"image": "golden/0.png", "expected": "golden/0.npz", "tolerance": 0.002}
        info = {**info, "golden": [entry]}
    seal(folder, info)
    return folder
