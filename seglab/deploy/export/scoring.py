"""The holdout scored again through the bundle, from the files' bytes, beside the run's own evaluation.

References:
    Guo et al. (2017): https://arxiv.org/abs/1706.04599
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from seglab.bundle.loader import Bundle
from seglab.data.loading.decoding import SourceFiles
from seglab.deploy.export.trained import TrainedRun
from seglab.engine.loop.samples import spread_evenly
from seglab.metrics.confidence.calibration import fit_temperature
from seglab.metrics.confusion import mask_confusion
from seglab.metrics.jackknife import (
    Estimate,
    difference_interval,
    independent_groups,
    score_interval,
)
from seglab.metrics.pooled import pooled_dice, pooled_iou
from seglab.metrics.scores import class_counts

_PIXELS_AN_IMAGE = 2_000
_IMAGES_FOR_TEMPERATURE = 32
_LOGIT_IMAGES = 4


@dataclass
class Counts:
    """tp, fp and fn of images, each int64 `(N, C)`."""

    rows: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def add(self, mask: np.ndarray, target: np.ndarray, num_classes: int, ignore: int) -> None:
        """Count one image."""
        self.rows.append(class_counts(mask_confusion(mask, target, num_classes, ignore)))

    @property
    def tp(self) -> np.ndarray:
        """Pixels of the class predicted as the class."""
        return np.stack([row[0] for row in self.rows])

    @property
    def fp(self) -> np.ndarray:
        """Pixels of other classes predicted as the class."""
        return np.stack([row[1] for row in self.rows])

    @property
    def fn(self) -> np.ndarray:
        """Pixels of the class predicted as another class."""
        return np.stack([row[2] for row in self.rows])


@dataclass(frozen=True)
class Reference:
    """What the run itself predicts of a split.

    Attributes:
        split: Name of the split.
        sources: Its labelled samples.
        targets: Their masks.
        masks: The run's predictions, uint8 `(H, W)` each.
        counts: How they score.
        groups: Units of the intervals; None: images.
    """

    split: str
    sources: list[SourceFiles]
    targets: list[np.ndarray]
    masks: list[np.ndarray]
    counts: Counts
    groups: list[str] | None

    def some(self, most: int) -> Reference:
        """Return so many of the samples at most, evenly spread over all."""
        kept = spread_evenly(range(len(self.sources)), most)
        counts = Counts([self.counts.rows[index] for index in kept])
        return Reference(
            self.split,
            [self.sources[index] for index in kept],
            [self.targets[index] for index in kept],
            [self.masks[index] for index in kept],
            counts,
            None if self.groups is None else [self.groups[index] for index in kept],
        )


@dataclass(frozen=True)
class Rescored:
    """A bundle held against its run on a split.

    Attributes:
        difference: mIoU of the bundle minus that of the run, paired by image.
        miou: Of the bundle.
        agreement: Share of pixels with the class that the run gives them.
        largest_logit_difference: On a few real images.
        latency_ms: Of each image, decoding included.
        counts: How the bundle scores.
    """

    difference: Estimate
    miou: Estimate
    agreement: float
    largest_logit_difference: float
    latency_ms: np.ndarray
    counts: Counts

    def to_dict(self) -> dict[str, Any]:
        """Return plain content for `bundle.json`."""
        p50, p95 = np.percentile(self.latency_ms, [50, 95])
        return {
            "miou": _number(self.miou.value),
            "miou_interval": [_number(self.miou.low), _number(self.miou.high)],
            "miou_difference": _number(self.difference.value),
            "miou_difference_interval": [
                _number(self.difference.low),
                _number(self.difference.high),
            ],
            "mask_agreement": round(self.agreement, 6),
            "largest_logit_difference": self.largest_logit_difference,
            "latency_ms_p50": round(float(p50), 2),
            "latency_ms_p95": round(float(p95), 2),
        }


def choose_split(run: TrainedRun, wanted: str) -> str:
    """Return the split to score: the one that was asked for, else test where it is labelled, else val."""
    if wanted != "auto":
        return wanted
    return "test" if run.sources("test") else "val"


def predict_by_run(run: TrainedRun, split: str, tell: Callable[[str], None]) -> Reference:
    """Predict a split as the run's evaluation does."""
    labels, sources = run.manifest.labels, run.sources(split)
    targets, masks, counts = [], [], Counts()
    for number, source in enumerate(sources, 1):
        target = run.mask(source)
        size = (target.shape[0], target.shape[1])
        mask = run.logits(source, size).argmax(0).to(torch.uint8).numpy()
        counts.add(mask, target, labels.num_classes, labels.ignore_index)
        targets.append(target)
        masks.append(mask)
        tell(f"{split} by the run: {number} of {len(sources)}")
    groups = run.manifest.groups_of([one.sample_id for one in sources])
    if independent_groups(groups) is None:
        groups = None
    return Reference(split, sources, targets, masks, counts, groups)


