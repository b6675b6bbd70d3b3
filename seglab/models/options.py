"""The options of each model, as in `conf/model/*.yaml` and as keyword arguments of what builds it.

References:
    Badrinarayanan et al. (2017): https://arxiv.org/abs/1511.00561
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import field_validator, model_validator

from seglab.core.architectures import SMP_ARCHITECTURES, Architecture, declare_architecture
from seglab.core.options import (
    OnDisk,
    OneOf,
    Options,
    Positive,
    PositiveFloat,
    ProperFraction,
    broken_rule,
)
from seglab.core.parts.components import component

EncoderWeights = Literal["imagenet"] | Annotated[str, OnDisk("file")] | None


class ModelKeys(Options):
    """What every model takes beside its own options."""

    in_channels: Literal[1, 3] | None = 3
    """Channels of the image; null follows the data, 1 reads colour images as grey."""
    init_from: Annotated[str, OnDisk("file or folder")] | None = None
    """Run folder or checkpoint whose weights the model starts from."""


class ModelFacts(Options):
    """What seglab cannot know of a model of your own."""

    stride: Positive = 1
    """H and W of every image are multiples of it, or are padded to one."""
    min_size: Positive = 1
    """Smallest H and W it takes."""
    min_train_batch: Positive = 1
    """Smallest batch in training mode; 2 where batch norm sees a single pixel."""
    encoder: str | None = None
    """Its attribute whose parameters take `optimizer.encoder_lr`, such as `backbone`."""
    head: str | None = None
    """Its attribute that gives the logits: `init_from` leaves it out where the classes are others."""
    mean: list[float] | None = None
    """What images in [0, 1] are normalised by, one value per channel; null: ImageNet's."""
    std: list[PositiveFloat] | None = None
    """Likewise."""

    @model_validator(mode="after")
    def _mean_has_std(self) -> ModelFacts:
        if (self.mean is None) != (self.std is None) or len(self.mean or ()) != len(self.std or ()):
            raise broken_rule("expected mean and std together, one value per channel each")
        return self


class OwnModelKeys(ModelKeys):
    """What a model of your own takes beside its options."""

    facts: ModelFacts = ModelFacts()
    """What seglab cannot know of it."""


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

    arch: ClassVar[str] = declare_architecture("segnet", Architecture(5, depths=()))
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

    arch: ClassVar[str] = declare_architecture("segnet_basic", Architecture(4, depths=()))
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
