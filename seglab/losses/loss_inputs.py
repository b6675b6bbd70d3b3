"""What all losses need of a batch, computed once and shared by the terms of a weighted sum.

Losses differ in what they make of the softmax, not in how void is masked, how bf16 is widened or
how a probability is looked up. That is here, so `ignore_index` has one meaning for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from seglab.core.errors import LabelError, ShapeError

# Classes that are compared in one go on an accelerator: what bounds the memory that takes.
_CLASSES_AT_ONCE = 16
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class _SoftmaxStatistics(torch.autograd.Function):
    """Log-probability of the target `(B, H, W)` and sum of probabilities `(B, C)`; 0 if ignored.

    Cross-entropy, OHEM, focal, Dice, Jaccard and Tversky are functions of these two alone. Written
    by hand because autograd would keep three tensors of the logits' size and walk each one back;
    this keeps one. Batch 8, 11 classes, 192x256 on one CPU thread, forward and backward: CE + Dice
    18 ms, against 28 ms by autograd on a shared softmax and 40 ms for torch's CE + one-hot Dice.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, target: torch.Tensor, valid_weight: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        log_probs = torch.log_softmax(logits.contiguous(), dim=1)
        target_log_probs = log_probs.gather(1, target[:, None])[:, 0].mul_(valid_weight)
        probs = log_probs.exp_()
        # Zero at ignored pixels, so that nothing below has to ask again whether a pixel is valid.
        probs.mul_(valid_weight[:, None])
        ctx.save_for_backward(probs, target, valid_weight)
        ctx.set_materialize_grads(False)
        return target_log_probs, probs.sum((2, 3))

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_target: torch.Tensor | None, grad_sums: torch.Tensor | None
    ) -> tuple[torch.Tensor | None, None, None]:
        probs, target, valid_weight = ctx.saved_tensors
        if grad_target is not None:
            grad_target = grad_target * valid_weight
        grad = _softmax_gradient(probs, grad_target, grad_sums)
        if grad is not None and grad_target is not None:
            _add_at_target(grad, target, grad_target)
        return grad, None, None


def _softmax_gradient(
    probs: torch.Tensor, grad_target: torch.Tensor | None, grad_sums: torch.Tensor | None
) -> torch.Tensor | None:
    """Return p_c (s_c - sum_k s_k p_k - t), with t and s the incoming gradients.

    The gradient of the logits but for t at the target class.
    """
    if grad_sums is None:
        return None if grad_target is None else probs * -grad_target[:, None]
    grad = probs * grad_sums[:, :, None, None]
    inner = grad.sum(1)
    if grad_target is not None:
        inner += grad_target
    return grad.addcmul_(probs, inner[:, None], value=-1)


def _add_at_target(planes: torch.Tensor, target: torch.Tensor, values: torch.Tensor) -> None:
    """Add values `(B, H, W)` in place to the planes `(B, C, H, W)` of their targets."""
    if not _by_comparing(planes):
        planes.scatter_add_(1, target[:, None], values[:, None])
        return
    for classes, meant in _meant(target, planes.shape[1]):
        planes[:, classes].add_(torch.where(meant, values[:, None], 0))


