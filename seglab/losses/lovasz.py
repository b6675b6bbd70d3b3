"""The Lovasz-softmax loss: a surrogate whose minimum is that of the Jaccard index itself.

The loss is linear in the errors once they are sorted, so the sort runs outside autograd and leaves
one weight per pixel and class; the gradient is that weight. The sort is the cost, see `lovasz_loss`.

References:
    Berman et al. (2018): https://arxiv.org/abs/1705.08790
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from seglab.losses.base import SegmentationLoss, target_weight_sums, weights_for
from seglab.losses.loss_inputs import LossInputs, safe_divide
from seglab.losses.options import LovaszOptions

# Bits of the largest finite and NaN float32 values: subtracting from it reverses their order.
_TOP_BITS = 0x7FFFFFFF
_LOW_WORD = 0xFFFFFFFF


def lovasz_loss(
    inputs: LossInputs, class_weights: torch.Tensor | None = None, per_image: bool = False
) -> torch.Tensor:
    """Return the weighted mean over classes present in the target of their Lovasz extension.

    Berman et al. (2018), eq. 8 to 12, with `classes="present"`. One sort per class: batch 8, 11
    classes, 192x256 on one CPU thread about 0.1 s, several times cross-entropy.

    Args:
        inputs: The batch.
        class_weights: Relative weights `(C,)` of the classes' terms.
        per_image: Score each image by itself; the mean then runs over pairs of image and class.

    Returns:
        A scalar in [0, 1].
    """
    constant, field = _linearise(inputs, weights_for(inputs, class_weights), per_image)
    return constant + (inputs.probs * field).sum()


@torch.no_grad()
def _linearise(
    inputs: LossInputs, class_weights: torch.Tensor | None, per_image: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return constant and field `(B, C, H, W)` with loss = constant + sum(probs * field)."""
    probs = inputs.probs.detach()
    counts = inputs.class_pixels if per_image else inputs.class_pixels.sum(0, keepdim=True)
    shares = (counts > 0).to(probs.dtype) * (1 if class_weights is None else class_weights)
    shares = safe_divide(shares, shares.sum())
    constant = probs.new_zeros(())
    field = torch.zeros_like(probs, memory_format=torch.contiguous_format)
    for group, images in enumerate(_image_groups(len(probs), per_image)):
        valid = inputs.valid[images].flatten()
        valid_weight = inputs.valid_weight[images].flatten()
        target = inputs.target[images].flatten()
        for index in range(inputs.num_classes):
            if probs.device.type == "cpu" and not shares[group, index]:
                continue
            is_class = (target == index) & valid
            prob = probs[images, index].flatten()
            # An ignored pixel gets error 0: sorted last, it changes no other pixel's weight.
            errors = torch.where(is_class, 1 - prob, prob) * valid_weight
            weights = _jaccard_steps(errors, is_class) * valid_weight * shares[group, index]
            constant += (weights * is_class).sum()
            signed = torch.where(is_class, -weights, weights)
            field[images, index] = signed.view_as(field[images, index])
    return constant, field


def _image_groups(batch_size: int, per_image: bool) -> Iterator[slice]:
    if not per_image:
        yield slice(None)
        return
    for index in range(batch_size):
        yield slice(index, index + 1)


def _jaccard_steps(errors: torch.Tensor, is_class: torch.Tensor) -> torch.Tensor:
    """Return `(N,)`: the Jaccard each pixel costs when all of larger error are wrong already.

    The differences are written out (1 / U for a pixel of the class, else I / (U (U - 1))), because
    subtracting neighbouring Jaccard values in float32 would leave few digits of a step near 1e-6.
    """
    order = _descending_order(errors)
    sorted_class = is_class[order]
    total = is_class.sum()
    wrong = sorted_class.cumsum(0)
    rank = torch.arange(1, len(errors) + 1, device=errors.device)
    intersection = (total - wrong).to(errors.dtype)
    union = (total + rank - wrong).clamp_min(1).to(errors.dtype)
    outside = intersection / (union * (union - 1).clamp_min(1))
    steps = torch.where(sorted_class, 1 / union, outside)
    return torch.empty_like(steps).scatter_(0, order, steps)


def _descending_order(errors: torch.Tensor) -> torch.Tensor:
    """Return the indices `(N,)` that sort errors >= 0 downwards, to float32 precision on the CPU.

    There, bits of a float32 >= 0 order like integers, so error and index fit one int64 that NumPy
    sorts with vector instructions: 2.5 ms for 400 000 pixels against 34 ms for torch.sort.
    """
    if errors.device.type != "cpu":
        return errors.sort(descending=True).indices
    keys = _TOP_BITS - errors.float().numpy().view(np.int32).astype(np.int64)
    keys <<= 32
    keys |= np.arange(len(keys))
    keys.sort()
    keys &= _LOW_WORD
    return torch.from_numpy(keys)


class LovaszLoss(SegmentationLoss):
    """See `lovasz_loss`."""

    declared = LovaszOptions

    def compute(self, inputs: LossInputs) -> torch.Tensor:
        """Return the loss of a prepared batch, a scalar."""
        return lovasz_loss(inputs, self.class_weights, self.options.per_image)

    @property
    def is_mean_over_images(self) -> bool:
        """The order of errors over a batch as a whole is none."""
        return bool(self.options.per_image)

    def image_weights(self, class_pixels: torch.Tensor) -> torch.Tensor:
        """Return the weights of each image's classes, or its valid pixels."""
        if not self.options.per_image:
            return super().image_weights(class_pixels)
        return target_weight_sums((class_pixels > 0).to(class_pixels), self.class_weights)
