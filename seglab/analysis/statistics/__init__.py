"""Statistics of comparisons: paired by image, by fold, over seeds; pure functions of numbers."""

from seglab.analysis.statistics.images import (
    Estimate,
    difference_interval,
    paired_bootstrap,
    score_interval,
    swap_test,
    wilcoxon_test,
)
from seglab.analysis.statistics.power import Power, holm, minimum_detectable, simulated_power
from seglab.analysis.statistics.repeats import corrected_t_test, mean_interval, welch_test

__all__ = [
    "Estimate",
    "Power",
    "corrected_t_test",
    "difference_interval",
    "holm",
    "mean_interval",
    "minimum_detectable",
    "paired_bootstrap",
    "score_interval",
    "simulated_power",
    "swap_test",
    "welch_test",
    "wilcoxon_test",
]
