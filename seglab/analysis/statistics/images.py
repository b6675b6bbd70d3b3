"""Is one model better than another on the same images? Intervals and tests paired by image.

Both models are scored on the same images, so what makes an image hard for both cancels. The score
is the split's own (mIoU of pooled counts), not a mean of scores of single images.

Which method: measured on simulated data sets of 11 classes with rare ones, overdispersed counts and
no difference between the models (tests/analysis/comparison/test_simulation.py). Wanted are 5 % of comparisons
that find a difference:

| images | swap test | jackknife t | bootstrap |
|---:|---:|---:|---:|
| 10 | 5.1 % | 5.0 % | 10.2 % |
| 20 | 5.2 % | 5.0 % | 8.6 % |
| 101 | 5.3 % | 5.1 % | 6.4 % |
| 500 | 4.0 % | 4.3 % | 4.6 % |

(6,000 comparisons a row, 3,000 in the last; the percentile bootstrap. BCa, tried too, was worse
than the percentiles at every size.) So comparisons take their p from `swap_test` and their intervals
from the jackknife (`seglab.metrics.jackknife`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from seglab.core.errors import ShapeError
from seglab.metrics.jackknife import paired_units
from seglab.metrics.pooled import Groups, Statistic, pooled_miou, score_pooled
from seglab.metrics.scores import ClassCounts

# Differences this small are rounding of float64 sums in another order.
_ROUNDING = 1e-12
_MAX_FLIPS = 4_000_000


def swap_test(
    candidate: ClassCounts,
    baseline: ClassCounts,
    statistic: Statistic = pooled_miou,
    swaps: int = 9_999,
    seed: int = 0,
    groups: Groups = None,
) -> float:
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
    units, others = paired_units(candidate, baseline, groups)
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


def wilcoxon_test(candidate: npt.ArrayLike, baseline: npt.ArrayLike) -> float:
    """Return the two-sided p of SciPy's Wilcoxon signed-rank test on scores of single images.

    It asks another question than the other tests: whether the typical image is scored higher, each
    image counting the same whatever classes it holds. Images that are NaN for one model are left
    out; 1 where the models never differ, NaN without images.

    Args:
        candidate: N scores, one per image.
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
