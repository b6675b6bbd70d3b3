"""Whether the validation split can give the scores that decide a value, asked before training.

The manifest counts the pixels of each class, so a class that the split lacks is known at once; while
training it would show as NaN, or as IoU 0 in epochs that predict it by mistake.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from omegaconf import DictConfig, OmegaConf

from seglab.core.errors import ConfigError, DataError, nearest
from seglab.data.folds import FoldPlan, fold_manifest
from seglab.data.loading.datamodule import SegDataModule
from seglab.data.manifest import Manifest
from seglab.metrics.names import DICE, MIOU, MIOU_PRESENT, find_score, metric_key, safe_class_names

_PRESENT = metric_key("val", MIOU_PRESENT)
# Their mean takes in a class that the split lacks in those epochs that predict it.
_CHANGING = tuple(metric_key("val", name) for name in (MIOU, DICE))


def require_defined(
    cfg: DictConfig, manifest: Manifest, sample_ids: Sequence[str] | None = None
) -> list[str]:
    """Check that every score that decides has a value on the validation split.

    Args:
        cfg: Configuration of a training, or of a fold.
        manifest: The data as the training sees it.
        sample_ids: The validation images that are scored; None: all of the split.

    Returns:
        What should be known besides: classes that the split lacks, and what that does to the means.

    Raises:
        ConfigError: A score is of a class that is none, or that has no pixel in the split.
        DataError: No pixel of the split has a class, or none of the training split.
    """
    names = safe_class_names(manifest.labels.class_names)
    if not _pixels(manifest, None, "train")[0].any():
        raise DataError(
            f"data set {manifest.name}: no pixel of the training split has a class, so there is nothing to "
            "learn; look at the masks and the label space"
        )
    pixels, where = _pixels(manifest, sample_ids)
    if not pixels.any():
        raise DataError(
            f"data set {manifest.name}: {where} and none of their pixels has a class, so no score of val "
            "can choose the best weights; give val images with labels (the manifest's column `split`, or "
            "the importer's options), or look at the label space: all values may be ignored ones"
        )
    metrics = _deciding(cfg)
    problems = _problems(metrics, names, pixels, where)
    if problems:
        raise ConfigError(problems)
    return _notes(set(metrics.values()), names, pixels)


def require_defined_in_folds(cfg: DictConfig, plan: FoldPlan, manifest: Manifest) -> None:
    """Check that every score that decides has a value on the validation images of each fold.

    Args:
        cfg: Configuration of a cross-validation.
        plan: Its folds.
        manifest: The whole data set.

    Raises:
        ConfigError: A score is of a class that is none, or that a fold lacks; all are named.
        DataError: No validation pixel of a fold has a class; all such folds are named.
    """
    names, metrics = safe_class_names(manifest.labels.class_names), _deciding(cfg)
    problems: list[str] = []
    void = []
    for fold in plan.folds:
        pixels, where = _pixels(fold_manifest(manifest, fold), None)
        if pixels.any():
            found = _problems(metrics, names, pixels, f"fold {fold.name}: {where}")
            problems += [one for one in found if one not in problems]
        else:
            void.append(fold.name)
    if problems:
        raise ConfigError(problems)
    if void:
        raise DataError(
            f"data set {manifest.name}: no validation pixel of fold {', '.join(void)} has a class, so no "
            "score can choose the best weights there; use fewer folds (cv.folds) or another cv, or "
            "leave images without labels out"
        )


def scored_ids(datamodule: SegDataModule, limit: int | None) -> list[str]:
    """Return the validation images that are scored when only so many batches are."""
    ids = datamodule.sample_ids("val")
    if not limit:
        return ids
    batches = datamodule.eval_dataloader("val").batch_sampler
    return [ids[row] for batch in itertools.islice(iter(batches or ()), limit) for row in batch]


def chosen_by(cfg: DictConfig, metrics: Mapping[str, float]) -> str:
    """Return which score chose the best weights, and how it differs from the reported mean IoU."""
    metric = str(cfg.monitor.metric)
    sentence = f"best weights: chosen by {metric} {metrics[metric]:.4f}"
    averaged, present = metrics["val/num_classes_averaged"], metrics["val/num_classes_present"]
    if averaged == present:
        return sentence
    of = f", {metrics[_PRESENT]:.4f}" if metric != _PRESENT else ""
    return (
        f"{sentence}; {_PRESENT}{of} is over the {present:.0f} classes that occur in val, val/miou over "
        f"{averaged:.0f}: also over those that are only predicted, with IoU 0"
    )


def _deciding(cfg: DictConfig) -> dict[str, str]:
    """Return key of the configuration -> score: the monitored one, and a study's objectives."""
    found = {"monitor.metric": str(cfg.monitor.metric)}
    for index, one in enumerate(OmegaConf.select(cfg, "study.objectives") or ()):
        found[f"study.objectives[{index}].metric"] = str(one["metric"])
    return found


def _pixels(
    manifest: Manifest, sample_ids: Sequence[str] | None, split: str = "val"
) -> tuple[np.ndarray, str]:
    """Return the pixels of each class in (some) images of a split, int64 `(C,)`, and words for where."""
    rows = manifest.split(split)
    if sample_ids is not None:
        rows = rows[rows["sample_id"].isin(set(sample_ids))]
    num = manifest.labels.num_classes
    counts = [row[:num] for row in rows["class_pixels"] if row is not None and len(row)]
    return np.sum([np.zeros(num), *counts], axis=0).astype(
        np.int64
    ), f"{split} has {len(rows)} images"


def _problems(
    metrics: Mapping[str, str], names: Sequence[str], pixels: np.ndarray, where: str
) -> list[str]:
    problems = []
    for key, metric in metrics.items():
        kind, _, name = metric.removeprefix("val/").partition("/")
        score = find_score(metric)
        if not name or score is None or not score.per_class:
            continue
        if name not in names:
            problems.append(
                f"{key}: '{metric}' names no class of the data{nearest(name, names)}; classes are "
                + ", ".join(names)
            )
        elif not pixels[names.index(name)]:
            present = [
                f"val/{kind}/{one}" for one, count in zip(names, pixels, strict=True) if count
            ]
            problems.append(
                f"{key}: '{metric}' cannot decide. {where} and no pixel of '{name}': the score is undefined, "
                f"or 0 in epochs that predict the class. Set it to {_PRESENT} or {' or '.join(present)}, "
                f"or bring images with '{name}' into val"
            )
    return problems


def _notes(metrics: set[str], names: Sequence[str], pixels: np.ndarray) -> list[str]:
    lacking = [name for name, count in zip(names, pixels, strict=True) if not count]
    if not lacking:
        return []
    present = f"the {len(names) - len(lacking)} classes that occur there"
    listed = ", ".join(lacking)
    notes = [
        f"warning: val has no pixel of {listed}. {metric} decides, and takes such a class in as 0 in epochs "
        f"that predict it: it jumps for no gain. {_PRESENT} is over {present}, always"
        for metric in _CHANGING
        if metric in metrics
    ]
    if _PRESENT in metrics:
        notes.append(
            f"val has no pixel of {listed}: {_PRESENT}, over {present}, decides; val/miou, the published "
            "mean, takes such a class in as 0 in epochs that predict it"
        )
    return notes
