"""Class weights from how often classes occur in the training fold, never from validation data.

Only the ratios matter (see `SegmentationLoss`), so nothing is normalised. A class that the counts
do not hold at all gets weight 0: no formula says anything sensible about it, and an endless weight
would let a single pixel of validation data rule the loss. A warning names such classes.

References:
    Eigen and Fergus (2015): https://arxiv.org/abs/1411.4734
    Paszke et al. (2016): https://arxiv.org/abs/1606.02147
    Cui et al. (2019): https://arxiv.org/abs/1901.05555
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from seglab.core.errors import ConfigError, ShapeError, nearest
from seglab.losses.base import as_class_weights

logger = logging.getLogger(__name__)

Counts = torch.Tensor | npt.ArrayLike
Floats = npt.NDArray[np.float64]


def median_frequency(per_image_counts: Counts) -> Floats:
    """Return median(f) / f with f = a class's pixels / pixels of the images that show it.

    Eigen and Fergus (2015), section 6.3.2. Ignored pixels must not be counted.

    Args:
        per_image_counts: Pixels of each class in each image, integers `(N, C)`.

    Returns:
        float64 `(C,)`; 0 for a class without a pixel, which is also left out of the median.

    >>> median_frequency([[2, 8, 0], [4, 0, 4]]).round(4).tolist()
    [1.5, 0.625, 1.0]
    """
    counts = _as_counts(per_image_counts)
    pixels_where_present = ((counts > 0) * counts.sum(1, keepdims=True)).sum(0)
    frequency = _divide(counts.sum(0), pixels_where_present)
    present = frequency > 0
    return _divide(np.median(frequency[present]) * present, frequency)


def enet(per_image_counts: Counts) -> Floats:
    """Return 1 / ln(1.02 + p) with p = a class's share of all pixels (Paszke et al., 2016).

    Between 1.4 and 50.5. Arguments and absent classes as `median_frequency`.
    """
    pixels = _as_counts(per_image_counts).sum(0)
    return _divide(pixels > 0, np.log(1.02 + pixels / pixels.sum()))


def effective_number(per_image_counts: Counts, beta: float | None = None) -> Floats:
    """Return (1 - beta) / (1 - beta^n) with n = a class's pixels (Cui et al., 2019).

    Pixels are no independent samples, so the paper's 0.9 to 0.9999 would make all weights equal.
    The paper derives beta = (N - 1) / N for N distinct samples; by default N is the mean size of
    the present classes, which gives a tempered inverse frequency.

    Args:
        per_image_counts: As `median_frequency`.
        beta: In (0, 1), or None for the default.

    Returns:
        float64 `(C,)`; 0 for a class without a pixel.

    Raises:
        ConfigError: `beta` is outside (0, 1).
    """
    pixels = _as_counts(per_image_counts).sum(0)
    present = pixels > 0
    if beta is not None and not 0 < beta < 1:
        raise ConfigError(f"expected beta in (0, 1), got {beta}")
    step = 1 / max(pixels[present].mean(), 2.0) if beta is None else 1 - beta
    return _divide(step * present, -np.expm1(pixels * np.log1p(-step)))


METHODS: dict[str, Callable[[Counts], Floats]] = {
    "median_frequency": median_frequency,
    "enet": enet,
    "effective_number": effective_number,
}


def resolve_class_weights(
    choice: str | Sequence[float] | None, per_image_counts: Counts
) -> torch.Tensor | None:
    """Return the class weights a configuration asks for.

    Args:
        choice: None or `none`, a name of `METHODS`, or one number per class.
        per_image_counts: Pixels of each class in each image of the training fold, integers
            `(N, C)`, ignored pixels left out.

    Returns:
        float32 `(C,)`, or None for equal weights.

    Raises:
        ConfigError: An unknown name, a list of another length, or numbers that are no weights.
        ShapeError: The counts are not `(N, C)` integers >= 0 with at least one pixel.
    """
    if choice is None or choice == "none":
        return None
    counts = _as_counts(per_image_counts)
    if not isinstance(choice, str):
        if len(choice) != counts.shape[1]:
            raise ConfigError(
                f"loss.class_weights: expected {counts.shape[1]} numbers, one per class, got "
                f"{len(choice)}"
            )
        return as_class_weights(choice)
    if choice not in METHODS:
        allowed = ", ".join(("none", *METHODS))
        raise ConfigError(
            f"loss.class_weights: expected {allowed} or a list, got {choice!r}"
            f"{nearest(choice, ('none', *METHODS))}"
        )
    absent = np.flatnonzero(counts.sum(0) == 0)
    if len(absent):
        logger.warning(
            "no training pixel of class %s: class weight 0", ", ".join(str(i) for i in absent)
        )
    return torch.from_numpy(METHODS[choice](counts)).float()


def _divide(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    quotient = np.zeros(top.shape)
    np.divide(top, bottom, out=quotient, where=bottom != 0)
    return quotient


def _as_counts(per_image_counts: Counts) -> npt.NDArray[np.int64]:
    if isinstance(per_image_counts, torch.Tensor):
        per_image_counts = per_image_counts.cpu().numpy()
    counts = np.asarray(per_image_counts)
    if counts.ndim != 2 or counts.dtype.kind not in "iu" or (counts.size and counts.min() < 0):
        raise ShapeError(
            f"expected integer pixel counts >= 0 of shape (N, C), got {counts.dtype} {counts.shape}"
        )
    if not counts.sum():
        raise ShapeError("expected at least one labelled pixel in the training fold, got none")
    return counts.astype(np.int64)
