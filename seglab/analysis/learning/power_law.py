"""The law that scores follow as training data grows: score = c - a * n ** -b.

Error falls as a power of the amount of data, towards a floor that the model and the labels set
(Hestness et al., 2017, Deep learning scaling is predictable, empirically; Rosenfeld et al., 2020).

References:
    Hestness et al. (2017): https://arxiv.org/abs/1712.00409
    Rosenfeld et al. (2020): https://arxiv.org/abs/1909.12673
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import OptimizeWarning, curve_fit

from seglab.core.errors import DataError

Floats = npt.NDArray[np.float64]
Number = float | Floats

MIN_SIZES = 3
# A flatter law than the first would put the ceiling anywhere; a steeper one than the second is a
# step and not a curve.
_EXPONENTS = (0.05, 3.0)
_STARTS = (0.2, 0.5, 1.0, 2.0)
_LEVEL = 0.95


@dataclass(frozen=True)
class PowerLaw:
    """score = c - a * n ** -b.

    Attributes:
        a: How far the score lies below its ceiling at n = 1.
        b: How fast it comes near; twice the data divides the distance by 2 ** b.
        c: The ceiling: the score with endless data, at most 1.
        noise: Standard deviation of a score around the law; NaN where there are no more scores
            than the law has parameters.
        draws: Laws refitted to scores drawn anew, rows (a, b, c); none where the noise is unknown.
    """

    a: float
    b: float
    c: float
    noise: float = float("nan")
    draws: Floats = field(default_factory=lambda: np.empty((0, 3)), compare=False, repr=False)

    def predict(self, n: npt.ArrayLike) -> Floats:
        """Return the score at each size, of the shape of `n`."""
        return _law(np.asarray(n, dtype=np.float64), self.a, self.b, self.c)

    def gain(self, n: float, times: float = 2.0) -> float:
        """Return what `times` as much data as `n` would add to the score."""
        return float(self.predict(times * n) - self.predict(n))

    def gain_interval(self, n: float, times: float = 2.0) -> tuple[float, float]:
        """Return the 95 % interval of `gain` over the refitted laws; NaN where there are none."""
        gains = self._drawn(np.array([times * n])) - self._drawn(np.array([n]))
        low, high = _bounds(gains)
        return float(low[0]), float(high[0])

    def band(self, n: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Return the 95 % bounds of the law at sizes `(N,)`, two arrays `(N,)`."""
        return _bounds(self._drawn(np.asarray(n, dtype=np.float64)))

    def _drawn(self, n: Floats) -> Floats:
        a, b, c = (column[:, None] for column in self.draws.T)
        return _law(n, a, b, c)


def fit_power_law(
    sizes: npt.ArrayLike, scores: npt.ArrayLike, resamples: int = 200, seed: int = 0
) -> PowerLaw:
    """Fit the law by least squares (SciPy's bounded `curve_fit`), from several starts.

    Args:
        sizes: Numbers of training images, or shares of them, above 0; several scores may have the
            same size.
        scores: Scores in 0..1; pairs with a NaN are left out.
        resamples: How often scores are drawn anew around the law, for intervals. The noise is that
            of the scores around the law, and as uncertain as so few scores make it: with one more
            score than parameters, intervals are wide.
        seed: Seed of the draws.

    Raises:
        DataError: Fewer than three different sizes, a size that is not above 0, or not one score a
            size.
    """
    n, y = _pairs(sizes, scores)
    # In units of the largest size the parameters are all near 1.
    unit = n.max()
    found = _best_fit(n / unit, y)
    residuals = y - _law(n / unit, *found)
    freedom = len(y) - 3
    noise = float(np.sqrt((residuals**2).sum() / freedom)) if freedom > 0 else float("nan")
    draws = _refits(n / unit, found, noise, freedom, resamples, seed)
    a, b, c = _rescale(found[None], unit)[0]
    return PowerLaw(float(a), float(b), float(c), noise, _rescale(draws, unit))


def _law(n: Floats, a: Number, b: Number, c: Number) -> Floats:
    return np.asarray(c - a * n**-b)


def _pairs(sizes: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Floats, Floats]:
    n, y = np.asarray(sizes, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if n.ndim != 1 or n.shape != y.shape:
        raise DataError(f"expected one score a size, got {n.shape} sizes and {y.shape} scores")
    known = ~(np.isnan(n) | np.isnan(y))
    n, y = n[known], y[known]
    if (n <= 0).any():
        raise DataError(f"expected sizes above 0, got {n.min():g}")
    if len(np.unique(n)) < MIN_SIZES:
        raise DataError(
            f"expected scores at {MIN_SIZES} different sizes or more, got {len(np.unique(n))}; "
            "train on more shares of the data (data.train_fraction)"
        )
    return n, y


def _best_fit(n: Floats, y: Floats) -> Floats:
    """Return (a, b, c) of the least squares; the valley is long, so several starts are tried."""
    found = [_fit(n, y, np.array([_scale(n, y, b), b, min(y.max() + 0.02, 0.99)])) for b in _STARTS]
    return min(found, key=lambda one: float(((y - _law(n, *one)) ** 2).sum()))


def _scale(n: Floats, y: Floats, b: float) -> float:
    """Return the a that joins the ends of the curve, given the exponent."""
    rise = y[n.argmax()] - y[n.argmin()]
    return float(np.clip(rise / max(n.min() ** -b - n.max() ** -b, 1e-9), 1e-6, 10))


def _fit(n: Floats, y: Floats, start: Floats) -> Floats:
    low, high = [0.0, _EXPONENTS[0], 0.0], [np.inf, _EXPONENTS[1], 1.0]
    with warnings.catch_warnings():
        # A flat curve tells nothing of the exponent; the intervals here do not use the covariance.
        warnings.simplefilter("ignore", OptimizeWarning)
        found, _ = curve_fit(_law, n, y, start, bounds=(low, high), max_nfev=2000)
    return np.asarray(found)


def _refits(
    n: Floats, found: Floats, noise: float, freedom: int, resamples: int, seed: int
) -> Floats:
    if freedom <= 0:
        return np.empty((0, 3))
    rng = np.random.default_rng(seed)
    expected = _law(n, *found)
    start = np.clip(found, [1e-9, _EXPONENTS[0], 1e-9], [np.inf, _EXPONENTS[1], 1 - 1e-9])
    draws = []
    for _ in range(resamples):
        # Few scores tell the noise badly; scaled so, the draws follow a t distribution.
        spread = noise * np.sqrt(freedom / rng.chisquare(freedom))
        drawn = np.clip(expected + rng.normal(0, spread, len(n)), 0, 1)
        draws.append(_fit(n, drawn, start))
    return np.array(draws)


def _rescale(laws: Floats, unit: float) -> Floats:
    """Return laws over n / unit, rows (a, b, c), as laws over n."""
    return laws * np.stack([unit ** laws[:, 1], np.ones(len(laws)), np.ones(len(laws))], axis=1)


def _bounds(values: Floats) -> tuple[Floats, Floats]:
    if not len(values):
        unknown = np.full(values.shape[1:], np.nan)
        return unknown, unknown
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail], axis=0)
    return low, high
