"""What every way of predicting has in common, so that they can be put inside one another.

A predictor turns images into logits at the size of the masks. A model seen whole is one, so are
windows over large images, test-time augmentation around either, and an ensemble of any of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from seglab.core.errors import ConfigError, ShapeError
from seglab.inference.predict import predict_logits


class Predictor(Protocol):
    """Images in, logits out."""

    def __call__(self, image: Tensor, mask_size: tuple[int, int] | None = None) -> Tensor:
        """Predict without gradient.

        Args:
            image: Float `(B, C, H, W)`, normalised, on the model's device.
            mask_size: (H, W) of the masks to compare with; None keeps the image's.

        Returns:
            Float `(B, num_classes, *mask_size)`: logits, or log-probabilities, which are logits too.
        """
        ...


class WholeImage:
    """Predict each image in one piece, by `predict_logits`.

    Args:
        model: Image -> logits of the image's size, already in evaluation mode.
        size_divisor: The multiple that the model wants both sides to be.
        min_size: The smallest side that the model takes.

    Raises:
        ConfigError: `size_divisor` or `min_size` is below 1.
    """

    def __init__(self, model: nn.Module, size_divisor: int = 1, min_size: int = 1) -> None:
        check_sizes("inference", size_divisor=size_divisor, min_size=min_size)
        self.model = model
        self.size_divisor = size_divisor
        self.min_size = min_size

    def __call__(self, image: Tensor, mask_size: tuple[int, int] | None = None) -> Tensor:
        """Return the model's logits; see `Predictor`."""
        return predict_logits(self.model, image, mask_size, self.size_divisor, self.min_size)


class MeanProbability:
    """Running mean of the probabilities of several predictions, kept as a logarithm.

    A sum of probabilities loses what float32 cannot hold: beside a logit that is 104 larger a class
    would have the probability 0 and the logarithm minus infinity. `logaddexp` loses nothing.
    """

    def __init__(self) -> None:
        self._log_sum: Tensor | None = None
        self._count = 0

    def add(self, logits: Tensor) -> None:
        """Add one prediction.

        Args:
            logits: Float `(B, num_classes, H, W)`, of the same shape each time. Half precision is
                widened to float32.

        Raises:
            ShapeError: The shape differs from that of the predictions before.
        """
        if self._log_sum is not None and logits.shape != self._log_sum.shape:
            raise ShapeError(
                f"expected logits {tuple(self._log_sum.shape)} as before, got "
                f"{tuple(logits.shape)}; all predictions must have the same classes and size"
            )
        wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
        log_probabilities = torch.log_softmax(logits, dim=1, dtype=wide)
        if self._log_sum is None:
            self._log_sum = log_probabilities
        else:
            torch.logaddexp(self._log_sum, log_probabilities, out=self._log_sum)
        self._count += 1

    def log_mean(self) -> Tensor:
        """Return the logarithm of the mean probabilities, float32 or float64 `(B, C, H, W)`.

        Raises:
            ShapeError: Nothing was added.
        """
        if self._log_sum is None:
            raise ShapeError("expected at least one prediction to average, got none")
        return self._log_sum - math.log(self._count)


def check_sizes(where: str, further: Sequence[str] = (), **sizes: int) -> None:
    """Raise ConfigError unless all are at least 1; with `further` problems, if there are any."""
    small = [name for name, value in sizes.items() if value < 1]
    problems = [
        *further,
        *(f"{where}: expected {one} of at least 1, got {sizes[one]}" for one in small),
    ]
    if problems:
        raise ConfigError(problems)