class _SumByTarget(torch.autograd.Function):
    """Sum of values `(B, H, W)` over the pixels of each target `(B, C)`."""

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, target: torch.Tensor, num_classes: int
    ) -> torch.Tensor:
        ctx.save_for_backward(target)
        if not _by_comparing(values):
            sums = values.new_zeros(len(target), num_classes)
            return sums.scatter_add_(1, target.flatten(1), values.flatten(1))
        sums_of = [
            torch.where(meant, values[:, None], 0).sum((2, 3))
            for _, meant in _meant(target, num_classes)
        ]
        return torch.cat(sums_of, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (target,) = ctx.saved_tensors
        return grad.gather(1, target.flatten(1)).view(target.shape), None, None


def _by_comparing(tensor: torch.Tensor) -> bool:
    """Tell whether each class looks at each pixel, which suits an accelerator.

    Pixels that add to a few sums would wait for each other there, and to be deterministic torch
    sorts them.
    """
    return tensor.device.type != "cpu"


def _meant(target: torch.Tensor, num_classes: int) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield a few classes at a time and where they are the target, bool `(B, few, H, W)`."""
    for start in range(0, num_classes, _CLASSES_AT_ONCE):
        classes = torch.arange(
            start, min(start + _CLASSES_AT_ONCE, num_classes), device=target.device
        )
        yield slice(start, start + len(classes)), target[:, None] == classes[:, None, None]


class LossInputs:
    """Logits and mask of one batch, and what follows from them, each computed at first use.

    Args:
        logits: `(B, C, H, W)`, any float dtype; widened to float32 (float64 stays).
        mask: `(B, H, W)`, integer, `0..C-1` or `ignore_index`.
        ignore_index: Pixels with this target count nowhere and get no gradient.

    Raises:
        ShapeError: Shapes do not fit together or a dtype is wrong.
        LabelError: `ignore_index` is a class; on the CPU also a target that is no class (an
            accelerator stops at the lookup instead: a check would wait for it).
    """

    def __init__(self, logits: torch.Tensor, mask: torch.Tensor, ignore_index: int = 255) -> None:
        _check_arguments(logits, mask, ignore_index)
        self.logits = logits if logits.dtype == torch.float64 else logits.float()
        self.num_classes = logits.shape[1]
        # What is computed at first use must not lack its graph because that was in a no_grad block.
        self._grad_enabled = torch.is_grad_enabled()
        #: bool `(B, H, W)`, and the same as 1 and 0 in the dtype of the logits.
        self.valid = mask != ignore_index
        self.valid_weight = self.valid.to(self.logits.dtype)
        #: int64 `(B, H, W)`; 0 at ignored pixels, where it must not be read as a class.
        self.target = torch.where(self.valid, mask, 0).long()
        if mask.device.type == "cpu":
            _check_target(self.target, self.num_classes, ignore_index)

    @cached_property
    def num_valid(self) -> torch.Tensor:
        """Number of valid pixels, a float scalar."""
        return self.valid.sum().to(self.logits.dtype)

    @cached_property
    def _statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.set_grad_enabled(self._grad_enabled):
            statistics = _SoftmaxStatistics.apply(self.logits, self.target, self.valid_weight)
        return statistics[0], statistics[1]

    @property
    def target_log_probs(self) -> torch.Tensor:
        """Log-probability of the target `(B, H, W)`; 0 at ignored pixels."""
        return self._statistics[0]

    @property
    def prob_sums(self) -> torch.Tensor:
        """Sum of each class's probability over an image's valid pixels `(B, C)`."""
        return self._statistics[1]

    @cached_property
    def log_probs(self) -> torch.Tensor:
        """Log-probabilities `(B, C, H, W)`, also at ignored pixels; costs more than the sums."""
        with torch.set_grad_enabled(self._grad_enabled):
            return torch.log_softmax(self.logits, dim=1)

    @cached_property
    def probs(self) -> torch.Tensor:
        """Probabilities `(B, C, H, W)`, also at ignored pixels."""
        with torch.set_grad_enabled(self._grad_enabled):
            return self.log_probs.exp()

    @cached_property
    def target_prob_sums(self) -> torch.Tensor:
        """Sum of the target's probability over the valid pixels of each class `(B, C)`."""
        with torch.set_grad_enabled(self._grad_enabled):
            return self._sum_by_target(self.target_log_probs.exp() * self.valid_weight)

    @cached_property
    def class_pixels(self) -> torch.Tensor:
        """Number of valid target pixels of each class `(B, C)`, float."""
        return self._sum_by_target(self.valid_weight)

    def _sum_by_target(self, values: torch.Tensor) -> torch.Tensor:
        sums: torch.Tensor = _SumByTarget.apply(values, self.target, self.num_classes)
        return sums


def count_targets(mask: torch.Tensor, num_classes: int, ignore_index: int = 255) -> torch.Tensor:
    """Return the valid target pixels of each class in each image, int64 `(B, C)`.

    Args:
        mask: `(B, H, W)`, integer. Values that are no class are not counted; the loss names them.
        num_classes: Number of classes C.
        ignore_index: Target value of pixels that count nowhere; no class.

    >>> count_targets(torch.tensor([[[0, 1, 1, 255]]]), num_classes=3).tolist()
    [[1, 2, 0]]
    """
    if _by_comparing(mask):
        return torch.cat([meant.sum((2, 3)) for _, meant in _meant(mask, num_classes)], dim=1)
    is_class = (mask >= 0) & (mask < num_classes)
    # One more bin takes all the rest.
    bins = torch.where(is_class, mask, num_classes).long().flatten(1)
    counts = [np.bincount(image, minlength=num_classes + 1) for image in bins.numpy()]
    return torch.from_numpy(np.stack(counts))[:, :num_classes]


def safe_divide(numerator: torch.Tensor, denominator: torch.Tensor) -> torch.Tensor:
    """Divide, with 0 where the denominator is 0; its gradient there is that of the numerator.

    So a batch without valid pixels gives a zero that still hangs on the graph.
    """
    return numerator / torch.where(denominator == 0, 1, denominator)


def _check_arguments(logits: torch.Tensor, mask: torch.Tensor, ignore_index: int) -> None:
    if logits.ndim != 4 or mask.ndim != 3 or logits.shape[2:] != mask.shape[1:]:
        raise ShapeError(
            "expected logits (B, C, H, W) and mask (B, H, W) of one size, got "
            f"{tuple(logits.shape)} and {tuple(mask.shape)}"
        )
    if len(logits) != len(mask):
        raise ShapeError(f"expected as many masks as logits, got {len(mask)} and {len(logits)}")
    if not logits.is_floating_point() or mask.dtype not in _INTEGERS:
        raise ShapeError(
            f"expected float logits and an integer mask, got {logits.dtype} and {mask.dtype}"
        )
    if 0 <= ignore_index < logits.shape[1]:
        raise LabelError(
            f"expected ignore_index outside 0..{logits.shape[1] - 1}, got {ignore_index}"
        )


def _check_target(target: torch.Tensor, num_classes: int, ignore_index: int) -> None:
    if not target.numel():
        return
    low, high = (int(bound) for bound in torch.aminmax(target))
    if low < 0 or high >= num_classes:
        raise LabelError(
            f"expected mask values 0..{num_classes - 1} or ignore_index {ignore_index}, got values "
            f"from {low} to {high}; check that the label space fits the masks and the model"
        )
