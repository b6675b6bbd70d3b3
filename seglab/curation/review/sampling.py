"""How many masks to inspect, and what was shown then: exact, for a data set of so many masks.

The masks inspected are drawn without replacement, so the number of errors among them is
hypergeometric. No approximation, and no assumption on how errors are spread over the data.

References:
    Clopper and Pearson (1934): https://doi.org/10.1093/biomet/26.4.404
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import stats

from seglab.core.errors import ConfigError


@dataclass(frozen=True)
class Share:
    """A share that was counted, and its interval.

    Args:
        count: How many.
        of: Of how many.
        low: Lower bound of the share.
        high: Upper bound.
    """

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share; NaN of nothing."""
        return self.count / self.of if self.of else math.nan


def sample_size(population: int, error_rate: float, confidence: float, allowed: int = 0) -> int:
    """Return the smallest number of masks that shows an error rate below a limit.

    If at most `allowed` of so many masks are wrong, a data set with an error rate of the limit or
    more would have come through with a chance of at most 1 - `confidence`.

    Args:
        population: Masks in the data set.
        error_rate: The limit, between 0 and 1.
        confidence: Between 0 and 1.
        allowed: Errors among those inspected with which it counts as shown.

    Raises:
        ConfigError: The limit is so low that with so many errors allowed nothing can be shown.

    >>> sample_size(10**6, 0.05, 0.95)
    59
    >>> sample_size(200, 0.05, 0.95)
    51
    """
    wrong = fewest_errors(population, error_rate)
    if allowed >= wrong:
        raise ConfigError(
            f"an error rate below {error_rate:g} of {population} masks means fewer than {wrong} "
            f"wrong ones; allow fewer than {wrong} (--allowed), got {allowed}"
        )
    # More masks inspected leave less chance of so few errors.
    return _first(
        0, population, lambda n: chance_to_pass(population, wrong, n, allowed) <= 1 - confidence
    )


def fewest_errors(population: int, error_rate: float) -> int:
    """Return the smallest number of wrong masks that is not below the error rate, at least 1."""
    return max(1, math.ceil(error_rate * population - 1e-9))


def chance_to_pass(population: int, wrong: int, inspected: int, allowed: int) -> float:
    """Return the chance that at most `allowed` of the masks inspected are wrong."""
    return float(stats.hypergeom.cdf(allowed, population, wrong, inspected))


def largest_rate(population: int, inspected: int, found: int, confidence: float) -> float:
    """Return the one-sided upper bound of the error rate of the data set."""
    tail = 1.0 - confidence
    # The first number of errors with which so few would hardly have been found is too large.
    most = population - (inspected - found)
    too_many = _first(
        found,
        most + 1,
        lambda n: n > most or chance_to_pass(population, n, inspected, found) <= tail,
    )
    return (too_many - 1) / population


def error_rate_of(population: int, inspected: int, found: int, confidence: float) -> Share:
    """Return the errors found with the two-sided interval of the error rate of the data set."""
    one_side = (1.0 + confidence) / 2.0
    high = largest_rate(population, inspected, found, one_side)
    # Masks that are right, seen the same way.
    low = 1.0 - largest_rate(population, inspected, inspected - found, one_side)
    return Share(found, inspected, low, high)


def share_of(count: int, of: int, confidence: float) -> Share:
    """Return a share with the interval of Clopper and Pearson (1934); [0, 1] of nothing."""
    if not of:
        return Share(0, 0, 0.0, 1.0)
    interval = stats.binomtest(count, of).proportion_ci(confidence, method="exact")
    return Share(count, of, float(interval.low), float(interval.high))


def largest_rate_with_misses(
    population: int, inspected: int, found: int, caught: int, planted: int, confidence: float
) -> float:
    """Return the upper bound of the error rate where reviewers see only a share of the errors.

    What they would have found is bounded from above, their catch rate from below, each at half of
    what may go wrong, so both hold together with the confidence asked for.
    """
    each = (1.0 + confidence) / 2.0
    seen = largest_rate(population, inspected, found, each)
    # One-sided, from the two-sided interval of twice the tail.
    catch = share_of(caught, planted, 2.0 * each - 1.0).low
    return min(1.0, seen / catch) if catch > 0.0 else 1.0


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the first number in `low..high` for which something holds that holds ever after."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
