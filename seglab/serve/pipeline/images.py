"""Bytes that a stranger sent: what they claim to be is checked before anything is decoded."""

from __future__ import annotations

import io
import math
import re

import numpy as np
from numpy.lib import format as npy
from PIL import Image

from seglab.bundle.loader import Bundle, ImageError
from seglab.serve.errors import Refused
from seglab.serve.options import BYTES_PER_PIXEL, ServeOptions
from seglab.serve.pipeline.structure import check_structure

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")  # JPEG opens MPO too
_ARRAY_MAGIC = b"\x93NUMPY"
_EXPECTED = "expected an image: PNG, JPEG, WebP, BMP or TIFF"
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def safe_name(name: str | None) -> str | None:
    """Return the last part of a file name, without what could not be shown; it never names a file here."""
    if not name:
        return None
    return shown(re.split(r"[/\\]", name)[-1]) or None


def shown(text: str) -> str:
    """Return a stranger's text for a message: short, and of characters that can be seen."""
    return _UNSEEN.sub("", text)[:255]


def held_size(content: bytes, options: ServeOptions) -> int:
    """Return the bytes that an image takes when it is decoded, from its header alone.

    Raises:
        Refused: It is no image of a format that is taken, or is too large.
    """
    if content[:6] == _ARRAY_MAGIC:
        return _array_size(content, options)
    check_structure(content)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise Refused("too_large", f"expected at most {options.max_pixels} pixels") from error
    except Exception as error:
        raise Refused("image", f"{_EXPECTED}; its header cannot be read") from error
    _check_size(height, width, options)
    return height * width * BYTES_PER_PIXEL


def _array_size(content: bytes, options: ServeOptions) -> int:
    """As `held_size`, of an array file: what it says it holds must be what it holds."""
    stream = io.BytesIO(content)
    try:
        version = npy.read_magic(stream)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, _, dtype = read(stream)
    except Exception as error:
        raise Refused("image", "expected an array file (.npy); its header is damaged") from error
    if dtype.hasobject or dtype.kind not in "uif" or not 2 <= len(shape) <= 3:
        raise Refused("image", f"expected numbers (H, W, channels), got {dtype} {shape}")
    if math.prod(shape) * dtype.itemsize != len(content) - stream.tell() or min(shape) < 0:
        raise Refused("image", f"the array file does not hold what its header says: {shape}")
    _check_size(shape[0], shape[1], options)
    return len(content)


def _check_size(height: int, width: int, options: ServeOptions) -> None:
    if not (0 < height <= options.max_side and 0 < width <= options.max_side):
        raise Refused(
            "too_large", f"expected sides of 1 to {options.max_side} pixels, got {height} x {width}"
        )
    if height * width > options.max_pixels:
        raise Refused(
            "too_large",
            f"expected at most {options.max_pixels} pixels, got {height} x {width} = {height * width}",
        )


def decode(bundle: Bundle, content: bytes) -> np.ndarray:
    """Return the pixels of an image of `held_size`, as the bundle reads it.

    Raises:
        Refused: The bundle does not take it.
    """
    try:
        return bundle.decode(content)
    except ImageError as error:
        raise Refused("image", str(error)) from error
