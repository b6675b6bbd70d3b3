"""Scores of pooled counts: summed over images, or over groups of them, and divided once.

A split's score comes from pooled counts, so its spread cannot be had from scores of single images;
`seglab.metrics.jackknife` has it from the same counts, pooled without one image at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seglab.core.errors import ShapeError
from seglab.metrics.scores import ClassCounts, divide

Floats = npt.NDArray[np.float64]
# Scores pooled counts: tp and union = tp + fp + fn, each (..., C), become (...) or (..., C).
Statistic = Callable[[Floats, Floats], Floats]
# One label per image; None: every image is a group of its own.
Groups = Sequence[object] | npt.NDArray[np.generic] | None


class ImageCounts(NamedTuple):
    """Counts of N images and C classes, each integer `(N, C)`."""

    tp: npt.NDArray[np.int64]
    fp: npt.NDArray[np.int64]
    fn: npt.NDArray[np.int64]


def pooled_iou(tp: Floats, union: Floats) -> Floats:
    """Return IoU of each class, `(..., C)`; NaN for a class absent from target and prediction."""
    return divide(tp, union)


def pooled_miou(tp: Floats, union: Floats) -> Floats:
    """Return the mean IoU over the classes whose IoU is defined, `(...)`."""
    return _mean(tp, union, union)


def pooled_dice(tp: Floats, union: Floats) -> Floats:
    """Return the mean Dice, 2 tp / (2 tp + fp + fn), over the classes where it is defined."""
    return _mean(2.0 * tp, tp + union, union)


@dataclass(frozen=True)
class PooledClassIou:
    """The statistic that is the IoU of one class."""

    index: int

    def __call__(self, tp: Floats, union: Floats) -> Floats:
        """Return the IoU of the class, `(...)`; NaN where it is absent from target and prediction."""
        return divide(tp[..., self.index], union[..., self.index])


def pool_units(counts: ClassCounts, groups: Groups = None) -> Floats:
    """Return tp and union of each image, or summed over each group, side by side: `(U, 2 C)`.

    float64 holds counts exactly up to 2**53 pixels, and multiplies faster than int64.

    Raises:
        ShapeError: Not integers `(N, C)` of one shape, or there is not one group label an image.
    """
    tp, fp, fn = _as_arrays(counts.tp, counts.fp, counts.fn)
    units = np.concatenate([tp, tp + fp + fn], axis=1).astype(np.float64)
    if groups is None:
        return units
    labels = np.asarray(groups)
    if labels.shape != (len(units),):
        raise ShapeError(
            f"expected one group label an image, ({len(units)},), got shape {labels.shape}"
        )
    names, index = np.unique(labels, return_inverse=True)
    pooled = np.zeros((len(names), units.shape[1]))
    np.add.at(pooled, index, units)
    return pooled


def score_pooled(pooled: Floats, statistic: Statistic) -> Floats:
    """Score rows of `pool_units`, or sums of them, `(..., 2 C)`."""
    num_classes = pooled.shape[-1] // 2
    return np.asarray(statistic(pooled[..., :num_classes], pooled[..., num_classes:]))


def _as_arrays(*counts: npt.ArrayLike) -> list[npt.NDArray[np.int64]]:
    arrays = [np.asarray(array) for array in counts]
    shapes = [array.shape for array in arrays]
    if arrays[0].ndim != 2 or len(set(shapes)) != 1:
        raise ShapeError(
            "expected tp, fp and fn of one shape (images, classes), got "
            + ", ".join(str(shape) for shape in shapes)
        )
    for array in arrays:
        if array.dtype.kind not in "iu" or (array.size and array.min() < 0):
            raise ShapeError(f"expected integer counts >= 0, got dtype {array.dtype}")
    return [array.astype(np.int64, copy=False) for array in arrays]


def _mean(numerator: Floats, denominator: Floats, union: Floats) -> Floats:
    defined = union > 0
    ratio = np.divide(numerator, denominator, out=np.zeros(union.shape), where=defined)
    return divide(ratio.sum(-1), defined.sum(-1))
