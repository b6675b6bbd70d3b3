"""The options of each loss, as in `conf/loss/*.yaml` and as keyword arguments of its class.

References:
    Lin et al. (2017): https://arxiv.org/abs/1708.02002
    Salehi et al. (2017): https://arxiv.org/abs/1706.05721
    Abraham and Khan (2019): https://arxiv.org/abs/1810.07842
    Szegedy et al. (2016): https://arxiv.org/abs/1512.00567
    Shrivastava et al. (2016): https://arxiv.org/abs/1604.03540
    Berman et al. (2018): https://arxiv.org/abs/1705.08790
    Kervadec et al. (2019): https://arxiv.org/abs/1812.07032
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from seglab.core.options import Fraction, NotNegativeFloat, Options, PositiveFloat, Targets
from seglab.core.parts.components import component

ClassWeightsOption = (
    Literal["none", "median_frequency", "enet", "effective_number"] | list[PositiveFloat]
)


@component("loss", "seglab.losses.WeightedSum")
class WeightedSumOptions(Options):
    """A sum of losses, each times its weight; the softmax is computed once."""

    terms: dict[str, Annotated[dict[str, Any], Targets("loss_term")]]
    """The losses by names of your choice."""
    weights: dict[str, NotNegativeFloat]
    """One for each name; a term of weight 0 is not computed."""
    class_weights: ClassWeightsOption
    """Of all terms without their own; computed from the training fold, or one number per class."""


class TermKeys(Options):
    """What every term of the sum takes beside its own options."""

    class_weights: ClassWeightsOption | None = None
    """Own class weights; null: those of the sum."""


class UnweightedTermKeys(Options):
    """Likewise, of a term of your own whose signature takes no `class_weights`."""

    class_weights: Literal["none"] | None = None
    """`none` where the sum has class weights, which then do not hold for this term."""


@component("loss_term", "seglab.losses.CrossEntropyLoss")
class CrossEntropyOptions(Options):
    """Cross-entropy."""

    label_smoothing: Fraction = 0.0
    """Share of the target that is spread evenly over all classes (Szegedy et al., CVPR 2016)."""


@component("loss_term", "seglab.losses.OhemCrossEntropyLoss")
class OhemOptions(Options):
    """Cross-entropy of the hardest pixels (Shrivastava, Gupta and Girshick, CVPR 2016)."""

    threshold: Fraction = 0.7
    """Probability of the target up to which a pixel is hard; 1 keeps all."""
    min_kept: Fraction = 0.1
    """Share of the valid pixels that is kept in any case."""


@component("loss_term", "seglab.losses.FocalLoss")
class FocalOptions(Options):
    """Cross-entropy that fades with confidence (Lin et al., ICCV 2017)."""

    gamma: NotNegativeFloat = 2.0
    """Focusing exponent; 0 is cross-entropy."""


@component("loss_term", "seglab.losses.JaccardLoss")
@component("loss_term", "seglab.losses.DiceLoss")
class RegionOptions(Options):
    """Overlap of regions: how soft counts become a loss."""

    per_image: bool = False
    """Score each image by itself; then the mean runs over pairs of image and class, and a batch in
    parts is the whole batch. Else counts are summed over the batch."""
    present_only: bool = True
    """Leave out classes (per image: pairs) absent from the target; otherwise set `smooth` above 0, or
    absent classes add a constant."""
    smooth: NotNegativeFloat = 0.0
    """Pixels added to numerator and denominator."""


@component("loss_term", "seglab.losses.TverskyLoss")
class TverskyOptions(RegionOptions):
    """Overlap that weighs false alarms and misses (Salehi, Erdogmus and Gholipour, MLMI 2017)."""

    alpha: NotNegativeFloat = 0.3
    """Weight of false positives."""
    beta: NotNegativeFloat = 0.7
    """Weight of false negatives."""
    gamma: PositiveFloat = 1.0
    """Exponent of each class's term; above 1 the hard classes dominate (Abraham and Khan, ISBI 2019,
    whose exponent is 1 / gamma)."""


@component("loss_term", "seglab.losses.LovaszLoss")
class LovaszOptions(Options):
    """Lovasz-softmax (Berman, Rannen Triki and Blaschko, CVPR 2018)."""

    per_image: bool = False
    """Score each image by itself instead of the batch as a whole."""


@component("loss_term", "seglab.losses.BoundaryLoss")
class BoundaryOptions(Options):
    """Distance to the true outline (Kervadec et al., MIDL 2019)."""
