"""Tests and intervals: hand-computed cases, and SciPy where it has the same thing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from seglab.analysis.statistics import (
    corrected_t_test,
    holm,
    mean_interval,
    minimum_detectable,
    score_bounds,
    swap_test,
    welch_test,
    wilcoxon_test,
)
from seglab.core.errors import ShapeError
from seglab.metrics.jackknife import difference_interval
from seglab.metrics.pooled import ImageCounts, PooledClassIou


def _flat(tp: list[int] | np.ndarray, union: int = 100) -> ImageCounts:
    """One class with the same union in each image: the pooled IoU is the mean of tp / union."""
    hits = np.asarray(tp)[:, None]
    return ImageCounts(hits, np.zeros_like(hits), union - hits)


def _draw(seed: int, images: int = 25) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.random.default_rng(seed).integers(20, 90, (2, images))
    return first, (first + second) // 2 + 3


def test_where_the_score_is_a_mean_the_difference_is_the_paired_t_interval() -> None:
    first, second = _draw(0)
    other = difference_interval(_flat(second), _flat(first), level=0.9)
    paired = stats.ttest_rel(second / 100, first / 100)
    bounds = paired.confidence_interval(0.9)
    assert other.value == pytest.approx((second - first).mean() / 100)
    assert (other.low, other.high) == pytest.approx((bounds.low, bounds.high))
    assert other.p == pytest.approx(paired.pvalue)


def test_groups_are_left_out_and_swapped_as_a_whole() -> None:
    first, second = _draw(1, 15)
    summed = _flat(first.reshape(5, 3).sum(1), 300), _flat(second.reshape(5, 3).sum(1), 300)
    groups = np.repeat(list("abcde"), 3)
    pair = _flat(first), _flat(second)
    assert difference_interval(*pair, groups=groups) == difference_interval(*summed)
    assert swap_test(*pair, groups=groups) == swap_test(*summed)


def test_swap_test_by_hand() -> None:
    # Differences 1, 2, 3 of hits: of 8 ways to swap only none and all reach a sum of 6.
    assert swap_test(_flat([5, 6, 7]), _flat([4, 4, 4])) == 2 / 8
    # Differences 1, 2, -3: a sum of 0 is reached by every way.
    assert swap_test(_flat([5, 6, 1]), _flat([4, 4, 4])) == 1.0
    assert swap_test(_flat([5, 6]), _flat([5, 6])) == 1.0


def test_swap_test_agrees_with_scipy() -> None:
    first, second = _draw(2, 10)
    second[3] -= 30
    exact = stats.permutation_test(
        (first, second),
        lambda a, b, axis: (a - b).mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    ).pvalue
    pair = _flat(first), _flat(second)
    assert swap_test(*pair) == pytest.approx(exact)
    drawn = swap_test(*pair, swaps=999, seed=5)
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 999))
    assert drawn == swap_test(*pair, swaps=999, seed=5)


def test_swap_test_has_a_smallest_p_and_knows_the_undefined() -> None:
    good, bad = _flat([90] * 40), _flat([10] * 40)
    assert swap_test(good, bad, swaps=99) == 1 / 100
    with pytest.raises(ShapeError, match=r"same images and classes for both models"):
        swap_test(good, _flat([1, 2]))
    absent = ImageCounts(*(np.pad(array, ((0, 0), (0, 1))) for array in good))
    assert np.isnan(swap_test(absent, absent, PooledClassIou(1)))
    assert swap_test(absent, absent, PooledClassIou(0)) == 1.0


def test_wilcoxon_is_scipys_without_undefined_images() -> None:
    first, second = (array / 100 for array in _draw(4))
    with_gap = np.append(first, np.nan), np.append(second, 0.5)
    assert wilcoxon_test(*with_gap) == stats.wilcoxon(first, second).pvalue
    assert wilcoxon_test(first, first) == 1.0
    assert np.isnan(wilcoxon_test([np.nan], [0.5]))
    with pytest.raises(ShapeError, match=r"two arrays \(N,\), got \(2,\) and \(3,\)"):
        wilcoxon_test([0.1, 0.2], [0.1, 0.2, 0.3])


def test_corrected_t_test_by_hand() -> None:
    one = corrected_t_test([0.01, 0.02, 0.03, 0.04, 0.05], 1 / 4)
    # Mean 0.03, variance 0.00025; times 1/5 + 1/4 = 0.0001125, its root 0.0106066.
    assert (one.value, one.df, one.units) == (pytest.approx(0.03), 4, 5)
    assert one.standard_error == pytest.approx(0.01060660)
    assert one.p == pytest.approx(2 * stats.t.sf(2.828427, 4), rel=1e-5)
    assert one.high - one.value == pytest.approx(2.776445 * 0.01060660, rel=1e-5)


def test_corrected_t_test_without_correction_is_scipys() -> None:
    values = [0.01, -0.02, 0.03, np.nan, 0.05]
    plain = corrected_t_test(values, 0.0)
    assert plain.p == pytest.approx(stats.ttest_1samp(values, 0, nan_policy="omit").pvalue)
    assert mean_interval(values, limits=(-1.0, 1.0)) == plain


def test_intervals_of_mean_scores_are_of_enough_repeats_and_of_what_scores_can_be() -> None:
    two, three = mean_interval([0.31, 0.32]), mean_interval([0.5, 0.7, 0.99])
    assert two.value == pytest.approx(0.315)
    assert np.isnan([two.low, two.high]).all()
    assert 0.0 < three.low < three.value < three.high == 1.0
    plain = corrected_t_test([0.6, 0.7, 0.8], 1 / 2)
    assert score_bounds(plain).low == pytest.approx(max(0.0, plain.low))
    assert np.isnan(score_bounds(corrected_t_test([0.6, 0.7], 1.0)).low)


def test_corrected_t_test_at_its_limits() -> None:
    assert corrected_t_test([0.1, 0.1], 0.5).p == 0.0
    assert corrected_t_test([0.0, 0.0], 0.5).p == 1.0
    alone = corrected_t_test([0.1], 0.5)
    assert alone.value == 0.1
    assert np.isnan([alone.low, alone.p]).all()
    with pytest.raises(ShapeError, match="n_test / n_train >= 0, got -1"):
        corrected_t_test([0.1, 0.2], -1)


def test_welch_is_scipys_and_by_hand() -> None:
    one = welch_test([0.70, 0.72, 0.74], [0.60, 0.60, 0.66])
    assert one.value == pytest.approx(0.10)
    # Variances 0.0004 and 0.0012 over three seeds each.
    assert one.standard_error == pytest.approx(math.sqrt((0.0004 + 0.0012) / 3))
    assert one.df == pytest.approx(0.0016**2 / (0.0004**2 / 2 + 0.0012**2 / 2))
    theirs = stats.ttest_ind([0.70, 0.72, 0.74], [0.60, 0.60, 0.66], equal_var=False)
    assert one.p == pytest.approx(theirs.pvalue)
    half = stats.t.ppf(0.975, one.df) * one.standard_error
    assert (one.low, one.high) == pytest.approx((0.10 - half, 0.10 + half))


def test_welch_at_its_limits() -> None:
    assert np.isnan(welch_test([0.7], [0.6, 0.5]).p)
    assert welch_test([0.7, np.nan], [0.5, 0.6]).value == pytest.approx(0.15)
    same = welch_test([0.5, 0.5], [0.5, 0.5])
    assert (same.p, same.low, same.high) == (1.0, 0.0, 0.0)
    assert welch_test([0.6, 0.6], [0.5, 0.5]).p == 0.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]).tolist() == [1.0, 1.0]
    np.testing.assert_allclose(holm([0.01, np.nan, 0.02]), [0.02, np.nan, 0.02])
    assert holm([0.01, 0.02], comparisons=3) == pytest.approx([0.03, 0.04])
    assert holm([]).size == 0
    with pytest.raises(ShapeError, match="at least 2 comparisons, got 1"):
        holm([0.1, 0.2], comparisons=1)


def test_smallest_detectable_difference() -> None:
    # 1.959964 + 0.841621: the textbook 2.8 standard errors.
    assert minimum_detectable(0.01) == pytest.approx(0.02801585)
    # Textbook: 34 pairs find an effect of half a standard deviation in 80 of 100 studies.
    assert minimum_detectable(1 / math.sqrt(34), 33) == pytest.approx(0.495, abs=0.001)
    for df in (1, 4, 30):
        shift = minimum_detectable(1.0, df, level=0.9)
        critical = stats.t.isf(0.05, df)
        assert stats.nct.sf(critical, df, shift) == pytest.approx(0.8)
    assert minimum_detectable(0.01, 999) == pytest.approx(minimum_detectable(0.01, 1001), rel=2e-3)
    assert minimum_detectable(0.01, comparisons=5) == pytest.approx(
        0.01 * (stats.norm.isf(0.005) + stats.norm.ppf(0.8))
    )
    assert np.isnan(minimum_detectable(np.nan, np.nan))
    assert minimum_detectable(0.0, 4) == 0.0
    with pytest.raises(ShapeError, match="level and power between 0 and 1, got 95"):
        minimum_detectable(0.01, level=95)
