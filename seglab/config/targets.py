"""Nodes that are built from a `_target_`, and options that depend on a choice: their fields.

A `_target_` is an import, hence code that runs, so only the targets listed here are built. To make
a new class available, add a dataclass with the parameters of its constructor and list it in
`SCHEMAS`; a test compares the two. Parameters the composition root supplies (the number of classes, the
ignored index, the number of steps) are no configuration and have no field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import seglab.optim.options  # noqa: F401 - declares them
from seglab.core.components import components
from seglab.core.options import (
    ChosenBy,
    OnDisk,
    Options,
    Positive,
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


def _named(name: str, options: type[Options]) -> type[Options]:
    """Return the options of a choice with the key that chooses it."""
    key = {"__annotations__": {"name": Literal[name]}}  # type: ignore[valid-type]
    return type(options.__name__, (options,), key)


SCHEDULES = {name: _named(name, options) for name, options in components("schedule").items()}

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
    "optimizer": components("optimizer"),
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
