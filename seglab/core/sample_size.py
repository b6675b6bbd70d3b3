"""How many repetitions a statement about spread needs, and what is said where there are fewer.

The numbers come from simulated data sets (`scripts/bench_intervals.py`): with five images or more the
95 % interval of a score misses the true one in 4 to 8 % of cases, with three in up to 17 %.
"""

from __future__ import annotations

# Images, or groups of images (videos, patients) where those are what is independent.
MIN_UNITS = 5
# Trainings: folds of a cross-validation, seeds. Their scores are means over images and vary about
# normally, so Student's t holds; with two it would be 12.7 standard errors to either side.
MIN_REPEATS = 3
TOO_FEW_IMAGES = "too few images to tell"
TOO_FEW_REPEATS = "too few repeats to tell"
