"""Sums of losses: the softmax is computed once, and terms stay apart where that is needed.

Each term is a mean with a denominator of its own, so a batch in parts is added up term by term.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from seglab.core.errors import ConfigError, nearest
from seglab.losses.base import ClassWeights, SegmentationLoss
from seglab.losses.loss_inputs import LossInputs, count_targets


class WeightedSum(SegmentationLoss):
    """Sum of named losses, each times its weight.

    All terms ignore the same pixels. A term without class weights of its own takes those of the
    sum; to leave a term unweighted, give it equal ones.

    Args:
        terms: Name -> loss; at least one.
        weights: Name -> weight >= 0, the same names. A term of weight 0 is not computed.
        ignore_index: Target value of pixels that count nowhere, set in all terms; None takes that
            of the terms, which must agree.
        class_weights: Relative weights, one per class; None or the word `none` for equal ones.

    Raises:
        ConfigError: Names do not match, a weight is negative or not finite, all are 0, a term is no
            loss, the terms disagree on `ignore_index`, or bad class weights. Problems of terms and
            weights come in one message.
    """

    def __init__(
        self,
        terms: Mapping[str, SegmentationLoss],
        weights: Mapping[str, float],
        ignore_index: int | None = None,
        class_weights: ClassWeights = None,
    ) -> None:
        problems = _problems(terms, weights)
        if problems:
            raise ConfigError(problems)
        if ignore_index is None:
            ignore_index = _common_ignore_index(terms)
        super().__init__(ignore_index=ignore_index, class_weights=class_weights)
        self.terms = nn.ModuleDict(dict(terms))
        self.weights = {name: float(weights[name]) for name in terms}
        for term in terms.values():
            term.ignore_index = ignore_index
            if term.class_weights is None:
                term.class_weights = self.class_weights

    def compute(self, inputs: LossInputs) -> torch.Tensor:
        """Return the loss of a prepared batch, a scalar."""
        return self._weighted(inputs).sum()

    def weighted_terms(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return each used term's loss times its weight `(K,)`; the loss is their sum.

        Takes and raises what calling the loss does.
        """
        with torch.autocast(logits.device.type, enabled=False):
            return self._weighted(LossInputs(logits, mask, self.ignore_index))

    def term_weights(self, mask: torch.Tensor, num_classes: int) -> torch.Tensor:
        """Return the weight of each image in the mean that each used term is, `(B, K)`.

        So `weighted_terms` of a batch is the mean of those of its images, each column with these
        weights; for `whole_batch_terms` only nearly.

        Args:
            mask: `(B, H, W)`, integer, as for the loss.
            num_classes: Number of classes C.
        """
        class_pixels = count_targets(mask, num_classes, self.ignore_index).float()
        return torch.stack([term.image_weights(class_pixels) for _, term in self._used], dim=1)

    @property
    def whole_batch_terms(self) -> list[str]:
        """Names of the used terms that are no mean over images."""
        return [name for name, term in self._used if not term.is_mean_over_images]

    @property
    def num_terms(self) -> int:
        """Number of used terms K: those with a weight above 0."""
        return len(self._used)

    @property
    def _used(self) -> list[tuple[str, SegmentationLoss]]:
        return [(name, term) for name, term in self._losses() if self.weights[name]]

    def _weighted(self, inputs: LossInputs) -> torch.Tensor:
        return torch.stack([term.compute(inputs) * self.weights[n] for n, term in self._used])

    def _losses(self) -> list[tuple[str, SegmentationLoss]]:
        return [(n, term) for n, term in self.terms.items() if isinstance(term, SegmentationLoss)]


def _common_ignore_index(terms: Mapping[str, SegmentationLoss]) -> int:
    values = {name: term.ignore_index for name, term in terms.items()}
    if len(set(values.values())) > 1:
        raise ConfigError(
            f"loss.terms: expected one ignore_index for all terms, got {values}; give it to the sum"
        )
    return next(iter(values.values()))


def _problems(terms: Mapping[str, object], weights: Mapping[str, float]) -> list[str]:
    problems = []
    if not terms:
        problems.append("loss.terms: expected at least one term, got none")
    for name, term in terms.items():
        if not isinstance(term, SegmentationLoss):
            problems.append(f"loss.terms.{name}: expected a seglab loss, got {type(term).__name__}")
        if name not in weights:
            problems.append(f"loss.weights: no weight for the term {name!r}")
    for name, weight in weights.items():
        if name not in terms:
            problems.append(f"loss.weights.{name}: there is no such term{nearest(name, terms)}")
        if not (math.isfinite(weight) and weight >= 0):
            problems.append(f"loss.weights.{name}: expected a finite number >= 0, got {weight}")
    if terms and not any(weights.get(name, 1) for name in terms):
        problems.append("loss.weights: expected at least one weight above 0")
    return problems
