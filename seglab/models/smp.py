"""Twelve decoders of segmentation-models-pytorch over any timm encoder, under our own contract.

The library builds the parts; `SmpSegmenter` runs them. So sizes follow what the decoders really
need, one `dropout` means the same place in every architecture's own paper, options the library
would ignore are refused, and parameters without use are known before distributed training stops.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from seglab.core.architectures import (
    get_architecture,
    min_size,
    size_divisor,
)
from seglab.core.errors import ConfigError, nearest
from seglab.models.encoder_weights import load_encoder_weights
from seglab.models.encoders import EncoderChoice, resolve_encoder
from seglab.models.segmenter import Segmenter
from seglab.models.tryout import try_out

_CLASSES: dict[str, type[nn.Module]] = {
    "unet": smp.Unet,
    "unetplusplus": smp.UnetPlusPlus,
    "deeplabv3": smp.DeepLabV3,
    "deeplabv3plus": smp.DeepLabV3Plus,
    "pspnet": smp.PSPNet,
    "fpn": smp.FPN,
    "pan": smp.PAN,
    "linknet": smp.Linknet,
    "manet": smp.MAnet,
    "upernet": smp.UPerNet,
    "segformer": smp.Segformer,
    "dpt": smp.DPT,
}
# Where the paper, and so the library, puts dropout; the others get it before the head.
_OWN_DROPOUT = {
    "deeplabv3": "decoder_aspp_dropout",
    "deeplabv3plus": "decoder_aspp_dropout",
    "pspnet": "psp_dropout",
    "fpn": "decoder_dropout",
}
# Set by the arguments of `build_smp`, or without a meaning for logits of the image's size.
_RESERVED = {
    "self", "kwargs", "encoder_name", "encoder_depth", "encoder_weights", "in_channels", "classes",
    "activation", "aux_params", "upsampling", *_OWN_DROPOUT.values(),
}  # fmt: skip
# Options with one value a stage, which the library's default has for its own depth only.
_PER_STAGE = {
    "unet": "decoder_channels",
    "unetplusplus": "decoder_channels",
    "manet": "decoder_channels",
    "dpt": "decoder_intermediate_channels",
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
        elif arch not in _OWN_DROPOUT:
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


def build_smp(
    num_classes: int,
    arch: str,
    encoder_name: str,
    encoder_weights: str | None = None,
    in_channels: int = 3,
    encoder_depth: int | None = None,
    dropout: float = 0.0,
    freeze_encoder: bool = False,
    options: Mapping[str, Any] | None = None,
) -> SmpSegmenter:
    """Build a model of segmentation-models-pytorch.

    Args:
        num_classes: Number of classes.
        arch: Key of `ARCHITECTURES`, other than the SegNets.
        encoder_name: A timm name, or one only segmentation-models-pytorch has; see
            `resolve_encoder`.
        encoder_weights: `imagenet` for the published weights, a local `.safetensors` or `.pth`
            file in timm's key layout, or None for random ones.
        in_channels: Number of image channels.
        encoder_depth: Number of encoder stages; the architecture's default when None.
        dropout: Probability in [0, 1); see `SmpSegmenter`.
        freeze_encoder: Keep the encoder as it is loaded.
        options: Further arguments of the library's decoder, such as `decoder_channels`; under the
            key `encoder`, arguments of the timm encoder, such as `drop_path_rate`.

    Raises:
        ConfigError: A name, number or option is wrong, the encoder does not go with the
            architecture, or the weights do not fit. All mistakes in the arguments come at once.
    """
    depth = get_architecture(arch).default_depth if encoder_depth is None else encoder_depth
    plain = _plain(options or {})
    problems = _problems(arch, depth, dropout, plain)
    choice: EncoderChoice | None = None
    try:
        choice = resolve_encoder(encoder_name)
    except ConfigError as error:
        problems += error.problems
    if choice is not None:
        problems += _encoder_problems(arch, choice, plain)
    if problems or choice is None:
        raise ConfigError(problems)
    net = _construct(arch, choice, num_classes, in_channels, depth, dropout, plain)
    model = SmpSegmenter(arch, net, choice, num_classes, in_channels, dropout)
    model.size_divisor = size_divisor(arch, depth, plain)
    model.min_size = min_size(arch, depth, plain)
    try_out(model, depth, (plain.get(_ENCODER_OPTIONS) or {}).get("img_size"))
    if encoder_weights is not None:
        model.load_report = load_encoder_weights(
            model.encoder, encoder_weights, encoder_name, choice.fetch
        )
    if freeze_encoder:
        model.freeze_encoder()
    return model


def allowed_options(arch: str) -> tuple[str, ...]:
    """Return the names `options` may hold for an architecture, `encoder` aside."""
    names = inspect.signature(_CLASSES[arch].__init__).parameters
    return tuple(name for name in names if name not in _RESERVED)


def _plain(content: object) -> Any:
    """Turn OmegaConf's containers into dicts and lists, which the library slices and adds."""
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_plain(value) for value in content]
    return content


def _problems(arch: str, depth: int, dropout: float, options: Mapping[str, Any]) -> list[str]:
    if arch not in _CLASSES:
        return [f"model.arch: '{arch}' is a class of its own, not built by build_smp"]
    problems = []
    depths = get_architecture(arch).depths
    if depth not in depths:
        problems.append(f"model.encoder_depth: {arch} takes {depths}, got {depth}")
    if not 0.0 <= dropout < 1.0:
        problems.append(f"model.dropout: expected a probability in [0, 1), got {dropout}")
    allowed = (*allowed_options(arch), _ENCODER_OPTIONS)
    for name in options:
        if name == _OWN_DROPOUT.get(arch):
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
        return _CLASSES[arch](
            encoder_name=choice.smp_name,
            encoder_weights=None,
            encoder_depth=depth,
            in_channels=in_channels,
            classes=num_classes,
            **arguments,
        )
    # The library and timm raise whatever the encoder's constructor runs into.
    except Exception as error:
        raise ConfigError(
            f"model: {arch} cannot be built over the encoder '{choice.name}' "
            f"({type(error).__name__}: {error})"
        ) from error


def _derived(arch: str, depth: int, dropout: float) -> dict[str, Any]:
    """Return the library's arguments that follow from depth and dropout."""
    derived: dict[str, Any] = {}
    if arch in _OWN_DROPOUT:
        derived[_OWN_DROPOUT[arch]] = dropout
    if arch in _PER_STAGE:
        name = _PER_STAGE[arch]
        default = inspect.signature(_CLASSES[arch].__init__).parameters[name].default
        derived[name] = list(default)[:depth]
    if arch == "pspnet":
        derived["upsampling"] = 2**depth
    if arch == "fpn":
        derived["upsampling"] = 2 ** (depth - 3)
    if arch == "dpt":
        # Any image size instead of the pretrained one; and no classifier, which nothing would use.
        derived |= {"dynamic_img_size": True, "num_classes": 0}
    return derived
