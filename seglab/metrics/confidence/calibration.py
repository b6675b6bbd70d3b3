"""Calibration: whether a confidence of 0.8 means right in 80 of 100 pixels, and how to mend it.

Streaming counts in fixed memory. torchmetrics' `MulticlassCalibrationError` keeps the confidence of
every pixel until the end (200 MB for 300 images of 360 x 480), knows no class-wise error and gives
no table; it is the reference in the tests.

References:
    Guo et al. (2017): https://arxiv.org/abs/1706.04599
    Kull et al. (2019): https://arxiv.org/abs/1910.12656
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from seglab.core.errors import DataError, ShapeError
from seglab.core.seeding import generator
from seglab.metrics.confidence.probabilities import UNIT, ProbabilityMetric, count_bins
from seglab.metrics.scores import Counts, Floats, mean_defined

ALL_CLASSES = "all"
_LOG_TEMPERATURES = (math.log(0.05), math.log(20.0))


class CalibrationTotals(NamedTuple):
    """Sums over a split; row 0 is the predicted (top) class of every pixel, row 1 + c class c.

    Args:
        pixels: int64 `(C + 1, num_bins)`, pixels whose probability falls into the bin.
        hits: int64 `(C + 1, num_bins)`, those of them that are of the class.
        confidence: float64 `(C + 1, num_bins)`, sum of the probabilities.
        brier: Mean over pixels of the squared distance to the one-hot target, 0..2; NaN if none.
    """

    pixels: Counts
    hits: Counts
    confidence: Floats
    brier: float


class CalibrationCounts(ProbabilityMetric):
    """Histograms of probabilities: of the predicted class, and of every class against the rest.

    Bins are of equal width, `[low, high)`, the last one with 1. torchmetrics puts probabilities of
    exactly 1 into a bin of their own, so its error is the larger one, if by little, where a
    softmax saturates. Nothing in `update` waits for an accelerator.

    Args:
        num_classes: Number of classes C.
        ignore_index: Target value whose pixels are left out; not a class index.
        num_bins: Number of bins; 15 as in Guo et al. (2017).
        **kwargs: `from_logits`, whether `update` gets logits and takes their softmax itself; the rest
            is passed to `torchmetrics.Metric`.

    Raises:
        LabelError: `ignore_index` is a class index or `num_classes` is less than 1.
    """

    pixels: Tensor
    hits: Tensor
    confidence: Tensor
    brier_sum: Tensor

    def __init__(
        self, num_classes: int, ignore_index: int = 255, num_bins: int = 15, **kwargs: Any
    ) -> None:
        super().__init__(num_classes, ignore_index, num_bins, **kwargs)
        self.add_counts("pixels", "hits", "confidence", shape=((num_classes + 1) * num_bins,))
        self.add_counts("brier_sum")

    def update(self, probs: Tensor, mask: Tensor) -> None:
        """Count one batch.

        Args:
            probs: Probabilities `(B, C, H, W)`, float, summing to 1 over classes; with
                `from_logits` logits.
            mask: Target `(B, H, W)`, integer, classes or `ignore_index`.

        Raises:
            ShapeError: Shapes or dtypes are wrong. `compute` raises on wrong values.
        """
        probs, top, pred, target, valid = self.read_batch(probs, mask)
        true_probs = probs.gather(1, target[:, None])[:, 0]
        levels = torch.cat((top[:, None], probs), dim=1)
        bins = self._bins(levels)
        bins += (
            self.num_bins * torch.arange(self.num_classes + 1, device=bins.device)[:, None, None]
        )
        self._add(self.pixels, bins, valid[:, None])
        self._add(self.confidence, bins, valid[:, None], levels)
        self._add(self.hits, bins[:, 0], valid & (pred == target))
        self._add(self.hits, self._bins(true_probs) + self.num_bins * (target + 1), valid)
        squares = probs.square().sum(dim=1) - 2 * true_probs + 1
        self.brier_sum += torch.where(valid, squares * UNIT, 0).long().sum()

    def _bins(self, probs: Tensor) -> Tensor:
        return (probs * self.num_bins).long().clamp_(0, self.num_bins - 1)

    def _add(
        self, state: Tensor, bins: Tensor, valid: Tensor, weights: Tensor | None = None
    ) -> None:
        state += count_bins(bins, valid, len(state), weights)

    def compute(self) -> CalibrationTotals:
        """Return the sums over all processes.

        Raises:
            LabelError: Targets were met that are neither a class nor ignored, or "probabilities"
                that cannot be any.
        """
        self.require_sound()
        shape = (self.num_classes + 1, self.num_bins)
        pixels, hits, confidence = (
            state.cpu().numpy().reshape(shape)
            for state in (self.pixels, self.hits, self.confidence)
        )
        total = int(pixels[0].sum())
        brier = int(self.brier_sum) / UNIT / total if total else float("nan")
        return CalibrationTotals(pixels, hits, confidence / UNIT, brier)

    def ece(self) -> float:
        """Return the expected calibration error of the predicted class (Guo et al., 2017), 0..1."""
        return float(self._errors()[0])

    def ece_per_class(self) -> Floats:
        """Return the calibration error of each class against the rest, `(C,)`, 0..1."""
        return self._errors()[1:]

    def classwise_ece(self) -> float:
        """Return the mean of `ece_per_class` over all C classes (Kull et al., 2019).

        A class without target pixels counts too: its error is the probability given to it. Pixels
        far from a class are many and easy, so values are small; compare them with one another only.
        """
        return mean_defined(self.ece_per_class())

    def brier(self) -> float:
        """Return the Brier score over all classes, 0..2; NaN without valid pixels."""
        return float(self.compute().brier)

    def _errors(self) -> Floats:
        totals = self.compute()
        with np.errstate(invalid="ignore"):
            gaps = np.abs(totals.hits - totals.confidence).sum(axis=1)
            return np.asarray(gaps / totals.pixels.sum(axis=1), dtype=np.float64)

    def reliability_table(self, class_names: Sequence[str]) -> list[dict[str, Any]]:
        """Return one row per class and bin, "all" (the predicted class) first.

        Returns:
            Rows of class_name, bin, low, high, count (pixels), confidence and accuracy (means over
            these; NaN for an empty bin).

        Raises:
            ShapeError: There is not one name per class.
        """
        if len(class_names) != self.num_classes:
            raise ShapeError(
                f"expected {self.num_classes} class names, got {len(class_names)}: {class_names}"
            )
        totals = self.compute()
        with np.errstate(invalid="ignore"):
            confidence, accuracy = totals.confidence / totals.pixels, totals.hits / totals.pixels
        return [
            {
                "class_name": name,
                "bin": index,
                "low": index / self.num_bins,
                "high": (index + 1) / self.num_bins,
                "count": int(totals.pixels[row, index]),
                "confidence": float(confidence[row, index]),
                "accuracy": float(accuracy[row, index]),
            }
            for row, name in enumerate((ALL_CLASSES, *class_names))
            for index in range(self.num_bins)
        ]


class PixelSample:
    """Keeps the logits of some valid pixels of each image, a fixed number at most in all.

    Which pixels is a function of the seed and the sample id alone, not of the batches or their
    order: every pixel gets a random key, and past `max_pixels` those with the smallest keys stay.

    Args:
        ignore_index: Target value whose pixels are never taken.
        pixels_per_image: How many of an image are taken, fewer if it has fewer.
        max_pixels: How many are kept in all; 100 000 of 11 classes are 4 MB.
        seed: Changes which pixels are taken.
    """

    def __init__(
        self,
        ignore_index: int = 255,
        pixels_per_image: int = 500,
        max_pixels: int = 100_000,
        seed: int = 0,
    ) -> None:
        self.ignore_index = ignore_index
        self.pixels_per_image = pixels_per_image
        self.max_pixels = max_pixels
        self.seed = seed
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, logits: Tensor, mask: Tensor, sample_ids: Sequence[str]) -> None:
        """Take pixels of one batch.

        Args:
            logits: Float `(B, C, H, W)`, of any device.
            mask: Target `(B, H, W)`, integer, classes or `ignore_index`.
            sample_ids: B unique names.

        Raises:
            ShapeError: Shapes do not fit together.
        """
        if logits.ndim != 4 or mask.shape != logits.shape[:1] + logits.shape[2:]:
            raise ShapeError(
                "expected logits (B, C, H, W) and a mask (B, H, W) of the same size, got "
                f"{tuple(logits.shape)} and {tuple(mask.shape)}"
            )
        flat = mask.flatten(1).cpu()
        for image, target, sample_id in zip(logits.flatten(2), flat, sample_ids, strict=True):
            valid = np.flatnonzero(target.numpy() != self.ignore_index)
            random = generator(self.seed, "pixel sample", str(sample_id))
            size = min(self.pixels_per_image, len(valid))
            chosen = torch.from_numpy(random.choice(valid, size, replace=False))
            keys = torch.from_numpy(random.random(size))
            values = image.detach()[:, chosen.to(image.device)].T.float().cpu()
            self._parts.append((keys, values, target[chosen].long()))
        if sum(len(part[0]) for part in self._parts) > 2 * self.max_pixels:
            self._parts = [self._smallest()]

    def _smallest(self) -> tuple[Tensor, Tensor, Tensor]:
        keys, logits, targets = (torch.cat(column) for column in zip(*self._parts, strict=True))
        kept = torch.argsort(keys)[: self.max_pixels]
        return keys[kept], logits[kept], targets[kept]

    def pixels(self) -> tuple[Tensor, Tensor]:
        """Return float32 logits `(N, C)` and int64 targets `(N,)`, on the CPU.

        Raises:
            DataError: No valid pixel was met.
        """
        if not any(len(part[0]) for part in self._parts):
            raise DataError(
                "no labelled pixel was sampled: expected masks that are not all ignored"
            )
        _, logits, targets = self._smallest()
        return logits, targets


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """Return the temperature T that makes softmax(logits / T) most likely (Guo et al., 2017).

    The likelihood has one optimum in log T, so SciPy's bounded scalar search finds it, within
    0.05..20; a model that is right in every pixel ends at 0.05. T > 1 means over-confident. The
    argmax and so every IoU stay as they are. Fit it on data that is not the data scored.

    Args:
        logits: Float `(N, C)`, for example of `PixelSample.pixels`.
        targets: int64 `(N,)`, classes.

    Raises:
        ShapeError: Shapes do not fit together, or there are no pixels.
    """
    if logits.ndim != 2 or targets.shape != logits.shape[:1] or not len(targets):
        raise ShapeError(
            "expected logits (N, C) and targets (N,) of at least one pixel, got "
            f"{tuple(logits.shape)} and {tuple(targets.shape)}"
        )
    values, classes = logits.detach().cpu().double(), targets.cpu().long()

    def negative_log_likelihood(log_temperature: float) -> float:
        return float(F.cross_entropy(values * math.exp(-log_temperature), classes))

    found = minimize_scalar(negative_log_likelihood, bounds=_LOG_TEMPERATURES, method="bounded")
    return math.exp(float(found.x))
