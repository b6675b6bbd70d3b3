"""The metric of a split as torchmetrics state: what survives batches, devices and processes.

It only sums integers; `seglab.metrics.scores` turns them into scores at the end of the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torchmetrics import Metric

from seglab.core.errors import LabelError, ShapeError
from seglab.metrics import names
from seglab.metrics.confusion import count_pairs, raise_if_invalid
from seglab.metrics.per_image import PerImageCounts
from seglab.metrics.scores import score_dict


class SplitTotals(NamedTuple):
    """Sums over one split and all processes.

    Args:
        confusion: int64 `(C, C)`, rows = target, columns = prediction.
        loss: Mean of the batch losses weighted by their valid pixels, a float scalar; NaN when no
            loss was given.
        loss_pixels: int64 scalar, the number of valid pixels behind `loss`.
    """

    confusion: torch.Tensor
    loss: torch.Tensor
    loss_pixels: torch.Tensor


class SegmentationMetrics(Metric):
    """One int64 confusion matrix of a split, its mean loss, and the counts of each image.

    Summed over processes by torchmetrics. Nothing in `update` waits for an accelerator.

    Args:
        num_classes: Number of classes C.
        ignore_index: Target value whose pixels are left out; not a class index.
        per_image: Whether to keep tp, fp and fn of each image; `update` then needs sample ids.
        **kwargs: Passed to `torchmetrics.Metric`.

    Raises:
        LabelError: `ignore_index` is a class index or `num_classes` is less than 1.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    confusion: torch.Tensor
    invalid: torch.Tensor
    loss_sum: torch.Tensor
    loss_pixels: torch.Tensor

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        per_image: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_classes < 1 or 0 <= ignore_index < num_classes:
            raise LabelError(
                f"expected num_classes >= 1 and ignore_index outside 0..{num_classes - 1}, got "
                f"{num_classes=} and {ignore_index=}"
            )
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.per_image = PerImageCounts(num_classes) if per_image else None
        matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.add_state("confusion", matrix, dist_reduce_fx="sum")
        self.add_state("invalid", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("loss_sum", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("loss_pixels", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self,
        pred_mask: torch.Tensor,
        mask: torch.Tensor,
        sample_ids: Sequence[str] | None = None,
        loss: torch.Tensor | None = None,
    ) -> None:
        """Count one batch.

        Args:
            pred_mask: Predicted class indices `(B, H, W)`, integer.
            mask: Target `(B, H, W)`, integer, classes or `ignore_index`.
            sample_ids: B unique names; needed with `per_image`.
            loss: The batch's loss, a scalar that is a mean over valid pixels.

        Raises:
            ShapeError: Shapes or dtypes are wrong, or sample ids are missing.
            LabelError: On the CPU, a value is no class. On an accelerator `compute` raises it.
        """
        if self.per_image is not None and sample_ids is None:
            raise ShapeError("expected one sample id an image because per_image=True, got none")
        matrices, invalid = count_pairs(pred_mask, mask, self.num_classes, self.ignore_index)
        total = matrices.sum(0)
        if self.per_image is not None and sample_ids is not None:
            self.per_image.append(matrices, sample_ids)
        self.confusion += total
        self.invalid += invalid
        if loss is not None:
            # where, because a batch of only ignored pixels must not bring in 0 * NaN.
            valid_pixels = total.sum()
            self.loss_sum += torch.where(valid_pixels > 0, loss.detach().float() * valid_pixels, 0)
            self.loss_pixels += valid_pixels

    def compute(self) -> SplitTotals:
        """Return the sums over all processes.

        Raises:
            LabelError: Pixels were met that are neither a class nor ignored.
        """
        raise_if_invalid(int(self.invalid), self.num_classes, self.ignore_index)
        # 0 / 0 is NaN: no valid pixel, no loss.
        return SplitTotals(
            self.confusion.clone(), self.loss_sum / self.loss_pixels, self.loss_pixels.clone()
        )

    def reset(self) -> None:
        """Forget everything counted so far."""
        super().reset()
        if self.per_image is not None:
            self.per_image.reset()

    def scores(self, class_names: Sequence[str], split: str) -> dict[str, float]:
        """Return the scores of the split under their keys, with `{split}/loss` if it was given.

        Waits for the device; every process must call it. For single images see `per_image.gather`
        and `per_image_score_dict`.

        Raises:
            LabelError: As `compute`.
            ShapeError: There is not one name a class.
        """
        totals = self.compute()
        scores = score_dict(totals.confusion, class_names, split)
        if int(totals.loss_pixels):
            scores[names.metric_key(split, names.LOSS)] = float(totals.loss)
        return scores
