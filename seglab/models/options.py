"""The options of each model, as in `conf/model/*.yaml` and as keyword arguments of what builds it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import field_validator

from seglab.core.architectures import SMP_ARCHITECTURES
from seglab.core.components import component
from seglab.core.options import OnDisk, OneOf, Options, Positive, ProperFraction, broken_rule

EncoderWeights = Literal["imagenet"] | Annotated[str, OnDisk("file")] | None


class ModelKeys(Options):
    """What every model takes beside its own options."""

    in_channels: Literal[1, 3] | None = 3
    """Channels of the image; null follows the data, 1 reads colour images as grey."""
    init_from: Annotated[str, OnDisk("file or folder")] | None = None
    """Run folder or checkpoint whose weights the model starts from."""


@component("model", "seglab.models.build_smp")
class SmpOptions(Options):
    """A decoder of segmentation-models-pytorch over a timm encoder."""

    arch: Annotated[str, OneOf(SMP_ARCHITECTURES)]
    """The decoder."""
    encoder_name: str
    """A timm name, or one only segmentation-models-pytorch has."""
    encoder_weights: EncoderWeights = None
    """`imagenet` for the published weights, a local `.safetensors` or `.pth` file in timm's key layout,
    or null for random ones."""
    encoder_depth: Positive | None = None
    """Number of encoder stages; null: the architecture's default."""
    dropout: ProperFraction = 0.0
    """Probability; where the architecture's own paper has it, else before the head."""
    freeze_encoder: bool = False
    """Keep the encoder as it is loaded."""
    options: dict[str, Any] | None = None
    """Further arguments of the library's decoder, such as `decoder_channels`; under the key `encoder`,
    arguments of the timm encoder, such as `drop_path_rate`."""


@component("model", "seglab.models.SegNet")
class SegNetOptions(Options):
    """SegNet over VGG16 (Badrinarayanan, Kendall and Cipolla, TPAMI 2017)."""

    encoder_weights: EncoderWeights = None
    """`imagenet`, a local file in the layout of timm's or torchvision's `vgg16_bn` (`features.N`), or
    null for He initialisation, as in the paper."""
    dropout: ProperFraction = 0.0
    """Probability of `nn.Dropout2d` before the head."""
    freeze_encoder: bool = False
    """Keep the encoder as it is loaded."""


@component("model", "seglab.models.SegNetBasic")
class SegNetBasicOptions(Options):
    """The paper's small SegNet."""

    width: Positive = 64
    """Channels of every convolution."""
    kernel_size: Positive = 7
    """Odd edge of every convolution, in pixels."""
    dropout: ProperFraction = 0.0
    """Probability of `nn.Dropout2d` before the head."""

    @field_validator("kernel_size")
    @classmethod
    def _is_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise broken_rule(f"expected an odd number, got {value}")
        return value
