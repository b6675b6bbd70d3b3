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
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from seglab.core.errors import DataError, DataNotFoundError, LabelError, SeglabError, ShapeError
from seglab.core.labels import LabelSpace
from seglab.data.bands import tiff
from seglab.data.bands.npy import NPY_START, read_array
from seglab.data.lossy import lossy_format

IMAGE_SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".tif",
    ".tiff",
    ".bmp",
    ".webp",
    ".gif",
    ".ppm",
    ".pgm",
    ".npy",
)
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
    cv2.error,
)
_ORIENTATION_TAG = 274
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_TAGS = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
# Pillow stretches 2- and 4-bit grey to 0..255; for masks the stored value counts.
_STRETCH = {"L;2": 85, "L;4": 17}


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
    return decode_image(_read_bytes(path), path, channels)


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
    with _faults_named(path), Image.open(io.BytesIO(content)) as image:
        _refuse_frames(image, path)
        deep = _is_deep_colour(image)
        image.load()
        if deep:
            pixels = _to_eight_bits(_decode_deep_colour(content))
        elif _is_deep_grey(image):
            pixels = _to_eight_bits(np.asarray(image))
        elif image.mode in _EIGHT_BIT_MODES:
            grey = channels == 1 and image.mode in ("1", "L", "LA")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
        else:
            raise DataError(
                f"{path}: pixels of mode {image.mode} have no fixed range; save the image as 8- or "
                "16-bit grey or RGB"
            )
        return _in_channels(_oriented(pixels, _pending_orientation(image)), channels)


def bands_in(content: bytes, path: Path) -> str | None:
    """Return in words what bands a file holds; None for RGB or grey of up to 16 bits.

    Bands are a TIFF of other numbers or types of samples, and an array (`.npy`) that is not uint8 of
    one or three channels.

    Raises:
        DataError: The file is damaged, or of a layout that cannot be read.
    """
    with _faults_named(path):
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
    with _faults_named(path):
        if content.startswith(NPY_START):
            return read_array(content)
        layout = tiff.read_layout(content)
        if layout is not None and not layout.like_rgb:
            return np.ascontiguousarray(_oriented(tiff.decode(content, layout), layout.orientation))
    with _faults_named(path), Image.open(io.BytesIO(content)) as image:
        _refuse_frames(image, path)
        deep = _is_deep_colour(image)
        image.load()
        if deep:
            pixels = _decode_deep_colour(content, with_alpha=True)
        elif _is_deep_grey(image):
            pixels = np.asarray(image).astype(np.uint16)
        elif image.mode in ("L", "LA", "RGB", "RGBA"):
            pixels = np.asarray(image)
        else:
            pixels = np.asarray(image.convert("L" if image.mode == "1" else "RGB"))
        pixels = pixels if pixels.ndim == 3 else pixels[..., None]
        return np.ascontiguousarray(_oriented(pixels, _pending_orientation(image)))


def read_mask(path: Path, labels: LabelSpace, encoding: str = "index") -> np.ndarray:
    """Read a mask file as class indices.

    Args:
        path: The file.
        labels: Says what the stored values or colours mean.
        encoding: `"index"`: the file holds raw ids, as 1/2/4/8/16-bit grey, as palette indices (the
            palette itself is ignored), as RGB with three equal channels, or as an array of integers.
            `"colour"`: it holds the RGB colours of `labels.palette`, and `labels.ignore_colour` for
            ignored pixels unless a class has that colour.

    Returns:
        uint8 array `(H, W)` with values `0..num_classes-1` or `ignore_index`.

    Raises:
        DataNotFoundError: There is no such file.
        LabelError: The mask holds values or colours outside the label space; they are named.
        DataError: As for `read_image`, or an index mask holds colours.
    """
    return decode_mask(_read_bytes(path), path, labels, encoding)


