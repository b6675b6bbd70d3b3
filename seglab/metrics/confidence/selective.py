"""Risk and coverage: how many errors are left when the least confident pixels go to a person.

What matters for selective prediction is the order of confidences, not their values, so a histogram
suffices: memory does not grow with the data. Its bins are even in -log2(1 - confidence), because
softmax puts most pixels at 0.99 and more, where bins of equal width would see no order at all.

References:
    Geifman and El-Yaniv (2017): https://arxiv.org/abs/1705.08500
    Geifman et al. (2019): https://arxiv.org/abs/1805.08206
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.special import digamma
from torch import Tensor

from seglab.metrics.confidence.probabilities import ProbabilityMetric, count_bins
from seglab.metrics.scores import Counts, Floats

# The smallest distance to 1 that a float32 can hold is 2^-24.
_HALVINGS = 24


class RiskCoverageCurve(NamedTuple):
    """The curve from the most confident pixels to all of them.

    Args:
        coverage: float64 `(K,)`, rising, the share of valid pixels kept; ends at 1.
        risk: float64 `(K,)`, the share of wrong pixels among those kept; ends at 1 - accuracy.
    """

    coverage: Floats
    risk: Floats


class RiskCoverage(ProbabilityMetric):
    """Histograms of the confidence of all pixels and of the wrong ones.

    Confidence is the largest probability (Geifman and El-Yaniv, 2017). Nothing in `update` waits
    for an accelerator.

    Args:
        num_classes: Number of classes C.
        ignore_index: Target value whose pixels are left out; not a class index.
        num_bins: Number of bins; pixels in one bin count as equally confident.
        **kwargs: `from_logits`, whether `update` gets logits and takes their softmax itself; the rest
            is passed to `torchmetrics.Metric`.

    Raises:
        LabelError: `ignore_index` is a class index or `num_classes` is less than 1.
        ShapeError: There is no bin.
    """

    pixels: Tensor
    errors: Tensor

    def __init__(
        self, num_classes: int, ignore_index: int = 255, num_bins: int = 1000, **kwargs: Any
    ) -> None:
        super().__init__(num_classes, ignore_index, num_bins, **kwargs)
        self.add_counts("pixels", "errors", shape=(num_bins,))

    def update(self, probs: Tensor, mask: Tensor) -> None:
        """Count one batch.

        Args:
            probs: Probabilities `(B, C, H, W)`, float, summing to 1 over classes; with
                `from_logits` logits.
            mask: Target `(B, H, W)`, integer, classes or `ignore_index`.

        Raises:
            ShapeError: Shapes or dtypes are wrong. `compute` raises on wrong values.
        """
        _, confidence, pred, target, valid = self.read_batch(probs, mask)
        halvings = -torch.log2((1 - confidence).clamp(2.0**-_HALVINGS, 1))
        bins = (halvings * (self.num_bins / _HALVINGS)).long().clamp_(0, self.num_bins - 1)
        self.pixels += count_bins(bins, valid, self.num_bins)
        self.errors += count_bins(bins, valid & (pred != target), self.num_bins)

    def compute(self) -> RiskCoverageCurve:
        """Return the curve over all processes, one point a bin that has pixels; empty without any.

        Raises:
            LabelError: Targets were met that are neither a class nor ignored, or "probabilities"
                that cannot be any.
        """
        pixels, errors = self._from_the_most_confident()
        kept = pixels.cumsum()
        total = kept[-1] if len(kept) else 1
        return RiskCoverageCurve(kept / total, errors.cumsum() / np.maximum(kept, 1))

    def aurc(self) -> float:
        """Return the area under the risk-coverage curve, 0..1, less is better; NaN without pixels.

        The mean risk over every number of pixels kept (Geifman et al., 2019). Pixels of one bin
        come in random order, of which this is the expectation: with n pixels and e errors behind
        N pixels and E errors, the risk after j of them is (E + j e / n) / (N + j).
        """
        pixels, errors = self._from_the_most_confident()
        if not len(pixels):
            return float("nan")
        return float(_summed_risk(pixels, errors) / pixels.sum())

    def rows(self) -> list[dict[str, float]]:
        """Return the curve as rows of coverage and risk."""
        curve = self.compute()
        return [
            {"coverage": float(coverage), "risk": float(risk)}
            for coverage, risk in zip(curve.coverage, curve.risk, strict=True)
        ]

    def _from_the_most_confident(self) -> tuple[Counts, Counts]:
        self.require_sound()
        pixels, errors = (
            np.asarray(state.cpu().numpy()[::-1], dtype=np.int64)
            for state in (self.pixels, self.errors)
        )
        filled = pixels > 0
        return pixels[filled], errors[filled]


def _summed_risk(pixels: Counts, errors: Counts) -> float:
    """Return the sum of the expected risks after each pixel; see `RiskCoverage.aurc`.

    (E + j r) / (N + j) with r = e / n is r + (E - r N) / (N + j), and the sum of 1 / (N + j) over
    j = 1..n is a difference of digamma values.
    """
    kept, wrong = pixels.cumsum() - pixels, errors.cumsum() - errors
    rate = errors / pixels
    harmonic = digamma(kept + pixels + 1) - digamma(kept + 1)
    return float((errors + (wrong - rate * kept) * harmonic).sum())
