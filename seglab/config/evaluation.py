"""The keys under `suite` and `predict`: what `seglab evaluate` measures, and how it predicts."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Interval

from seglab.core.options import NotNegative, Options, PositiveFloat, ProperFraction, Size

Corruption = Literal[
    "all", "gaussian_noise", "gaussian_blur", "jpeg", "fog", "rain", "brightness", "contrast"
]


class Suite(Options):
    """What is measured beside the scores."""

    intervals: bool
    boundary: bool
    calibration: bool
    slices: bool
    cost: bool
    gallery: NotNegative
    corruptions: list[Corruption]
    severities: list[Annotated[int, Interval(ge=1, le=5)]]


class Predict(Options):
    """How logits come about."""

    flips: list[Literal["h", "v", "hv"]]
    scales: list[PositiveFloat]
    window: Size | None
    overlap: ProperFraction
    ensemble: list[str]
