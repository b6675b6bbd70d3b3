"""What well-known libraries would call mIoU or Dice on the same predictions, and why they differ.

Computed from the counts of a run, so no library is needed and no image is read again. Every rule
whose library is installed is checked against it in the tests; the others are written from the
library's source and say so. All numbers leave void out: how a library without an ignored index
treats void pixels cannot be known from counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seglab.core.errors import DataError, ShapeError
from seglab.metrics.scores import (
    ClassCounts,
    Counts,
    Floats,
    dice_from_counts,
    iou_from_counts,
    mean_defined,
    per_image_scores,
)

IOU, DICE = "iou", "dice"
# The score that belongs into a paper; every other row is compared with that of its kind.
OURS = {IOU: "miou", DICE: "dice"}
_KORNIA_EPS = 1e-6
_NO_VOID = "No ignored index."


@dataclass(frozen=True)
class Convention:
    """One library's number for the same predictions.

    Args:
        name: The call.
        library: Whose convention it is, with the version that was checked.
        score: In [0, 1] or, where absent classes are -1, less; NaN where undefined.
        kind: `iou` or `dice`.
        why: What it averages over and what it does with absent classes.
        checked: Whether seglab's tests compare this with the library itself; False: by definition.
    """

    name: str
    library: str
    score: float
    kind: str
    why: str
    checked: bool


@dataclass(frozen=True)
class _Counts:
    tp: Counts
    fp: Counts
    fn: Counts

    def over_images(self) -> _Counts:
        return _Counts(*(counts.sum(axis=0) for counts in (self.tp, self.fp, self.fn)))

    def over_classes(self) -> _Counts:
        return _Counts(*(counts.sum(axis=-1) for counts in (self.tp, self.fp, self.fn)))

    def score(self, kind: str, absent: float = float("nan")) -> Floats:
        """Return IoU or Dice of every cell, with `absent` in place of 0/0."""
        formula = iou_from_counts if kind == IOU else dice_from_counts
        values = formula(self.tp, self.fp, self.fn)
        return np.where(np.isnan(values), absent, values)


Rule = Callable[[_Counts], float]
VOID_NOTE = (
    "Void is left out of every row; a library without an ignored index counts or refuses such "
    "pixels unless they are taken out before."
)


def explain(per_image: pd.DataFrame | ClassCounts, class_names: Sequence[str]) -> list[Convention]:
    """Return the scores that libraries would give, the highest first, undefined ones last.

    Args:
        per_image: One row per image with `tp`, `fp` and `fn`, each C integers (`per_image.parquet`),
            or arrays `(N, C)` of these names. Void is in none of them.
        class_names: C names; those of absent classes are told.

    Raises:
        DataError: There is no image, or no such counts.
        ShapeError: There is not one name per class.
    """
    counts = _read(per_image)
    if counts.tp.shape[1] != len(class_names):
        raise ShapeError(
            f"expected one name for each of {counts.tp.shape[1]} classes, got {len(class_names)}"
        )
    note = _absent(counts, class_names)
    rows = [
        Convention(name, library, float(rule(counts)), kind, why + (note if tells else ""), checked)
        for name, library, kind, rule, why, checked, tells in _RULES
    ]
    return sorted(rows, key=lambda row: (np.isnan(row.score), -row.score, row.kind != IOU))


def advise(conventions: Sequence[Convention], split: str, num_images: int) -> str:
    """Return one sentence: which of the numbers belongs into a paper, and how to name it."""
    ours = {row.kind: row.score for row in conventions if row.name in OURS.values()}
    return (
        f"Report {split}/miou = {ours[IOU]:.4f}, the mean over classes of one confusion matrix of "
        f"all {num_images} images without void, which is what Cityscapes, VOC, ADE20K and CamVid "
        f"results mean by mIoU (dice = {ours[DICE]:.4f} is its Dice); name any other row by its "
        "averaging, and compare only numbers of the same row."
    )


def _read(per_image: pd.DataFrame | ClassCounts) -> _Counts:
    try:
        parts = [
            np.stack([np.asarray(row, dtype=np.int64) for row in getattr(per_image, name)])
            for name in ("tp", "fp", "fn")
        ]
    except (AttributeError, ValueError) as error:
        raise DataError(
            "expected per-image counts tp, fp and fn, each with one integer per class, of at least "
            f"one image; {error}"
        ) from error
    if parts[0].ndim != 2 or len({part.shape for part in parts}) != 1:
        shapes = ", ".join(str(part.shape) for part in parts)
        raise DataError(f"expected tp, fp and fn of one shape (N, C), got {shapes}")
    return _Counts(*parts)


def _absent(counts: _Counts, class_names: Sequence[str]) -> str:
    seen = counts.over_images()
    absent = seen.tp + seen.fp + seen.fn == 0
    names = [name for name, missing in zip(class_names, absent, strict=True) if missing]
    return f" Here {len(names)} of {len(class_names)}: {', '.join(names)}." if names else ""


def _dataset(kind: str, absent: float = float("nan")) -> Rule:
    return lambda counts: mean_defined(counts.over_images().score(kind, absent))


def _pooled(kind: str) -> Rule:
    return lambda counts: float(counts.over_images().over_classes().score(kind))


def _imagewise(kind: str, absent: float = float("nan")) -> Rule:
    """Mean over classes in each image, then over images."""
    return lambda counts: mean_defined(_row_means(counts.score(kind, absent)))


def _imagewise_pooled(kind: str, absent: float) -> Rule:
    return lambda counts: mean_defined(counts.over_classes().score(kind, absent))


def _pairs(kind: str) -> Rule:
    return lambda counts: mean_defined(counts.score(kind))


def _classes_of_image_means(counts: _Counts) -> float:
    means = _row_means(counts.score(IOU).T)
    return float(np.where(np.isnan(means), -1.0, means).mean())


def _present_in_image(kind: str) -> Rule:
    def rule(counts: _Counts) -> float:
        present = counts.tp + counts.fn > 0
        return mean_defined(_row_means(np.where(present, counts.score(kind), np.nan)))

    return rule


def _present_in_dataset(counts: _Counts) -> float:
    total = counts.over_images()
    return mean_defined(total.score(IOU)[total.tp + total.fn > 0])


def _kornia(counts: _Counts) -> float:
    union = counts.tp + counts.fp + counts.fn
    return float(((counts.tp + _KORNIA_EPS) / (union + _KORNIA_EPS)).mean())


def _per_image(kind: str) -> Rule:
    return lambda counts: mean_defined(per_image_scores(counts)[kind == DICE])


def _row_means(values: Floats) -> Floats:
    return np.array([mean_defined(row) for row in values])


_TORCHMETRICS = "torchmetrics 1.9"
_SMP = "SMP 0.6"
_SKLEARN = "scikit-learn 1.9"
_MONAI = "MONAI (by definition, not run)"
_MMSEG = "mmsegmentation (by definition, not run)"
_YOLO = "Ultralytics (by definition, not run)"

# name, library, kind, rule, why, checked against the library, absent classes matter
_RULES: tuple[tuple[str, str, str, Rule, str, bool, bool], ...] = (
    (
        "miou",
        "seglab",
        IOU,
        _dataset(IOU),
        "One confusion matrix of the split; mean over classes; a class absent from target and "
        "prediction is left out.",
        True,
        True,
    ),
    (
        "MulticlassJaccardIndex(average='macro')",
        _TORCHMETRICS,
        IOU,
        _dataset(IOU),
        "The same as seglab's miou.",
        True,
        False,
    ),
    (
        "MulticlassJaccardIndex(average='none').mean()",
        _TORCHMETRICS,
        IOU,
        _dataset(IOU, 0.0),
        "One confusion matrix, but an absent class is 0 and averaged.",
        True,
        True,
    ),
    (
        "MulticlassJaccardIndex(average='micro')",
        _TORCHMETRICS,
        IOU,
        _pooled(IOU),
        "Pixels of all classes pooled: large classes decide.",
        True,
        False,
    ),
    (
        "MeanIoU()",
        _TORCHMETRICS,
        IOU,
        _pairs(IOU),
        "Mean over all pairs of image and class that occur; a single wrong pixel of an absent class "
        "is a pair of 0. " + _NO_VOID,
        True,
        False,
    ),
    (
        "MeanIoU(per_class=True).mean()",
        _TORCHMETRICS,
        IOU,
        _classes_of_image_means,
        "Mean over images per class, then over classes; a class that never occurs is -1 and averaged. "
        + _NO_VOID,
        True,
        True,
    ),
    (
        "DiceScore()",
        _TORCHMETRICS,
        DICE,
        _imagewise(DICE),
        "Per image: mean Dice over the classes that occur in it, then over images (since 1.9; before, "
        "pixels were pooled). " + _NO_VOID,
        True,
        False,
    ),
    (
        "DiceScore(average='micro')",
        _TORCHMETRICS,
        DICE,
        _imagewise_pooled(DICE, float("nan")),
        "Per image, pixels of all classes pooled: pixel accuracy; the default before 1.9. "
        + _NO_VOID,
        True,
        False,
    ),
    (
        "DiceScore(aggregation_level='global')",
        _TORCHMETRICS,
        DICE,
        _dataset(DICE),
        "One sum over the split; the same as seglab's dice. " + _NO_VOID,
        True,
        False,
    ),
    (
        "iou_score(reduction='micro')",
        _SMP,
        IOU,
        _pooled(IOU),
        "Pixels of all classes pooled: large classes decide.",
        True,
        False,
    ),
    (
        "iou_score(reduction='macro')",
        _SMP,
        IOU,
        _dataset(IOU, 1.0),
        "One sum over the images given; an absent class is 1 and averaged.",
        True,
        True,
    ),
    (
        "iou_score(reduction='micro-imagewise')",
        _SMP,
        IOU,
        _imagewise_pooled(IOU, 1.0),
        "Per image, pixels of all classes pooled; an image that is all void is 1.",
        True,
        False,
    ),
    (
        "iou_score(reduction='macro-imagewise')",
        _SMP,
        IOU,
        _imagewise(IOU, 1.0),
        "Per image; a class absent from an image is 1 there, so rare classes look easy.",
        True,
        False,
    ),
    (
        "f1_score(reduction='macro')",
        _SMP,
        DICE,
        _dataset(DICE, 1.0),
        "One sum over the images given; an absent class is 1 and averaged.",
        True,
        True,
    ),
    (
        "f1_score(reduction='micro')",
        _SMP,
        DICE,
        _pooled(DICE),
        "Pixels of all classes pooled: pixel accuracy.",
        True,
        False,
    ),
    (
        "mean_iou().mean()",
        "kornia 0.9",
        IOU,
        _kornia,
        "Per image; its epsilon makes a class absent from an image 1. " + _NO_VOID,
        True,
        False,
    ),
    (
        "jaccard_score(average='macro')",
        _SKLEARN,
        IOU,
        _dataset(IOU),
        "All pixels at once; mean over the labels that occur, so the same as seglab's miou. "
        + _NO_VOID,
        True,
        False,
    ),
    (
        "jaccard_score(average='macro', labels=range(C))",
        _SKLEARN,
        IOU,
        _dataset(IOU, 0.0),
        "All pixels at once; an absent class is 0 and averaged. " + _NO_VOID,
        True,
        True,
    ),
    (
        "MeanIoU()",
        _MONAI,
        IOU,
        _present_in_image(IOU),
        "Per image: mean over the classes in its target, then over images; a class only predicted "
        "does not count. " + _NO_VOID,
        False,
        False,
    ),
    (
        "DiceMetric()",
        _MONAI,
        DICE,
        _present_in_image(DICE),
        "Per image: mean over the classes in its target, then over images; a class only predicted "
        "does not count. " + _NO_VOID,
        False,
        False,
    ),
    (
        "IoUMetric mIoU",
        _MMSEG,
        IOU,
        _dataset(IOU),
        "One sum over the split, nanmean over classes: the same as seglab's miou, printed in percent.",
        False,
        False,
    ),
    (
        "IoUMetric mDice",
        _MMSEG,
        DICE,
        _dataset(DICE),
        "One sum over the split, nanmean over classes: the same as seglab's dice, printed in percent.",
        False,
        False,
    ),
    (
        "SemanticMetrics.miou",
        _YOLO,
        IOU,
        _present_in_dataset,
        "One confusion matrix; mean over the classes in the target; a class only predicted does not "
        "count.",
        False,
        False,
    ),
    (
        "dice",
        "seglab",
        DICE,
        _dataset(DICE),
        "One confusion matrix of the split; mean over classes; a class absent from target and "
        "prediction is left out.",
        True,
        True,
    ),
    (
        "miou_per_image",
        "seglab",
        IOU,
        _per_image(IOU),
        "Per image: mean over the classes that occur in it, then over images: for paired tests and "
        "worst cases.",
        True,
        False,
    ),
    (
        "dice_per_image",
        "seglab",
        DICE,
        _per_image(DICE),
        "Per image: mean over the classes that occur in it, then over images: for paired tests and "
        "worst cases.",
        True,
        False,
    ),
)
