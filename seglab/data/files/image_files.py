"""Image files as they are opened: faults that name the file, stored layout, EXIF orientation."""

from __future__ import annotations

import codecs
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from seglab.core.errors import DataError, DataNotFoundError, SeglabError

IMAGE_SUFFIXES = tuple(".png .jpg .jpeg .tif .tiff .bmp .webp .gif .ppm .pgm .npy".split())
_UNREADABLE: tuple[type[Exception], ...] = (OSError, SyntaxError, ValueError, EOFError, LookupError)
_UNREADABLE += (TypeError, struct.error, zlib.error, cv2.error)
_ORIENTATION_TAG = 274
# So many bytes of a file that is no image are shown.
_START = 40


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise DataNotFoundError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


@contextmanager
def faults_named(path: Path, read: Callable[[], bytes] | None = None) -> Iterator[None]:
    """Turn what Pillow and OpenCV raise on bad files into a `DataError` that names the file.

    Args:
        path: The file.
        read: Returns what it holds, to say more of what is no image.
    """
    try:
        yield
    except DataError as error:
        if type(error) is not DataError or str(path) in str(error):
            raise
        raise DataError(f"{path}: {error}") from error
    except SeglabError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path}: {error}. Cut the image into tiles, or, if you trust the file, raise "
            "PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: {_no_image(read() if read else None)}") from error
    except _UNREADABLE as error:
        raise DataError(f"{path}: corrupt or truncated image: {error}") from error


def _no_image(content: bytes | None) -> str:
    """Say why a file is no image, as far as its first bytes tell."""
    if content is None:
        return "not an image file, damaged, or of a kind that cannot be read (as float RGB)"
    if not content:
        return "the file is empty"
    try:
        # One character may be cut at the end.
        text = codecs.getincrementaldecoder("utf-8")().decode(content[:_START]).strip()
    except UnicodeDecodeError:
        text = ""
    start = next(iter(text.splitlines()), "")
    if start and start.isprintable():
        return f"not an image file: it is text and begins with {start!r}"
    return (
        "not an image file, damaged, or of a kind that cannot be read (as float RGB); it begins with the "
        f"bytes {content[:8].hex(' ')}"
    )


def refuse_frames(image: Image.Image, path: Path) -> None:
    """Raise DataError for a file of several frames or pages, but a phone's JPEG with several pictures."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        hint = "; pages that are bands go into one image of many samples a pixel, or into .npy"
        raise DataError(
            f"{path}: {image.format} with {frames} frames or pages; save the one you mean as "
            f"its own file{hint if image.format == 'TIFF' else ''}"
        )


def raw_mode(image: Image.Image) -> str:
    """Return Pillow's name of the stored pixel layout; only known before the pixels are loaded."""
    tiles = getattr(image, "tile", None)
    arguments: Any = tiles[0][3] if tiles else ""
    first = arguments if isinstance(arguments, str) else next(iter(arguments or ("",)))
    return first if isinstance(first, str) else ""


def is_deep_colour(image: Image.Image) -> bool:
    """Return whether the file holds 16 bits in several channels, which Pillow would cut to 8."""
    return ";16" in raw_mode(image) and image.mode in ("RGB", "RGBA", "LA", "RGBX")


def is_deep_grey(image: Image.Image) -> bool:
    """Return whether the file holds 16-bit grey, which Pillow reads in full."""
    # Pillow before 11 gave 16-bit grey PNG, and still gives 16-bit PGM, as 32-bit integers.
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def decode_deep_colour(content: bytes, with_alpha: bool = False) -> np.ndarray:
    """Return 16-bit pixels as stored, uint16 `(H, W)`, `(H, W, 3)` RGB or with alpha `(H, W, 4)`."""
    pixels = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise OSError("OpenCV could not decode its 16-bit pixels")
    if pixels.ndim == 2:
        return pixels
    if with_alpha and pixels.shape[2] == 4:
        return np.ascontiguousarray(pixels[..., [2, 1, 0, 3]])
    return np.ascontiguousarray(pixels[..., 2::-1])


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) to 8."""
    value = image.getexif().get(_ORIENTATION_TAG, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def pending_orientation(image: Image.Image) -> int:
    """Return the orientation still to apply; Pillow and OpenCV apply a TIFF's own on loading."""
    return 1 if image.format == "TIFF" else orientation_of(image)


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height as stored, before any orientation is applied."""
    if image.format == "TIFF":
        tags: Any = image.getexif()
        return int(tags[256]), int(tags[257])
    return image.size


def oriented(pixels: np.ndarray, value: int) -> np.ndarray:
    """Return pixels upright, from EXIF orientation `value` (1 to 8)."""
    if value >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    flip_rows, flip_columns = value in (3, 4, 7, 8), value in (2, 3, 6, 7)
    if flip_rows:
        pixels = pixels[::-1]
    return pixels[:, ::-1] if flip_columns else pixels
