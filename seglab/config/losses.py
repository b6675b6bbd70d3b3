"""The keys of each loss under `loss` and `loss.terms`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from seglab.config.fields import ChosenBy, Fraction, NotNegativeFloat, PositiveFloat, Targets

ClassWeights = Literal["none", "median_frequency", "enet", "effective_number"] | list[PositiveFloat]


@dataclass
class WeightedSum:
    """A sum of losses."""

    terms: dict[str, Annotated[dict[str, Any], Targets("loss_term")]]
    weights: dict[str, NotNegativeFloat]
    class_weights: ClassWeights


@dataclass
class Term:
    """One loss of a sum."""

    class_weights: ClassWeights | None = None


@dataclass
class CrossEntropyLoss(Term):
    """Cross-entropy."""

    label_smoothing: Fraction = 0.0


@dataclass
class OhemCrossEntropyLoss(Term):
    """Cross-entropy of the hardest pixels."""

    threshold: Fraction = 0.7
    min_kept: Fraction = 0.1


@dataclass
class FocalLoss(Term):
    """Cross-entropy that spares easy pixels."""

    gamma: NotNegativeFloat = 2.0


@dataclass
class RegionLoss(Term):
    """Soft Dice and soft Jaccard."""

    per_image: bool = False
    present_only: bool = True
    smooth: NotNegativeFloat = 0.0


@dataclass
class TverskyLoss(RegionLoss):
    """Tversky, which weighs misses and false alarms."""

    alpha: NotNegativeFloat = 0.3
    beta: NotNegativeFloat = 0.7
    gamma: PositiveFloat = 1.0


@dataclass
class LovaszLoss(Term):
    """Lovasz-softmax."""

    per_image: bool = False


@dataclass
class BoundaryLoss(Term):
    """Distance to the true outline."""


LOSSES: dict[str, type | ChosenBy] = {"seglab.losses.WeightedSum": WeightedSum}
TERMS: dict[str, type | ChosenBy] = {
    "seglab.losses.CrossEntropyLoss": CrossEntropyLoss,
    "seglab.losses.OhemCrossEntropyLoss": OhemCrossEntropyLoss,
    "seglab.losses.FocalLoss": FocalLoss,
    "seglab.losses.DiceLoss": RegionLoss,
    "seglab.losses.JaccardLoss": RegionLoss,
    "seglab.losses.TverskyLoss": TverskyLoss,
    "seglab.losses.LovaszLoss": LovaszLoss,
    "seglab.losses.BoundaryLoss": BoundaryLoss,
}
