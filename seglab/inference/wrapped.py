"""A way of predicting of one's own, around the model seen whole or by windows."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

from torch import Tensor

from seglab.core.errors import ConfigError
from seglab.core.parts.own_parts import OwnPart
from seglab.inference.predictor import Predictor


class WrappedPredictor:
    """A callable `predict(image, mask_size)` whose logits are held against the size of the masks.

    Args:
        predict: Gives logits, or log-probabilities, as `Predictor` does.
        name: What to call it.
        num_classes: Number of classes.
    """

    def __init__(self, predict: Callable[..., Tensor], name: str, num_classes: int) -> None:
        self.predict = predict
        self.name = name
        self.num_classes = num_classes

    def __call__(self, image: Tensor, mask_size: tuple[int, int] | None = None) -> Tensor:
        """Return float logits `(B, num_classes, *mask_size)`; see `Predictor`.

        Raises:
            ConfigError: Something else came.
        """
        size = mask_size or (image.shape[-2], image.shape[-1])
        logits = self.predict(image, size)
        wanted = (image.shape[0], self.num_classes, *size)
        if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted:
            came = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ConfigError(
                f"predict.predictor: expected {self.name} to give logits {wanted} for images "
                f"{tuple(image.shape)}, got {came}"
            )
        return logits


def wrap_predictor(part: OwnPart, inner: Predictor, num_classes: int) -> Predictor:
    """Put a predictor of one's own around another one.

    Args:
        part: A class that is made with the inner predictor and then called with `(image, mask_size)`,
            or a function that is called with `(predictor, image, mask_size)`.
        inner: Predicts without it.
        num_classes: Given if its signature takes it.

    Raises:
        ConfigError: It cannot be built, or cannot be called.
    """
    made = part.make(inner, num_classes=num_classes)
    if not inspect.isclass(part.found):
        made = functools.partial(made, inner)
    if not callable(made):
        raise part.wrong("make a predict(image, mask_size)", type(made).__name__)
    return WrappedPredictor(made, part.target, num_classes)
