"""Colour changes and noise in one form that both back ends apply.

The tone curve (brightness, contrast, gamma) is one function of one value, hence a table of 256
entries for uint8; saturation and hue are one 3x3 matrix. The noise comes from a fixed bank of
normal values cut at a drawn offset: both back ends add the same numbers, and nothing is drawn for
each pixel.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seglab.augment.params import NOISE_BANK, ColourParams
from seglab.core.seeding import generator

# ITU-R BT.601 luma, as in JPEG, OpenCV and kornia.
LUMA = np.array([0.299, 0.587, 0.114])
_YIQ = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_YIQ_INVERSE = np.linalg.inv(_YIQ)


def mean_luma(mean_colour: Sequence[float]) -> float:
    """Return the luma (0..255) of a mean colour of one or three channels."""
    if len(mean_colour) == 1:
        return float(mean_colour[0])
    return float(np.dot(LUMA, mean_colour))


def tone_line(colour: ColourParams, luma: float) -> tuple[float, float]:
    """Return (slope, offset) of brightness and contrast together, for levels 0..1.

    Contrast turns about the mean `luma` (0..255) of the source: about mid-grey, more contrast would
    drown a night scene in black.
    """
    pivot = colour.brightness * luma / 255.0
    return colour.brightness * colour.contrast, pivot * (1.0 - colour.contrast)


def tone_table(colour: ColourParams, luma: float) -> NDArray[np.uint8]:
    """Return the tone curve as a table: entry v is what grey level v (0..255) becomes."""
    slope, offset = tone_line(colour, luma)
    level = np.arange(256) / 255.0 * slope + offset
    curve = 255.0 * np.clip(level, 0.0, 1.0) ** colour.gamma
    return np.rint(curve).astype(np.uint8)


def colour_matrix(colour: ColourParams) -> NDArray[np.float32] | None:
    """Return the RGB -> RGB matrix `(3, 3)` of saturation and hue; None for the identity.

    Saturation blends with the luma; hue turns the chroma plane of YIQ, which keeps the luma. Greys
    stay as they are under both.
    """
    if colour.saturation == 1.0 and colour.hue == 0.0:
        return None
    angle = 2.0 * np.pi * colour.hue
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, cosine, sine], [0.0, -sine, cosine]])
    turn[1:] *= colour.saturation
    matrix: NDArray[np.float32] = (_YIQ_INVERSE @ turn @ _YIQ).astype(np.float32)
    return matrix


@functools.cache
def noise_bank() -> NDArray[np.float32]:
    """Return standard normal values `(NOISE_BANK, NOISE_BANK, 3)`, always the same ones."""
    bank = generator("seglab.augment", "noise bank").standard_normal(
        (NOISE_BANK, NOISE_BANK, 3), dtype=np.float32
    )
    bank.setflags(write=False)
    return bank


def noise_indices(
    offset: tuple[int, int], crop_hw: tuple[int, int]
) -> tuple[NDArray[np.int64], ...]:
    """Return the rows and columns of the bank that a crop uses; larger crops wrap around."""
    rows, columns = (
        (start + np.arange(size)) % NOISE_BANK for start, size in zip(offset, crop_hw, strict=True)
    )
    return rows, columns


def noise_planes(
    offset: tuple[int, int], crop_hw: tuple[int, int], channels: int
) -> NDArray[np.float32]:
    """Return the noise of a crop, `(h, w, channels)`."""
    groups = [
        noise_bank()[rows[:, None], columns]
        for rows, columns in noise_groups(offset, crop_hw, channels)
    ]
    return np.concatenate(groups, axis=2)[..., :channels]


def noise_groups(
    offset: tuple[int, int], crop_hw: tuple[int, int], channels: int
) -> list[tuple[NDArray[np.int64], ...]]:
    """Return rows and columns of the bank for each three channels, from another place each time."""
    return [
        noise_indices((offset[0] + 193 * group, offset[1] + 71 * group), crop_hw)
        for group in range(-(-channels // noise_bank().shape[2]))
    ]


def blur_kernel_size(sigma: float, crop_hw: tuple[int, int]) -> int:
    """Return the odd width of a Gaussian kernel: three deviations each way, within the crop."""
    radius = min(int(np.ceil(3.0 * sigma)), min(crop_hw) - 1)
    return 2 * radius + 1