def decode_mask(content: bytes, path: Path, labels: LabelSpace, encoding: str) -> np.ndarray:
    """Decode the bytes of a mask file as `read_mask` does; `path` only names it in errors."""
    if encoding == "colour":
        colours = decode_image(content, path)
        try:
            return _look_up_colours(colours, labels)
        except LabelError as error:
            raise LabelError(f"{path}: {error}{_lossy_hint(content)}") from error
    if encoding != "index":
        raise DataError(f"mask encoding must be 'index' or 'colour', got {encoding!r}")
    raw = decode_raw_mask(content, path)
    try:
        return labels.encode(raw)
    except LabelError as error:
        raise LabelError(f"{path}: {error}{_lossy_hint(content)}") from error


def decode_raw_mask(content: bytes, path: Path) -> np.ndarray:
    """Return the stored values of an index mask `(H, W)`: uint8, uint16 or int32, any of an array.

    Raises:
        DataError: As for `read_mask`.
    """
    if content.startswith(NPY_START):
        with _faults_named(path):
            return _indices_of_array(read_array(content))
    with _faults_named(path), Image.open(io.BytesIO(content)) as image:
        _refuse_frames(image, path)
        deep, stretch = _is_deep_colour(image), _STRETCH.get(_raw_mode(image), 1)
        image.load()
        if image.mode == "F" or image.mode in ("CMYK", "YCbCr", "LAB"):
            raise DataError(f"{path}: a mask of mode {image.mode} holds no class indices")
        pixels = _decode_deep_colour(content) if deep else np.asarray(image)
        if pixels.dtype == np.bool_:
            pixels = pixels.astype(np.uint8)
        if pixels.ndim == 3:
            pixels = _single_channel(pixels, image.mode, path)
        if stretch > 1:
            pixels = pixels // stretch
        return np.ascontiguousarray(_oriented(pixels, _pending_orientation(image)))


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
    with _faults_named(path), Image.open(path) as image:
        width, height = _stored_size(image)
        return (width, height) if _orientation(image) >= 5 else (height, width)


def orientation(content: bytes, path: Path) -> int:
    """Return the EXIF orientation of an image file, 1 (upright) to 8; 1 when it has none."""
    if content.startswith(NPY_START):
        return 1
    # Pillow decodes a whole PNG to find its tags; almost no PNG has any, which is quick to see.
    if content.startswith(_PNG_START) and not any(mark in content for mark in _PNG_TAGS):
        return 1
    with _faults_named(path):
        layout = tiff.read_layout(content)
        if layout is not None:
            return layout.orientation
        with Image.open(io.BytesIO(content)) as image:
            return _orientation(image)


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise DataNotFoundError(f"{path}: no such file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


@contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    """Turn what Pillow and OpenCV raise on bad files into a `DataError` that names the file."""
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
        raise DataError(
            f"{path}: not an image file, damaged, or of a kind that cannot be read (as float RGB)"
        ) from error
    except _UNREADABLE as error:
        raise DataError(f"{path}: corrupt or truncated image: {error}") from error


def _refuse_frames(image: Image.Image, path: Path) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        hint = "; pages that are bands go into one image of many samples a pixel, or into .npy"
        raise DataError(
            f"{path}: {image.format} with {frames} frames or pages; save the one you mean as "
            f"its own file{hint if image.format == 'TIFF' else ''}"
        )


def _raw_mode(image: Image.Image) -> str:
    """Return Pillow's name of the stored pixel layout; only known before the pixels are loaded."""
    tiles = getattr(image, "tile", None)
    arguments: Any = tiles[0][3] if tiles else ""
    first = arguments if isinstance(arguments, str) else next(iter(arguments or ("",)))
    return first if isinstance(first, str) else ""


def _is_deep_colour(image: Image.Image) -> bool:
    """Return whether the file holds 16 bits in several channels, which Pillow would cut to 8."""
    return ";16" in _raw_mode(image) and image.mode in ("RGB", "RGBA", "LA", "RGBX")


def _is_deep_grey(image: Image.Image) -> bool:
    # Pillow before 11 gave 16-bit grey PNG, and still gives 16-bit PGM, as 32-bit integers.
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _decode_deep_colour(content: bytes, with_alpha: bool = False) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise OSError("OpenCV could not decode its 16-bit pixels")
    if pixels.ndim == 2:
        return pixels
    if with_alpha and pixels.shape[2] == 4:
        return np.ascontiguousarray(pixels[..., [2, 1, 0, 3]])
    return np.ascontiguousarray(pixels[..., 2::-1])


def _to_eight_bits(pixels: np.ndarray) -> np.ndarray:
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _in_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    if pixels.ndim == 3 and channels == 1:
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))
    elif pixels.ndim == 2 and channels == 3:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    # A copy where Pillow owns the memory: such arrays are read-only.
    return np.require(pixels, requirements=["C", "W"])


