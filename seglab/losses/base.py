"""What every loss has in common: one call, one precision, one meaning of void and class weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from seglab.core.errors import ConfigError, ShapeError, list_problems
from seglab.core.options import Options, signature_of
from seglab.losses.loss_inputs import LossInputs

ClassWeights = torch.Tensor | Sequence[float] | str | None


class SegmentationLoss(nn.Module, ABC):
    """Base of all losses: `loss(logits, mask)` is a scalar.

    Computed in float32 (float64 for float64 logits) whatever autocast says; normalised by valid
    pixels; zero, with a gradient of zero, when there are none.

    Class weights are relative: only their ratios matter, for every loss is a weighted mean. Losses
    of pixels weigh a pixel by its target's class, losses of regions weigh a class's term. A class
    of weight 0 counts nowhere as a target.

    Args:
        ignore_index: Target value of pixels that count nowhere; not a class index.
        class_weights: C numbers >= 0, or None (or the word `none`) for equal weights.
        options: What the class declares, see `seglab.losses.options`.

    Raises:
        ConfigError: An option is outside its range, or the class weights are negative, not finite,
            all zero, or an unresolved word.
    """

    declared: ClassVar[type[Options]] = Options
    class_weights: torch.Tensor | None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "declared" in vars(cls):
            whole = signature_of(cls.declared, SegmentationLoss.__init__)
            without_self = list(whole.parameters.values())[1:]
            cls.__signature__ = whole.replace(parameters=without_self)  # type: ignore[attr-defined]

    def __init__(
        self, *, ignore_index: int = 255, class_weights: ClassWeights = None, **options: Any
    ) -> None:
        super().__init__()
        self.options: Any = self.declared.read(options, type(self).__name__)
        self.ignore_index = ignore_index
        # Not persistent: they follow from the training fold, a checkpoint must not bring its own.
        self.register_buffer("class_weights", as_class_weights(class_weights), persistent=False)

    def forward(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the loss of a batch, a scalar.

        Args:
            logits: `(B, C, H, W)`, any float dtype and memory format.
            mask: `(B, H, W)`, integer, `0..C-1` or `ignore_index`.

        Raises:
            ShapeError: Shapes do not fit together, or there is not one class weight a class.
            LabelError: A target is no class (checked on the CPU).
        """
        with torch.autocast(logits.device.type, enabled=False):
            return self.compute(LossInputs(logits, mask, self.ignore_index))

    @abstractmethod
    def compute(self, inputs: LossInputs) -> torch.Tensor:
        """Return the loss of a prepared batch, a scalar; sums call this to share the softmax."""

    @property
    def is_mean_over_images(self) -> bool:
        """Whether the loss of a batch is the mean of its images' losses with their `image_weights`.

        It is what makes a batch in parts (micro-batches, devices, batches of an evaluation) come
        out as the whole. False, the default, promises nothing: then the weights are an
        approximation, and training says so (`trainer.whole_batch_losses`).
        """
        return False

    def image_weights(self, class_pixels: torch.Tensor) -> torch.Tensor:
        """Return the weight of each image in this loss, by default its valid pixels.

        A weighted mean over pixels returns `target_weight_sums(class_pixels, self.class_weights)`.

        Args:
            class_pixels: Valid target pixels of each class in each image `(B, C)`, float.

        Returns:
            `(B,)`, >= 0, 0 for an image without valid pixels; on the device of the counts.
        """
        return target_weight_sums(class_pixels, None)


def as_class_weights(class_weights: ClassWeights) -> torch.Tensor | None:
    """Return class weights as a float32 tensor `(C,)`, or None for equal ones.

    Raises:
        ConfigError: See `SegmentationLoss`; all mistakes in one message.
    """
    if class_weights is None or class_weights == "none":
        return None
    if isinstance(class_weights, str):
        raise ConfigError(
            f"class weights {class_weights!r} must be computed from the training fold first "
            "(seglab.losses.resolve_class_weights); expected numbers or none"
        )
    weights = torch.as_tensor(
        class_weights if isinstance(class_weights, torch.Tensor) else list(class_weights),
        dtype=torch.float32,
    )
    problems = []
    if weights.ndim != 1 or not len(weights):
        problems.append(f"expected one number per class, got shape {tuple(weights.shape)}")
    if not bool(weights.isfinite().all()):
        problems.append(f"expected finite numbers, got {weights.tolist()}")
    elif bool((weights < 0).any()):
        problems.append(f"expected numbers >= 0, got {weights.tolist()}")
    elif not bool((weights > 0).any()):
        problems.append("expected at least one class weight above 0")
    if problems:
        raise ConfigError(list_problems("class weights", problems))
    return weights


def weights_for(inputs: LossInputs, class_weights: torch.Tensor | None) -> torch.Tensor | None:
    """Return class weights `(C,)` in the dtype and on the device of the logits.

    Raises:
        ShapeError: There is not one weight per class.
    """
    if class_weights is None:
        return None
    if class_weights.shape != (inputs.num_classes,):
        raise ShapeError(
            f"expected {inputs.num_classes} class weights, one per class, got shape "
            f"{tuple(class_weights.shape)}"
        )
    return class_weights.to(inputs.logits)


def target_weight_sums(
    class_pixels: torch.Tensor, class_weights: torch.Tensor | None
) -> torch.Tensor:
    """Return the sum of the target weights of each image's valid pixels, `(B,)`.

    Args:
        class_pixels: Valid target pixels of each class in each image `(B, C)`, float.
        class_weights: Weights `(C,)`; None: the sum is the number of valid pixels.
    """
    if class_weights is None:
        return class_pixels.sum(1)
    return class_pixels @ class_weights.to(class_pixels)
