from __future__ import annotations

import math

import numpy as np
import pytest

from seglab.analysis.learning.power_law import PowerLaw, fit_power_law
from seglab.core.errors import DataError

SIZES = np.array([18.0, 36.0, 72.0, 144.0])


@pytest.mark.parametrize(
    ("a", "b", "c"),
    [(0.8, 0.5, 0.9), (2.0, 0.3, 0.95), (0.5, 1.0, 0.7), (0.3, 0.1, 0.9), (40.0, 2.0, 0.6)],
)
def test_known_law_is_recovered(a: float, b: float, c: float) -> None:
    law = fit_power_law(SIZES, c - a * SIZES**-b, resamples=5)
    assert law.a == pytest.approx(a, rel=1e-3)
    assert law.b == pytest.approx(b, rel=1e-3)
    assert law.c == pytest.approx(c, rel=1e-3)
    assert law.noise == pytest.approx(0, abs=1e-6)


def test_law_over_shares_is_the_law_over_images() -> None:
    scores = 0.9 - 0.8 * SIZES**-0.5 + np.array([0.003, -0.002, 0.001, -0.001])
    images, shares = fit_power_law(SIZES, scores), fit_power_law(SIZES / 144, scores)
    assert shares.b == pytest.approx(images.b, rel=1e-6)
    assert shares.a == pytest.approx(images.a * 144**-images.b, rel=1e-6)
    assert shares.gain_interval(1.0) == pytest.approx(images.gain_interval(144.0), rel=1e-6)


def test_gain_by_hand() -> None:
    law = PowerLaw(a=0.8, b=0.5, c=0.9)
    assert law.predict([4.0, 16.0]).tolist() == pytest.approx([0.5, 0.7])
    assert law.gain(4.0, times=4.0) == pytest.approx(0.2)
    assert law.gain(4.0) == pytest.approx(0.4 - 0.8 / math.sqrt(8))
    assert all(math.isnan(bound) for bound in law.gain_interval(4.0))
    assert np.isnan(law.band([4.0, 16.0])).all()


def test_flat_scores_make_no_gain() -> None:
    law = fit_power_law(SIZES, [0.6, 0.6, 0.6, 0.6], resamples=5)
    assert law.gain(144.0) == pytest.approx(0, abs=1e-5)
    assert law.c == pytest.approx(0.6, abs=1e-3)
    falling = fit_power_law(SIZES, [0.62, 0.61, 0.60, 0.59], resamples=5)
    assert falling.gain(144.0) == pytest.approx(0, abs=1e-5)


def test_noise_is_that_around_the_law() -> None:
    rng = np.random.default_rng(0)
    sizes = np.repeat(SIZES, 50)
    scores = 0.9 - 0.8 * sizes**-0.5 + rng.normal(0, 0.01, len(sizes))
    law = fit_power_law(sizes, scores, resamples=50)
    assert law.noise == pytest.approx(0.01, rel=0.15)
    low, high = law.gain_interval(144.0)
    true = 0.8 * 144**-0.5 * (1 - 2**-0.5)
    assert low < true < high
    assert high - low < 0.02


def test_more_seeds_make_a_narrower_interval() -> None:
    rng = np.random.default_rng(1)
    widths = []
    for seeds in (1, 8):
        sizes = np.repeat(SIZES, seeds)
        scores = 0.9 - 0.8 * sizes**-0.5 + rng.normal(0, 0.02, len(sizes))
        low, high = fit_power_law(sizes, scores, resamples=60).gain_interval(144.0)
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_band_encloses_the_law_and_widens_beyond_the_data() -> None:
    rng = np.random.default_rng(2)
    sizes = np.repeat(SIZES, 5)
    scores = 0.9 - 0.8 * sizes**-0.5 + rng.normal(0, 0.01, len(sizes))
    law = fit_power_law(sizes, scores, resamples=100)
    low, high = law.band([72.0, 1000.0])
    assert (low < law.predict([72.0, 1000.0])).all()
    assert (law.predict([72.0, 1000.0]) < high).all()
    assert high[1] - low[1] > high[0] - low[0]


def test_three_scores_fix_the_law_and_leave_no_noise_to_see() -> None:
    law = fit_power_law(SIZES[1:], 0.9 - 0.8 * SIZES[1:] ** -0.5)
    assert law.b == pytest.approx(0.5, rel=1e-3)
    assert math.isnan(law.noise)
    assert math.isnan(law.gain_interval(144.0)[0])


def test_seed_decides() -> None:
    scores = [0.5, 0.58, 0.66, 0.69]
    assert fit_power_law(SIZES, scores, 20, 1).gain_interval(144.0) == (
        fit_power_law(SIZES, scores, 20, 1).gain_interval(144.0)
    )


@pytest.mark.parametrize(
    ("sizes", "scores", "message"),
    [
        ([1.0, 2.0], [0.1, 0.2], "expected scores at 3 different sizes or more, got 2"),
        ([1.0, 1.0, 2.0], [0.1, 0.2, 0.3], "got 2"),
        ([1.0, 2.0, 4.0], [0.1, 0.2, math.nan], "got 2"),
        ([0.0, 2.0, 4.0], [0.1, 0.2, 0.3], "expected sizes above 0, got 0"),
        ([1.0, 2.0, 4.0], [0.1, 0.2], "expected one score a size"),
    ],
)
def test_what_cannot_be_fitted(sizes: list[float], scores: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit_power_law(sizes, scores)
