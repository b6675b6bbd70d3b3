"""A loss of one's own as a term of the sum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seglab.core.errors import ConfigError
from seglab.core.parts.own_parts import OwnPart
from seglab.core.parts.signatures import takes
from seglab.losses.base import ClassWeights, SegmentationLoss
from seglab.losses.loss_inputs import LossInputs


class WrappedLoss(SegmentationLoss):
    """A callable `loss(logits, mask)` as a loss like ours: float32, zero on a batch without valid pixels.

    Args:
        loss: Gives a scalar; a module's parameters and buffers go to the device with the sum.
        name: What to call it.
        ignore_index: Target value of pixels that count nowhere.
    """

    def __init__(self, loss: Callable[..., Any], name: str, ignore_index: int) -> None:
        super().__init__(ignore_index=ignore_index)
        self.loss = loss
        self.name = name

    def compute(self, pixels: LossInputs) -> Tensor:
        """Return the loss of a prepared batch, a scalar.

        Raises:
            ConfigError: What came is no scalar tensor.
        """
        if not bool(pixels.valid.any()):
            return pixels.logits.sum() * 0
        mask = torch.where(pixels.valid, pixels.target, self.ignore_index)
        value = self.loss(pixels.logits, mask)
        if not isinstance(value, Tensor) or value.ndim:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ConfigError(f"loss: expected {self.name} to give a scalar tensor, got {came}")
        return value

    @property
    def is_mean_over_images(self) -> bool:
        """What the loss itself says; False, that of a whole batch, where it says nothing."""
        return bool(getattr(self.loss, "is_mean_over_images", False))


def wrap_loss(
    part: OwnPart, ignore_index: int, class_weights: ClassWeights, num_classes: int
) -> SegmentationLoss:
    """Build a loss of one's own and try it on two small images.

    Args:
        part: A class that makes it, or a function that is it.
        ignore_index: Target value of pixels that count nowhere.
        class_weights: One per class; None for equal ones.
        num_classes: Number of classes.

    Raises:
        ConfigError: It cannot be built, takes no class weights but got some, fails, or gives no scalar
            with a gradient.
    """
    key = part.key
    if class_weights is not None and not takes(part.found, {"class_weights": None}):
        raise ConfigError(
            f"{key}.class_weights: {part.target} takes no class_weights; set {key}.class_weights=none, "
            "or let its signature take them"
        )
    loss = part.make(
        ignore_index=ignore_index, class_weights=class_weights, num_classes=num_classes
    )
    if isinstance(loss, SegmentationLoss):
        return loss
    if not callable(loss):
        raise part.wrong("make a loss(logits, mask)", type(loss).__name__)
    term = WrappedLoss(loss, part.target, ignore_index)
    _try_out(key, term, num_classes)
    return term


def _try_out(key: str, term: WrappedLoss, num_classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, num_classes, 16, 16, generator=generator, requires_grad=True)
    mask = torch.randint(num_classes, (2, 16, 16), generator=generator)
    mask[:, 0] = term.ignore_index
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            value = term(logits, mask)
    except ConfigError as error:
        raise ConfigError(
            [f"{key}: {one.removeprefix('loss: ')}" for one in error.problems]
        ) from None
    except Exception as error:
        raise ConfigError(
            f"{key}: {term.name} fails on logits (2, {num_classes}, 16, 16) and a mask (2, 16, 16) with "
            f"{term.ignore_index} where nothing counts: {type(error).__name__}: {error}"
        ) from error
    if not value.requires_grad:
        raise ConfigError(f"{key}: expected {term.name} to depend on the logits, got no gradient")