def rescore(
    run: TrainedRun, bundle: Bundle, reference: Reference, tell: Callable[[str], None]
) -> Rescored:
    """Predict the same files through the bundle, and hold both against the masks."""
    labels, counts = run.manifest.labels, Counts()
    same = total = 0
    times, largest = [], 0.0
    for number, (source, target, mask) in enumerate(
        zip(reference.sources, reference.targets, reference.masks, strict=True), 1
    ):
        content = source.image.read_bytes()
        started = time.perf_counter()
        found = bundle.predict(bundle.decode(content))
        times.append((time.perf_counter() - started) * 1e3)
        if found.mask.shape != target.shape:
            # Masks of another size than their image are scored at their own.
            found = found._replace(mask=nearest_mask(found.mask, target.shape))
        counts.add(found.mask, target, labels.num_classes, labels.ignore_index)
        same += int((found.mask == mask).sum())
        total += mask.size
        if number <= _LOGIT_IMAGES and found.probabilities.shape[1:] == target.shape:
            largest = max(largest, _logit_difference(run, bundle, source, found.probabilities))
        tell(f"{reference.split} through the bundle: {number} of {len(reference.sources)}")
    return Rescored(
        difference_interval(counts, reference.counts, groups=reference.groups),
        score_interval(counts, groups=reference.groups),
        same / max(1, total),
        largest,
        np.array(times),
        counts,
    )


def _logit_difference(
    run: TrainedRun, bundle: Bundle, source: SourceFiles, probabilities: np.ndarray
) -> float:
    """Return the largest difference of log-probabilities, which are logits up to a constant a pixel.

    Only of classes that are not all but impossible: their logarithm is what float32 rounds to 0.
    """
    height, width = probabilities.shape[1:]
    logits = run.logits(source, (height, width))
    wanted = (logits / bundle.info["temperature"]).log_softmax(0).numpy()
    seen = probabilities > 1e-4
    off: np.ndarray = np.abs(np.log(np.maximum(probabilities, 1e-30)) - wanted)[seen]
    return float(off.max())


def fit_run_temperature(run: TrainedRun) -> float | None:
    """Return the temperature fitted on the validation split (Guo et al., 2017); None without one."""
    sources = run.sources("val")
    if not sources:
        return None
    rng = np.random.default_rng(0)
    logits, targets = [], []
    for source in spread_evenly(sources, _IMAGES_FOR_TEMPERATURE):
        target = torch.from_numpy(run.mask(source))
        flat = run.logits(source, (target.shape[0], target.shape[1])).flatten(1).T
        valid = np.flatnonzero(target.flatten().numpy() != run.manifest.labels.ignore_index)
        if len(valid):
            drawn = rng.choice(valid, min(_PIXELS_AN_IMAGE, len(valid)), replace=False)
            logits.append(flat[drawn])
            targets.append(target.flatten()[drawn].long())
    return fit_temperature(torch.cat(logits), torch.cat(targets)) if logits else None


def scores_of(
    counts: Counts, class_names: Sequence[str], groups: Sequence[str] | None
) -> dict[str, Any]:
    """Return mIoU, Dice and each class's IoU with intervals, for `bundle.json` and the card."""
    miou = score_interval(counts, groups=groups)
    dice = score_interval(counts, pooled_dice, groups=groups)
    tp, union = counts.tp.sum(0), (counts.tp + counts.fp + counts.fn).sum(0)
    classes = pooled_iou(tp.astype(float), union.astype(float))
    return {
        "miou": _number(miou.value),
        "miou_interval": [_number(miou.low), _number(miou.high)],
        "dice": _number(dice.value),
        "dice_interval": [_number(dice.low), _number(dice.high)],
        "iou": {name: _number(value) for name, value in zip(class_names, classes, strict=True)},
    }


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def nearest_mask(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return a mask `(H, W)` at another size, by the nearest pixel."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[rows][:, columns]
