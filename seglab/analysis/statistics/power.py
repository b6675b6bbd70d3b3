"""Many comparisons at once, and what a comparison could have seen at all.

"No difference can be told" says little without the smallest difference that would have been told.

References:
    Holm (1979): https://www.jstor.org/stable/4615733
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from seglab.core.errors import ShapeError

Data = TypeVar("Data")

# Beyond, Student's t and its noncentral form are the normal distribution to four digits.
_NORMAL_FROM_DF = 1000


class Power(NamedTuple):
    """Share of simulated comparisons that found a difference, and its standard error."""

    share: float
    standard_error: float


def holm(p_values: npt.ArrayLike, comparisons: int | None = None) -> npt.NDArray[np.float64]:
    """Return p-values corrected by Holm's step-down method (Holm, 1979).

    The chance of even one false finding among all comparisons stays below the level, whatever the
    dependence between them. SciPy corrects for the false discovery rate only, hence our own lines.

    Args:
        p_values: p-values of the comparisons shown; NaN stay NaN and do not count.
        comparisons: How many comparisons there were in all, when only some are shown: choosing the
            best of m runs and testing the others against it looked at m (m - 1) / 2 pairs. Treating
            the ones not shown as larger than the smallest shown is on the safe side.

    Raises:
        ShapeError: Fewer comparisons than p-values.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(values.shape, np.nan)
    defined = np.flatnonzero(~np.isnan(values))
    total = len(defined) if comparisons is None else comparisons
    if total < len(defined):
        raise ShapeError(f"expected at least {len(defined)} comparisons, got {comparisons}")
    order = defined[np.argsort(values[defined], kind="stable")]
    factors = total - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return adjusted


def minimum_detectable(
    standard_error: float,
    df: float = math.inf,
    *,
    level: float = 0.95,
    power: float = 0.8,
    comparisons: int = 1,
) -> float:
    """Return the smallest true difference that a two-sided t-test finds with the given power.

    Args:
        standard_error: Of the difference, from any `Estimate`.
        df: Degrees of freedom of that estimate; infinite for a normal one.
        level: 1 - the level of significance.
        power: Chance of finding the difference.
        comparisons: Divides the level of significance (Bonferroni; what Holm asks of the smallest p).

    Returns:
        A difference >= 0; NaN where the standard error is NaN.
    """
    if not 0.0 < level < 1.0 or not 0.0 < power < 1.0:
        raise ShapeError(f"expected level and power between 0 and 1, got {level} and {power}")
    if math.isnan(standard_error) or math.isnan(df) or standard_error == 0.0:
        return standard_error if not math.isnan(df) else math.nan
    alpha = (1.0 - level) / comparisons
    normal = float(stats.norm.isf(alpha / 2.0) + stats.norm.ppf(power))
    if df > _NORMAL_FROM_DF:
        return normal * standard_error
    critical = float(stats.t.isf(alpha / 2.0, df))

    def lacking(shift: float) -> float:
        return float(stats.nct.sf(critical, df, shift)) - power

    # At a shift so far beyond the critical value the power is near 1 whatever the df.
    upper = critical
    while lacking(upper) < 0.0:
        upper *= 2.0
    return float(optimize.brentq(lacking, 0.0, upper)) * standard_error


def simulated_power(
    draw: Callable[[np.random.Generator], Data],
    test: Callable[[Data], float],
    simulations: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Power:
    """Return how often a test finds a difference in drawn data.

    With data of no difference this is the rate of false findings; a test is sound when it is at most
    1 - level.

    Args:
        draw: Makes one data set from a generator.
        test: Returns its p-value; NaN counts as not found.
        simulations: How many data sets.
        level: Found means p <= 1 - level.
        seed: The same seed gives the same answer.

    Raises:
        ShapeError: No simulation is asked for.
    """
    if simulations < 1:
        raise ShapeError(f"expected simulations >= 1, got {simulations}")
    rng = np.random.default_rng(seed)
    # Rounding must not turn p = 0.05 at level 0.95 into a difference that was not found.
    alpha = 1.0 - level + 1e-12
    found: Sequence[bool] = [test(draw(rng)) <= alpha for _ in range(simulations)]
    share = float(np.mean(found))
    return Power(share, math.sqrt(share * (1.0 - share) / simulations))
