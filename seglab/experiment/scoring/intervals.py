"""How sure a score is, and what a prediction costs: what every run records beside its scores."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict

import pandas as pd
from torch import Tensor, nn

from seglab.analysis.learning.gap import counts_of
from seglab.analysis.tables import interval_cell
from seglab.core.labels import LabelSpace
from seglab.core.sample_size import MIN_UNITS, TOO_FEW_IMAGES
from seglab.data.datamodule import SegDataModule
from seglab.data.manifest import Manifest
from seglab.engine.step.evaluation import EvalResult
from seglab.engine.step.micro_batch import is_out_of_memory
from seglab.engine.step.module import SegmentationModule
from seglab.inference.cost import Cost, measure_cost
from seglab.metrics.jackknife import independent_groups, score_interval
from seglab.metrics.names import (
    INTERVAL_GROUPS,
    INTERVAL_UNITS,
    MIOU,
    declared_scores,
    metric_key,
    safe_class_names,
)
from seglab.metrics.pooled import Statistic

log = logging.getLogger(__name__)


def units_of(manifest: Manifest, per_image: pd.DataFrame) -> list[str] | None:
    """Return the group of each scored image where groups are the units; None: images are.

    See `independent_groups`.
    """
    groups = manifest.groups_of(per_image["sample_id"].tolist())
    return groups if independent_groups(groups) is not None else None


def intervals_of(result: EvalResult, manifest: Manifest, labels: LabelSpace) -> dict[str, float]:
    """Return the ends of the 95 % intervals of a result's mIoU, Dice and IoU, as metrics.

    Over images, or over groups of them where there are enough; `score_interval` makes them all.

    Returns:
        `{split}/miou_low`, `{split}/miou_high` and so on, `{split}/iou_low/{class}`; NaN with too few
        images to tell. `{split}/interval_units` says of how many images or groups they are, and
        `{split}/interval_groups`, only where groups were too few to be the units, of how many groups
        the images come.
    """
    split, per_image = result.split, result.per_image
    counts, units = counts_of(per_image), units_of(manifest, per_image)
    statistics: list[tuple[str, str | None, Statistic]] = []
    for score in (score for score in declared_scores("always") if score.pooled):
        made = score.load(score.pooled)
        if score.only_of_classes:
            names = safe_class_names(labels.class_names)
            statistics += [(score.name, name, made(place)) for place, name in enumerate(names)]
        else:
            statistics.append((score.name, None, made))
    ends: dict[str, float] = {}
    for metric, class_name, statistic in statistics:
        one = score_interval(counts, statistic, groups=units)
        ends[metric_key(split, f"{metric}_low", class_name)] = one.low
        ends[metric_key(split, f"{metric}_high", class_name)] = one.high
        ends.setdefault(metric_key(split, INTERVAL_UNITS), one.units)
    groups = manifest.groups_of(per_image["sample_id"].tolist())
    if groups is not None and units is None:
        ends[metric_key(split, INTERVAL_GROUPS)] = len(set(groups))
    return ends


def score_sentence(metrics: Mapping[str, float], split: str) -> str:
    """Return the mIoU of a split with its interval, or why there is none."""
    key = metric_key(split, MIOU)
    if math.isnan(metrics[key]):
        return (
            f"{key} undefined: no pixel of {split} has a class, so none of its scores has a value"
        )
    sentence = f"{key} {metrics[key]:.4f}"
    if f"{key}_low" not in metrics:
        return sentence
    units = metrics.get(metric_key(split, INTERVAL_UNITS), math.nan)
    if math.isnan(metrics[f"{key}_low"]):
        return f"{sentence}, {TOO_FEW_IMAGES} an interval ({units:.0f}; it takes {MIN_UNITS})"
    sentence += f", 95 % interval {interval_cell(metrics[f'{key}_low'], metrics[f'{key}_high'], 4)}"
    groups = metrics.get(metric_key(split, INTERVAL_GROUPS))
    if groups is not None:
        sentence += (
            f", which may be too narrow: the {units:.0f} images come from {groups:.0f} "
            f"group{'s' if groups > 1 else ''} (videos, patients)"
        )
    return sentence


def interval_words(metrics: Mapping[str, float], splits: Iterable[str]) -> dict[str, str]:
    """Return `{split}/miou_interval` -> the interval in words, of the splits that have one."""
    keys = {split: metric_key(split, MIOU) for split in splits}
    return {
        f"{key}_interval": score_sentence(metrics, split).partition(", ")[2]
        for split, key in keys.items()
        if f"{key}_low" in metrics and not math.isnan(metrics[key])
    }


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
