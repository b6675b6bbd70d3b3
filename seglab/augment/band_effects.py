"""Brightness, contrast, gamma, blur and noise of images of bands, each band by its own range.

A band has no natural black and white as 8-bit RGB has: reflectances of 12 bits in 16, temperatures,
heights. So strengths are told against percentiles 2 to 98 of the training part, where RGB has 0 to
255. Nothing is cut off at those ends, only at the ends of the type. What mixes colours (saturation,
hue, dropping the colour) or compresses pictures (JPEG) has no meaning here and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.augment import colour as colours
from seglab.augment.options import AugmentSpec
from seglab.augment.params import AugmentParams
from seglab.core.bands import Bands, describe_numbers
from seglab.core.errors import ConfigError

GREY_LEVELS = 255.0


def require_band_steps(spec: AugmentSpec, bands: Bands) -> None:
    """Refuse steps that are defined for 8-bit RGB only.

    Raises:
        ConfigError: There are such steps; the words that turn all of them off are given.
    """
    if bands.like_rgb:
        return
    colour = spec.colour
    active = {
        "augment.colour.saturation": colour.p * colour.saturation,
        "augment.colour.hue": colour.p * colour.hue,
        "augment.colour.grayscale": colour.p * colour.grayscale,
        "augment.jpeg.p": spec.jpeg.p,
    }
    wrong = [key for key, strength in active.items() if strength > 0]
    if wrong:
        raise ConfigError(
            f"{', '.join(wrong)}: only for RGB of 8 bits, and the images are read as "
            f"{describe_numbers(bands.numbers)} of {bands.dtype}; add "
            f"{' '.join(f'{key}=0' for key in wrong)} (brightness, contrast, gamma, blur, noise and "
            "all geometry work on every band)"
        )


def apply_band_effects(
    image: NDArray[np.generic], params: AugmentParams, means: Sequence[float], bands: Bands
) -> NDArray[np.generic]:
    """Apply colour, blur and noise to a crop.

    Args:
        image: `(h, w, C)` or `(h, w)` of `bands.dtype`; not changed.
        params: What was drawn.
        means: Mean of each band of the source, about which the contrast turns.
        bands: Their ranges.

    Returns:
        The same shape and type.
    """
    if params.colour is None and params.blur_sigma == 0 and params.noise_std == 0:
        return image
    values = image.astype(np.float32).reshape(*image.shape[:2], -1)
    low = np.array(bands.low, np.float32)
    reach = np.array(bands.high, np.float32) - low
    if params.colour is not None:
        slope, offset = colours.tone_line(params.colour, GREY_LEVELS)
        # The offset is that of a source whose mean is at the upper end.
        level = (values - low) / reach * np.float32(slope)
        level += np.float32(offset) * (np.array(means, np.float32) - low) / reach
        if params.colour.gamma != 1.0:
            level = np.sign(level) * np.abs(level) ** np.float32(params.colour.gamma)
        values = low + level * reach
    if params.blur_sigma > 0:
        size = colours.blur_kernel_size(params.blur_sigma, params.crop_hw)
        blurred = cv2.GaussianBlur(
            values, (size, size), params.blur_sigma, borderType=cv2.BORDER_REFLECT_101
        )
        values = blurred.reshape(values.shape)
    if params.noise_std > 0:
        noise = colours.noise_planes(params.noise_offset, params.crop_hw, len(low))
        values += noise * (np.float32(params.noise_std / GREY_LEVELS) * reach)
    return _as_stored(values, bands).reshape(image.shape)


def _as_stored(values: NDArray[np.float32], bands: Bands) -> NDArray[np.generic]:
    if bands.dtype == "float32":
        return values
    return np.rint(values).clip(0, bands.full_scale).astype(bands.dtype)
