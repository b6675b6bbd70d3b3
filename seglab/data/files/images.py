"""Reading image and mask files of every kind people have, into the two arrays seglab works on.

Images become uint8 RGB `(H, W, 3)`, masks uint8 class indices `(H, W)`. The module exists because
the obvious calls are wrong in silence: Pillow cuts 16-bit RGB to its high bytes and turns 2- and
4-bit mask indices into shades, `convert("L")` turns a palette mask into brightness, and OpenCV
returns the readable half of a truncated file.

Convention: all sizes are (H, W); the EXIF orientation of a file is applied to its own pixels, for
images and masks alike. Alpha is dropped, not composited: transparent pixels keep the colour stored
under them. 16-bit values are divided by 257 (65535 becomes 255) and rounded; data that fills only
12 of 16 bits therefore looks dark: scale it before, or read it as a band (`seglab.data.bands`), which
keeps stored values. Of a JPEG with several pictures (MPO, as phones
write) the first one counts; any other file with more than one frame or page is refused.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from seglab.core.errors import DataError, DataNotFoundError, ShapeError
from seglab.data.files import tiff
from seglab.data.files.image_files import (
    decode_deep_colour,
    faults_named,
    is_deep_colour,
    is_deep_grey,
    orientation_of,
    oriented,
    pending_orientation,
    read_bytes,
    refuse_frames,
    stored_size,
)
from seglab.data.files.npy import NPY_START, read_array

_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_TAGS = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")


def read_image(path: Path, channels: int = 3) -> np.ndarray:
    """Read an image file.

    Args:
        path: The file; its content decides the kind, not its suffix.
        channels: 3 for RGB, 1 for grey (ITU-R 601 brightness of colour images).

    Returns:
        uint8 array in 0..255, `(H, W, 3)` or, for one channel, `(H, W)`.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: The file is corrupt, truncated, too large for Pillow's limit, has several frames,
            or holds a kind of pixel without a fixed range (float, 32-bit integers, LAB).
    """
    return decode_image(read_bytes(path), path, channels)


def decode_image(content: bytes, path: Path, channels: int = 3) -> np.ndarray:
    """Decode the bytes of an image file as `read_image` does; `path` only names it in errors."""
    if channels not in (1, 3):
        raise ShapeError(f"channels must be 1 or 3, got {channels}")
    bands = bands_in(content, path)
    if bands:
        raise DataError(
            f"{path}: holds {bands}, where RGB or grey of 8 or 16 bits was expected; bands are read "
            "where data.bands names them, counted from 1"
        )
    if content.startswith(NPY_START):
        return _in_channels(np.squeeze(read_array(content)), channels)
    with faults_named(path, lambda: content), Image.open(io.BytesIO(content)) as image:
        refuse_frames(image, path)
        deep = is_deep_colour(image)
        image.load()
        if deep:
            pixels = _to_eight_bits(decode_deep_colour(content))
        elif is_deep_grey(image):
            pixels = _to_eight_bits(np.asarray(image))
        elif image.mode in _EIGHT_BIT_MODES:
            grey = channels == 1 and image.mode in ("1", "L", "LA")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
        else:
            raise DataError(
                f"{path}: pixels of mode {image.mode} have no fixed range; save the image as 8- or "
                "16-bit grey or RGB"
            )
        return _in_channels(oriented(pixels, pending_orientation(image)), channels)


def bands_in(content: bytes, path: Path) -> str | None:
    """Return in words what bands a file holds; None for RGB or grey of up to 16 bits.

    Bands are a TIFF of other numbers or types of samples, and an array (`.npy`) that is not uint8 of
    one or three channels.

    Raises:
        DataError: The file is damaged, or of a layout that cannot be read.
    """
    with faults_named(path):
        if content.startswith(NPY_START):
            array = read_array(content)
            count, dtype = array.shape[2], array.dtype
            like_rgb = dtype == np.uint8 and count in (1, 3)
        else:
            layout = tiff.read_layout(content)
            if layout is None:
                return None
            count, dtype, like_rgb = layout.count, layout.dtype, layout.like_rgb
    return None if like_rgb else f"{count} band{'s' * (count > 1)} of {dtype.name}"


def decode_stored(content: bytes, path: Path) -> np.ndarray:
    """Decode all channels of an image file with the values as stored, alpha included.

    Args:
        content: The file.
        path: Only names it in errors.

    Returns:
        `(H, W, channels)`, upright: red, green, blue of colours, bands in their order; of the type
        the file has. Palette colours become RGB.

    Raises:
        DataError: As for `read_image`.
    """
    with faults_named(path):
        if content.startswith(NPY_START):
            return read_array(content)
        layout = tiff.read_layout(content)
        if layout is not None and not layout.like_rgb:
            return np.ascontiguousarray(oriented(tiff.decode(content, layout), layout.orientation))
    with faults_named(path, lambda: content), Image.open(io.BytesIO(content)) as image:
        refuse_frames(image, path)
        deep = is_deep_colour(image)
        image.load()
        if deep:
            pixels = decode_deep_colour(content, with_alpha=True)
        elif is_deep_grey(image):
            pixels = np.asarray(image).astype(np.uint16)
        elif image.mode in ("L", "LA", "RGB", "RGBA"):
            pixels = np.asarray(image)
        else:
            pixels = np.asarray(image.convert("L" if image.mode == "1" else "RGB"))
        pixels = pixels if pixels.ndim == 3 else pixels[..., None]
        return np.ascontiguousarray(oriented(pixels, pending_orientation(image)))


def image_size(path: Path) -> tuple[int, int]:
    """Return (H, W) as `read_image` would give it, EXIF orientation applied.

    Reads only the header, except for PNG, whose orientation may follow the pixels, and for bands.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: The file is no image.
    """
    if not path.is_file():
        raise DataNotFoundError(f"{path}: no such file")
    if path.suffix.lower() in (".npy", ".tif", ".tiff"):
        content = path.read_bytes()
        if bands_in(content, path):
            height, width = decode_stored(content, path).shape[:2]
            return height, width
    with faults_named(path, path.read_bytes), Image.open(path) as image:
        width, height = stored_size(image)
        return (width, height) if orientation_of(image) >= 5 else (height, width)


def orientation(content: bytes, path: Path) -> int:
    """Return the EXIF orientation of an image file, 1 (upright) to 8; 1 when it has none."""
    if content.startswith(NPY_START):
        return 1
    # Pillow decodes a whole PNG to find its tags; almost no PNG has any, which is quick to see.
    if content.startswith(_PNG_START) and not any(mark in content for mark in _PNG_TAGS):
        return 1
    with faults_named(path):
        layout = tiff.read_layout(content)
        if layout is not None:
            return layout.orientation
        with Image.open(io.BytesIO(content)) as image:
            return orientation_of(image)


def _to_eight_bits(pixels: np.ndarray) -> np.ndarray:
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _in_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    if pixels.ndim == 3 and channels == 1:
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))
    elif pixels.ndim == 2 and channels == 3:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    # A copy where Pillow owns the memory: such arrays are read-only.
    return np.require(pixels, requirements=["C", "W"])
