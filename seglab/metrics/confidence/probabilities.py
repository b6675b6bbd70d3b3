"""What the metrics of probabilities share: their input made sound, and histograms without a sync.

Sums of probabilities are kept as integers in units of 2^-24, the resolution of a float32 near 1:
exact, and the same in any order of batches and processes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from seglab.core.errors import LabelError, ShapeError
from seglab.metrics.confusion import check_classes

UNIT = float(2**24)
_TOLERANCE = 0.01


class ProbabilityMetric(Metric):
    """Counts over probabilities of pixels; what calibration and risk have in common.

    Args:
        num_classes: Number of classes C.
        ignore_index: Target value whose pixels are left out; not a class index.
        num_bins: Number of bins of the histograms.
        from_logits: Whether `update` gets logits and takes their softmax itself.
        **kwargs: Passed to `torchmetrics.Metric`.

    Raises:
        LabelError: `ignore_index` is a class index or `num_classes` is less than 1.
        ShapeError: There is no bin.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    invalid: Tensor

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        num_bins: int,
        from_logits: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_classes(num_classes, ignore_index)
        if num_bins < 1:
            raise ShapeError(f"expected at least one bin, got {num_bins=}")
        self.num_classes, self.ignore_index, self.num_bins = num_classes, ignore_index, num_bins
        self.from_logits = from_logits
        self.add_counts("invalid")

    def add_counts(self, *names: str, shape: tuple[int, ...] = ()) -> None:
        """Add int64 states that are summed over processes."""
        for name in names:
            self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def read_batch(self, scores: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Return float32 probabilities, the largest, its class, the target, and where that is a class.

        The target has 0 where it is none. What cannot be right (a target, a largest "probability" that
        none can have, NaN) is counted without waiting for an accelerator; `require_sound` tells.

        Raises:
            ShapeError: Not `(B, C, H, W)` with C classes, not float, or a mask of another size.
        """
        expected = (mask.shape[0], self.num_classes, *mask.shape[1:])
        if mask.ndim != 3 or tuple(scores.shape) != expected or not scores.is_floating_point():
            raise ShapeError(
                f"expected float scores {expected} for a mask (B, H, W) of {tuple(mask.shape)} and "
                f"{self.num_classes} classes, got {scores.dtype} {tuple(scores.shape)}"
            )
        scores = scores.detach().float()
        probs = scores.softmax(dim=1) if self.from_logits else scores
        target = mask.long()
        valid = (target >= 0) & (target < self.num_classes)
        top, pred = probs.max(dim=1)
        possible = (top <= 1 + _TOLERANCE) & (top >= 1 / self.num_classes - _TOLERANCE)
        self.invalid += (~valid & (target != self.ignore_index)).sum() + (valid & ~possible).sum()
        return probs, top, pred, torch.where(valid, target, 0), valid

    def require_sound(self) -> None:
        """Raise LabelError when pixels were met whose target or probabilities cannot be right."""
        if int(self.invalid):
            raise LabelError(
                f"{int(self.invalid)} pixels are unsound: expected targets in "
                f"0..{self.num_classes - 1} or ignore_index {self.ignore_index}, and probabilities in "
                "0..1 that sum to 1 over classes. Logits need from_logits=True; NaN comes from a model "
                "that diverged"
            )


def count_bins(bins: Tensor, valid: Tensor, size: int, weights: Tensor | None = None) -> Tensor:
    """Return how often each bin occurs among valid entries, int64 `(size,)`.

    Args:
        bins: int64, any shape, `0..size-1`.
        valid: bool, broadcasts to the shape of `bins`.
        size: Number of bins.
        weights: Sum these, float in [0, 1] of the shape of `bins`, in units of 2^-24 instead.
    """
    # What is not valid goes into one more bin: picking entries out would wait for the device.
    flat = torch.where(valid, bins, size).flatten()
    units = None if weights is None else (weights.clamp(0, 1) * UNIT).round().flatten()
    if flat.device.type == "cpu":
        # float64 weights: sums of whole numbers up to 2^53 are exact, and twice as fast.
        sums = torch.bincount(flat, None if units is None else units.double(), minlength=size + 1)
        return sums[:size].long()
    return _scatter(flat, torch.ones_like(flat) if units is None else units.long(), size + 1)[:size]


def _scatter(bins: Tensor, values: Tensor, size: int) -> Tensor:
    """Sum values a bin on any device; unlike bincount its output has a size that is known."""
    sums = torch.zeros(size, dtype=torch.int64, device=bins.device)
    return sums.scatter_add_(0, bins, values)
