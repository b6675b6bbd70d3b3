"""Corruptions of five severities: how much of a score survives noise, blur, compression, weather, light.

Names, meaning and strengths follow ImageNet-C (Hendrycks & Dietterich 2019, "Benchmarking Neural
Network Robustness to Common Corruptions and Perturbations"), whose images are 224 pixels wide: what
is measured in pixels grows with the shorter side. No corruption moves a pixel, so masks stay as they
are. Images are rounded to uint8, where the benchmark's code cuts off.

Where kornia means something else, a few lines stand in its place: `adjust_brightness` adds to each
channel (the benchmark: to V of HSV), `adjust_contrast` scales about black (the benchmark: about the
mean), and `jpeg_codec_differentiable` rounds softly, which left 10 % less error than the codec that
cameras use (5.2 against 5.6 grey levels at quality 25 on CamVid).

References:
    Hendrycks and Dietterich (2019): https://arxiv.org/abs/1903.12261
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from seglab.augment import options
from seglab.augment.corruption.weather import Fog, Rain, fog, rain
from seglab.core.bands import Bands, describe_numbers
from seglab.core.errors import ConfigError, ShapeError, nearest
from seglab.core.seeding import generator

SEVERITIES = (1, 2, 3, 4, 5)
_BENCHMARK_SIDE = 224.0


@dataclass(frozen=True)
class Corruption:
    """One way an image goes wrong.

    Attributes:
        name: One that `seglab.augment.options` declares.
        levels: What `apply` gets at severities 1 to 5.
        apply: float32 `(C, H, W)` in 0..1, level, generator -> the same; may leave 0..1.
        any_bands: Whether it means something on bands that are no colours.
    """

    name: str
    levels: tuple[Any, ...]
    apply: Callable[[Tensor, Any, np.random.Generator], Tensor]
    any_bands: bool = False

    @property
    def description(self) -> str:
        """What it stands for, and where the levels come from."""
        return options.CORRUPTIONS[self.name]


@torch.no_grad()
def corrupt(
    images: Tensor,
    name: str,
    severity: int,
    seed: int,
    sample_ids: Sequence[str],
    bands: Bands | None = None,
) -> Tensor:
    """Corrupt a batch; the result of an image depends on nothing but the arguments that name it.

    The draws of an image are the same at all severities (the same noise, louder; the same cloud,
    denser), so that severities compare pairwise. They come from NumPy, so that all devices agree.

    Args:
        images: uint8 `(B, C, H, W)`, C 1 or 3 (RGB), or bands as stored, on any device; not changed.
        name: Key of `CORRUPTIONS`.
        severity: 1 (slight) to 5.
        seed: Seed of the suite.
        sample_ids: One per image.
        bands: Their ranges, which stand for 0..255 of RGB; None for RGB and grey of 8 bits.

    Returns:
        uint8 `(B, C, H, W)` on the same device, with memory of its own; bands as float32 in stored
        units.

    Raises:
        ConfigError: Unknown name, a severity outside 1..5, or one that is defined for colours only.
        ShapeError: Images of another dtype or shape, or another number of ids.
    """
    corruption = _find(name, severity)
    if bands is not None and not bands.like_rgb:
        return _corrupt_bands(images, corruption, severity, seed, sample_ids, bands)
    _check(images, sample_ids)
    level = corruption.levels[severity - 1]
    result = torch.empty_like(images)
    for image, target, sample_id in zip(images, result, sample_ids, strict=True):
        rng = generator(seed, "corruption", name, sample_id)
        changed = corruption.apply(image.float().div_(255.0), level, rng)
        target.copy_(changed.mul(255.0).round_().clamp_(0.0, 255.0))
    return result


def _corrupt_bands(
    images: Tensor,
    corruption: Corruption,
    severity: int,
    seed: int,
    sample_ids: Sequence[str],
    bands: Bands,
) -> Tensor:
    require_corruptions([corruption.name], bands)
    low = torch.tensor(bands.low, device=images.device)[:, None, None]
    reach = torch.tensor(bands.high, device=images.device)[:, None, None] - low
    result = []
    for image, sample_id in zip(images, sample_ids, strict=True):
        rng = generator(seed, "corruption", corruption.name, sample_id)
        level = corruption.levels[severity - 1]
        result.append(low + corruption.apply((image.float() - low) / reach, level, rng) * reach)
    return torch.stack(result)


def require_corruptions(names: Sequence[str], bands: Bands | None) -> None:
    """Refuse corruptions that are defined for RGB or grey of 8 bits, where there are other bands.

    Args:
        names: Keys of `CORRUPTIONS`; `all` stands for all of them.
        bands: What the images hold.

    Raises:
        ConfigError: There are such; those that can be used are named.
    """
    if bands is None or bands.like_rgb:
        return
    able = [name for name, item in CORRUPTIONS.items() if item.any_bands]
    wanted = list(CORRUPTIONS) if "all" in names else names
    wrong = [name for name in wanted if name in CORRUPTIONS and name not in able]
    if wrong:
        raise ConfigError(
            f"suite.corruptions: {', '.join(wrong)} are defined for RGB or grey of 8 bits, and the "
            f"images are {describe_numbers(bands.numbers)} of {bands.dtype}; "
            f"set suite.corruptions=[{','.join(able)}]"
        )


def _find(name: str, severity: int) -> Corruption:
    problems = []
    if name not in CORRUPTIONS:
        choices = ", ".join(CORRUPTIONS)
        problems.append(
            f"unknown corruption '{name}'{nearest(name, CORRUPTIONS)}; one of {choices}"
        )
    if severity not in SEVERITIES:
        problems.append(f"expected a severity from 1 (slight) to 5, got {severity!r}")
    if problems:
        raise ConfigError(problems)
    return CORRUPTIONS[name]


def _check(images: Tensor, sample_ids: Sequence[str]) -> None:
    shape = tuple(images.shape)
    if images.dtype != torch.uint8 or len(shape) != 4 or shape[1] not in (1, 3) or 0 in shape[2:]:
        raise ShapeError(
            f"expected uint8 images (B, 1 or 3, H, W), got {images.dtype} {shape}; corrupt before "
            "normalising"
        )
    if len(sample_ids) != len(images):
        raise ShapeError(f"expected {len(images)} sample ids, one per image, got {len(sample_ids)}")


def _gaussian_noise(image: Tensor, std: float, rng: np.random.Generator) -> Tensor:
    noise = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    return image + std * noise.to(image.device)


def _gaussian_blur(image: Tensor, sigma: float, rng: np.random.Generator) -> Tensor:
    shorter = min(image.shape[1:])
    scaled = sigma * shorter / _BENCHMARK_SIDE
    # Four deviations, as in the benchmark; the reflection needs a radius below the side.
    size = 2 * min(int(np.ceil(4.0 * scaled)), shorter - 1) + 1
    blurred: Tensor = gaussian_blur2d(image[None], (size, size), (scaled, scaled), "reflect")
    return blurred[0]


def _jpeg(image: Tensor, quality: int, rng: np.random.Generator) -> Tensor:
    grey_levels = image.mul(255.0).round_().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    # OpenCV stores BGR; grey images have one channel and keep it.
    _, coded = cv2.imencode(
        ".jpg", grey_levels[..., ::-1].copy(), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)).reshape(grey_levels.shape)
    rgb = torch.from_numpy(decoded[..., ::-1].copy())
    return rgb.permute(2, 0, 1).to(image.device).float().div_(255.0)


def _brightness(image: Tensor, shift: float, rng: np.random.Generator) -> Tensor:
    # Adding to V at the same hue and saturation multiplies all channels by V'/V; black becomes grey.
    value = image.amax(dim=0, keepdim=True)
    raised = (value + shift).clamp(max=1.0)
    return torch.where(value > 0, image * (raised / value), raised)


def _contrast(image: Tensor, factor: float, rng: np.random.Generator) -> Tensor:
    mean = image.mean(dim=(1, 2), keepdim=True)
    return (image - mean) * factor + mean


# ImageNet-C ends with the depths 2.5 and 3.0, of which the fourth is no farther from the clean image
# than the third.
_FOG_LEVELS = (Fog(1.5, 2.0), Fog(2.0, 2.0), Fog(2.5, 1.7), Fog(3.0, 1.5), Fog(4.0, 1.4))
_RAIN_LEVELS = (
    Rain(drops=300, length=16, opacity=0.30, dimming=0.08, veil=0.08),
    Rain(drops=450, length=20, opacity=0.37, dimming=0.14, veil=0.16),
    Rain(drops=650, length=24, opacity=0.44, dimming=0.20, veil=0.25),
    Rain(drops=900, length=28, opacity=0.52, dimming=0.26, veil=0.35),
    Rain(drops=1200, length=32, opacity=0.60, dimming=0.32, veil=0.45),
)

CORRUPTIONS: dict[str, Corruption] = {
    item.name: item
    for item in (
        Corruption(
            "gaussian_noise", (0.08, 0.12, 0.18, 0.26, 0.38), _gaussian_noise, any_bands=True
        ),
        Corruption("gaussian_blur", (1.0, 2.0, 3.0, 4.0, 6.0), _gaussian_blur, any_bands=True),
        Corruption("jpeg", (25, 18, 15, 10, 7), _jpeg),
        Corruption("fog", _FOG_LEVELS, fog),
        Corruption("rain", _RAIN_LEVELS, rain),
        Corruption("brightness", (0.1, 0.2, 0.3, 0.4, 0.5), _brightness),
        Corruption("contrast", (0.4, 0.3, 0.2, 0.1, 0.05), _contrast, any_bands=True),
    )
}
