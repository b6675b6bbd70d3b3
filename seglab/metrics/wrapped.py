"""A score of one's own: a function of the confusion matrix, or a torchmetrics `Metric` over the masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from seglab.core.errors import ConfigError
from seglab.core.parts.own_parts import OwnPart

_SIDE = 8


class WrappedMetric:
    """One score, whichever of the two it is.

    Args:
        name: Last part of its key, as in `val/NAME`.
        score: `score(confusion)` over int64 `(C, C)`, rows = target; or a `Metric` whose
            `update(pred_mask, mask)` takes int64 `(B, H, W)`, `ignore_index` where nothing counts.
    """

    def __init__(self, name: str, score: Metric | Callable[[np.ndarray], Any]) -> None:
        self.name = name
        self.score = score

    def reset(self) -> None:
        """Forget what was counted."""
        if isinstance(self.score, Metric):
            self.score.reset()

    def update(self, pred_mask: Tensor, mask: Tensor) -> None:
        """Take one batch of class masks `(B, H, W)`."""
        if isinstance(self.score, Metric):
            self.score.to(mask.device)
            self.score.update(pred_mask.long(), mask.long())

    def compute(self, confusion: np.ndarray) -> float:
        """Return the score of all batches, of all ranks.

        Args:
            confusion: int64 `(C, C)` of the same pixels.
        """
        if isinstance(self.score, Metric):
            return float(self.score.compute())
        return float(self.score(confusion.copy()))


def wrap_metric(name: str, part: OwnPart, num_classes: int, ignore_index: int) -> WrappedMetric:
    """Build a score of one's own and try it.

    Args:
        name: Last part of its key.
        part: A class or function; `num_classes` and `ignore_index` are given if it takes them.
        num_classes: Number of classes.
        ignore_index: Target value of pixels that count nowhere.

    Raises:
        ConfigError: It cannot be built, fails on a small example, or gives no number.
    """
    metric = WrappedMetric(name, part.make(num_classes=num_classes, ignore_index=ignore_index))
    confusion = np.arange(num_classes**2, dtype=np.int64).reshape(num_classes, num_classes)
    mask = torch.arange(_SIDE * _SIDE).reshape(1, _SIDE, _SIDE) % num_classes
    try:
        metric.update(mask, torch.where(mask == 0, ignore_index, mask))
        metric.compute(confusion)
        metric.reset()
    except Exception as error:
        raise ConfigError(
            f"{part.key}: {part.target} gives no number for a confusion matrix "
            f"({num_classes}, {num_classes}): {type(error).__name__}: {error}"
        ) from error
    return metric
