"""Nodes that are built from a `_target_`, and options that depend on a choice: their fields.

A `_target_` is an import, hence code that runs, so only the targets listed here are built. To make
a new class available, add a dataclass with the parameters of its constructor and list it in
`SCHEMAS`; a test compares the two. Parameters the composition root supplies (the number of classes, the
ignored index, the number of steps) are no configuration and have no field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Interval

from seglab.core.components import components
from seglab.core.options import (
    ChosenBy,
    Fraction,
    NotNegative,
    NotNegativeFloat,
    OnDisk,
    OpenFraction,
    Options,
    Positive,
    PositiveFloat,
    ProperFraction,
)
from seglab.core.problems import did_you_mean, nearest_keys, show
from seglab.losses.options import TermKeys

_ALLOWED_PREFIXES = ("seglab.", "torch.optim.")
EncoderWeights = Literal["imagenet"] | Annotated[str, OnDisk("file")] | None
Arch = Literal[
    "unet", "unetplusplus", "deeplabv3", "deeplabv3plus", "pspnet", "fpn", "pan", "linknet",
    "manet", "upernet", "segformer", "dpt",
]  # fmt: skip


class Network(Options):
    """What every model takes beside the arguments of its constructor."""

    init_from: Annotated[str, OnDisk("file or folder")] | None = None


class SmpModel(Network):
    """A decoder of segmentation-models-pytorch over a timm encoder."""

    arch: Arch
    encoder_name: str
    encoder_weights: EncoderWeights = None
    in_channels: Literal[1, 3] | None = 3
    encoder_depth: Positive | None = None
    dropout: ProperFraction = 0.0
    freeze_encoder: bool = False
    options: dict[str, Any] | None = None


class SegNet(Network):
    """SegNet over VGG16."""

    in_channels: Literal[1, 3] | None = 3
    encoder_weights: EncoderWeights = None
    dropout: ProperFraction = 0.0
    freeze_encoder: bool = False


class SegNetBasic(Network):
    """The paper's small SegNet."""

    in_channels: Literal[1, 3] | None = 3
    width: Positive = 64
    kernel_size: Positive = 7
    dropout: ProperFraction = 0.0


class Optimizer(Options):
    """Any optimizer of timm's registry."""

    name: str
    lr: PositiveFloat
    encoder_lr: PositiveFloat | None = None
    weight_decay: NotNegativeFloat = 0.0
    options: dict[str, Any] | None = None


class OneCycle(Options):
    """Up to the peak and down."""

    name: Literal["onecycle"]
    pct_start: OpenFraction = 0.3
    div_factor: Annotated[float, Interval(ge=1)] = 25.0
    final_div_factor: Annotated[float, Interval(ge=1)] = 1e4
    anneal: Literal["cos", "linear"] = "cos"
    cycle_momentum: bool = False


class Poly(Options):
    """A power of what is left."""

    name: Literal["poly"]
    power: PositiveFloat = 0.9
    min_lr_factor: Fraction = 0.0


class Cosine(Options):
    """Warm-up, then half a cosine."""

    name: Literal["cosine"]
    warmup_epochs: NotNegativeFloat = 1.0
    warmup_start_factor: Fraction = 0.01
    min_lr_factor: Fraction = 0.0


class Plateau(Options):
    """Down when the monitored score stops improving."""

    name: Literal["plateau"]
    mode: Literal["min", "max"] = "max"
    factor: OpenFraction = 0.5
    patience: NotNegative = 5
    threshold: NotNegativeFloat = 1e-4
    min_lr: NotNegativeFloat = 0.0


class Constant(Options):
    """The rate stays."""

    name: Literal["constant"]


SCHEDULES: dict[str, type] = {
    "onecycle": OneCycle,
    "poly": Poly,
    "cosine": Cosine,
    "plateau": Plateau,
    "constant": Constant,
}

# Group -> target -> fields; `ChosenBy` where the fields depend on a key of the node itself.
SCHEMAS: dict[str, Mapping[str, type[Options] | ChosenBy]] = {
    "model": {
        "seglab.models.build_smp": SmpModel,
        "seglab.models.SegNet": SegNet,
        "seglab.models.SegNetBasic": SegNetBasic,
    },
    "loss": components("loss"),
    "loss_term": {
        target: type(options.__name__, (options, TermKeys), {})
        for target, options in components("loss_term").items()
    },
    "optimizer": {"seglab.optim.build_optimizer": Optimizer},
    "scheduler": {"seglab.optim.build_scheduler": ChosenBy("name", SCHEDULES, inside=True)},
}


def target_problem(name: Any, allowed: Mapping[str, Any]) -> str:
    """Return what is wrong with a `_target_` that is not in `allowed`."""
    meant = did_you_mean(nearest_keys(name, list(allowed))) if isinstance(name, str) else ""
    listed = ", ".join(allowed)
    if isinstance(name, str) and not name.startswith(_ALLOWED_PREFIXES):
        places = " and ".join(f"{prefix}*" for prefix in _ALLOWED_PREFIXES)
        return f"{show(name)} is refused: only {places} may be built; use one of {listed}"
    return f"expected one of {listed}; got {show(name)}{meant}"
