"""Is one model better than another on the same images? Intervals and tests paired by image.

Both models are scored on the same images, so what makes an image hard for both cancels. The score
is the split's own (mIoU of pooled counts), not a mean of scores of single images.

Which method: measured on simulated data sets of 11 classes with rare ones, overdispersed counts and
no difference between the models (tests/analysis/test_simulation.py). Wanted are 5 % of comparisons
that find a difference, and 5 % of intervals of a score that miss the true one:

| images | swap test | jackknife t | bootstrap | score: jackknife t | score: bootstrap |
|---:|---:|---:|---:|---:|---:|
| 10 | 5.1 % | 5.0 % | 10.2 % | 6.0 % | 14.1 % |
| 20 | 5.2 % | 5.0 % | 8.6 % | 5.4 % | 9.5 % |
| 101 | 5.3 % | 5.1 % | 6.4 % | 5.4 % | 6.6 % |
| 500 | 4.0 % | 4.3 % | 4.6 % | 4.8 % | 5.4 % |

(6,000 comparisons a row, 3,000 in the last; the percentile bootstrap. BCa, tried too, was worse
than the percentiles at every size.) So comparisons take their p from `swap_test` and their intervals
from the jackknife; the bootstrap stays as a check and for per-class scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from seglab.core.errors import ShapeError
from seglab.metrics.bootstrap import (
    Floats,
    Groups,
    Statistic,
    pool_units,
    pooled_miou,
    resampled_scores,
    score_pooled,
)
from seglab.metrics.scores import ClassCounts

# Differences this small are rounding of float64 sums in another order.
_ROUNDING = 1e-12
_MAX_FLIPS = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """A score or a difference of scores, and how sure it is; NaN where that cannot be told.

    Attributes:
        value: The estimate; a difference is candidate minus baseline.
        low: Lower bound of its interval.
        high: Upper bound.
        standard_error: Standard deviation the estimate would have over repetitions.
        p: Two-sided p-value of no difference; NaN for a score.
        df: Degrees of freedom of the t distribution behind the interval; infinite for a normal one.
        units: Independent units it rests on: images, groups, folds or seeds.
    """

    value: float
    low: float
    high: float
    standard_error: float
    p: float
    df: float
    units: int


def score_interval(
    counts: ClassCounts,
    statistic: Statistic = pooled_miou,
    level: float = 0.95,
    groups: Groups = None,
) -> Estimate:
    """Return a score of pooled counts with its jackknife t interval (Tukey, 1958; Miller, 1974).

    Each image, or each group, is left out once; the spread of the scores so found gives the
    standard error. Needs no random numbers and, at few images, covers better than the percentile
    bootstrap. Clipped to [0, 1].

    Args:
        counts: tp, fp and fn, integers `(N, C)`.
        statistic: A single number of pooled counts, from `seglab.metrics.bootstrap`.
        level: Confidence, between 0 and 1.
        groups: N labels of what is left out as a whole: frames of one video are not independent.

    Returns:
        The estimate; bounds are NaN with fewer than two units, or where leaving one out makes the
        score undefined (a class that one image alone holds).
    """
    units = pool_units(counts, groups)
    return _jackknife(*_leave_one_out(units, statistic), level, (0.0, 1.0))


def difference_interval(
    candidate: ClassCounts, baseline: ClassCounts, statistic: Statistic = pooled_miou,
    level: float = 0.95, groups: Groups = None,
) -> Estimate:  # fmt: skip
    """Return the score of `candidate` minus that of `baseline` with its jackknife t interval.

    The same image is left out of both at a time, so the interval is paired. Its p is that of the
    jackknife t statistic. See `score_interval`.
    """
    units, others = _paired_units(candidate, baseline, groups)
    whole, left_out = _leave_one_out(units, statistic)
    other_whole, other_left_out = _leave_one_out(others, statistic)
    return _jackknife(whole - other_whole, left_out - other_left_out, level, (-1.0, 1.0))


def swap_test(
    candidate: ClassCounts, baseline: ClassCounts, statistic: Statistic = pooled_miou,
    swaps: int = 9_999, seed: int = 0, groups: Groups = None,
) -> float:  # fmt: skip
    """Return the two-sided p-value of no difference, by swapping the models image by image.

    A permutation test (Fisher, 1935; for pooled scores Noreen, 1989): were the models the same, it
    would not matter which counts of an image are called whose. Exact for any number of images and
    any score, if that holds. Where there are no more than `swaps` ways to swap, all are tried;
    otherwise so many are drawn, and p = (1 + at least as large) / (1 + swaps).

    Args:
        candidate: Counts `(N, C)` of one model.
        baseline: Counts of the other on the same images in the same order.
        statistic: A single number of pooled counts.
        swaps: How many random swaps; no p is smaller than 1 / (1 + swaps).
        seed: The same seed gives the same p.
        groups: N labels of images that are swapped together.

    Returns:
        p in (0, 1]; NaN when the score of a model is undefined.
    """
    units, others = _paired_units(candidate, baseline, groups)
    first, second = units.sum(0), others.sum(0)
    observed = abs(float(score_pooled(first, statistic) - score_pooled(second, statistic)))
    if np.isnan(observed):
        return float("nan")
    apart = np.any(units != others, axis=1)
    change, count = (others - units)[apart], int(apart.sum())
    exhaustive = 2**count <= swaps + 1 if count < 60 else False
    total = 2**count if exhaustive else swaps
    larger, rng = 0, np.random.default_rng(seed)
    rows = max(1, _MAX_FLIPS // max(1, count))
    for start in range(0, total, rows):
        number = min(rows, total - start)
        if exhaustive:
            flips = np.arange(start, start + number)[:, None] >> np.arange(count) & 1
        else:
            flips = rng.integers(0, 2, (number, count), dtype=np.uint8)
        swapped = first + flips.astype(np.float64) @ change
        difference = score_pooled(swapped, statistic) - score_pooled(
            first + second - swapped, statistic
        )
        larger += int((np.abs(difference) >= observed - _ROUNDING).sum())
    return larger / total if exhaustive else (1 + larger) / (1 + total)


def paired_bootstrap(
    candidate: ClassCounts, baseline: ClassCounts, statistic: Statistic = pooled_miou,
    resamples: int = 2000, seed: int = 0, level: float = 0.95, groups: Groups = None,
) -> Estimate:  # fmt: skip
    """Return the difference with its percentile interval, and p by inverting the interval.

    p is the smallest 1 - level whose percentile interval excludes 0. Too small where images are few;
    see the module's table.
    """
    scores, samples = resampled_scores([candidate, baseline], statistic, resamples, seed, groups)
    value, drawn = float(scores[0] - scores[1]), samples[0] - samples[1]
    drawn = drawn[~np.isnan(drawn)]
    units = len(pool_units(candidate, groups))
    if not drawn.size:
        return Estimate(value, np.nan, np.nan, np.nan, np.nan, np.inf, units)
    tail = (1.0 - level) / 2.0
    low, high = (float(bound) for bound in np.quantile(drawn, [tail, 1.0 - tail]))
    below, above = int((drawn <= 0).sum()), int((drawn >= 0).sum())
    p = min(1.0, 2.0 * (1 + min(below, above)) / (1 + drawn.size))
    return Estimate(value, low, high, float(drawn.std(ddof=1)), p, np.inf, units)


def wilcoxon_test(candidate: npt.ArrayLike, baseline: npt.ArrayLike) -> float:
    """Return the two-sided p of SciPy's Wilcoxon signed-rank test on scores of single images.

    It asks another question than the other tests: whether the typical image is scored higher, each
    image counting the same whatever classes it holds. Images that are NaN for one model are left
    out; 1 where the models never differ, NaN without images.

    Args:
        candidate: N scores, one an image.
        baseline: N scores of the other model on the same images in the same order.
    """
    first, second = (np.asarray(scores, dtype=np.float64) for scores in (candidate, baseline))
    if first.shape != second.shape or first.ndim != 1:
        raise ShapeError(f"expected two arrays (N,), got {first.shape} and {second.shape}")
    differences = first - second
    differences = differences[~np.isnan(differences)]
    if not differences.size:
        return float("nan")
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def _paired_units(
    candidate: ClassCounts, baseline: ClassCounts, groups: Groups
) -> tuple[Floats, Floats]:
    units, others = pool_units(candidate, groups), pool_units(baseline, groups)
    if units.shape != others.shape:
        raise ShapeError(
            "expected counts of the same images and classes for both models, got (images, classes) "
            f"{np.shape(candidate.tp)} and {np.shape(baseline.tp)}"
        )
    return units, others


def _leave_one_out(units: Floats, statistic: Statistic) -> tuple[Floats, Floats]:
    whole = units.sum(0)
    return score_pooled(whole, statistic), score_pooled(whole - units, statistic)


def _jackknife(
    value: Floats, left_out: Floats, level: float, limits: tuple[float, float]
) -> Estimate:
    count = len(left_out)
    if count < 2:
        return Estimate(float(value), np.nan, np.nan, np.nan, np.nan, np.nan, count)
    error = float(np.sqrt((count - 1) * left_out.var()))
    half = float(stats.t.ppf((1.0 + level) / 2.0, count - 1)) * error
    low, high = np.clip([value - half, value + half], *limits)
    return Estimate(
        float(value), float(low), float(high), error, t_test_p(float(value), error, count - 1),
        count - 1, count,
    )  # fmt: skip


def t_test_p(value: float, standard_error: float, df: float) -> float:
    """Return the two-sided p of value / standard error under Student's t.

    With a standard error of 0: 1 for a value of 0, else 0.
    """
    if standard_error == 0.0:
        return 1.0 if value == 0.0 else 0.0
    return float(2.0 * stats.t.sf(abs(value) / standard_error, df))
