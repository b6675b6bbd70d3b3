"""Counting (target, prediction) pairs: the one place where pixels become numbers.

Everything else in this package is a pure function of these integers. The module deliberately
knows no scores and keeps no state. Convention: rows are the target, columns the prediction.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from seglab.core.errors import LabelError, ShapeError

_MAX_BYTE = 255
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def confusion_matrices(
    pred_mask: Tensor, mask: Tensor, num_classes: int, ignore_index: int = 255
) -> Tensor:
    """Count one confusion matrix an image.

    Args:
        pred_mask: Predicted class indices `(B, H, W)`, any integer dtype, `0..num_classes-1`.
        mask: Target `(B, H, W)`, any integer dtype, `0..num_classes-1` or `ignore_index`.
        num_classes: Number of classes C.
        ignore_index: Target value whose pixels are left out; not a class index.

    Returns:
        int64 `(B, C, C)` on the device of the masks; row = target, column = prediction. The row of
        a class absent from the target and the column of one never predicted are zero.

    Raises:
        ShapeError: Shapes differ, are not `(B, H, W)`, or a dtype is not an integer one.
        LabelError: `ignore_index` is a class, or a pixel that is not ignored holds a value that is
            no class. On an accelerator this check waits for the device; see `count_pairs`.

    >>> target = torch.tensor([[[0, 0], [1, 255]]])
    >>> confusion_matrices(torch.tensor([[[0, 1], [1, 1]]]), target, num_classes=2).tolist()
    [[[1, 1], [0, 1]]]
    """
    matrices, invalid = count_pairs(pred_mask, mask, num_classes, ignore_index)
    raise_if_invalid(int(invalid), num_classes, ignore_index)
    return matrices


def mask_confusion(
    pred_mask: np.ndarray, mask: np.ndarray, num_classes: int, ignore_index: int = 255
) -> np.ndarray:
    """Count the confusion matrix of one image; all else as `confusion_matrices`.

    Args:
        pred_mask: Predicted class indices `(H, W)`.
        mask: Target `(H, W)`.
        num_classes: Number of classes C.
        ignore_index: Target value whose pixels are left out.

    Returns:
        int64 `(C, C)`; row = target, column = prediction.
    """
    given, wanted = torch.from_numpy(pred_mask)[None], torch.from_numpy(mask)[None]
    found: np.ndarray = confusion_matrices(given, wanted, num_classes, ignore_index)[0].numpy()
    return found


def count_pairs(
    pred_mask: Tensor, mask: Tensor, num_classes: int, ignore_index: int = 255
) -> tuple[Tensor, Tensor]:
    """Count like `confusion_matrices`, without ever waiting for an accelerator.

    Returns:
        The matrices, int64 `(B, C, C)`, and the number of pixels that fit in no cell, an int64
        scalar on the same device. On the CPU that number is 0, for a bad value raises at once; on
        an accelerator the caller passes it to `raise_if_invalid` when it reads its results.

    Raises:
        ShapeError: As `confusion_matrices`.
        LabelError: As `confusion_matrices`; bad pixel values only on the CPU.
    """
    _check_arguments(pred_mask, mask, num_classes, ignore_index)
    fits_a_byte = num_classes <= _MAX_BYTE and 0 <= ignore_index <= _MAX_BYTE
    if mask.device.type == "cpu" and pred_mask.device.type == "cpu" and fits_a_byte:
        matrices = _count_bytes(pred_mask, mask, num_classes, ignore_index)
        return matrices, torch.zeros((), dtype=torch.int64)
    matrices, invalid = _count_scattered(pred_mask, mask, num_classes, ignore_index)
    if mask.device.type == "cpu":
        raise_if_invalid(int(invalid), num_classes, ignore_index)
    return matrices, invalid


def check_classes(num_classes: int, ignore_index: int) -> None:
    """Raise LabelError for no classes, or an ignored index that is one of them."""
    if num_classes < 1 or 0 <= ignore_index < num_classes:
        raise LabelError(
            f"expected num_classes >= 1 and ignore_index outside 0..{num_classes - 1}, got "
            f"{num_classes=} and {ignore_index=}"
        )


def raise_if_invalid(invalid: int, num_classes: int, ignore_index: int) -> None:
    """Raise LabelError when pixels were met that are neither a class nor ignored."""
    if invalid:
        raise LabelError(
            f"{invalid} pixels hold values that are no class: expected predictions in "
            f"0..{num_classes - 1} and targets in 0..{num_classes - 1} or ignore_index "
            f"{ignore_index}; check that the label space fits the masks and the model"
        )


def _check_arguments(pred_mask: Tensor, mask: Tensor, num_classes: int, ignore_index: int) -> None:
    if pred_mask.shape != mask.shape or mask.ndim != 3:
        raise ShapeError(
            "expected pred_mask and mask of one shape (B, H, W), got "
            f"{tuple(pred_mask.shape)} and {tuple(mask.shape)}; resize the logits to the mask "
            "and take the argmax over classes first"
        )
    for name, tensor in (("pred_mask", pred_mask), ("mask", mask)):
        if tensor.dtype not in _INTEGERS:
            raise ShapeError(f"expected {name} of an integer dtype, got {tensor.dtype}")
    check_classes(num_classes, ignore_index)


def _count_bytes(pred_mask: Tensor, mask: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Count on the CPU: the pair becomes one 16-bit bin, so ignored targets get rows of their own.

    NumPy rather than torch: `torch.bincount` wants int64 bins, whose arithmetic costs four times
    the counting.
    """
    targets, predictions = _to_bytes(mask, "mask"), _to_bytes(pred_mask, "pred_mask")
    if predictions.size and int(predictions.max()) >= num_classes:
        count = int((predictions >= num_classes).sum())
        raise_if_invalid(count, num_classes, ignore_index)
    matrices = np.empty((len(targets), num_classes, num_classes), dtype=np.int64)
    for index, (target, prediction) in enumerate(zip(targets, predictions, strict=True)):
        bins = np.multiply(target, np.uint16(num_classes), dtype=np.uint16)
        bins += prediction
        counts = np.bincount(bins.ravel(), minlength=(_MAX_BYTE + 1) * num_classes)
        counts = counts.reshape(_MAX_BYTE + 1, num_classes)
        matrices[index] = counts[:num_classes]
        unknown = int(counts[num_classes:].sum() - counts[ignore_index].sum())
        raise_if_invalid(unknown, num_classes, ignore_index)
    return torch.from_numpy(matrices)


