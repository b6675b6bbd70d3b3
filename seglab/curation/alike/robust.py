"""What is usual among numbers of which some are not: median and robust spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

# Turns the median deviation of normally distributed numbers into their standard deviation.
_NORMAL = 1.4826


def usual(values: ArrayLike, least_spread: float) -> tuple[float, float]:
    """Return the median of float `(N,)`, N at least 1, and 1.4826 times the median deviation from it.

    Args:
        values: Up to half of them may be anything.
        least_spread: Spread of numbers that are all alike.
    """
    numbers = np.asarray(values, dtype=np.float64)
    middle = float(np.median(numbers))
    return middle, max(_NORMAL * float(np.median(np.abs(numbers - middle))), least_spread)
