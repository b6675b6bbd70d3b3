"""Scores: pure functions of integer counts, in float64 on the CPU.

One rule for the undefined: 0/0 is NaN, and a NaN is left out of means, never replaced by 0, 1, -1
or an epsilon. How many classes a mean covers is a number of its own. Counts are summed over the
data first and divided once, so neither the batch size nor the order of images changes a score.

References:
    Long et al. (2015): https://arxiv.org/abs/1411.4038
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from seglab.core.errors import ShapeError
from seglab.metrics import names

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
CountsLike = Tensor | npt.ArrayLike


class ClassCounts(Protocol):
    """Anything with tp, fp and fn, each int64 `(N, C)`: one row per image."""

    @property
    def tp(self) -> Counts:
        """Pixels of the class predicted as the class."""
        ...

    @property
    def fp(self) -> Counts:
        """Pixels of other classes predicted as the class."""
        ...

    @property
    def fn(self) -> Counts:
        """Pixels of the class predicted as another class."""
        ...


def class_counts(confusion: CountsLike) -> tuple[Counts, Counts, Counts]:
    """Return tp, fp and fn a class, each int64 `(..., C)`.

    Args:
        confusion: Integers `(..., C, C)`, rows = target, columns = prediction.

    Raises:
        ShapeError: The last two dimensions differ, or entries are not non-negative integers.
    """
    matrix = _as_counts(confusion)
    tp = np.diagonal(matrix, axis1=-2, axis2=-1)
    return tp.copy(), matrix.sum(-2) - tp, matrix.sum(-1) - tp


def iou_from_counts(tp: CountsLike, fp: CountsLike, fn: CountsLike) -> Floats:
    """Return intersection over union, tp / (tp + fp + fn), of any shape; NaN where 0/0."""
    tp, fp, fn = (_as_integers(counts) for counts in (tp, fp, fn))
    return divide(tp, tp + fp + fn)


def dice_from_counts(tp: CountsLike, fp: CountsLike, fn: CountsLike) -> Floats:
    """Return Dice (F1), 2 tp / (2 tp + fp + fn), of any shape; NaN where 0/0."""
    tp, fp, fn = (_as_integers(counts) for counts in (tp, fp, fn))
    return divide(2 * tp, 2 * tp + fp + fn)


def iou_per_class(confusion: CountsLike) -> Floats:
    """Return IoU `(..., C)` in [0, 1]; NaN for a class absent from target and prediction."""
    return iou_from_counts(*class_counts(confusion))


def dice_per_class(confusion: CountsLike) -> Floats:
    """Return Dice `(..., C)` in [0, 1]; NaN for a class absent from target and prediction."""
    return dice_from_counts(*class_counts(confusion))


def recall_per_class(confusion: CountsLike) -> Floats:
    """Return the share of each class's pixels that were found, `(..., C)`; NaN if it has none."""
    tp, _, fn = class_counts(confusion)
    return divide(tp, tp + fn)


def precision_per_class(confusion: CountsLike) -> Floats:
    """Return the share of each class's predictions that are right, `(..., C)`; NaN if none."""
    tp, fp, _ = class_counts(confusion)
    return divide(tp, tp + fp)


def miou(confusion: CountsLike) -> float:
    """Return the mean IoU over the classes whose IoU is defined; NaN when none is."""
    return mean_defined(iou_per_class(confusion))


def miou_present(confusion: CountsLike) -> float:
    """Return the mean IoU over the classes present in the target; NaN when none is.

    Predictions cannot change which classes that is, so it can be followed from epoch to epoch where
    `miou` takes in, with IoU 0, a class that the target lacks as soon as one pixel is predicted as it.
    Wrong pixels of such a class still count: they are missing from the classes they belong to.
    """
    matrix = _as_counts(confusion)
    return mean_defined(np.where(matrix.sum(-1) > 0, iou_per_class(matrix), np.nan))


def num_classes_present(confusion: CountsLike) -> int:
    """Return over how many classes `miou_present` averages."""
    return int((_as_counts(confusion).sum(-1) > 0).sum())


def mean_dice(confusion: CountsLike) -> float:
    """Return the mean Dice over the classes whose Dice is defined; NaN when none is."""
    return mean_defined(dice_per_class(confusion))


def class_accuracy(confusion: CountsLike) -> float:
    """Return the mean recall over classes present in the target; NaN when none is."""
    return mean_defined(recall_per_class(confusion))


def pixel_accuracy(confusion: CountsLike) -> float:
    """Return the share of valid pixels that are right; true negatives do not count."""
    matrix = _as_counts(confusion)
    return float(divide(np.trace(matrix), matrix.sum()))


