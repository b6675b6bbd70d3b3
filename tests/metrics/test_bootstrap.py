"""Intervals over resampled images: by hand, against a plain loop and against SciPy."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from seglab.core.errors import ShapeError
from seglab.metrics import bootstrap
from seglab.metrics.bootstrap import (
    ImageCounts,
    bootstrap_dice,
    bootstrap_difference,
    bootstrap_iou,
    bootstrap_miou,
    pooled_class_iou,
    pooled_dice,
    pooled_miou,
    resampled_scores,
)
from seglab.metrics.scores import dice_from_counts, iou_from_counts, mean_defined


def _counts(seed: int, images: int = 30, classes: int = 4) -> ImageCounts:
    rng = np.random.default_rng(seed)
    present = rng.random((images, classes)) < 0.8
    tp, fp, fn = rng.integers(0, 100, (3, images, classes)) * present
    return ImageCounts(tp + 0, fp + 0, fn + 0)


def test_two_images_by_hand() -> None:
    # IoU is 1 for the first image twice, 1/3 for both, 0 for the second twice; odds 1 : 2 : 1.
    counts = ([[1], [0]], [[0], [1]], [[0], [1]])
    whole = bootstrap_miou(*counts)
    assert whole == (pytest.approx(1 / 3), 0.0, 1.0)
    middle = bootstrap_miou(*counts, level=0.4)
    assert middle == (pytest.approx(1 / 3),) * 3
    _, samples = resampled_scores([ImageCounts(*map(np.array, counts))], resamples=4000)
    shares = [np.isclose(samples, value).mean() for value in (0.0, 1 / 3, 1.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


@pytest.mark.parametrize(
    ("statistic", "score"), [(pooled_miou, iou_from_counts), (pooled_dice, dice_from_counts)]
)
def test_pooling_by_weights_is_pooling_of_drawn_images(statistic, score) -> None:
    counts = _counts(1)
    scores, samples = resampled_scores([counts], statistic, resamples=50, seed=3)
    assert scores[0] == pytest.approx(mean_defined(score(*(a.sum(0) for a in counts))))
    drawn = np.random.default_rng(3).integers(0, 30, (50, 30))
    expected = [mean_defined(score(*(a[rows].sum(0) for a in counts))) for rows in drawn]
    np.testing.assert_allclose(samples[0], expected)


def test_interval_agrees_with_scipy() -> None:
    counts = _counts(2, images=60)

    def miou(rows: np.ndarray) -> float:
        return mean_defined(iou_from_counts(*(a[rows].sum(0) for a in counts)))

    theirs = stats.bootstrap(
        (np.arange(60),), miou, vectorized=False, n_resamples=2000, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    ours = bootstrap_miou(*counts)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_memory_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bootstrap_miou(*_counts(3))
    monkeypatch.setattr(bootstrap, "_MAX_WEIGHTS", 100)
    assert bootstrap_miou(*_counts(3)) == whole


def test_absent_class_is_undefined_and_left_out_of_the_mean() -> None:
    tp, fp, fn = _counts(4)
    empty = [np.concatenate([a, np.zeros((30, 1), dtype=int)], axis=1) for a in (tp, fp, fn)]
    assert bootstrap_miou(*empty) == bootstrap_miou(tp, fp, fn)
    assert bootstrap_dice(*empty) == bootstrap_dice(tp, fp, fn)
    classes = bootstrap_iou(*empty)
    assert np.isnan([classes.score[4], classes.low[4], classes.high[4]]).all()
    np.testing.assert_array_equal(classes.low[:4], bootstrap_iou(tp, fp, fn).low)


def test_class_of_one_image_has_an_interval_over_the_resamples_that_hold_it() -> None:
    tp, fp, fn = (np.zeros((20, 1), dtype=int) for _ in range(3))
    tp[0], fp[0] = 3, 1
    assert [float(bound[0]) for bound in bootstrap_iou(tp, fp, fn)] == [0.75, 0.75, 0.75]


@pytest.mark.parametrize("images", [0, 1])
def test_one_image_has_a_score_but_no_interval(images: int) -> None:
    one = bootstrap_miou(*(a[:images] for a in _counts(5)))
    assert np.isnan(one.score) == (images == 0)
    assert np.isnan([one.low, one.high]).all()


def test_groups_are_drawn_as_a_whole() -> None:
    counts = _counts(6)
    frames = ImageCounts(*(np.repeat(a, 5, axis=0) for a in counts))
    videos = [f"video {number}" for number in range(30) for _ in range(5)]
    grouped = bootstrap_miou(*frames, groups=videos)
    summed = bootstrap_miou(*(5 * a for a in counts))
    width = summed.high - summed.low
    assert grouped.high - grouped.low == pytest.approx(width, rel=0.1)
    ignored = bootstrap_miou(*frames)
    assert (ignored.high - ignored.low) * np.sqrt(5) == pytest.approx(width, rel=0.2)
    assert np.isnan(bootstrap_miou(*counts, groups=["one video"] * 30).low)


def test_difference_is_paired_and_antisymmetric() -> None:
    a, b = _counts(7), _counts(8)
    near = ImageCounts(a.tp, a.fp + 1, a.fn)
    one, other = bootstrap_difference(a, b), bootstrap_difference(b, a)
    assert one == pytest.approx((-other.score, -other.high, -other.low))
    assert bootstrap_difference(a, a) == (0.0, 0.0, 0.0)
    paired, alone = bootstrap_difference(a, near), bootstrap_miou(*a)
    assert 0 < paired.low < paired.score < paired.high
    assert paired.high - paired.low < 0.1 * (alone.high - alone.low)
    only = bootstrap_difference(a, b, pooled_class_iou(2))
    scores = [bootstrap_iou(*counts).score[2] for counts in (a, b)]
    assert only.score == pytest.approx(scores[0] - scores[1])
    assert bootstrap_difference(a, b, bootstrap.pooled_iou).low.shape == (4,)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 5))
def test_bounds_are_in_order_and_in_range(seed: int, images: int, classes: int) -> None:
    counts = _counts(seed, images, classes)
    wide = bootstrap_miou(*counts, resamples=100, level=0.95)
    narrow = bootstrap_miou(*counts, resamples=100, level=0.5)
    if not np.isnan(wide.low):
        assert 0 <= wide.low <= narrow.low <= narrow.high <= wide.high <= 1
    np.testing.assert_equal(bootstrap_miou(*counts, resamples=100, level=0.5), narrow)


def test_huge_counts_are_exact() -> None:
    tp = np.array([[2**40], [2**40]])
    one = bootstrap_miou(tp, tp * 0, tp)
    assert one == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tp": np.ones((3, 2))}, "integer counts >= 0, got dtype float64"),
        ({"tp": np.ones((2, 2), int)}, r"one shape \(images, classes\), got \(2, 2\), \(3, 2\)"),
        ({"fn": -np.ones((3, 2), int)}, "integer counts >= 0"),
        ({"groups": [1, 2]}, r"one group label an image, \(3,\), got shape \(2,\)"),
        ({"level": 95}, "between 0 and 1, such as 0.95, got 95"),
        ({"resamples": 0}, "resamples >= 1, got 0"),
    ],
)
def test_wrong_input_is_explained(change: dict, message: str) -> None:
    good = dict.fromkeys(("tp", "fp", "fn"), np.ones((3, 2), dtype=int))
    with pytest.raises(ShapeError, match=message):
        bootstrap_miou(**good | change)


def test_models_must_be_scored_on_the_same_images() -> None:
    with pytest.raises(ShapeError, match=r"same images and classes .* \(30, 4\), \(29, 4\)"):
        bootstrap_difference(_counts(1), _counts(1, images=29))


def test_five_hundred_images_take_well_under_a_second() -> None:
    counts = _counts(9, images=500, classes=11)
    start = time.process_time()
    bootstrap_miou(*counts, resamples=2000)
    assert time.process_time() - start < 1.0
