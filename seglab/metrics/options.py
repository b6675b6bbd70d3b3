"""The options of what is scored and aimed at, as in `conf/metrics` and `conf/objective`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from seglab.core.errors import ConfigError
from seglab.core.options import NotNegative, Options, Targets, broken_rule
from seglab.metrics.names import declared_scores, find_score
from seglab.metrics.targets import parse_target

__all__ = ["MetricsOptions", "ObjectiveOptions", "declared_scores", "find_score"]


class MetricsOptions(Options):
    """What is scored beside the model."""

    baseline: bool = False
    """Also score what needs no training: the most frequent class, and colour alone."""
    train_images: NotNegative = 100
    """Training images scored at the end, for the gap to val; 0: none."""
    extra: dict[str, Annotated[dict[str, Any], Targets("metric")]] = Field(default_factory=dict)
    """Scores of one's own, logged as val/NAME."""


class ObjectiveOptions(Options):
    """What the model has to reach."""

    targets: list[str] = Field(default_factory=list)
    """Such as `miou >= 0.7` or `latency_ms <= 50`, see `seglab.metrics.targets`."""

    @field_validator("targets")
    @classmethod
    def _can_be_read(cls, texts: list[str]) -> list[str]:
        problems = []
        for text in texts:
            try:
                parse_target(text)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise broken_rule(*problems)
        return texts
