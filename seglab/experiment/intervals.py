"""How sure a score is, and what a prediction costs: what every run records beside its scores."""

from __future__ import annotations

import math

import pandas as pd

from seglab.core.labels import LabelSpace
from seglab.data.datamodule import SegDataModule
from seglab.data.manifest import Manifest
from seglab.engine.evaluation import EvalResult
from seglab.engine.module import SegmentationModule
from seglab.inference.cost import measure_cost
from seglab.metrics.bootstrap import bootstrap_dice, bootstrap_iou, bootstrap_miou
from seglab.metrics.names import DICE, IOU, MIOU, metric_key, safe_class_names

# One seed for all runs, so that they are compared on the same draws.
_SEED = 0
RESAMPLES = 2000
# With fewer groups an interval over them says more about their number than about the model.
_MIN_GROUPS = 10


def groups_of(manifest: Manifest, per_image: pd.DataFrame) -> list[str] | None:
    """Return the group of each scored image; None where groups are too few to be drawn.

    Frames of one video are not independent, so whole videos should be drawn. With fewer
    than `_MIN_GROUPS` of them an interval over groups says more about their number than about the model.
    """
    groups = manifest.table.set_index("sample_id").loc[per_image["sample_id"], "group"].tolist()
    known = {group for group in groups if group is not None}
    enough = len(known) >= _MIN_GROUPS and None not in groups
    return [str(group) for group in groups] if enough else None


def intervals_of(result: EvalResult, manifest: Manifest, labels: LabelSpace) -> dict[str, float]:
    """Return the ends of the intervals of a result's scores; see `score_intervals`."""
    groups = groups_of(manifest, result.per_image)
    names = safe_class_names(labels.class_names)
    return score_intervals(result.per_image, result.split, names, RESAMPLES, groups)


def score_sentence(metrics: dict[str, float], split: str) -> str:
    """Return the mIoU of a split, with its interval where there is one."""
    key = metric_key(split, MIOU)
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


def cost_of(module: SegmentationModule, datamodule: SegDataModule) -> dict[str, float]:
    """Return parameters, GFLOPs and latency of one image as large as the data's first, padded."""
    model = module.model
    height, width = datamodule.cache.image_hw(0)
    divisor, least = model.size_divisor, model.min_size
    size = tuple(-(-max(side, least) // divisor) * divisor for side in (height, width))
    # After an evaluation Lightning has moved the module back to the CPU.
    device = module.trainer.strategy.root_device
    module.to(device)
    with module.trainer.precision_plugin.forward_context():
        cost = measure_cost(model, (size[0], size[1]), len(model.mean), device)
    return {
        "cost/params_m": cost.params_m, "cost/gflops": cost.gflops,
        "cost/latency_ms": cost.latency_ms, "cost/peak_memory_mb": cost.peak_memory_mb,
    }  # fmt: skip
