"""What the metrics of probabilities share: their input made sound, and histograms without a sync.

Sums of probabilities are kept as integers in units of 2^-24, the resolution of a float32 near 1:
exact, and the same in any order of batches and processes.
"""

from __future__ import annotations

import torch

from seglab.core.errors import LabelError, ShapeError

UNIT = float(2**24)
_TOLERANCE = 0.01


def check_classes(num_classes: int, ignore_index: int) -> None:
    """Raise LabelError for no classes, or an ignored index that is one of them."""
    if num_classes < 1 or 0 <= ignore_index < num_classes:
        raise LabelError(
            f"expected num_classes >= 1 and ignore_index outside 0..{num_classes - 1}, got "
            f"{num_classes=} and {ignore_index=}"
        )


def as_probabilities(
    scores: torch.Tensor, mask: torch.Tensor, num_classes: int, from_logits: bool
) -> torch.Tensor:
    """Return probabilities `(B, C, H, W)` as float32.

    Raises:
        ShapeError: Not `(B, C, H, W)` with C classes, not float, or a mask of another size.
    """
    expected = (mask.shape[0], num_classes, *mask.shape[1:])
    if mask.ndim != 3 or tuple(scores.shape) != expected or not scores.is_floating_point():
        raise ShapeError(
            f"expected float scores {expected} for a mask (B, H, W) of {tuple(mask.shape)} and "
            f"{num_classes} classes, got {scores.dtype} {tuple(scores.shape)}"
        )
    scores = scores.detach().float()
    return scores.softmax(dim=1) if from_logits else scores


def split_target(
    mask: torch.Tensor, num_classes: int, ignore_index: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the target with 0 in place of what is no class, where it is one, and how many are bad."""
    target = mask.long()
    valid = (target >= 0) & (target < num_classes)
    invalid = (~valid & (target != ignore_index)).sum()
    return torch.where(valid, target, 0), valid, invalid


def count_impossible(top: torch.Tensor, valid: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return how many valid pixels have a largest "probability" that none can have, or NaN."""
    possible = (top <= 1 + _TOLERANCE) & (top >= 1 / num_classes - _TOLERANCE)
    return (valid & ~possible).sum()


def raise_if_unsound(invalid: int, num_classes: int, ignore_index: int) -> None:
    """Raise LabelError when pixels were met whose target or probabilities cannot be right."""
    if invalid:
        raise LabelError(
            f"{invalid} pixels are unsound: expected targets in 0..{num_classes - 1} or "
            f"ignore_index {ignore_index}, and probabilities in 0..1 that sum to 1 over classes. "
            "Logits need from_logits=True; NaN comes from a model that diverged"
        )


def count_bins(
    bins: torch.Tensor, valid: torch.Tensor, size: int, weights: torch.Tensor | None = None
) -> torch.Tensor:
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


def _scatter(bins: torch.Tensor, values: torch.Tensor, size: int) -> torch.Tensor:
    """Sum values a bin on any device; unlike bincount its output has a size that is known."""
    sums = torch.zeros(size, dtype=torch.int64, device=bins.device)
    return sums.scatter_add_(0, bins, values)