def frequency_weighted_iou(confusion: CountsLike) -> float:
    """Return IoU averaged with each class's share of target pixels (Long et al., 2015).

    A class absent from the target has weight 0, so it is left out whether its IoU is 0 or NaN.
    """
    matrix = _as_counts(confusion)
    pixels = matrix.sum(-1)
    if not pixels.sum():
        return float("nan")
    present = pixels > 0
    return float(np.average(iou_per_class(matrix)[present], weights=pixels[present]))


def num_classes_averaged(confusion: CountsLike) -> int:
    """Return over how many classes `miou` and `mean_dice` average."""
    return int(np.isfinite(iou_per_class(confusion)).sum())


def mean_defined(values: npt.ArrayLike) -> float:
    """Return the mean of the values that are not NaN; NaN when there is none."""
    array = np.asarray(values, dtype=np.float64)
    defined = array[~np.isnan(array)]
    return float(defined.mean()) if defined.size else float("nan")


def mean_of_images(rows: Sequence[Floats]) -> Floats:
    """Return the mean over images of a score per class, N rows `(C,)` to `(C,)`; NaN is left out."""
    return np.array([mean_defined(column) for column in np.stack(rows).T])


def score_dict(confusion: CountsLike, class_names: Sequence[str], split: str) -> dict[str, float]:
    """Return every score of one split under its key (see `seglab.metrics.names`).

    Args:
        confusion: Integers `(C, C)`, rows = target, columns = prediction.
        class_names: One name per class; made safe for keys by `safe_class_names`.
        split: First part of each key.

    Returns:
        Floats, NaN where undefined; `num_classes_averaged` and `num_classes_present` are whole
        numbers.

    Raises:
        ShapeError: `confusion` is not `(C, C)` with one row per class name.
    """
    matrix = _as_counts(confusion)
    if matrix.shape != (len(class_names), len(class_names)):
        raise ShapeError(
            f"expected a confusion matrix of shape ({len(class_names)}, {len(class_names)}) for "
            f"{len(class_names)} class names, got {matrix.shape}"
        )
    declared = list(names.declared_scores("always"))
    scores = {
        names.metric_key(split, one.name): one.load(one.function)(matrix)
        for one in declared
        if one.function
    }
    safe_names = names.safe_class_names(class_names)
    for one in (one for one in declared if one.per_class):
        for name, value in zip(safe_names, one.load(one.per_class)(matrix), strict=True):
            scores[names.metric_key(split, one.name, name)] = float(value)
    return scores


def per_image_scores(counts: ClassCounts) -> tuple[Floats, Floats]:
    """Return mIoU and mean Dice of each image, two arrays `(N,)`.

    The mean runs over the classes present in that image's target or prediction; an image with none
    (all of it ignored) is NaN. A class that is absent from the target of one image but predicted
    on a single pixel counts 0 there: read per-image scores beside the split's, not instead.
    """
    return (
        _mean_rows(iou_from_counts(counts.tp, counts.fp, counts.fn)),
        _mean_rows(dice_from_counts(counts.tp, counts.fp, counts.fn)),
    )


def per_image_score_dict(counts: ClassCounts, split: str) -> dict[str, float]:
    """Return the means of `per_image_scores` under their keys, and over how many images they run.

    Images that are NaN are left out.
    """
    iou, dice = per_image_scores(counts)
    return {
        names.metric_key(split, names.MIOU_PER_IMAGE): mean_defined(iou),
        names.metric_key(split, names.DICE_PER_IMAGE): mean_defined(dice),
        names.metric_key(split, names.NUM_IMAGES_AVERAGED): int(np.isfinite(iou).sum()),
    }


def _mean_rows(values: Floats) -> Floats:
    defined = np.isfinite(values)
    return divide(np.where(defined, values, 0.0).sum(-1), defined.sum(-1))


def divide(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    """Return the quotient in float64; NaN where the denominator is 0."""
    top = np.asarray(numerator, dtype=np.float64)
    bottom = np.asarray(denominator, dtype=np.float64)
    ratio = np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan)
    np.divide(top, bottom, out=ratio, where=bottom != 0)
    return ratio


def _as_integers(values: CountsLike) -> Counts:
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if array.dtype.kind not in "iu":
        raise ShapeError(f"expected integer counts, got dtype {array.dtype}")
    return array.astype(np.int64, copy=False)


def _as_counts(confusion: CountsLike) -> Counts:
    matrix = _as_integers(confusion)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ShapeError(f"expected a confusion matrix (..., C, C), got shape {matrix.shape}")
    if matrix.size and matrix.min() < 0:
        raise ShapeError(f"expected counts >= 0, got {matrix.min()} in a confusion matrix")
    return matrix
