"""Every declared loss, with options under which it behaves in another way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seglab.core.parts.components import components, load_component
from seglab.losses import SegmentationLoss

# Beside its defaults, which every loss is tested with.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "FocalLoss": [{"gamma": 0.5}],
    "DiceLoss": [{"per_image": True, "smooth": 1.0}],
    "TverskyLoss": [{"gamma": 1.5}],
    "LovaszLoss": [{"per_image": True}],
}
# Likewise, only for what is promised of a batch in parts.
PARTS: dict[str, list[dict[str, Any]]] = {
    "CrossEntropyLoss": [{"label_smoothing": 0.2}],
    "OhemCrossEntropyLoss": [{"threshold": 1.0}],
    "JaccardLoss": [{"per_image": True, "present_only": False, "smooth": 1.0}],
    "TverskyLoss": [{"gamma": 1.5, "per_image": True}],
}


@dataclass(frozen=True)
class LossCase:
    """A declared loss and options of it."""

    target: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.target.rpartition(".")[2]

    def __str__(self) -> str:
        # A module may not have a dot in its name.
        chosen = [f"{key}={value}".replace(".", "_") for key, value in self.options.items()]
        return "-".join([self.name, *chosen])

    def build(self, **supplied: Any) -> SegmentationLoss:
        built = load_component("loss_term", self.target)
        loss: SegmentationLoss = built(**self.options, **supplied)
        return loss


def _cases(variants: Mapping[str, list[dict[str, Any]]], *also: dict[str, Any]) -> list[LossCase]:
    return [
        LossCase(target, options)
        for target in components("loss_term")
        for options in [*also, *variants.get(target.rpartition(".")[2], [])]
    ]


CASES = _cases(VARIANTS, {})
MEANS = {
    str(case): case.build for case in [*CASES, *_cases(PARTS)] if case.build().is_mean_over_images
}
OTHERS = {str(case): case.build for case in CASES if str(case) not in MEANS}
