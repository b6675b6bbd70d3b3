"""How far a score would move had other images been drawn: the bootstrap over images.

A split's score comes from pooled counts, so its spread cannot be had from the mean and standard
deviation of scores of single images. Here the images are drawn again with replacement, their counts
pooled and scored, some thousand times at once: with weights drawn for every image, pooling is one
matrix product. NumPy only.

The percentile interval is too narrow where images are few: measured on simulated data, 95 % of
confidence cover 93 % of true scores with 101 images and 86 % with 10. `seglab.analysis.statistics`
has the intervals and tests that comparisons rest on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seglab.core.errors import ShapeError
from seglab.metrics.scores import ClassCounts

Floats = npt.NDArray[np.float64]
# Scores pooled counts: tp and union = tp + fp + fn, each (..., C), become (...) or (..., C).
Statistic = Callable[[Floats, Floats], Floats]
# One label an image; None: every image is a group of its own.
Groups = Sequence[object] | npt.NDArray[np.generic] | None

# Weights of at most so many (resample, image) pairs are held at once: 32 MB.
_MAX_WEIGHTS = 4_000_000


class ImageCounts(NamedTuple):
    """Counts of N images and C classes, each integer `(N, C)`."""

    tp: npt.NDArray[np.int64]
    fp: npt.NDArray[np.int64]
    fn: npt.NDArray[np.int64]


class Interval(NamedTuple):
    """A score and the bounds between which it lies with the asked-for confidence.

    Floats; arrays `(C,)` from a statistic with one number a class. NaN where undefined.
    """

    score: float | Floats
    low: float | Floats
    high: float | Floats


def pooled_iou(tp: Floats, union: Floats) -> Floats:
    """Return IoU of each class, `(..., C)`; NaN for a class absent from target and prediction."""
    return _divide(tp, union)


def pooled_miou(tp: Floats, union: Floats) -> Floats:
    """Return the mean IoU over the classes whose IoU is defined, `(...)`."""
    return _mean(tp, union, union)


def pooled_dice(tp: Floats, union: Floats) -> Floats:
    """Return the mean Dice, 2 tp / (2 tp + fp + fn), over the classes where it is defined."""
    return _mean(2.0 * tp, tp + union, union)


def pooled_class_iou(index: int) -> Statistic:
    """Return the statistic that is the IoU of one class."""

    def class_iou(tp: Floats, union: Floats) -> Floats:
        return _divide(tp[..., index], union[..., index])

    return class_iou


def bootstrap_miou(
    tp: npt.ArrayLike, fp: npt.ArrayLike, fn: npt.ArrayLike, resamples: int = 2000, seed: int = 0,
    level: float = 0.95, groups: Groups = None,
) -> Interval:  # fmt: skip
    """Return the mIoU of pooled counts with its percentile interval over resampled images.

    Args:
        tp: Integer `(N, C)`, pixels of the class predicted as the class, one row an image.
        fp: Integer `(N, C)`, pixels of other classes predicted as the class.
        fn: Integer `(N, C)`, pixels of the class predicted as another class.
        resamples: How often the images are drawn again.
        seed: The same seed gives the same interval.
        level: Confidence, between 0 and 1.
        groups: N labels; whole groups (videos, patients) are drawn instead of images, because the
            frames of one video are not independent of each other.

    Returns:
        Score, low and high. A class absent from a resample is left out of that resample's mean, as
        it is of the score's. With fewer than two images or groups the bounds are NaN.

    Raises:
        ShapeError: The arrays are no counts of one shape, or labels or level do not fit.
    """
    counts = ImageCounts(*_as_arrays(tp, fp, fn))
    return bootstrap_interval(counts, pooled_miou, resamples, seed, level, groups)


def bootstrap_dice(
    tp: npt.ArrayLike, fp: npt.ArrayLike, fn: npt.ArrayLike, resamples: int = 2000, seed: int = 0,
    level: float = 0.95, groups: Groups = None,
) -> Interval:  # fmt: skip
    """Return the mean Dice of pooled counts with its interval; see `bootstrap_miou`."""
    counts = ImageCounts(*_as_arrays(tp, fp, fn))
    return bootstrap_interval(counts, pooled_dice, resamples, seed, level, groups)


def bootstrap_iou(
    tp: npt.ArrayLike, fp: npt.ArrayLike, fn: npt.ArrayLike, resamples: int = 2000, seed: int = 0,
    level: float = 0.95, groups: Groups = None,
) -> Interval:  # fmt: skip
    """Return the IoU of each class, arrays `(C,)`, with its interval; see `bootstrap_miou`.

    A class's interval is over the resamples that hold the class; NaN where none does.
    """
    counts = ImageCounts(*_as_arrays(tp, fp, fn))
    return bootstrap_interval(counts, pooled_iou, resamples, seed, level, groups)


def bootstrap_interval(
    counts: ClassCounts, statistic: Statistic = pooled_miou, resamples: int = 2000, seed: int = 0,
    level: float = 0.95, groups: Groups = None,
) -> Interval:  # fmt: skip
    """Return any statistic of pooled counts with its interval; see `bootstrap_miou`."""
    scores, samples = resampled_scores([counts], statistic, resamples, seed, groups)
    return _percentiles(scores[0], samples[0], level)


def bootstrap_difference(
    a: ClassCounts, b: ClassCounts, statistic: Statistic = pooled_miou, resamples: int = 2000,
    seed: int = 0, level: float = 0.95,
    groups: Groups = None,
) -> Interval:  # fmt: skip
    """Return the score of `a` minus that of `b` with its interval, both on the same resamples.

    Args:
        a: Counts of one model, `(N, C)`.
        b: Counts of the other on the same images in the same order.
        statistic: `pooled_miou`, `pooled_dice`, `pooled_iou` or `pooled_class_iou(index)`.
        resamples: This and the rest as in `bootstrap_miou`.
        seed: Chooses the resamples.
        level: Confidence.
        groups: Labels of what is drawn as a whole.
    """
    scores, samples = resampled_scores([a, b], statistic, resamples, seed, groups)
    return _percentiles(scores[0] - scores[1], samples[0] - samples[1], level)


def resampled_scores(
    models: Sequence[ClassCounts], statistic: Statistic = pooled_miou, resamples: int = 2000,
    seed: int = 0, groups: Groups = None,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Return the scores of models, `(M, ...)`, and of the same resamples of all, `(M, R, ...)`."""
    if resamples < 1:
        raise ShapeError(f"expected resamples >= 1, got {resamples}")
    stacked = [pool_units(counts, groups) for counts in models]
    shapes = {units.shape for units in stacked}
    if len(shapes) != 1:
        raise ShapeError(
            "expected counts of the same images and classes for every model, got (images, classes) "
            + ", ".join(str(np.shape(counts.tp)) for counts in models)
        )
    num_units = stacked[0].shape[0]
    scores = np.stack([score_pooled(units.sum(0), statistic) for units in stacked])
    if num_units < 2:
        return scores, np.full((len(models), resamples, *scores.shape[1:]), np.nan)
    parts = [
        np.stack([score_pooled(weights @ units, statistic) for units in stacked])
        for weights in _draw_weights(num_units, resamples, seed)
    ]
    return scores, np.concatenate(parts, axis=1)


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


