"""SegNet: the decoder puts every value back where max-pooling found it (no library keeps it).

Badrinarayanan, Kendall and Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for
Image Segmentation", PAMI 39(12), 2017. `SegNet` has the 13 convolutions of VGG16, `SegNetBasic` is
the small variant of the paper's CamVid comparison (Table 1: 1.425 M parameters).

References:
    Badrinarayanan et al. (2017): https://arxiv.org/abs/1511.00561
    He et al. (2015): https://arxiv.org/abs/1502.01852
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglab.core.options import takes
from seglab.models.encoders import resolve_encoder
from seglab.models.normalization import Normalization
from seglab.models.options import SegNetBasicOptions, SegNetOptions
from seglab.models.segmenter import Segmenter
from seglab.models.weights.encoder_weights import load_encoder_weights

_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_VGG_ENCODER = "vgg16_bn"

# Indices of one pooling, and the size before it.
Pooled = tuple[Tensor, tuple[int, int]]


def unpool(value: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """Put pooled values back where they came from; zero elsewhere.

    Same result as `torch.nn.functional.max_unpool2d`, which stops a run under
    `torch.use_deterministic_algorithms(True)` because indices could repeat; windows that do not
    overlap cannot repeat any, so a scatter is exact. Keeps dtype and memory format.

    Args:
        value: `(B, C, h, w)`, any float dtype.
        indices: int64 `(B, C, h, w)`, positions in a plane of `H * W`, as `max_pool2d` returns.
        size: `(H, W)` of the result; odd sizes too.

    Returns:
        `(B, C, H, W)`.
    """
    if value.is_cuda and torch.are_deterministic_algorithms_enabled():
        # There torch would sort all indices before it scatters.
        return unpool_by_comparison(value, indices, size)
    batch, channels = value.shape[:2]
    plane = value.new_zeros(batch, channels, size[0] * size[1])
    filled = plane.scatter(2, indices.flatten(2), value.flatten(2))
    result = filled.view(batch, channels, size[0], size[1])
    if value.is_contiguous(memory_format=torch.channels_last) and not value.is_contiguous():
        return result.contiguous(memory_format=torch.channels_last)
    return result


def unpool_by_comparison(value: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """Do the same for windows of 2x2 without a scatter: each pixel looks whether it is meant.

    Args:
        value: `(B, C, h, w)`, any float dtype.
        indices: int64 `(B, C, h, w)`, as `max_pool2d(..., 2)` returns.
        size: `(H, W)` of the result: `2h` or `2h + 1`, and `2w` or `2w + 1`.

    Returns:
        `(B, C, H, W)`.
    """
    batch, channels, height, width = value.shape
    rows = torch.arange(2 * height, device=value.device)
    columns = torch.arange(2 * width, device=value.device)
    own = (rows[:, None] * size[1] + columns).view(height, 2, width, 2)
    if value.is_contiguous(memory_format=torch.channels_last):
        value, indices = (one.permute(0, 2, 3, 1)[:, :, None, :, None] for one in (value, indices))
        filled = torch.where(indices == own[..., None], value, 0)
        result = filled.view(batch, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)
    else:
        value, indices = (one[:, :, :, None, :, None] for one in (value, indices))
        filled = torch.where(indices == own, value, 0)
        result = filled.view(batch, channels, 2 * height, 2 * width)
    # The last line of an odd side is in no window.
    odd = (0, size[1] - 2 * width, 0, size[0] - 2 * height)
    return F.pad(result, odd) if any(odd) else result


class IndexEncoder(nn.Module):
    """Stages of convolutions, each followed by 2x2 max-pooling that remembers its indices."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Pooled]]:
        """Return the deepest feature, and indices and size of each pooling, first to last."""
        feature, pooled = image, []
        for stage in self.stages:
            feature = stage(feature)
            size = (feature.shape[-2], feature.shape[-1])
            feature, indices = F.max_pool2d(feature, 2, return_indices=True)
            pooled.append((indices, size))
        return feature, pooled


class IndexDecoder(nn.Module):
    """Stages of convolutions, each after unpooling with the indices of its mirror image."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, feature: Tensor, pooled: list[Pooled]) -> Tensor:
        """Return the feature `(B, C, H, W)` at the size of the image."""
        for stage, (indices, size) in zip(self.stages, reversed(pooled), strict=True):
            feature = stage(unpool(feature, indices, size))
        return feature


class _IndexSegmenter(Segmenter):
    """What both SegNets share: the order of the parts."""

    def __init__(self, arch: str, num_classes: int, in_channels: int, dropout: float) -> None:
        super().__init__(arch, num_classes, in_channels, Normalization().for_channels(in_channels))
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits `(B, num_classes, H, W)` for a normalised image `(B, C, H, W)`.

        Raises:
            ShapeError: The image has another number of channels or is too small.
        """
        self.check_image(image)
        feature, pooled = self.encoder(image)
        logits: Tensor = self.head(self.dropout(self.decoder(feature, pooled)))
        return logits


