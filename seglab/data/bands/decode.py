"""Image files as bands: all values as they are stored, chosen by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.core.bands import STRETCH, default_display, describe_numbers, stretch
from seglab.core.errors import DataError
from seglab.data.files.images import decode_stored

# Integers that float32 holds exactly, and floats that it holds as well as a network computes.
_AS_FLOAT = frozenset({"int8", "int16", "float16", "float32", "float64"})


@dataclass(frozen=True)
class BandLayout:
    """What the image files of a data set hold, where that is not plain RGB or grey.

    Attributes:
        count: Bands a file.
        dtype: `uint8`, `uint16` or `float32`.
    """

    count: int
    dtype: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.count} band{'s' * (self.count > 1)} of {self.dtype}"


def decode_bands(content: bytes, path: Path) -> np.ndarray:
    """Decode the bytes of an image file with all its bands, whatever they mean.

    Colours count as bands: red is 1, alpha 4. The orientation of the file is applied.

    Args:
        content: The file.
        path: Only names it in errors.

    Returns:
        uint8, uint16 or float32 `(H, W, bands)`. Signed integers of 16 bits and other floats become
        float32; nothing is scaled.

    Raises:
        DataError: The file is corrupt, has several pages, holds a type that cannot be kept, or
            values that are no finite numbers.
    """
    pixels = decode_stored(content, path)
    name = pixels.dtype.name
    if name in ("uint8", "uint16"):
        return pixels
    if name not in _AS_FLOAT:
        raise DataError(
            f"{path}: bands of {name}; expected uint8, uint16, int16 or float32, which hold "
            "reflectances and counts; convert it"
        )
    pixels = pixels.astype(np.float32)
    strange = int((~np.isfinite(pixels)).sum())
    if strange:
        raise DataError(
            f"{path}: {strange} values are NaN or infinite; fill them (a pixel that says nothing is "
            "best ignored in the mask)"
        )
    return pixels


def select_bands(pixels: np.ndarray, numbers: Sequence[int], path: Path) -> np.ndarray:
    """Return the bands of these numbers, counted from 1, in this order: `(H, W, len(numbers))`.

    Raises:
        DataError: There is no band of such a number.
    """
    count = pixels.shape[2]
    gone = [number for number in numbers if not 1 <= number <= count]
    if gone:
        raise DataError(
            f"{path}: has {count} band{'s' * (count > 1)}, and data.bands asks for "
            f"{describe_numbers(gone)}"
        )
    return np.ascontiguousarray(pixels[..., [number - 1 for number in numbers]])


def own_picture(pixels: np.ndarray) -> np.ndarray:
    """Return an image `(H, W, bands)` as uint8 `(H, W, 3)`, stretched by its own percentiles.

    Shows the first three bands, or the first alone as grey.
    """
    shown = pixels[..., [number - 1 for number in default_display(range(1, pixels.shape[2] + 1))]]
    low, high = np.percentile(shown, STRETCH, axis=(0, 1))
    return stretch(shown, low.astype(np.float32), high.astype(np.float32))
