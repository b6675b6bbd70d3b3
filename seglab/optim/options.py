"""The options of the optimizer and of each schedule, as in `conf/optimizer` and `conf/scheduler`.

References:
    Smith and Topin (2018): https://arxiv.org/abs/1708.07120
    Chen et al. (2017): https://arxiv.org/abs/1606.00915
    Loshchilov and Hutter (2017): https://arxiv.org/abs/1608.03983
    Goyal et al. (2017): https://arxiv.org/abs/1706.02677
    Krizhevsky (2014): https://arxiv.org/abs/1404.5997
    Malladi et al. (2022): https://arxiv.org/abs/2205.10287
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge

from seglab.core.options import (
    Fraction,
    NotNegative,
    NotNegativeFloat,
    OpenFraction,
    Options,
    Positive,
    PositiveFloat,
)
from seglab.core.parts.components import component


class OptimizerKeys(Options):
    """What an optimizer of torch's or of your own takes beside its options."""

    lr: PositiveFloat
    """Learning rate."""
    encoder_lr: PositiveFloat | None = None
    """Learning rate of the encoder; null: the same."""


@component("optimizer", "seglab.optim.build_optimizer")
class OptimizerOptions(Options):
    """Any optimizer of timm's registry."""

    name: str
    """A name of `timm.optim.list_optimizers()`, such as `adamw`, `sgd` (Nesterov, momentum 0.9),
    `momentum` (classical), `lamb` or `lion`."""
    lr: PositiveFloat
    """Learning rate."""
    encoder_lr: PositiveFloat | None = None
    """Learning rate of the encoder; null: the same."""
    weight_decay: NotNegativeFloat = 0.0
    """Weight decay; spares biases and weights of normalisation."""
    options: dict[str, Any] | None = None
    """Further arguments of the optimizer, such as `betas` or `momentum`."""


@component("schedule", "onecycle")
class OneCycleOptions(Options):
    """One cycle (Smith and Topin, 2018), torch's `OneCycleLR`, each group peaking at its own rate."""

    pct_start: OpenFraction = 0.3
    """Share of the run spent rising."""
    div_factor: Annotated[float, Ge(1)] = 25.0
    """Peak over first learning rate."""
    final_div_factor: Annotated[float, Ge(1)] = 1e4
    """First over last learning rate."""
    anneal: Literal["cos", "linear"] = "cos"
    """Form of the rise and the fall."""
    cycle_momentum: bool = False
    """Lower momentum (or the first beta) to 0.85 while the rate rises."""


@component("schedule", "poly")
class PolyOptions(Options):
    """`(1 - step / total_steps) ** power` (Chen et al., DeepLab, 2017)."""

    power: PositiveFloat = 0.9
    """Exponent; the paper's 0.9."""
    min_lr_factor: Fraction = 0.0
    """The rate never falls below this share of its start."""


@component("schedule", "cosine")
class CosineOptions(Options):
    """Linear warm-up, then half a cosine (Loshchilov and Hutter, SGDR, 2017, without restarts)."""

    warmup_epochs: NotNegativeFloat = 1.0
    """Length of the warm-up in epochs, fractions allowed; 0 for none."""
    warmup_start_factor: Fraction = 0.01
    """Share of the learning rate that the warm-up starts from."""
    min_lr_factor: Fraction = 0.0
    """Share of the learning rate that the run ends at."""


@component("schedule", "plateau")
class PlateauOptions(Options):
    """Lower the rate when the monitored score stops improving (torch's `ReduceLROnPlateau`)."""

    mode: Literal["min", "max"] = "max"
    """`max` where more is better, `min` where less is."""
    factor: OpenFraction = 0.5
    """What the rate is multiplied by."""
    patience: NotNegative = 5
    """Validations without improvement that are let pass; an undefined score (NaN) counts as none."""
    threshold: NotNegativeFloat = 1e-4
    """Least improvement that counts, in units of the score."""
    min_lr: NotNegativeFloat = 0.0
    """The rate never falls below this."""


@component("schedule", "constant")
class ConstantOptions(Options):
    """The learning rate stays as it is."""


class LrScaling(Options):
    """How learning rates follow data.batch_size."""

    rule: Literal["none", "linear", "sqrt"] = "none"
    """`none` leaves the rate; `linear` multiplies it by the ratio of the batches (Goyal et al., 2017, for
    SGD, there with a warm-up); `sqrt` by the root of the ratio (Krizhevsky, 2014; Malladi et al., 2022,
    for Adam, where the full rule changes betas and epsilon too: here the rate alone)."""
    batch_size: Positive = 8
    """Images in the optimizer step that the rate was found with."""

    def factor(self, batch_size: int) -> float:
        """Return what learning rates are multiplied by for steps of `batch_size` images."""
        exponent = {"none": 0.0, "linear": 1.0, "sqrt": 0.5}[self.rule]
        return float((batch_size / self.batch_size) ** exponent)