class SegNet(_IndexSegmenter):
    """SegNet over VGG16 with batch normalisation; any image size from 32 pixels on.

    About 29.4 M parameters. The convolutions of the encoder keep the bias of VGG's weights; those
    of the decoder have none, batch normalisation follows.

    Args:
        num_classes: Number of classes.
        in_channels: Number of image channels.
        chosen: The fields of `SegNetOptions`, each given by its name.

    Raises:
        ConfigError: An option is out of range, or the weights do not fit.
    """

    @takes(SegNetOptions, "model")
    def __init__(self, num_classes: int, *, in_channels: int = 3, chosen: SegNetOptions) -> None:
        super().__init__("segnet", num_classes, in_channels, chosen.dropout)
        self.encoder_name = _VGG_ENCODER
        inputs = (in_channels, *(widths[-1] for widths in _VGG16[:-1]))
        self.encoder = IndexEncoder(
            [
                _stage(before, widths, bias=True)
                for before, widths in zip(inputs, _VGG16, strict=True)
            ]
        )
        self.decoder = IndexDecoder(
            [_stage(widths[0], widths, bias=False) for widths in _mirrored()]
        )
        self.head = nn.Conv2d(_VGG16[0][0], num_classes, 3, padding=1)
        _initialise(self)
        if chosen.encoder_weights is not None:
            choice = resolve_encoder(_VGG_ENCODER)
            self.load_report = load_encoder_weights(
                self.encoder,
                chosen.encoder_weights,
                _VGG_ENCODER,
                choice.fetch,
                _vgg_names(self.encoder),
                choice.published,
            )
        if chosen.freeze_encoder:
            self.freeze_encoder()


class SegNetBasic(_IndexSegmenter):
    """The paper's SegNet-Basic: four encoders, four decoders, 7x7 convolutions of 64 channels.

    No bias where batch normalisation follows, no ReLU in the decoder, He initialisation.
    1.416 M parameters for 11 classes. The paper's local contrast normalisation of the image is
    left out; the image is normalised as for every other model.

    Args:
        num_classes: Number of classes.
        in_channels: Number of image channels.
        chosen: The fields of `SegNetBasicOptions`, each given by its name.

    Raises:
        ConfigError: An option is out of range.
    """

    @takes(SegNetBasicOptions, "model")
    def __init__(
        self, num_classes: int, *, in_channels: int = 3, chosen: SegNetBasicOptions
    ) -> None:
        super().__init__("segnet_basic", num_classes, in_channels, chosen.dropout)
        width, kernel_size = chosen.width, chosen.kernel_size
        self.encoder_name = "segnet_basic"
        inputs = (in_channels, width, width, width)
        self.encoder = IndexEncoder(
            [_block(channels, width, kernel_size, bias=False) for channels in inputs]
        )
        self.decoder = IndexDecoder(
            [_block(width, width, kernel_size, bias=False, relu=False) for _ in inputs]
        )
        self.head = nn.Conv2d(width, num_classes, 1)
        _initialise(self)


def _mirrored() -> list[tuple[int, ...]]:
    """Return the widths of the decoder's stages, deepest first.

    Each ends at the width its mirror image starts from. The last convolution of all is the head.
    """
    deeper = [(*widths[1:], before[-1]) for before, widths in pairwise(_VGG16)]
    return [*reversed(deeper), _VGG16[0][:-1]]


def _block(
    in_channels: int, width: int, kernel_size: int, bias: bool, relu: bool = True
) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, width, kernel_size, padding=kernel_size // 2, bias=bias)
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(width)]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _stage(in_channels: int, widths: Sequence[int], bias: bool) -> nn.Sequential:
    inputs = (in_channels, *widths[:-1])
    return nn.Sequential(
        *(_block(before, width, 3, bias) for before, width in zip(inputs, widths, strict=True))
    )


def _initialise(model: nn.Module) -> None:
    """Initialise all convolutions after He, Zhang, Ren and Sun (2015), as the paper does."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _vgg_names(encoder: nn.Module) -> dict[str, str]:
    """Return encoder tensor -> name in `vgg16_bn`, where `features` is one flat sequence."""
    names, position = {}, 0
    for stage, widths in enumerate(_VGG16):
        for block in range(len(widths)):
            for layer in range(2):
                source = f"stages.{stage}.{block}.{layer}."
                for key in encoder.state_dict():
                    if key.startswith(source):
                        names[key] = f"features.{position + layer}.{key.removeprefix(source)}"
            position += 3
        position += 1
    return names
