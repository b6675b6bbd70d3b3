"""The metric of a split as torchmetrics state: what survives batches, devices and processes.

It only sums integers; `seglab.metrics.scores` turns them into scores at the end of the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from seglab.core.errors import ShapeError
from seglab.metrics import names
from seglab.metrics.confusion import check_classes, count_pairs, raise_if_invalid
from seglab.metrics.per_image import PerImageCounts
from seglab.metrics.scores import score_dict


class SplitTotals(NamedTuple):
    """Sums over one split and all processes.

    Attributes:
        confusion: int64 `(C, C)`, rows = target, columns = prediction.
        loss: Sum of the terms of the loss, each the mean of its batches by their weights, a float
            scalar; NaN when none was given. See `mean_of_terms`.
        loss_weights: Sum of the weights of each term `(num_terms,)`, float.
    """

    confusion: Tensor
    loss: Tensor
    loss_weights: Tensor


def mean_of_terms(weighted: Tensor, weights: Tensor) -> Tensor:
    """Return the sum over terms of `weighted / weights`, a scalar; NaN where nothing counted.

    Args:
        weighted: Sums of losses times weights, one per term `(K,)`.
        weights: Sums of the weights `(K,)`; a term without any adds nothing.
    """
    means = torch.where(weights == 0, 0, weighted / torch.where(weights == 0, 1, weights))
    return torch.where((weights > 0).any(), means.sum(), torch.nan)


class SegmentationMetrics(Metric):
    """One int64 confusion matrix of a split, its mean loss, and the counts of each image.

    Summed over processes by torchmetrics. Nothing in `update` waits for an accelerator.

    Args:
        num_classes: Number of classes C.
        ignore_index: Target value whose pixels are left out; not a class index.
        per_image: Whether to keep tp, fp and fn of each image; `update` then needs sample ids.
        num_terms: Terms of the loss that `update` is given.
        **kwargs: Passed to `torchmetrics.Metric`.

    Raises:
        LabelError: `ignore_index` is a class index or `num_classes` is less than 1.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    confusion: Tensor
    invalid: Tensor
    loss_sums: Tensor
    loss_weights: Tensor

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        per_image: bool = False,
        num_terms: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_classes(num_classes, ignore_index)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.per_image = PerImageCounts(num_classes) if per_image else None
        matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.add_state("confusion", matrix, dist_reduce_fx="sum")
        self.add_state("invalid", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("loss_sums", torch.zeros(num_terms), dist_reduce_fx="sum")
        self.add_state("loss_weights", torch.zeros(num_terms), dist_reduce_fx="sum")

    def update(
        self,
        pred_mask: Tensor,
        mask: Tensor,
        sample_ids: Sequence[str] | None = None,
        loss: Tensor | None = None,
        loss_weights: Tensor | None = None,
    ) -> None:
        """Count one batch.

        Args:
            pred_mask: Predicted class indices `(B, H, W)`, integer.
            mask: Target `(B, H, W)`, integer, classes or `ignore_index`.
            sample_ids: B unique names; needed with `per_image`.
            loss: The batch's loss, a scalar, or its terms `(num_terms,)`.
            loss_weights: What each term divides by over the batch `(num_terms,)`, so that the
                split's loss is that of one batch of all its images; None: the valid pixels.

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
            weights = total.sum().float() if loss_weights is None else loss_weights.float()
            # where, because a batch of only ignored pixels must not bring in 0 * NaN.
            self.loss_sums += torch.where(weights > 0, loss.detach().float() * weights, 0)
            self.loss_weights += weights

    def compute(self) -> SplitTotals:
        """Return the sums over all processes.

        Raises:
            LabelError: Pixels were met that are neither a class nor ignored.
        """
        raise_if_invalid(int(self.invalid), self.num_classes, self.ignore_index)
        loss = mean_of_terms(self.loss_sums, self.loss_weights)
        return SplitTotals(self.confusion.clone(), loss, self.loss_weights.clone())

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
            ShapeError: There is not one name per class.
        """
        totals = self.compute()
        scores = score_dict(totals.confusion, class_names, split)
        if bool((totals.loss_weights > 0).any()):
            scores[names.metric_key(split, names.LOSS)] = float(totals.loss)
        return scores