def _indices_of_array(array: np.ndarray) -> np.ndarray:
    if array.shape[2] != 1 or array.dtype.kind not in "uib":
        raise DataError(
            f"a mask of {array.dtype} and shape {array.shape} holds no class indices; expected "
            "integers of shape (H, W)"
        )
    plane = array[..., 0]
    return np.ascontiguousarray(plane.astype(np.uint8) if plane.dtype == np.bool_ else plane)


def _single_channel(pixels: np.ndarray, mode: str, path: Path) -> np.ndarray:
    if mode in ("LA", "PA") or pixels.shape[2] == 2:
        return pixels[..., 0]
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if not (np.array_equal(red, green) and np.array_equal(red, blue)):
        raise DataError(
            f"{path}: holds colours where class indices were expected; give the palette and mask "
            "encoding 'colour'"
        )
    return red


def _look_up_colours(colours: np.ndarray, labels: LabelSpace) -> np.ndarray:
    codes = {_code(colour): index for index, colour in enumerate(labels.palette)}
    if len(codes) < labels.num_classes:
        raise LabelError("the palette repeats a colour, so colours do not tell the classes apart")
    ignored = codes.setdefault(_code(labels.ignore_colour), labels.ignore_index)
    known = np.array(sorted(codes), dtype=np.uint32)
    indices = np.array([codes[int(code)] for code in known], dtype=np.uint8)
    wide = colours.astype(np.uint32)
    found = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    place = np.minimum(np.searchsorted(known, found), len(known) - 1)
    strangers = known[place] != found
    if strangers.any():
        values = np.unique(found[strangers])
        shown = ", ".join(str((int(v) >> 16, int(v) >> 8 & 255, int(v) & 255)) for v in values[:10])
        more = f" and {len(values) - 10} more" if len(values) > 10 else ""
        raise LabelError(
            f"unknown mask colours {shown}{more}; known are the {labels.num_classes} of the palette"
            f"{f' and {labels.ignore_colour} for ignored pixels' if ignored == labels.ignore_index else ''}"
        )
    return indices[place]


def _code(colour: tuple[int, int, int]) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def _lossy_hint(content: bytes) -> str:
    if content.startswith(NPY_START):
        return ""
    with Image.open(io.BytesIO(content)) as image:
        lossy = lossy_format(image, lambda: content)
    return f" ({lossy} compression invents values; save masks as PNG)" if lossy else ""


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(_ORIENTATION_TAG, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _pending_orientation(image: Image.Image) -> int:
    """Return the orientation still to apply; Pillow and OpenCV apply a TIFF's own on loading."""
    return 1 if image.format == "TIFF" else _orientation(image)


def _stored_size(image: Image.Image) -> tuple[int, int]:
    if image.format == "TIFF":
        tags: Any = image.getexif()
        return int(tags[256]), int(tags[257])
    return image.size


def _oriented(pixels: np.ndarray, value: int) -> np.ndarray:
    """Return pixels upright, from EXIF orientation `value` (1 to 8)."""
    if value >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    flip_rows, flip_columns = value in (3, 4, 7, 8), value in (2, 3, 6, 7)
    if flip_rows:
        pixels = pixels[::-1]
    return pixels[:, ::-1] if flip_columns else pixels
