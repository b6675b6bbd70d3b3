"""Is one way of training better than another? Tests on scores of whole trainings: folds and seeds.

A test paired by image speaks of the two sets of weights at hand; these speak of what training again,
on other data or from another seed, would give.

References:
    Nadeau and Bengio (2003): https://doi.org/10.1023/A:1024068626366
    Student (1908): https://doi.org/10.2307/2331554
    Welch (1947): https://doi.org/10.1093/biomet/34.1-2.28
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from seglab.core.errors import ShapeError
from seglab.core.sample_size import MIN_REPEATS
from seglab.metrics.jackknife import Estimate, t_test_p


def corrected_t_test(
    values: npt.ArrayLike, test_train_ratio: float, level: float = 0.95
) -> Estimate:
    """Return the mean over folds with the corrected resampled t-test (Nadeau and Bengio, 2003).

    Trainings of a cross-validation share most of their images, so their scores vary less than those
    of independent trainings would: the plain t-test finds differences that are not there. The
    variance of the mean is taken as `(1 / J + n_test / n_train) * variance` instead of
    `variance / J`. In repeated cross-validation J counts all folds of all repeats.

    Args:
        values: J differences (candidate minus baseline, on the same folds), or J scores for the
            interval of a single model. NaN are left out.
        test_train_ratio: n_test / n_train of a fold; 1 / (K - 1) with K folds.
        level: Confidence, between 0 and 1.

    Returns:
        The estimate with J - 1 degrees of freedom; all but the mean is NaN with fewer than 2 folds.

    Raises:
        ShapeError: Not one row of numbers, or the ratio is negative.
    """
    scores = _finite(values)
    if not test_train_ratio >= 0.0:
        raise ShapeError(f"expected n_test / n_train >= 0, got {test_train_ratio}")
    return _t_estimate(scores, 1.0 / max(1, len(scores)) + test_train_ratio, level)


def mean_interval(
    values: npt.ArrayLike, level: float = 0.95, limits: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """Return the mean of independent scores (seeds) with its t interval (Student, 1908).

    Args:
        values: One score a training. NaN are left out.
        level: Confidence, between 0 and 1.
        limits: What scores can be; the interval does not go beyond.

    Returns:
        The estimate; its bounds are NaN with fewer than `MIN_REPEATS` scores.
    """
    scores = _finite(values)
    return score_bounds(_t_estimate(scores, 1.0 / max(1, len(scores)), level), limits)


def score_bounds(estimate: Estimate, limits: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """Return the estimate of a mean score with an interval that may be shown.

    Within what scores can be, and none from fewer than `MIN_REPEATS` repeats.
    """
    if estimate.units < MIN_REPEATS:
        return replace(estimate, low=math.nan, high=math.nan)
    low, high = np.clip([estimate.low, estimate.high], *limits)
    return replace(estimate, low=float(low), high=float(high))


def welch_test(candidate: npt.ArrayLike, baseline: npt.ArrayLike, level: float = 0.95) -> Estimate:
    """Return the difference of mean scores over seeds with SciPy's Welch t-test (Welch, 1947).

    Seeds of two configurations are not paired: the same number starts other weights and other
    batches. Welch's test also does not take the two spreads as equal.

    Args:
        candidate: Scores of one configuration, one per seed. NaN are left out.
        baseline: Scores of the other.
        level: Confidence, between 0 and 1.

    Returns:
        The estimate; all but the difference is NaN unless both have two scores at least.
    """
    first, second = _finite(candidate), _finite(baseline)
    units = min(len(first), len(second))
    value = float(first.mean() - second.mean()) if units else float("nan")
    if units < 2:
        return Estimate.untold(value, units)
    error = float(np.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)))
    if error == 0.0:
        return Estimate(value, value, value, 0.0, t_test_p(value, 0.0, 1.0), np.inf, units)
    result = stats.ttest_ind(first, second, equal_var=False)
    interval = result.confidence_interval(level)
    low, high = float(interval.low), float(interval.high)
    return Estimate(value, low, high, error, float(result.pvalue), float(result.df), units)


def _t_estimate(scores: npt.NDArray[np.float64], factor: float, level: float) -> Estimate:
    count = len(scores)
    value = float(scores.mean()) if count else float("nan")
    if count < 2:
        return Estimate.untold(value, count)
    error = float(np.sqrt(factor * scores.var(ddof=1)))
    half = float(stats.t.ppf((1.0 + level) / 2.0, count - 1)) * error
    p = t_test_p(value, error, count - 1)
    return Estimate(value, value - half, value + half, error, p, count - 1, count)


def _finite(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ShapeError(f"expected one row of scores, got shape {array.shape}")
    return array[~np.isnan(array)]
