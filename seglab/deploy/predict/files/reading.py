"""Files as the bundle takes them: decoded whole, or known to be too large for that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from PIL import Image

from seglab.bundle.loader import Bundle, ImageError
from seglab.deploy.predict.files.georeference import (
    TIFF_SUFFIXES,
    Georeference,
    georeference_of,
    open_raster,
)
from seglab.deploy.predict.files.sources import Source

# What reading, decoding or predicting a file may raise that is the fault of this file alone.
FAULTS = (ValueError, OSError, RuntimeError, MemoryError)
_GEO_TAGS = (33550, 33922, 34264)
_BANDS_DTYPES = ("uint8", "uint16", "float32")


@dataclass(frozen=True)
class Decoded:
    """An image file.

    Attributes:
        source: The file.
        version: Of the file as it was read.
        image: `(H, W, channels)`; None where it is too large to be held.
        georeference: Of a GeoTIFF.
    """

    source: Source
    version: list[int] | None
    image: np.ndarray | None
    georeference: Georeference | None = None


def decode(source: Source, bundle: Bundle, most_pixels: int) -> Decoded:
    """Read an image file whose pixels can be held.

    Args:
        source: The file.
        bundle: Its decoding rules.
        most_pixels: An image of more comes back without pixels.

    Raises:
        ImageError: The file is no image, is damaged, or is not what the model takes.
        DataError: It cannot be read.
    """
    version = source.version()
    pixels = count_pixels(source)
    is_tiff = source.place.suffix.lower() in TIFF_SUFFIXES
    if not (is_tiff and (bundle.info["input"]["bands"] or _has_place(source))):
        is_large = pixels is not None and pixels > most_pixels
        return Decoded(source, version, None if is_large else bundle.decode(source.read()))
    with open_raster(source, "a GeoTIFF") as raster:
        place = georeference_of(raster)
        if raster.height * raster.width > most_pixels:
            return Decoded(source, version, None, place)
        if bundle.info["input"]["bands"]:
            return Decoded(source, version, read_bands(raster, bundle), place)
    return Decoded(source, version, bundle.decode(source.read()), place)


def read_bands(
    raster: Any, bundle: Bundle, window: tuple[tuple[int, int], tuple[int, int]] | None = None
) -> np.ndarray:
    """Return the bands that the model sees of an open raster, or of a window of it, `(H, W, bands)`.

    Raises:
        ImageError: The raster has no such band, or values of a type that the model does not take.
    """
    numbers = bundle.info["input"]["bands"]
    count: int = raster.count
    if max(numbers) > count:
        raise ImageError(f"expected the bands {numbers}, got an image of {count}")
    pixels: np.ndarray = raster.read(numbers, window=window)
    if pixels.dtype.name not in _BANDS_DTYPES:
        pixels = pixels.astype(np.float32)
    return np.moveaxis(pixels, 0, 2)


def count_pixels(source: Source) -> int | None:
    """Return height times width; None where only decoding tells what is wrong with the file."""
    try:
        with source.open() as stream:
            if source.place.suffix.lower() == ".npy":
                return _count_array(stream)
            with Image.open(stream) as image:
                return image.width * image.height
    except (*FAULTS, SyntaxError):
        return None


def _count_array(stream: IO[bytes]) -> int:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    return math.prod(read(stream)[0][:2])


def _has_place(source: Source) -> bool:
    """Return whether a TIFF has tags of a georeference, as far as Pillow can tell."""
    try:
        with source.open() as stream, Image.open(stream) as image:
            tags = image.getexif()
            return any(tag in tags for tag in _GEO_TAGS)
    except (*FAULTS, SyntaxError):
        return True
