"""The interval of pooled scores: against Student's t, by hand, at its limits, and its coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scripts.bench_intervals import SCENARIOS, coverage
from seglab.core.errors import ShapeError
from seglab.core.sample_size import MIN_UNITS
from seglab.metrics.jackknife import (
    difference_interval,
    independent_difference,
    independent_groups,
    score_interval,
)
from seglab.metrics.pooled import (
    ImageCounts,
    PooledClassIou,
    pool_units,
    pooled_dice,
    pooled_miou,
    score_pooled,
)
from seglab.metrics.scores import dice_from_counts, iou_from_counts, mean_defined


def _counts(seed: int, images: int = 30, classes: int = 4) -> ImageCounts:
    rng = np.random.default_rng(seed)
    present = rng.random((images, classes)) < 0.8
    tp, fp, fn = rng.integers(0, 100, (3, images, classes)) * present
    return ImageCounts(tp + 0, fp + 0, fn + 0)


def _flat(tp: list[int] | np.ndarray, union: int = 100) -> ImageCounts:
    """One class with the same union in each image: the pooled IoU is the mean of tp / union."""
    hits = np.asarray(tp)[:, None]
    return ImageCounts(hits, np.zeros_like(hits), union - hits)


@pytest.mark.parametrize(
    ("statistic", "score"), [(pooled_miou, iou_from_counts), (pooled_dice, dice_from_counts)]
)
def test_counts_are_summed_and_divided_once(statistic, score) -> None:
    counts = _counts(1)
    expected = mean_defined(score(*(array.sum(0) for array in counts)))
    assert score_interval(counts, statistic).value == pytest.approx(expected)
    np.testing.assert_allclose(
        score_pooled(pool_units(counts)[3], statistic), mean_defined(score(*(a[3] for a in counts)))
    )


def test_where_the_score_is_a_mean_the_interval_is_students_on_log_odds() -> None:
    hits = np.random.default_rng(0).integers(20, 90, 25)
    one = score_interval(_flat(hits))
    assert one.standard_error == pytest.approx(stats.sem(hits / 100))
    assert (one.df, one.units) == (24, 25), "even draws are no heavier-tailed than normal ones"
    value = hits.mean() / 100
    half = stats.t.ppf(0.975, 24) * one.standard_error / (value * (1 - value))
    middle = math.log(value / (1 - value))
    expected = [1 / (1 + math.exp(-middle + half)), 1 / (1 + math.exp(-middle - half))]
    assert (one.low, one.high) == pytest.approx(expected)
    assert np.isnan(one.p)


def test_few_images_that_decide_leave_few_degrees_of_freedom() -> None:
    even, uneven = _flat([50, 60] * 10), _flat([55] * 18 + [20, 90])
    assert score_interval(even).df == 19
    one = score_interval(uneven)
    assert one.df < 5
    # The kurtosis is SciPy's, unbiased for normal values.
    excess = stats.kurtosis(np.array([55] * 18 + [20, 90]), bias=False)
    assert one.df == pytest.approx(2 / (excess / 20 + 2 / 19))


def test_with_too_few_images_nothing_is_told() -> None:
    for images in range(1, 8):
        one = score_interval(_counts(2, images))
        assert np.isfinite(one.value)
        assert np.isnan([one.low, one.high, one.standard_error]).all() == (images < MIN_UNITS)
        other = difference_interval(_counts(2, images), _counts(3, images))
        assert np.isnan([other.low, other.high, other.p]).all() == (images < MIN_UNITS)


def test_the_units_of_a_class_are_the_images_that_show_it() -> None:
    tp, fp, fn = (array.copy() for array in _counts(4))
    tp[:, 2], fn[:, 2] = np.arange(30) < 4, 0
    assert np.isnan(score_interval(ImageCounts(tp, fp, fn), PooledClassIou(2)).low)
    tp[4, 2] = 7
    assert score_interval(ImageCounts(tp, fp, fn), PooledClassIou(2)).low > 0
    void = ImageCounts(*(np.concatenate([part[:4], 0 * part]) for part in _counts(5)))
    assert np.isnan(score_interval(void).low), "images without labels say nothing"


def test_absent_class_is_undefined_and_left_out_of_the_mean() -> None:
    counts = _counts(4)
    padded = ImageCounts(*(np.pad(array, ((0, 0), (0, 1))) for array in counts))
    assert score_interval(padded) == score_interval(counts)
    absent = score_interval(padded, PooledClassIou(4))
    assert np.isnan([absent.value, absent.low, absent.high]).all()


def test_no_error_at_all_and_nothing_right_still_leave_doubt() -> None:
    right, wrong = score_interval(_flat([100] * 10)), score_interval(_flat([0] * 10))
    # Ten of ten: Clopper and Pearson's bound.
    bound = stats.binomtest(10, 10).proportion_ci(0.95).low
    assert (right.value, right.low, right.high) == (1.0, pytest.approx(bound), 1.0)
    assert (wrong.value, wrong.low, wrong.high) == (0.0, 0.0, pytest.approx(1 - bound))


def test_groups_are_left_out_as_a_whole() -> None:
    counts = _counts(6)
    frames = ImageCounts(*(np.repeat(array, 5, axis=0) for array in counts))
    videos = [f"video {number}" for number in range(30) for _ in range(5)]
    grouped, alone = score_interval(frames, groups=videos), score_interval(counts)
    assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high))
    ignored = score_interval(frames)
    assert (ignored.high - ignored.low) * 2 < grouped.high - grouped.low
    assert np.isnan(score_interval(counts, groups=["one video"] * 30).low)
    assert independent_groups(["a", "b"] * 10) is None
    assert independent_groups(list("abcde")) == list("abcde")


def test_difference_is_paired_and_antisymmetric() -> None:
    a, b = _counts(7), _counts(8)
    near = ImageCounts(a.tp, a.fp + 1, a.fn)
    one, other = difference_interval(a, b), difference_interval(b, a)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    same = difference_interval(a, a)
    assert (same.value, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)
    paired, alone = difference_interval(a, near), score_interval(a)
    assert 0 < paired.low < paired.value < paired.high
    assert paired.high - paired.low < 0.1 * (alone.high - alone.low)


def test_difference_of_scores_on_different_images() -> None:
    first, second = score_interval(_flat([70, 80] * 10)), score_interval(_flat([50, 60] * 8))
    one = independent_difference(first, second)
    assert one.value == pytest.approx(0.2)
    down = math.hypot(first.value - first.low, second.high - second.value)
    assert one.low == pytest.approx(0.2 - down)
    assert one.standard_error == pytest.approx(
        math.hypot(first.standard_error, second.standard_error)
    )
    assert np.isnan(independent_difference(first, score_interval(_flat([50]))).low)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(MIN_UNITS, 12), st.integers(1, 5))
def test_bounds_are_in_order_and_in_range(seed: int, images: int, classes: int) -> None:
    counts = _counts(seed, images, classes)
    wide, narrow = (score_interval(counts, level=level) for level in (0.95, 0.5))
    if not np.isnan(wide.low):
        assert 0 <= wide.low <= narrow.low <= wide.value <= narrow.high <= wide.high <= 1


def test_huge_counts_are_exact() -> None:
    tp = np.full((6, 1), 2**40)
    one = score_interval(ImageCounts(tp, tp * 0, tp))
    assert (one.value, one.low, one.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"tp": np.ones((3, 2))}, {}, "integer counts >= 0, got dtype float64"),
        (
            {"tp": np.ones((2, 2), int)},
            {},
            r"one shape \(images, classes\), got \(2, 2\), \(3, 2\)",
        ),
        ({"fn": -np.ones((3, 2), int)}, {}, "integer counts >= 0"),
        ({}, {"groups": [1, 2]}, r"one group label an image, \(3,\), got shape \(2,\)"),
        ({}, {"level": 95}, "between 0 and 1, such as 0.95, got 95"),
    ],
)
def test_wrong_input_is_explained(change: dict, options: dict, message: str) -> None:
    good = dict.fromkeys(("tp", "fp", "fn"), np.ones((3, 2), dtype=int))
    with pytest.raises(ShapeError, match=message):
        score_interval(ImageCounts(**good | change), **options)


def test_models_must_be_scored_on_the_same_images() -> None:
    with pytest.raises(ShapeError, match=r"same images and classes .* \(30, 4\) and \(29, 4\)"):
        difference_interval(_counts(1), _counts(1, images=29))


@pytest.mark.parametrize("name", ["11 classes", "nearly perfect"])
def test_intervals_of_ten_images_cover_what_they_say(name: str) -> None:
    found = coverage(SCENARIOS[name], 10, 300, ["bootstrap", "seglab"])
    # Wanted are 5 %; three standard errors of 300 draws are 3.8 %.
    assert found["seglab"][0] < 0.05 + 0.04
    assert found["bootstrap"][0] > found["seglab"][0] + 0.02
