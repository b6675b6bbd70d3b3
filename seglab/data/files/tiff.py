"""TIFF files of any number of bands, which neither Pillow nor OpenCV decodes.

Pillow knows a fixed list of pixel layouts and OpenCV stops at four channels, but the library below
both unpacks the bytes of any file. So the bytes of a plane are handed to Pillow as a grey image of
8 bits that is as wide as a row has bytes, and what they mean is worked out here: sample type, byte
order, predictor, strips or tiles, bands interleaved or one after the other.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from seglab.core.errors import DataError

# Pillow does not know large files of the other byte order, and calls them no image.
_STARTS = (b"II*\0", b"MM\0*", b"II+\0")
_BIG = 43
_ALPHA = (1, 2)
_GREY, _RGB = (0, 1), 2
_KINDS = {1: "u", 2: "i", 3: "f"}
# Those that libtiff unpacks without knowing what the bytes mean; JPEG and its like do not.
_COMPRESSIONS = {1: "none", 5: "LZW", 8: "deflate", 32773: "PackBits", 32946: "deflate"}
_COMPRESSIONS |= {34925: "LZMA", 50000: "Zstandard"}
_HORIZONTAL, _FLOATING = 2, 3
# Other pages that only repeat the first one: an overview, a mask of valid pixels.
_SIDE_PAGES = 1 | 4
_LONG8, _SHORT = 16, 3


@dataclass(frozen=True)
class TiffLayout:
    """How the first page of a file is stored.

    Attributes:
        height: Rows.
        width: Columns.
        count: Bands, alpha included.
        dtype: NumPy type of the samples, with byte order.
        like_rgb: Whether it is a usual picture: grey or RGB of up to 16 bits, with alpha or without,
            palette, CMYK, ...; not "bands".
        orientation: As in EXIF, 1 to 8.
        tags: The directory of the page.
    """

    height: int
    width: int
    count: int
    dtype: np.dtype[Any]
    like_rgb: bool
    orientation: int
    tags: ImageFileDirectory_v2


def read_layout(content: bytes) -> TiffLayout | None:
    """Return the layout of a TIFF file; None for another kind of file.

    Raises:
        DataError: Samples of different types, or of a size that is no whole number of bytes, in a
            file of bands; several pages of bands.
    """
    if content[:4] not in _STARTS:
        return None
    tags, following = _directories(content)
    bits, kinds = _all(tags, 258, (1,)), _all(tags, 339, (1,))
    count = int(tags.get(277, 1))
    like_rgb = _is_like_rgb(tags, count, bits, kinds)
    if not like_rgb:
        if len({*bits}) != 1 or len({*kinds}) != 1 or bits[0] % 8 or kinds[0] not in _KINDS:
            raise DataError(
                f"bands of {', '.join(map(str, bits))} bits and sample formats "
                f"{', '.join(map(str, kinds))}; expected all alike, of 8, 16, 32 or 64 bits"
            )
        if any(not int(page.get(254, 0)) & _SIDE_PAGES for page in following):
            raise DataError(
                f"TIFF with {1 + len(following)} pages; save bands as one image of many samples a "
                "pixel, or as .npy (H, W, bands)"
            )
    order = "<" if content[:2] == b"II" else ">"
    known = bits[0] % 8 == 0 and kinds[0] in _KINDS
    dtype = np.dtype(f"{order}{_KINDS[kinds[0]]}{bits[0] // 8}") if known else np.dtype(np.uint8)
    turned = tags.get(274, 1)
    turned = turned if turned in range(1, 9) else 1
    return TiffLayout(int(tags[257]), int(tags[256]), count, dtype, like_rgb, turned, tags)


def decode(content: bytes, layout: TiffLayout) -> np.ndarray:
    """Return the pixels as stored, `(H, W, bands)`, in native byte order; not turned.

    Raises:
        DataError: The compression is one of pictures (JPEG, ...).
        OSError: The file is truncated or damaged.
        PIL.Image.DecompressionBombError: More pixels than Pillow's limit.
    """
    tags, item = layout.tags, layout.dtype.itemsize
    compression = int(tags.get(259, 1))
    if compression not in _COMPRESSIONS:
        known = ", ".join(dict.fromkeys(_COMPRESSIONS.values()))
        raise DataError(f"TIFF compression {compression} is not one for bands; use {known}")
    if layout.height * layout.width > 2 * (Image.MAX_IMAGE_PIXELS or np.inf):
        raise Image.DecompressionBombError(
            f"Image size ({layout.height * layout.width} pixels) exceeds the limit"
        )
    planes = layout.count if int(tags.get(284, 1)) == 2 else 1
    samples = layout.count // planes
    tiled = 322 in tags
    chunk_width = int(tags[322]) if tiled else layout.width
    chunk_height = (
        int(tags[323]) if tiled else min(int(tags.get(278, layout.height)), layout.height)
    )
    across = -(-layout.width // chunk_width)
    offsets, sizes = (_all(tags, tag) for tag in ((324, 325) if tiled else (273, 279)))
    each = len(offsets) // planes
    found = []
    for first in range(0, each * planes, each):
        own = slice(first, first + each)
        chunks = _cut(content, offsets[own], sizes[own])
        chunk_hw = (chunk_height, chunk_width * samples * item)
        file = _as_grey_file(
            chunks, (layout.height, across * chunk_hw[1]), chunk_hw, compression, tiled
        )
        rows = np.asarray(TiffImageFile(io.BytesIO(file)))
        rows = rows.reshape(layout.height, across, chunk_hw[1])
        pixels = _undo_predictor(rows, layout.dtype, samples, int(tags.get(317, 1)))
        found.append(pixels.reshape(layout.height, -1, samples)[:, : layout.width])
    return np.concatenate(found, axis=2)


def _directories(content: bytes) -> tuple[ImageFileDirectory_v2, list[ImageFileDirectory_v2]]:
    """Return the directory of the first page, and those of the others."""
    file = io.BytesIO(content)
    head = content[: 16 if content[2] == _BIG else 8]
    pages: list[ImageFileDirectory_v2] = []
    place, seen = ImageFileDirectory_v2(head).next, set[int]()
    while place and place not in seen:
        seen.add(place)
        page = ImageFileDirectory_v2(head)
        file.seek(place)
        page.load(file)
        pages.append(page)
        place = page.next
    if not pages or 256 not in pages[0] or 257 not in pages[0]:
        raise OSError("TIFF without an image")
    return pages[0], pages[1:]


def _all(tags: ImageFileDirectory_v2, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _is_like_rgb(
    tags: ImageFileDirectory_v2, count: int, bits: Sequence[int], kinds: Sequence[int]
) -> bool:
    photometric = tags.get(262, 1)
    if photometric not in (*_GREY, _RGB):
        return True
    colours = 3 if photometric == _RGB else 1
    extra = _all(tags, 338)[:1]
    # Some writers leave out what the fourth sample of RGB is; then it is alpha, as for Pillow.
    is_alpha = extra[0] in _ALPHA if extra else photometric == _RGB
    with_alpha = count == colours + 1 and is_alpha
    plain = set(kinds) == {1} and max(bits) <= 16
    return plain and (count == colours or with_alpha)


def _cut(content: bytes, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
    chunks = [content[start : start + size] for start, size in zip(offsets, sizes, strict=True)]
    if any(len(chunk) < size for chunk, size in zip(chunks, sizes, strict=True)):
        raise OSError("image file is truncated")
    return chunks


def _as_grey_file(
    chunks: Sequence[bytes],
    size: tuple[int, int],
    chunk_hw: tuple[int, int],
    compression: int,
    tiled: bool,
) -> bytes:
    """Return a (big) TIFF file of one 8-bit channel that holds these strips or tiles as they are."""
    count = len(chunks)
    entries: list[tuple[int, Sequence[int]]] = [
        (256, [size[1]]),
        (257, [size[0]]),
        (258, [8]),
        (259, [compression]),
        (262, [1]),
        (277, [1]),
    ]
    places, lengths = (324, 325) if tiled else (273, 279)
    if tiled:
        entries += [(322, [chunk_hw[1]]), (323, [chunk_hw[0]])]
    else:
        entries += [(278, [chunk_hw[0]])]
    arrays_at = 16 + 8 + 20 * (len(entries) + 2) + 8
    data_at = arrays_at + 16 * count
    sizes = [len(chunk) for chunk in chunks]
    starts = (data_at + np.cumsum([0, *sizes[:-1]])).tolist()
    listed = [*entries, (places, starts), (lengths, sizes)]
    directory, arrays = struct.pack("<Q", len(listed)), b""
    for tag, values in sorted(listed):
        kind = _SHORT if tag in (258, 259, 262, 277) else _LONG8
        packed = struct.pack(f"<{len(values)}{'H' if kind == _SHORT else 'Q'}", *values)
        if len(packed) > 8:
            place, arrays = arrays_at + len(arrays), arrays + packed
            packed = struct.pack("<Q", place)
        directory += struct.pack("<HHQ", tag, kind, len(values)) + packed.ljust(8, b"\0")
    head = struct.pack("<2sHHHQ", b"II", _BIG, 8, 0, 16)
    before = head + directory + struct.pack("<Q", 0) + arrays
    return before.ljust(data_at, b"\0") + b"".join(chunks)


def _undo_predictor(
    rows: np.ndarray, dtype: np.dtype[Any], samples: int, predictor: int
) -> np.ndarray:
    """Return samples `(H, chunks, columns, samples)` in native order from bytes `(H, chunks, bytes)`."""
    height, across, _ = rows.shape
    if predictor == _FLOATING:
        summed = np.cumsum(rows.reshape(height, across, -1, samples), axis=2, dtype=np.uint8)
        # The most significant bytes of all samples of a row come first, whatever the byte order.
        split = summed.reshape(height, across, dtype.itemsize, -1).swapaxes(2, 3)
        pixels = np.ascontiguousarray(split).view(dtype.newbyteorder(">"))[..., 0]
    else:
        pixels = np.ascontiguousarray(rows).view(dtype)
    pixels = pixels.astype(dtype.newbyteorder("=")).reshape(height, across, -1, samples)
    if predictor == _HORIZONTAL:
        whole = np.dtype(f"u{dtype.itemsize}")
        pixels = np.cumsum(pixels.view(whole), axis=2, dtype=whole).view(pixels.dtype)
    return pixels