def _draw_weights(num_units: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield how often each unit was drawn, `(r, U)`, rows adding up to U: multinomial weights."""
    rng = np.random.default_rng(seed)
    rows = max(1, _MAX_WEIGHTS // num_units)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        # Counting drawn indices is several times faster than Generator.multinomial.
        drawn = rng.integers(0, num_units, (count, num_units))
        drawn += np.arange(count)[:, None] * num_units
        weights = np.bincount(drawn.ravel(), minlength=count * num_units)
        yield weights.reshape(count, num_units).astype(np.float64)


def _percentiles(score: Floats, samples: Floats, level: float) -> Interval:
    if not 0.0 < level < 1.0:
        raise ShapeError(f"expected a confidence level between 0 and 1, such as 0.95, got {level}")
    tail = (1.0 - level) / 2.0
    shape = samples.shape[1:]
    columns = samples.reshape(len(samples), -1)
    bounds = np.full((2, columns.shape[1]), np.nan)
    for index, column in enumerate(columns.T):
        defined = column[~np.isnan(column)]
        if defined.size:
            bounds[:, index] = np.quantile(defined, [tail, 1.0 - tail])
    low, high = bounds.reshape(2, *shape)
    if shape:
        return Interval(score, low, high)
    return Interval(float(score), float(low), float(high))


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
    return _divide(ratio.sum(-1), defined.sum(-1))


def _divide(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    top = np.asarray(numerator, dtype=np.float64)
    bottom = np.asarray(denominator, dtype=np.float64)
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
