"""Scores of a model on a split: the one path that training, `evaluate` and later checks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from seglab.core.labels import LabelSpace
from seglab.engine.micro_batch import is_out_of_memory
from seglab.inference import argmax_mask, predict_logits
from seglab.metrics import (
    PerImageTable,
    SegmentationMetrics,
    per_image_score_dict,
    per_image_scores,
)
from seglab.models import Segmenter


@dataclass(frozen=True)
class EvalResult:
    """What an evaluation found.

    Attributes:
        split: The split scored.
        scores: Flat dict under the keys of `seglab.metrics.names`; undefined scores are NaN.
        confusion: int64 `(num_classes, num_classes)`, row = target, column = prediction.
        per_image: One row an image: sample_id, split, miou, dice (NaN where no class is defined) and
            the counts tp, fp, fn they come from, lists of num_classes integers.
    """

    split: str
    scores: dict[str, float]
    confusion: np.ndarray
    per_image: pd.DataFrame


class Evaluator:
    """Collects confusion counts over batches and turns them into an `EvalResult`.

    Args:
        labels: Classes and ignored index.
    """

    def __init__(self, labels: LabelSpace) -> None:
        self.labels = labels
        self.metrics = SegmentationMetrics(labels.num_classes, labels.ignore_index, per_image=True)

    def reset(self) -> None:
        """Forget everything counted so far."""
        self.metrics.reset()

    def update(self, model: Segmenter, loss: nn.Module, batch: dict[str, Any]) -> None:
        """Score one batch of normalised images and int64 masks, each at the mask's own size.

        A batch that does not fit into memory is scored in halves.
        """
        try:
            self._update(model, loss, batch)
        except (MemoryError, RuntimeError) as error:
            count = len(batch["sample_id"])
            if count == 1 or not is_out_of_memory(error):
                raise
        else:
            return
        for part in (slice(0, count // 2), slice(count // 2, count)):
            keys = ("image", "mask", "sample_id")
            self.update(model, loss, {key: batch[key][part] for key in keys})

    @torch.no_grad()
    def _update(self, model: Segmenter, loss: nn.Module, batch: dict[str, Any]) -> None:
        mask: Tensor = batch["mask"]
        size = (mask.shape[-2], mask.shape[-1])
        logits = predict_logits(model, batch["image"], size, model.size_divisor, model.min_size)
        if self.metrics.device != mask.device:
            self.metrics.to(mask.device)
        self.metrics.update(argmax_mask(logits), mask, batch["sample_id"], loss(logits, mask))

    def compute(self, split: str) -> EvalResult:
        """Sum over all ranks and return scores, confusion matrix and per-image table."""
        scores = self.metrics.scores(self.labels.class_names, split)
        confusion = self.metrics.compute().confusion.cpu().numpy()
        assert self.metrics.per_image is not None  # noqa: S101 - asked for in the constructor
        counts = self.metrics.per_image.gather()
        scores |= per_image_score_dict(counts, split)
        return EvalResult(split, scores, confusion, _per_image_frame(counts, split))


def _per_image_frame(counts: PerImageTable, split: str) -> pd.DataFrame:
    miou, dice = per_image_scores(counts)
    return pd.DataFrame(
        {
            "sample_id": list(counts.sample_ids),
            "split": split,
            "miou": miou,
            "dice": dice,
            "tp": list(counts.tp),
            "fp": list(counts.fp),
            "fn": list(counts.fn),
        }
    )
