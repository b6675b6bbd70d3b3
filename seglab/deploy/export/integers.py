"""8-bit integers: static, per channel, calibrated on training images, kept only where they earn it.

Where the loss of mIoU is above what is allowed, the layers that turn most pixels over go back to float,
until it fits or too little is left to be worth it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData, create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from seglab.deploy.export.draft import FP32, INT8, Draft
from seglab.deploy.export.scoring import Reference, Rescored
from seglab.engine.loop.samples import spread_evenly

_LAYERS = ("Conv", "MatMul", "Gemm")
# A layer and its activation are one: else the range of what the activation cuts off would be covered too.
_ACTIVATIONS = ("Relu", "Clip")
# What lies between layers and would otherwise turn integers into floats and back.
_BETWEEN = ("Add", "Concat", "Resize", "MaxPool")
_OPERATORS = [*_LAYERS, *_ACTIVATIONS, *_BETWEEN]
# Shares of the layers that stay float, tried one after the other.
FLOAT_SHARES = (0.0, 0.1, 0.25, 0.5)
# Images by which layers are ranked.
_RANKED_BY = 4


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Sequence[np.ndarray]) -> None:
        self._rest: Iterator[np.ndarray] = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next input, or None at the end."""
        batch = next(self._rest, None)
        return None if batch is None else {"image": batch}


class Quantiser:
    """Writes a network with some or all of its layers in 8-bit integers.

    Args:
        source: ONNX in float32.
        batches: Calibration images, raw values float32 `(1, C, H, W)`.
    """

    def __init__(self, source: Path, batches: Sequence[np.ndarray]) -> None:
        self._few = spread_evenly(batches, _RANKED_BY)
        with TemporaryDirectory() as folder, _quiet():
            prepared = Path(folder) / "prepared.onnx"
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            self._model = onnx.load(str(prepared))
            calibrator = create_calibrator(
                prepared, _OPERATORS, str(Path(folder) / "augmented.onnx"), CalibrationMethod.MinMax
            )
            calibrator.collect_data(_Batches(batches))
            self._ranges: TensorsData = calibrator.compute_data()
        self._ranked: list[str] | None = None

    def write(self, target: Path, float_share: float) -> None:
        """Write the network; a share of its layers, those that turn most pixels over, stays float."""
        kept: list[str] = []
        if float_share:
            ranked = self._by_harm()
            kept = ranked[: round(len(ranked) * float_share)]
        onnx.save(self._quantised(exclude=kept), str(target))

    def _by_harm(self) -> list[str]:
        """Return the layers, first the one that alone in integers turns most pixels over."""
        if self._ranked is None:
            before = self._masks(self._model)
            followed: dict[str, list[str]] = {}
            for node in self._model.graph.node:
                if node.op_type in _ACTIVATIONS:
                    followed.setdefault(node.input[0], []).append(node.name)
            turned = {}
            for node in self._model.graph.node:
                if node.op_type in _LAYERS:
                    alone = [node.name, *followed.get(node.output[0], [])]
                    after = self._masks(self._quantised(only=alone))
                    turned[node.name] = sum(
                        int((one != other).sum()) for one, other in zip(before, after, strict=True)
                    )
            self._ranked = sorted(turned, key=lambda name: -turned[name])
        return self._ranked

    def _masks(self, model: onnx.ModelProto) -> list[np.ndarray]:
        session = ort.InferenceSession(model.SerializeToString())
        return [session.run(["logits"], {"image": one})[0].argmax(1) for one in self._few]

    def _quantised(self, only: Sequence[str] = (), exclude: Sequence[str] = ()) -> onnx.ModelProto:
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        quantiser = QDQQuantizer(
            model,
            per_channel=True,
            # Seven bits: without VNNI instructions sums of 8-bit products overflow.
            reduce_range=True,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=list(only),
            nodes_to_exclude=list(exclude),
            op_types_to_quantize=_OPERATORS,
            extra_options={},
        )
        with _quiet():
            quantiser.quantize_model()
        found: onnx.ModelProto = quantiser.model.model
        return found


@contextmanager
def _quiet() -> Iterator[None]:
    former = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(former)


def try_int8(
    draft: Draft, reference: Reference, scored: Rescored, tell: Callable[[str], None]
) -> tuple[str, Rescored | None]:
    """Add the variant int8 where it is good and fast enough.

    Args:
        draft: The bundle.
        reference: The split to score it on.
        scored: How float32 did there.
        tell: Told what is at work.

    Returns:
        What came of it in words; and how it scores, where it was kept.
    """
    options, variants = draft.options, draft.info["variants"]
    if not options.int8:
        return "int8 was not asked for.", None
    sources = spread_evenly(draft.run.sources("train"), options.calibration_images)
    if not sources:
        return "int8: no labelled training images to calibrate on.", None
    inputs = draft.network_inputs(sources)
    tell("int8: ranges of the values within the network")
    quantisers = []
    for number, name in enumerate(variants[FP32]):
        own = [batch for net, batch in inputs if net == number]
        few = spread_evenly(own, options.calibration_images)
        quantisers.append(Quantiser(draft.folder / name, few))
    said = ""
    for share in FLOAT_SHARES:
        tell(f"int8, {share:.0%} of the layers in float")
        variants[INT8] = []
        for quantiser, name in zip(quantisers, variants[FP32], strict=True):
            smaller = draft.folder / f"{Path(name).stem}.int8.onnx"
            quantiser.write(smaller, share)
            variants[INT8].append(smaller.name)
        found = draft.score(INT8, reference, tell)
        fast, slow = (float(np.median(one.latency_ms)) for one in (found, scored))
        said = (
            f"int8 with {share:.0%} of the layers in float: mIoU {found.difference.value:+.4f}, "
            f"{slow / fast:.2f} times as fast as fp32 here"
        )
        loss = -found.difference.value
        if fast < slow and loss <= options.max_miou_drop:
            return f"{said}: kept.", found
        for name in variants.pop(INT8):
            (draft.folder / name).unlink()
        if fast >= slow:
            return f"{said}: not faster, so it was not kept.", None
    return f"{said}: loses too much, so it was not kept.", None
