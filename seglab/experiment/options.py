"""The options of what `seglab evaluate` measures, as in `conf/suite/*.yaml`."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Interval
from pydantic import Field

from seglab.augment.options import CORRUPTIONS
from seglab.core.options import NotNegative, OneOf, Options


class SuiteOptions(Options):
    """What is measured beside the scores."""

    intervals: bool = True
    """95 % intervals of the scores over images."""
    boundary: bool = True
    """Boundary IoU and F1, Hausdorff-95, surface Dice."""
    calibration: bool = True
    """ECE, reliability, risk-coverage, temperature."""
    slices: bool = True
    """Scores by tag, group, object size, boundary band, rare class."""
    cost: bool = True
    """Parameters, GFLOPs, latency of one image here."""
    gallery: NotNegative = 24
    """Worst cases kept as pictures."""
    corruptions: list[Annotated[str, OneOf(("all", *CORRUPTIONS))]] = Field(default_factory=list)
    """Names, or `[all]`; each severity is one more pass over the split."""
    severities: list[Annotated[int, Interval(ge=1, le=5)]] = Field(
        default_factory=lambda: [1, 2, 3, 4, 5]
    )
    """From slight to severe."""
