"""8-bit integers: static, per channel, calibrated on training images, kept only where they earn it.

Where the loss of mIoU is above what is allowed, the layers that lose most go back to float, first those
at the two ends of the network, until it fits or too little is left to be worth it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from seglab.deploy.export.draft import FP32, INT8, Draft
from seglab.deploy.export.scoring import Reference, Rescored
from seglab.engine.loop.samples import spread_evenly

_OPERATORS = ("Conv", "MatMul", "Gemm")
# Shares of the layers that stay float, tried one after the other.
FLOAT_SHARES = (0.0, 0.1, 0.25, 0.5)


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Sequence[np.ndarray]) -> None:
        self._rest: Iterator[np.ndarray] = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next input, or None at the end."""
        batch = next(self._rest, None)
        return None if batch is None else {"image": batch}


def quantise(source: Path, target: Path, batches: Sequence[np.ndarray], float_share: float) -> None:
    """Write the network with 8-bit convolutions and products.

    Args:
        source: ONNX in float32.
        target: Where to write.
        batches: Calibration images, raw values float32 `(1, C, H, W)`.
        float_share: Share of the layers left in float, taken from both ends of the network.
    """
    former = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with TemporaryDirectory() as folder:
            prepared = Path(folder) / "prepared.onnx"
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(target),
                _Batches(batches),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                # Seven bits: without VNNI instructions sums of 8-bit products overflow.
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                op_types_to_quantize=list(_OPERATORS),
                nodes_to_exclude=_float_layers(prepared, float_share),
            )
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
    said = ""
    for share in FLOAT_SHARES:
        tell(f"int8, {share:.0%} of the layers in float")
        variants[INT8] = []
        for number, name in enumerate(variants[FP32]):
            own = [batch for net, batch in inputs if net == number]
            smaller = draft.folder / f"{Path(name).stem}.int8.onnx"
            few = spread_evenly(own, options.calibration_images)
            quantise(draft.folder / name, smaller, few, share)
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


def _float_layers(path: Path, share: float) -> list[str]:
    """Return layers at the ends: the last before the first, in turn, as the head is most sensitive."""
    model = onnx.load(str(path))
    names = [node.name for node in model.graph.node if node.op_type in _OPERATORS]
    order = []
    while names:
        order.append(names.pop())
        if names:
            order.append(names.pop(0))
    return order[: round(len(order) * share)]
