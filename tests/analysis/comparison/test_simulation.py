"""Do the tests keep their promise? Thousands of simulated comparisons without a true difference.

Counts are as data sets make them: 11 classes, rare ones in half of the images, pixels of a class
overdispersed between images, images hard for both models alike, and each model's own luck.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from seglab.analysis.statistics import corrected_t_test, minimum_detectable, swap_test
from seglab.metrics.jackknife import difference_interval
from seglab.metrics.pooled import ImageCounts, pool_units, pooled_miou, score_pooled

CLASSES, SIMULATIONS, ALPHA, SLACK = 11, 2000, 0.05, 0.015
Pair = tuple[ImageCounts, ImageCounts]


# Thousands of drawn comparisons: what the interval and the tests promise. Others hold the formulas.
pytestmark = pytest.mark.slow


def _draw(
    rng: np.random.Generator, images: int, shift: np.ndarray | float = 0.0, copies: int = 1
) -> Pair:
    """Draw counts of two models; `shift` is what the second one's logit of recall has more."""
    share = np.geomspace(1, 0.01, CLASSES)
    spread = np.linspace(0.2, 1.4, CLASSES) ** 2
    present = rng.random((images, CLASSES)) < np.linspace(1.0, 0.5, CLASSES)
    pixels = share * spread * rng.gamma(1 / spread, 1.0, (images, CLASSES)) * present + 1e-9
    pixels = (20_000 * pixels / pixels.sum(1, keepdims=True)).astype(np.int64)
    pixels = np.repeat(pixels, copies, axis=0)
    hard = rng.normal(0, 0.7, (images, 1)) + rng.normal(0, 0.7, (images, CLASSES))
    own = rng.normal(0, 0.5, (2, images, CLASSES))
    models = []
    for model, more in enumerate((0.0, shift)):
        skill = np.repeat(np.linspace(3.0, 0.0, CLASSES) + hard + own[model] + more, copies, axis=0)
        tp = (pixels / (1 + np.exp(-skill))).astype(np.int64)
        fn = pixels - tp
        taken = share * rng.gamma(2, 1, pixels.shape)
        taken *= fn.sum(1, keepdims=True) / taken.sum(1, keepdims=True)
        models.append(ImageCounts(tp, taken.astype(np.int64), fn))
    return models[0], models[1]


def _true_scores(shift: np.ndarray | float = 0.0) -> tuple[float, float]:
    """Return both models' mIoU over so many images that they are as good as true."""
    pair = _draw(np.random.default_rng(99), 100_000, shift)
    first, second = (float(score_pooled(pool_units(one).sum(0), pooled_miou)) for one in pair)
    return first, second


def _pairs(images: int, shift: np.ndarray | float = 0.0) -> Iterator[Pair]:
    rng = np.random.default_rng(images)
    for _ in range(SIMULATIONS):
        yield _draw(rng, images, shift)


def _rate(found: list[bool]) -> float:
    return float(np.mean(found))


@pytest.mark.parametrize("images", [20, 101])
def test_no_difference_is_found_in_five_percent_of_comparisons(images: int) -> None:
    swapped, jackknife = [], []
    for seed, (first, second) in enumerate(_pairs(images)):
        swapped.append(swap_test(first, second, swaps=199, seed=seed) <= ALPHA)
        jackknife.append(difference_interval(first, second).p <= ALPHA)
    assert _rate(swapped) == pytest.approx(ALPHA, abs=SLACK)
    # On few images it finds one in fewer, never in more.
    assert 0.02 <= _rate(jackknife) <= ALPHA + SLACK


def test_models_that_differ_in_classes_but_not_in_the_mean_are_told_apart_in_five_percent() -> None:
    # Better at some classes, worse at others: equal by mIoU though not exchangeable.
    shift = np.where(np.arange(CLASSES) % 2, 0.4, -0.4)
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        first, second = _true_scores(shift + middle)
        low, high = (middle, high) if second < first else (low, middle)
    swapped, covered = [], []
    for seed, (one, other) in enumerate(_pairs(101, shift + low)):
        swapped.append(swap_test(one, other, swaps=199, seed=seed) <= ALPHA)
        covered.append(difference_interval(one, other).p <= ALPHA)
    assert _rate(swapped) == pytest.approx(ALPHA, abs=SLACK)
    assert _rate(covered) == pytest.approx(ALPHA, abs=SLACK)


