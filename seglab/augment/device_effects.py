"""Colour, blur, noise and compression of a batch on its device, with the parameters of each sample.

Brightness, contrast, gamma, saturation and hue follow the formulas of `seglab.augment.colour`
instead of `kornia.enhance`, whose brightness adds and whose contrast scales about black: one
configuration has to mean one thing in both back ends.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from kornia.enhance import jpeg_codec_differentiable
from kornia.filters import gaussian_blur2d
from torch import Tensor

from seglab.augment import colour as colours
from seglab.augment.band_effects import GREY_LEVELS
from seglab.augment.params import AugmentParams, ColourParams
from seglab.core.bands import Bands

_IDENTITY = ColourParams()


def apply_effects(
    images: Tensor, params: Sequence[AugmentParams], means: Tensor, bands: Bands | None = None
) -> Tensor:
    """Apply colour, blur, noise and JPEG, in this order.

    Args:
        images: float32 `(B, C, h, w)`, C 1 or 3, values 0..255, or bands in stored units; may be
            overwritten.
        params: One per sample.
        means: Mean colour of each source `(B, C, 1, 1)`, 0..255; the contrast turns about its luma,
            or about the mean of each band.
        bands: Ranges of the bands; None for RGB and grey of 8 bits.

    Returns:
        float32 `(B, C, h, w)`; noise may leave values a little outside 0..255.
    """
    if any(item.colour is not None for item in params):
        changes = [item.colour or _IDENTITY for item in params]
        if bands is None:
            images = apply_colour(images, changes, means)
        else:
            images = apply_band_tones(images, changes, means, bands)
    blurred = [index for index, item in enumerate(params) if item.blur_sigma > 0]
    if blurred:
        # A list as an index would wait for the device.
        which = _sent(blurred, images, torch.int64)
        some = _blur(images.index_select(0, which), [params[index] for index in blurred])
        images = images.index_copy(0, which, some)
    for index, item in enumerate(params):
        if item.noise_std > 0:
            images[index] += item.noise_std * _noise(item, images) * _grey_level(images, bands)
    compressed = [index for index, item in enumerate(params) if item.jpeg_quality > 0]
    if compressed:
        which = _sent(compressed, images, torch.int64)
        qualities = [params[index].jpeg_quality for index in compressed]
        images = images.index_copy(0, which, _compress(images.index_select(0, which), qualities))
    return images


def apply_colour(images: Tensor, changes: Sequence[ColourParams], means: Tensor) -> Tensor:
    """Apply the tone curve and, to RGB, the saturation and hue of each sample.

    Args:
        images: float32 `(B, C, h, w)`, values 0..255.
        changes: One per sample.
        means: Mean colour of each source `(B, C, 1, 1)`, 0..255.

    Returns:
        float32 `(B, C, h, w)`, values 0..255.
    """
    tones = _sent([(*colours.tone_line(c, 1.0), c.gamma) for c in changes], images)
    slope, offset, gamma = tones.T[:, :, None, None, None]
    # The mean is only known on the device, so the offset is that of a luma of 1, times the luma.
    weights = _sent(colours.LUMA if images.shape[1] == 3 else [1.0], images)
    luma = (means * weights[:, None, None]).sum(dim=1, keepdim=True)
    level = images * (slope / 255.0) + offset * luma
    images = 255.0 * level.clamp_(0.0, 1.0).pow_(gamma)
    matrices = [colours.colour_matrix(change) for change in changes]
    if images.shape[1] == 1 or all(matrix is None for matrix in matrices):
        return images
    rows = [torch.eye(3) if m is None else torch.from_numpy(m) for m in matrices]
    matrix = torch.stack(rows).to(images.device, non_blocking=True)[..., None, None]
    # Sums instead of a matrix product: those may run in TF32, which has 10 bits.
    red, green, blue = images[:, None, 0], images[:, None, 1], images[:, None, 2]
    mixed = matrix[:, :, 0] * red + matrix[:, :, 1] * green + matrix[:, :, 2] * blue
    return mixed.clamp_(0.0, 255.0)


def apply_band_tones(
    images: Tensor, changes: Sequence[ColourParams], means: Tensor, bands: Bands
) -> Tensor:
    """Apply the tone curve of each sample to each band, as `seglab.augment.band_effects` does.

    Args:
        images: float32 `(B, C, h, w)` in stored units.
        changes: One per sample.
        means: Mean of each source and band `(B, C, 1, 1)`.
        bands: Ranges of the bands.

    Returns:
        float32 `(B, C, h, w)`.
    """
    low = _sent(bands.low, images)[:, None, None]
    reach = _sent(bands.high, images)[:, None, None] - low
    tones = [(*colours.tone_line(c, GREY_LEVELS), c.gamma) for c in changes]
    slope, offset, gamma = _sent(tones, images).T[:, :, None, None, None]
    level = (images - low) / reach * slope + offset * ((means - low) / reach)
    return low + level.sign() * level.abs().pow(gamma) * reach


def _sent(values: Any, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return numbers beside the images; `new_tensor` there would wait for the device."""
    return torch.tensor(values, dtype=dtype).to(images.device, non_blocking=True)


def _grey_level(images: Tensor, bands: Bands | None) -> Tensor | float:
    """Return what one grey level of 0..255 is in each band, `(C, 1, 1)`."""
    if bands is None:
        return 1.0
    reach = _sent(bands.high, images) - _sent(bands.low, images)
    return (reach / GREY_LEVELS)[:, None, None]


def _blur(images: Tensor, params: Sequence[AugmentParams]) -> Tensor:
    # One kernel width for all: three deviations of the widest are more than that for the others.
    sigmas = [item.blur_sigma for item in params]
    size = colours.blur_kernel_size(max(sigmas), params[0].crop_hw)
    # On the CPU, where kornia can look whether they are positive without waiting for the device.
    sigma = torch.tensor(sigmas, dtype=images.dtype)[:, None].expand(-1, 2)
    blurred: Tensor = gaussian_blur2d(images, (size, size), sigma, border_type="reflect")
    return blurred


@functools.lru_cache(maxsize=4)
def _bank(device: torch.device) -> Tensor:
    return torch.from_numpy(colours.noise_bank().copy()).permute(2, 0, 1).contiguous().to(device)


def _noise(item: AugmentParams, images: Tensor) -> Tensor:
    bank, channels, planes = _bank(images.device), images.shape[1], []
    for group in colours.noise_groups(item.noise_offset, item.crop_hw, channels):
        rows, columns = (torch.from_numpy(i).to(images.device, non_blocking=True) for i in group)
        planes.append(bank[:, rows[:, None], columns])
    return torch.cat(planes)[:channels]


def _compress(images: Tensor, qualities: Sequence[int]) -> Tensor:
    # Qualities stay on the CPU: kornia checks their range there, without waiting for the device.
    quality = torch.tensor(qualities, dtype=torch.float32)
    channels = images.shape[1]
    source = images.clamp(0.0, 255.0).div_(255.0).expand(-1, 3, -1, -1)
    decoded: Tensor = jpeg_codec_differentiable(source, quality)
    return 255.0 * decoded[:, :channels]
