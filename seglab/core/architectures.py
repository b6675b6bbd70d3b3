"""What a configuration must know of a model before one is built: depths, sizes, batches.

Pure Python, so a wrong crop or micro-batch is told in a second, without importing torch. The models
use the same table; a test builds each of them and compares. `size_divisor` of a built model is the
last word: a few encoders ask for more than their architecture does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seglab.core.errors import ConfigError, nearest

# Patch edge of the ViT encoders DPT is used with, in pixels.
_VIT_PATCH = 16
# Below it the feature at 1/32 has no pixel left.
_MIN_SIZE = 32


@dataclass(frozen=True)
class Architecture:
    """Limits of one architecture.

    Args:
        default_depth: Number of encoder stages used unless the user says otherwise.
        depths: Encoder depths the decoder can be built for; empty when the depth is fixed.
        default_output_stride: Stride of the deepest feature where the encoder can be dilated,
            changed by the option `encoder_output_stride`; None where it cannot.
        min_train_batch: Smallest batch in training mode. 2 where a branch pools the image to one
            pixel and normalises over the batch, which has no variance for a single image.
        is_aligned: Whether the decoder doubles its features and joins them to a skip. Some refuse a
            skip of another size, the others resize to it, which joins features that do not lie on
            each other: a U-Net trained on CamVid lost more than one point of mIoU on frames of 360
            instead of a multiple of 32.
        smp_class: Name in segmentation-models-pytorch; empty for a class of our own.
        dropout_option: Where the paper, and so the library, puts dropout; the others get it before
            the head.
        stage_option: Option with one value a stage, which the library's default has for its own
            depth only.
    """

    default_depth: int
    depths: tuple[int, ...] = (3, 4, 5)
    default_output_stride: int | None = None
    min_train_batch: int = 1
    is_aligned: bool = False
    smp_class: str = ""
    dropout_option: str | None = None
    stage_option: str | None = None


def _smp(smp_class: str, default_depth: int = 5, **facts: Any) -> Architecture:
    return Architecture(default_depth, smp_class=smp_class, **facts)


_CHANNELS, _ASPP = "decoder_channels", "decoder_aspp_dropout"
ARCHITECTURES: dict[str, Architecture] = {
    "unet": _smp("Unet", is_aligned=True, stage_option=_CHANNELS),
    "unetplusplus": _smp("UnetPlusPlus", is_aligned=True, stage_option=_CHANNELS),
    "deeplabv3": _smp(
        "DeepLabV3", default_output_stride=8, min_train_batch=2, dropout_option=_ASPP
    ),
    "deeplabv3plus": _smp(
        "DeepLabV3Plus", default_output_stride=16, min_train_batch=2, dropout_option=_ASPP
    ),
    "pspnet": _smp("PSPNet", 3, dropout_option="psp_dropout"),
    "fpn": _smp("FPN", is_aligned=True, dropout_option="decoder_dropout"),
    "pan": _smp("PAN", default_output_stride=16, min_train_batch=2),
    "linknet": _smp("Linknet", is_aligned=True),
    "manet": _smp("MAnet", is_aligned=True, stage_option=_CHANNELS),
    "upernet": _smp("UPerNet", min_train_batch=2, is_aligned=True),
    "segformer": _smp("Segformer", is_aligned=True),
    "dpt": _smp("DPT", 4, depths=(3, 4), stage_option="decoder_intermediate_channels"),
}
SMP_ARCHITECTURES = tuple(name for name, limits in ARCHITECTURES.items() if limits.smp_class)


def declare_architecture(arch: str, facts: Architecture) -> str:
    """Let an architecture of our own be known beside those of the library; return its name."""
    ARCHITECTURES[arch] = facts
    return arch


def get_architecture(arch: str) -> Architecture:
    """Return the limits of an architecture.

    Raises:
        ConfigError: The name is unknown; the nearest and all known ones are given.
    """
    if arch not in ARCHITECTURES:
        raise ConfigError(
            f"model.arch: unknown architecture '{arch}'{nearest(arch, ARCHITECTURES)}; "
            f"known are {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[arch]


def output_stride(
    arch: str, encoder_depth: int | None = None, options: Mapping[str, Any] | None = None
) -> int:
    """Return the stride of the encoder's deepest feature, in pixels of the image."""
    limits = get_architecture(arch)
    depth = limits.default_depth if encoder_depth is None else encoder_depth
    if arch == "dpt":
        return _VIT_PATCH
    stride = (options or {}).get("encoder_output_stride") or limits.default_output_stride
    deepest = int(2**depth)
    return deepest if stride is None else min(int(stride), deepest)


def size_divisor(
    arch: str, encoder_depth: int | None = None, options: Mapping[str, Any] | None = None
) -> int:
    """Return what H and W must be a multiple of; 1 means any size.

    Sizes at which every feature lies on its skip. Other sizes run through some decoders (U-Net,
    UPerNet, PAN, SegFormer), but their features are then shifted against each other. It is more than
    segmentation-models-pytorch asks for DPT (32 at depth 4: the ViT's 1/16 is halved once and doubled
    again).

    Args:
        arch: A key of `ARCHITECTURES`.
        encoder_depth: Number of encoder stages; the architecture's default when None.
        options: Extra options of the decoder; only `encoder_output_stride` matters here.

    Raises:
        ConfigError: The architecture is unknown.
    """
    depth = get_architecture(arch).default_depth if encoder_depth is None else encoder_depth
    if arch in ("segnet", "segnet_basic"):
        return 1
    if ARCHITECTURES[arch].is_aligned:
        return int(2**depth)
    if arch == "dpt":
        return max(_VIT_PATCH, int(2 ** (depth + 1)))
    return output_stride(arch, depth, options)


def min_size(
    arch: str, encoder_depth: int | None = None, options: Mapping[str, Any] | None = None
) -> int:
    """Return the smallest H and W an image may have, in pixels.

    PAN halves the deepest feature three times more, hence 8 of its strides.

    Raises:
        ConfigError: The architecture is unknown.
    """
    if arch == "pan":
        return 8 * output_stride(arch, encoder_depth, options)
    return max(_MIN_SIZE, size_divisor(arch, encoder_depth, options))


def min_train_batch(arch: str) -> int:
    """Return the smallest number of images a training step (and micro-batch) may hold.

    Raises:
        ConfigError: The architecture is unknown.
    """
    return get_architecture(arch).min_train_batch