def _to_bytes(tensor: Tensor, name: str) -> np.ndarray:
    if tensor.dtype != torch.uint8:
        if tensor.numel():
            low, high = (int(bound) for bound in torch.aminmax(tensor))
            if low < 0 or high > _MAX_BYTE:
                raise LabelError(f"expected {name} values in 0..{_MAX_BYTE}, got {low}..{high}")
        tensor = tensor.to(torch.uint8)
    return np.asarray(tensor.detach().numpy())


def _count_scattered(
    pred_mask: Tensor, mask: Tensor, num_classes: int, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Count on any device with fixed shapes: no bincount, whose output size needs a sync."""
    cells = num_classes * num_classes
    target, prediction = mask.flatten(1).long(), pred_mask.flatten(1).long()
    fits = (target >= 0) & (target < num_classes) & (prediction >= 0) & (prediction < num_classes)
    ignored = (target == ignore_index) & (prediction >= 0) & (prediction < num_classes)
    bins = torch.where(fits, target * num_classes + prediction, cells + 1)
    bins = torch.where(ignored, cells, bins)
    images = torch.arange(len(mask), device=mask.device)[:, None]
    # One flat dimension: the form of scatter_add_ that also has a deterministic CUDA kernel.
    flat = (bins + images * (cells + 2)).flatten()
    counts = torch.zeros(len(mask) * (cells + 2), dtype=torch.int64, device=mask.device)
    counts.scatter_add_(0, flat, torch.ones_like(flat))
    counts = counts.view(len(mask), cells + 2)
    matrices = counts[:, :cells].reshape(-1, num_classes, num_classes)
    return matrices, counts[:, cells + 1].sum()
