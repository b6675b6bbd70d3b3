"""Scores of a model on a split: the one path that training, `evaluate` and later checks share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from seglab.core.labels import LabelSpace
from seglab.engine.step.batches import Batch
from seglab.engine.step.micro_batch import is_out_of_memory
from seglab.inference import argmax_mask
from seglab.inference.deterministic import deterministic_forms, wanted_on
from seglab.inference.predictor import Predictor, WholeImage
from seglab.losses import WeightedSum
from seglab.metrics import (
    PerImageTable,
    SegmentationMetrics,
    per_image_score_dict,
    per_image_scores,
)
from seglab.metrics.names import LOSS, metric_key
from seglab.metrics.wrapped import WrappedMetric
from seglab.models import Segmenter


@dataclass(frozen=True)
class EvalResult:
    """What an evaluation found.

    Attributes:
        split: The split scored.
        scores: Flat dict under the keys of `seglab.metrics.names`; undefined scores are NaN.
        confusion: int64 `(num_classes, num_classes)`, row = target, column = prediction.
        per_image: One row per image: sample_id, split, miou, dice (NaN where no class is defined) and
            the counts tp, fp, fn they come from, lists of num_classes integers.
    """

    split: str
    scores: dict[str, float]
    confusion: np.ndarray
    per_image: pd.DataFrame


class Observer(Protocol):
    """Looks at every scored batch beside the metrics: writes predictions, collects cases."""

    def update(self, batch: Batch, logits: Tensor, pred_mask: Tensor) -> None:
        """Take one batch.

        Args:
            batch: Normalised `image` `(B, C, H, W)`, `mask` `(B, Hm, Wm)`, `sample_id`.
            logits: Float `(B, num_classes, Hm, Wm)`, at the size of the masks.
            pred_mask: uint8 `(B, Hm, Wm)`, the argmax.
        """


@dataclass(frozen=True)
class Evaluation:
    """What is scored, and how.

    Attributes:
        split: Name that the scores are filed under: val, test or train.
        observers: What else looks at each batch.
        predictor: How logits come about; None: the whole image at once.
        companions: Networks that the predictor asks beside the model; they share its device.
        corrupt: What happens to images `(B, C, H, W)`, as stored, and their sample ids before the
            images are normalised; None: nothing.
    """

    split: str = "val"
    observers: Sequence[Observer] = ()
    predictor: Predictor | None = None
    companions: Sequence[nn.Module] = ()
    corrupt: Callable[[Tensor, Sequence[str]], Tensor] | None = None

    def predict(self, model: Segmenter, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Return logits `(B, num_classes, *size)` of normalised images, as they are scored."""
        predict = self.predictor or WholeImage(model, model.size_divisor, model.min_size)
        return predict(image, size)


class Evaluator:
    """Collects confusion counts over batches and turns them into an `EvalResult`.

    Args:
        labels: Classes and ignored index.
        num_terms: Terms of the loss that is evaluated too.
        evaluation: What is scored; as given, the validation inside training.
        extra: Scores of one's own beside ours.
    """

    def __init__(
        self,
        labels: LabelSpace,
        num_terms: int = 1,
        evaluation: Evaluation | None = None,
        extra: Sequence[WrappedMetric] = (),
    ) -> None:
        self.labels = labels
        self.evaluation = evaluation or Evaluation()
        self.extra = extra
        self.metrics = SegmentationMetrics(
            labels.num_classes, labels.ignore_index, per_image=True, num_terms=num_terms
        )

    def reset(self) -> None:
        """Forget everything counted so far."""
        self.metrics.reset()
        for metric in self.extra:
            metric.reset()

    def update(self, model: Segmenter, loss: WeightedSum, batch: Batch) -> None:
        """Score one batch of normalised images and integer masks, each at the mask's own size.

        A batch that does not fit into memory is scored in halves.
        """
        try:
            logits, pred_mask, losses = self._predict(model, loss, batch)
        except (MemoryError, RuntimeError) as error:
            count = len(batch["sample_id"])
            if count == 1 or not is_out_of_memory(error):
                raise
        else:
            weights = loss.term_weights(batch["mask"], self.labels.num_classes).sum(0)
            self._count(batch, logits, pred_mask, losses, weights)
            return
        for part in (slice(0, count // 2), slice(count // 2, count)):
            keys = ("image", "mask", "sample_id")
            self.update(model, loss, {key: batch[key][part] for key in keys})

    @torch.no_grad()
    def _predict(
        self, model: Segmenter, loss: WeightedSum, batch: Batch
    ) -> tuple[Tensor, Tensor, Tensor]:
        mask: Tensor = batch["mask"]
        size = (mask.shape[-2], mask.shape[-1])
        with deterministic_forms(wanted_on(mask.device)):
            logits = self.evaluation.predict(model, batch["image"], size)
        return logits, argmax_mask(logits), loss.weighted_terms(logits, mask)

    @torch.no_grad()
    def _count(
        self, batch: Batch, logits: Tensor, pred_mask: Tensor, losses: Tensor, weights: Tensor
    ) -> None:
        mask: Tensor = batch["mask"]
        if self.metrics.device != mask.device:
            self.metrics.to(mask.device)
        self.metrics.update(pred_mask, mask, batch["sample_id"], losses, weights)
        for metric in self.extra:
            metric.update(pred_mask, mask)
        for observer in self.evaluation.observers:
            observer.update(batch, logits, pred_mask)

    def compute(self) -> EvalResult:
        """Sum over all ranks and return scores, confusion matrix and per-image table."""
        split = self.evaluation.split
        scores = self.metrics.scores(self.labels.class_names, split)
        # Every column of a record is there, also where no pixel has a class.
        scores.setdefault(metric_key(split, LOSS), math.nan)
        confusion = self.metrics.compute().confusion.cpu().numpy()
        assert self.metrics.per_image is not None  # noqa: S101 - asked for in the constructor
        counts = self.metrics.per_image.gather()
        scores |= per_image_score_dict(counts, split)
        scores |= {metric_key(split, one.name): one.compute(confusion) for one in self.extra}
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
