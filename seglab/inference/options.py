"""The options of how logits come about in an evaluation, as in `conf/predict/*.yaml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field

from seglab.core.options import (
    FromList,
    Options,
    PositiveFloat,
    ProperFraction,
    Size,
    Targets,
    broken_rule,
)
from seglab.core.problems import show

_Item = TypeVar("_Item")


def _each_once(values: tuple[_Item, ...]) -> tuple[_Item, ...]:
    if len(set(values)) < len(values):
        raise broken_rule(f"expected each once, got {show(list(values))}")
    return values


def _some(values: tuple[_Item, ...]) -> tuple[_Item, ...]:
    if not values:
        raise broken_rule("expected at least one, got []; [1.0] is the image as it is")
    return _each_once(values)


class ViewOptions(Options):
    """What a model sees of an image: the whole or windows, mirrored and rescaled views."""

    flips: Annotated[tuple[Literal["h", "v", "hv"], ...], FromList, AfterValidator(_each_once)] = ()
    """Mirrored views, their probabilities averaged: left-right, upside down, both (a half turn)."""
    scales: Annotated[tuple[PositiveFloat, ...], FromList, AfterValidator(_some)] = (1.0,)
    """Factors of both sides of rescaled views, likewise; 1.0 is only a view if it is listed."""
    window: Size | None = None
    """Height and width, to go window by window, for images larger than the memory; null: in one piece."""
    overlap: ProperFraction = 0.5
    """Least share of a window that its neighbour sees too."""


class PredictOptions(ViewOptions):
    """How logits come about: whole or by windows, of views of the image, by several runs."""

    ensemble: list[str] = Field(default_factory=list)
    """Further runs whose probabilities are averaged with this one's."""
    predictor: Annotated[dict[str, Any], Targets("predictor")] | None = None
    """A way of predicting of one's own, by `_target_`, inside the views and around the windows."""
