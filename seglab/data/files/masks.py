"""Reading mask files of every kind people have, as class indices uint8 `(H, W)`.

The stored values count, not how they look: see `seglab.data.files.images`, which reads images likewise.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from seglab.core.errors import DataError, LabelError
from seglab.core.labels import LabelSpace
from seglab.data.files.image_files import (
    decode_deep_colour,
    faults_named,
    is_deep_colour,
    oriented,
    pending_orientation,
    raw_mode,
    read_bytes,
    refuse_frames,
)
from seglab.data.files.images import decode_image
from seglab.data.files.lossy import lossy_format
from seglab.data.files.npy import NPY_START, read_array

# Pillow stretches 2- and 4-bit grey to 0..255; for masks the stored value counts.
_STRETCH = {"L;2": 85, "L;4": 17}


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
    return decode_mask(read_bytes(path), path, labels, encoding)


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
        with faults_named(path):
            return _indices_of_array(read_array(content))
    with faults_named(path, lambda: content), Image.open(io.BytesIO(content)) as image:
        refuse_frames(image, path)
        deep, stretch = is_deep_colour(image), _STRETCH.get(raw_mode(image), 1)
        image.load()
        if image.mode == "F" or image.mode in ("CMYK", "YCbCr", "LAB"):
            raise DataError(f"{path}: a mask of mode {image.mode} holds no class indices")
        pixels = decode_deep_colour(content) if deep else np.asarray(image)
        if pixels.dtype == np.bool_:
            pixels = pixels.astype(np.uint8)
        if pixels.ndim == 3:
            pixels = _single_channel(pixels, image.mode, path)
        if stretch > 1:
            pixels = pixels // stretch
        return np.ascontiguousarray(oriented(pixels, pending_orientation(image)))


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
