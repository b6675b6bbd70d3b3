"""The keys under `suite` and `predict`: what `seglab evaluate` measures, and how it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from seglab.config.fields import Bounds, NotNegative, PositiveFloat, ProperFraction, Size

Corruption = Literal[
    "all", "gaussian_noise", "gaussian_blur", "jpeg", "fog", "rain", "brightness", "contrast"
]


@dataclass
class Suite:
    """What is measured beside the scores."""

    intervals: bool
    boundary: bool
    calibration: bool
    slices: bool
    cost: bool
    gallery: NotNegative
    corruptions: list[Corruption]
    severities: list[Annotated[int, Bounds(1, 5)]]


@dataclass
class Predict:
    """How logits come about."""

    flips: list[Literal["h", "v", "hv"]]
    scales: list[PositiveFloat]
    window: Size | None
    overlap: ProperFraction
    ensemble: list[str]
