"""Losses of overlap between regions: Dice, Jaccard and Tversky, all one index with other weights.

A class's regions are soft counts over valid pixels: tp = sum of p where it is the target, fp = sum
of p elsewhere, fn = its target pixels - tp. By default only classes present in the target take
part: the overlap of an absent class is 0 whatever the network does, so counting it would add a
constant 1 / C without a gradient. Its false positives are not free: the probability they take is
missing from the tp of a present class.

References:
    Salehi et al. (2017): https://arxiv.org/abs/1706.05721
    Abraham and Khan (2019): https://arxiv.org/abs/1810.07842
    Milletari et al. (2016): https://arxiv.org/abs/1606.04797
    Rahman and Wang (2016): https://doi.org/10.1007/978-3-319-50835-1_22
"""

from __future__ import annotations

import torch

from seglab.losses.base import SegmentationLoss, weights_for
from seglab.losses.loss_inputs import LossInputs, safe_divide
from seglab.losses.options import RegionOptions, TverskyOptions

DEFAULT_OPTIONS = RegionOptions()


def tversky_loss(
    inputs: LossInputs,
    class_weights: torch.Tensor | None,
    alpha: float,
    beta: float,
    gamma: float = 1.0,
    options: RegionOptions = DEFAULT_OPTIONS,
) -> torch.Tensor:
    """Return the weighted mean of (1 - tp / (tp + alpha fp + beta fn))^gamma over classes.

    Salehi et al. (2017), eq. 3; their alpha weighs false positives and their beta false negatives,
    as here. `gamma` is the focal variant of Abraham and Khan (2019), whose exponent is 1 / gamma.

    Args:
        inputs: The batch.
        class_weights: Relative weights `(C,)` of the classes' terms.
        alpha: Weight of false positives, >= 0.
        beta: Weight of false negatives, >= 0.
        gamma: Exponent > 0; above 1 the hard classes dominate.
        options: How counts become a loss.

    Returns:
        A scalar in [0, 1].
    """
    tp, prob_sums, target_sums = (inputs.target_prob_sums, inputs.prob_sums, inputs.class_pixels)
    if not options.per_image:
        tp, prob_sums, target_sums = tp.sum(0), prob_sums.sum(0), target_sums.sum(0)
    union = tp + alpha * (prob_sums - tp) + beta * (target_sums - tp)
    missed = 1 - safe_divide(tp + options.smooth, union + options.smooth)
    if gamma != 1:
        # The slope of x^gamma at 0 is infinite for gamma < 1, and rounding may go below 0.
        missed = missed.clamp_min(torch.finfo(missed.dtype).eps) ** gamma
    term_weights = _term_weights(target_sums, weights_for(inputs, class_weights), options)
    return safe_divide((missed * term_weights).sum(), term_weights.sum())


def _term_weights(
    target_sums: torch.Tensor, class_weights: torch.Tensor | None, options: RegionOptions
) -> torch.Tensor:
    """Return the weight of each class's term, or of each pair's of image and class."""
    counted = target_sums if options.present_only else target_sums.sum(-1, keepdim=True)
    weights = (counted > 0).to(target_sums).expand_as(target_sums)
    return weights if class_weights is None else weights * class_weights.to(target_sums)


def dice_loss(
    inputs: LossInputs,
    class_weights: torch.Tensor | None = None,
    options: RegionOptions = DEFAULT_OPTIONS,
) -> torch.Tensor:
    """Return the weighted mean of 1 - 2 tp / (2 tp + fp + fn) over classes.

    The soft Dice of Milletari et al. (2016), for many classes and, as most implementations have it,
    without the squares in their denominator. See `tversky_loss` for arguments and range.

    >>> logits = torch.tensor([[[[9.0, -9.0]], [[-9.0, 9.0]]]])
    >>> round(float(dice_loss(LossInputs(logits, torch.tensor([[[0, 1]]])))), 4)
    0.0
    """
    return tversky_loss(inputs, class_weights, alpha=0.5, beta=0.5, options=options)


def jaccard_loss(
    inputs: LossInputs,
    class_weights: torch.Tensor | None = None,
    options: RegionOptions = DEFAULT_OPTIONS,
) -> torch.Tensor:
    """Return the weighted mean of 1 - tp / (tp + fp + fn) over classes (Rahman and Wang, 2016).

    See `tversky_loss` for arguments and range.
    """
    return tversky_loss(inputs, class_weights, alpha=1.0, beta=1.0, options=options)


class _RegionLoss(SegmentationLoss):
    """What Dice, Jaccard and Tversky share; see `RegionOptions`."""

    declared = RegionOptions

    @property
    def is_mean_over_images(self) -> bool:
        """The overlap in a batch as a whole is none."""
        return bool(self.options.per_image)

    def image_weights(self, class_pixels: torch.Tensor) -> torch.Tensor:
        """Return the weights of each image's terms, or its valid pixels."""
        if not self.options.per_image:
            return super().image_weights(class_pixels)
        return _term_weights(class_pixels, self.class_weights, self.options).sum(1)


class DiceLoss(_RegionLoss):
    """See `dice_loss`."""

    def compute(self, inputs: LossInputs) -> torch.Tensor:
        """Return the loss of a prepared batch, a scalar."""
        return dice_loss(inputs, self.class_weights, self.options)


class JaccardLoss(_RegionLoss):
    """See `jaccard_loss`."""

    def compute(self, inputs: LossInputs) -> torch.Tensor:
        """Return the loss of a prepared batch, a scalar."""
        return jaccard_loss(inputs, self.class_weights, self.options)


class TverskyLoss(_RegionLoss):
    """See `tversky_loss`."""

    declared = TverskyOptions

    def compute(self, inputs: LossInputs) -> torch.Tensor:
        """Return the loss of a prepared batch, a scalar."""
        chosen = self.options
        return tversky_loss(
            inputs, self.class_weights, chosen.alpha, chosen.beta, chosen.gamma, chosen
        )
