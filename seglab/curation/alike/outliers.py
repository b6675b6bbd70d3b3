"""Which vectors are unlike the bulk of the others, each by itself; groups are found in `apart`."""

from __future__ import annotations

import numpy as np
from scipy import linalg
from sklearn.covariance import LedoitWolf

from seglab.curation.alike.robust import usual

# Fewer say nothing of what is usual.
LEAST_VECTORS = 20
_FOLDS = 5
_STEPS = 4
# So many of the most usual ones set the standard: up to a third may be foreign.
_BULK = 2 / 3
# The standard is taken from at most so many, whatever their number.
_MOST_FITTED = 5000
# Vectors that are all alike have none.
_LEAST_VARIANCE = 1e-12


def outlier_scores(
    vectors: np.ndarray, seed: int = 0, foreign: np.ndarray | None = None
) -> np.ndarray:
    """Return how unlike the bulk each vector is.

    The standard is a mean and a covariance (shrunk, so that there may be more dimensions than vectors) of the
    two thirds nearest to it, found in a few rounds as in the minimum covariance determinant: planted images
    of one kind do not vouch for each other, as they would by nearest neighbours. No vector is judged by
    a standard it was part of: each fifth is by the other four.

    Args:
        vectors: Float `(N, D)`, N at least 20.
        seed: Of the fifths.
        foreign: Bool `(N,)`: vectors known to be unlike the others, which have no part in what is usual.

    Returns:
        Float64 `(N,)`: log of the Mahalanobis distance, in robust standard deviations (1.4826 times the
        median absolute deviation) above its median.

    References:
        Rousseeuw, van Driessen (1999), A fast algorithm for the minimum covariance determinant estimator:
        https://doi.org/10.1080/00401706.1999.10485670
        Ledoit, Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices:
        https://doi.org/10.1016/S0047-259X(03)00096-4
    """
    if len(vectors) < LEAST_VECTORS:
        raise ValueError(f"expected at least {LEAST_VECTORS} vectors, got {len(vectors)}")
    values = np.asarray(vectors, dtype=np.float64)
    known = np.ones(len(values), dtype=bool) if foreign is None else ~foreign
    scale = values[known].std(axis=0)
    values = (values - np.median(values[known], axis=0)) / np.where(scale > 0, scale, 1)
    part = np.random.default_rng(seed).permutation(len(values)) % _FOLDS
    apart = np.linalg.norm(values, axis=1)
    for _ in range(_STEPS):
        bulk = known & (apart <= np.quantile(apart[known], _BULK))
        apart = _judged(values, bulk, part)
    logs = np.log(np.maximum(apart, 1e-12))
    middle, spread = usual(logs[known], 1e-6)
    return np.asarray((logs - middle) / spread)


def _judged(values: np.ndarray, bulk: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return the distance of each vector from those of the bulk in the other parts."""
    apart = np.empty(len(values))
    for fold in range(_FOLDS):
        standard = values[bulk & (part != fold)][:_MOST_FITTED]
        judged = part == fold
        # Its own inverse, by eigenvalues, takes ten times as long as a Cholesky factor.
        fitted = LedoitWolf(store_precision=False).fit(standard)
        covariance = fitted.covariance_ + _LEAST_VARIANCE * np.eye(values.shape[1])
        factor = linalg.cho_factor(covariance, check_finite=False)
        away = (values[judged] - fitted.location_).T
        squares = (away * linalg.cho_solve(factor, away, check_finite=False)).sum(axis=0)
        apart[judged] = np.sqrt(np.maximum(squares, 0))
    return apart