def test_power_is_what_the_smallest_detectable_difference_promises() -> None:
    shift = 0.119
    first, second = _true_scores(shift)
    pairs = [_draw(np.random.default_rng(seed), 101, shift) for seed in range(500)]
    estimates = [difference_interval(other, one) for one, other in pairs]
    smallest = np.mean([minimum_detectable(one.standard_error, one.df) for one in estimates])
    assert smallest == pytest.approx(second - first, abs=0.002), "shift was chosen for that"
    found = [
        swap_test(other, one, swaps=199, seed=seed) <= ALPHA
        for seed, (one, other) in enumerate(pairs)
    ]
    assert _rate(found) == pytest.approx(0.8, abs=0.06)


def test_frames_of_one_video_need_groups() -> None:
    # 25 scenes, each shot four times: by image the evidence would be counted four times.
    groups = np.repeat(np.arange(25), 4)
    by_image, by_group, jackknife = [], [], []
    rng = np.random.default_rng(4)
    for seed in range(1000):
        pair = _draw(rng, 25, copies=4)
        by_image.append(swap_test(*pair, swaps=199, seed=seed) <= ALPHA)
        by_group.append(swap_test(*pair, swaps=199, seed=seed, groups=groups) <= ALPHA)
        jackknife.append(difference_interval(*pair, groups=groups).p <= ALPHA)
    assert _rate(by_image) > 0.2
    assert _rate(by_group) == pytest.approx(ALPHA, abs=0.02)
    assert _rate(jackknife) == pytest.approx(ALPHA, abs=0.02)


def _cross_validate(rng: np.random.Generator, repeats: int, folds: int = 5) -> np.ndarray:
    """Return the difference in squared error of two learners that are equally good, by fold.

    y = a + b + noise; one learner regresses on a, the other on b, so neither is better.
    """
    count = 100
    features = rng.normal(size=(2, count))
    target = features.sum(0) + rng.normal(size=count)
    differences = []
    for _ in range(repeats):
        fold_of = rng.permutation(count) % folds
        for fold in range(folds):
            train, held_out = fold_of != fold, fold_of == fold
            slope = (features[:, train] @ target[train]) / (features[:, train] ** 2).sum(1)
            errors = ((target[held_out] - slope[:, None] * features[:, held_out]) ** 2).mean(1)
            differences.append(errors[0] - errors[1])
    return np.array(differences)


def test_fold_test_is_exact_where_folds_correlate_as_it_assumes() -> None:
    rng = np.random.default_rng(0)
    correlation = 1 / 5  # n_test / (n_test + n_train) of five folds
    shared = np.sqrt(correlation) * rng.normal(size=(SIMULATIONS, 1))
    values = shared + np.sqrt(1 - correlation) * rng.normal(size=(SIMULATIONS, 5))
    corrected = [corrected_t_test(row, 1 / 4).p <= ALPHA for row in values]
    plain = [stats.ttest_1samp(row, 0.0).pvalue <= ALPHA for row in values]
    assert _rate(corrected) == pytest.approx(ALPHA, abs=SLACK)
    assert _rate(plain) > 0.09


def test_fold_test_keeps_its_promise_with_learners_where_the_plain_one_does_not() -> None:
    def rate(repeats: int, ratio: float) -> float:
        rng = np.random.default_rng(0)
        runs = (_cross_validate(rng, repeats) for _ in range(1000))
        return _rate([corrected_t_test(values, ratio).p <= ALPHA for values in runs])

    assert rate(1, 1 / 4) <= ALPHA + SLACK
    assert rate(4, 1 / 4) <= ALPHA + SLACK
    assert rate(4, 0.0) > 0.2, "the plain t-test finds what is not there"
