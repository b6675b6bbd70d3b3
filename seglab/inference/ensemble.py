"""Several predictors asked as one: for the models of a cross-validation, or of several seeds.

References:
    Lakshminarayanan et al. (2017): https://arxiv.org/abs/1612.01474
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seglab.core.errors import ConfigError
from seglab.inference.predictor import MeanProbability, Predictor


class Ensemble:
    """Average the probabilities of several predictors, each with the same say.

    Probabilities rather than logits (Lakshminarayanan et al. 2017, "Simple and Scalable Predictive
    Uncertainty Estimation using Deep Ensembles"): models differ in the scale of their logits, and
    the one with the largest would overrule the others.

    Args:
        predictors: At least one. Their models must agree on the classes and their order, and on the
            normalisation of the image. They run one after the other; only one prediction is held
            beside the running mean.

    Raises:
        ConfigError: No predictor was given.
    """

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        if not predictors:
            raise ConfigError("ensemble: expected at least one predictor, got none")
        self.predictors = tuple(predictors)

    @torch.no_grad()
    def __call__(self, image: Tensor, mask_size: tuple[int, int] | None = None) -> Tensor:
        """Return the logarithm of the mean probabilities; see `Predictor`.

        Returns:
            float32 `(B, num_classes, *mask_size)` (float64 from float64 logits); its softmax is the
            mean of the predictors' softmax.

        Raises:
            ShapeError: Predictors differ in classes or size.
        """
        mean = MeanProbability()
        for predictor in self.predictors:
            mean.add(predictor(image, mask_size))
        return mean.log_mean()
