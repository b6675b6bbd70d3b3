"""How sure a score is, and what a prediction costs: what every run records beside its scores."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict

import pandas as pd
from torch import Tensor, nn

from seglab.core.labels import LabelSpace
from seglab.data.datamodule import SegDataModule
from seglab.data.manifest import Manifest
from seglab.engine.evaluation import EvalResult
from seglab.engine.micro_batch import is_out_of_memory
from seglab.engine.module import SegmentationModule
from seglab.inference.cost import Cost, measure_cost
from seglab.metrics.bootstrap import bootstrap_dice, bootstrap_iou, bootstrap_miou
from seglab.metrics.names import DICE, IOU, MIOU, metric_key, safe_class_names

log = logging.getLogger(__name__)

# One seed for all runs, so that they are compared on the same draws.
_SEED = 0
RESAMPLES = 2000
# With fewer groups an interval over them says more about their number than about the model.
MIN_GROUPS = 10


def units_of(manifest: Manifest, per_image: pd.DataFrame) -> list[str] | None:
    """Return what is drawn as a whole with each scored image; None draws images.

    Frames of one video are not independent, so whole videos should be drawn. With fewer than
    `MIN_GROUPS` of them an interval over groups says more about their number than about the model.
    """
    groups = manifest.groups_of(per_image["sample_id"].tolist())
    return groups if groups is not None and len(set(groups)) >= MIN_GROUPS else None


def intervals_of(result: EvalResult, manifest: Manifest, labels: LabelSpace) -> dict[str, float]:
    """Return the ends of the intervals of a result's scores; see `score_intervals`."""
    groups = units_of(manifest, result.per_image)
    names = safe_class_names(labels.class_names)
    return score_intervals(result.per_image, result.split, names, RESAMPLES, groups)


def score_sentence(metrics: dict[str, float], split: str) -> str:
    """Return the mIoU of a split, with its interval where there is one; why, where it has none."""
    key = metric_key(split, MIOU)
    if math.isnan(metrics[key]):
        return (
            f"{key} undefined: no pixel of {split} has a class, so none of its scores has a value"
        )
    low, high = metrics.get(f"{key}_low", math.nan), metrics.get(f"{key}_high", math.nan)
    interval = "" if math.isnan(low) else f", 95 % interval {low:.4f} to {high:.4f}"
    return f"{key} {metrics[key]:.4f}{interval}"


def score_intervals(
    per_image: pd.DataFrame, split: str, names: tuple[str, ...], resamples: int,
    groups: list[str] | None,
) -> dict[str, float]:  # fmt: skip
    """Return the ends of 95 % bootstrap intervals over images (or groups) of mIoU, Dice and IoU.

    Args:
        per_image: tp, fp and fn a image.
        split: First part of the keys.
        names: Of the classes, as in keys.
        resamples: How many.
        groups: Drawn as wholes; None draws images.
    """
    counts = tuple(per_image[name].tolist() for name in ("tp", "fp", "fn"))
    options = {"resamples": resamples, "seed": _SEED, "groups": groups}
    ends: dict[str, float] = {}
    for name, function in ((MIOU, bootstrap_miou), (DICE, bootstrap_dice)):
        interval = function(*counts, **options)  # type: ignore[arg-type]
        key = metric_key(split, name)
        ends |= {f"{key}_low": float(interval.low), f"{key}_high": float(interval.high)}
    classes = bootstrap_iou(*counts, **options)  # type: ignore[arg-type]
    for index, name in enumerate(names):
        ends[metric_key(split, f"{IOU}_low", name)] = float(classes.low[index])  # type: ignore[index]
        ends[metric_key(split, f"{IOU}_high", name)] = float(classes.high[index])  # type: ignore[index]
    return ends


class _AsScored(nn.Module):
    """The module as a network: predicts as it was scored, with all its models and views."""

    def __init__(self, module: SegmentationModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> Tensor:
        size = (image.shape[-2], image.shape[-1])
        return self.module.evaluator.predict(self.module.model, image, size)


def cost_of(module: SegmentationModule, datamodule: SegDataModule) -> dict[str, float]:
    """Return what predicting one image as large as the data's first costs, as it was scored.

    Returns:
        `cost/params_m`, `cost/gflops`, `cost/latency_ms` and `cost/peak_memory_mb`; all but the first
        are NaN where counting them did not fit into memory.
    """
    # After an evaluation Lightning has moved the module back to the CPU.
    device = module.trainer.strategy.root_device
    net = _AsScored(module.to(device))
    size = datamodule.cache.image_hw(0)
    params = sum(parameter.numel() for parameter in net.parameters()) / 1e6
    cost = Cost(params, math.nan, math.nan, math.nan)
    try:
        with module.trainer.precision_plugin.forward_context():
            cost = measure_cost(net, size, len(module.model.mean), device)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        log.warning("the cost of a prediction was not measured: out of memory")
    return {f"cost/{name}": value for name, value in asdict(cost).items()}
