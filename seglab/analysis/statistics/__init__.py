"""Statistics of comparisons: paired by image, by fold, over seeds; pure functions of numbers."""

from seglab.analysis.statistics.images import swap_test, wilcoxon_test
from seglab.analysis.statistics.power import holm, minimum_detectable
from seglab.analysis.statistics.repeats import (
    corrected_t_test,
    mean_interval,
    score_bounds,
    welch_test,
)
from seglab.metrics.jackknife import Estimate, difference_interval, score_interval

__all__ = [
    "Estimate",
    "corrected_t_test",
    "difference_interval",
    "holm",
    "mean_interval",
    "minimum_detectable",
    "score_bounds",
    "score_interval",
    "swap_test",
    "welch_test",
    "wilcoxon_test",
]
