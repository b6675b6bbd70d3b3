"""Twelve decoders of segmentation-models-pytorch over any timm encoder, under our own contract.

The library builds the parts; `SmpSegmenter` runs them. So sizes follow what the decoders really
need, one `dropout` means the same place in every architecture's own paper, options the library
would ignore are refused, and parameters without use are known before distributed training stops.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from seglab.core.architectures import (
    ARCHITECTURES,
    SMP_ARCHITECTURES,
    get_architecture,
    min_size,
    size_divisor,
)
from seglab.core.errors import ConfigError, nearest
from seglab.core.options import takes
from seglab.models.encoders import EncoderChoice, resolve_encoder
from seglab.models.options import SmpOptions
from seglab.models.segmenter import Segmenter
from seglab.models.tryout import try_out
from seglab.models.weights.encoder_weights import load_encoder_weights

# Set by the arguments of `build_smp`, or without a meaning for logits of the image's size.
_RESERVED = {
    "self",
    "kwargs",
    "encoder_name",
    "encoder_depth",
    "encoder_weights",
    "in_channels",
    "classes",
    "activation",
    "aux_params",
    "upsampling",
}
_ENCODER_OPTIONS = "encoder"


class SmpSegmenter(Segmenter):
    """Encoder, decoder and head of segmentation-models-pytorch.

    Args:
        arch: Key of `ARCHITECTURES`, other than the SegNets.
        net: The library's model; its parts are taken over.
        choice: The encoder's name and normalisation.
        num_classes: Number of classes.
        in_channels: Number of image channels.
        dropout: Probability in [0, 1). In the ASPP (DeepLab), the pyramid pooling (PSPNet), after
            the merge (FPN) and in the head (DPT) as in their papers, else `nn.Dropout2d` before
            the head.
    """

    def __init__(
        self,
        arch: str,
        net: nn.Module,
        choice: EncoderChoice,
        num_classes: int,
        in_channels: int,
        dropout: float,
    ) -> None:
        normalization = choice.normalization.for_channels(in_channels)
        super().__init__(arch, num_classes, in_channels, normalization)
        self.encoder_name = choice.name
        self.encoder = net.get_submodule("encoder")
        self.decoder = net.get_submodule("decoder")
        self.head = net.get_submodule("segmentation_head")
        self.dropout: nn.Module = nn.Identity()
        if arch == "dpt":
            for layer in self.head.modules():
                if isinstance(layer, nn.Dropout):
                    layer.p = dropout
        elif get_architecture(arch).dropout_option is None:
            self.dropout = nn.Dropout2d(dropout)
        self._has_tokens = arch == "dpt"

    def forward(self, image: Tensor) -> Tensor:
        """Return logits `(B, num_classes, H, W)` for a normalised image `(B, C, H, W)`.

        Raises:
            ShapeError: The image's shape is not one this model takes.
        """
        self.check_image(image)
        features = self.encoder(image)
        decoded = self.decoder(*features) if self._has_tokens else self.decoder(features)
        logits: Tensor = self.head(self.dropout(decoded))
        return logits


@takes(SmpOptions, "model", also=lambda told: _option_problems(**told))
def build_smp(num_classes: int, *, in_channels: int = 3, chosen: SmpOptions) -> SmpSegmenter:
    """Build a model of segmentation-models-pytorch.

    Args:
        num_classes: Number of classes.
        in_channels: Number of image channels.
        chosen: The fields of `SmpOptions`, each given by its name.

    Raises:
        ConfigError: A name, number or option is wrong, the encoder does not go with the
            architecture, or the weights do not fit. All mistakes in the arguments come at once.
    """
    arch, dropout = chosen.arch, chosen.dropout
    depth = chosen.encoder_depth or get_architecture(arch).default_depth
    options = chosen.options or {}
    choice = resolve_encoder(chosen.encoder_name)
    net = _construct(arch, choice, num_classes, in_channels, depth, dropout, options)
    model = SmpSegmenter(arch, net, choice, num_classes, in_channels, dropout)
    model.size_divisor = size_divisor(arch, depth, options)
    model.min_size = min_size(arch, depth, options)
    try_out(model, depth, (options.get(_ENCODER_OPTIONS) or {}).get("img_size"))
    if chosen.encoder_weights is not None:
        model.load_report = load_encoder_weights(
            model.encoder,
            chosen.encoder_weights,
            chosen.encoder_name,
            choice.fetch,
            published=choice.published,
        )
    if chosen.freeze_encoder:
        model.freeze_encoder()
    return model


def allowed_options(arch: str) -> tuple[str, ...]:
    """Return the names `options` may hold for an architecture, `encoder` aside."""
    reserved = {*_RESERVED, get_architecture(arch).dropout_option}
    return tuple(name for name in _arguments(arch) if name not in reserved)


def _arguments(arch: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(_class(arch).__init__).parameters


def _class(arch: str) -> Any:
    return getattr(smp, get_architecture(arch).smp_class)


def _option_problems(
    arch: Any = None,
    encoder_name: Any = None,
    encoder_depth: int | None = None,
    options: Mapping[str, Any] | None = None,
    **_others: Any,
) -> list[str]:
    """Return what is wrong with options that go with others, as far as those are right themselves."""
    problems: list[str] = []
    given = options or {}
    if arch in SMP_ARCHITECTURES:
        problems += _decoder_problems(arch, encoder_depth, given)
    elif arch in ARCHITECTURES:
        problems.append(f"model.arch: '{arch}' is a class of its own, not built by build_smp")
    if isinstance(encoder_name, str):
        try:
            problems += _encoder_problems(arch, resolve_encoder(encoder_name), given)
        except ConfigError as error:
            problems += error.problems
    return problems


def _decoder_problems(arch: str, depth: int | None, options: Mapping[str, Any]) -> list[str]:
    problems = []
    limits = get_architecture(arch)
    if depth is not None and depth not in limits.depths:
        problems.append(f"model.encoder_depth: {arch} takes {limits.depths}, got {depth}")
    allowed = (*allowed_options(arch), _ENCODER_OPTIONS)
    for name in options:
        if name == limits.dropout_option:
            problems.append(f"model.options.{name}: set model.dropout instead")
        elif name not in allowed:
            problems.append(
                f"model.options.{name}: {arch} has no such option{nearest(name, allowed)}; "
                f"it has {', '.join(allowed)}"
            )
    return problems


def _encoder_problems(arch: str, choice: EncoderChoice, options: Mapping[str, Any]) -> list[str]:
    if choice.timm_name is not None:
        return []
    problems = []
    if arch == "dpt":
        problems.append(f"model.encoder_name: dpt needs a ViT of timm, got '{choice.name}'")
    if options.get(_ENCODER_OPTIONS):
        problems.append(
            f"model.options.{_ENCODER_OPTIONS}: '{choice.name}' is not of timm and takes none"
        )
    return problems


def _construct(
    arch: str,
    choice: EncoderChoice,
    num_classes: int,
    in_channels: int,
    depth: int,
    dropout: float,
    options: Mapping[str, Any],
) -> nn.Module:
    arguments = _derived(arch, depth, dropout)
    arguments.update((key, value) for key, value in options.items() if key != _ENCODER_OPTIONS)
    arguments.update(options.get(_ENCODER_OPTIONS) or {})
    try:
        model: nn.Module = _class(arch)(
            encoder_name=choice.smp_name,
            encoder_weights=None,
            encoder_depth=depth,
            in_channels=in_channels,
            classes=num_classes,
            **arguments,
        )
        return model
    # The library and timm raise whatever the encoder's constructor runs into.
    except Exception as error:
        raise ConfigError(
            f"model: {arch} cannot be built over the encoder '{choice.name}' "
            f"({type(error).__name__}: {error})"
        ) from error


def _derived(arch: str, depth: int, dropout: float) -> dict[str, Any]:
    """Return the library's arguments that follow from depth and dropout."""
    derived: dict[str, Any] = {}
    limits = get_architecture(arch)
    if limits.dropout_option is not None:
        derived[limits.dropout_option] = dropout
    if limits.stage_option is not None:
        default = _arguments(arch)[limits.stage_option].default
        derived[limits.stage_option] = list(default)[:depth]
    if arch == "pspnet":
        derived["upsampling"] = 2**depth
    if arch == "fpn":
        derived["upsampling"] = 2 ** (depth - 3)
    if arch == "dpt":
        # Any image size instead of the pretrained one; and no classifier, which nothing would use.
        derived |= {"dynamic_img_size": True, "num_classes": 0}
    return derived
