"""Draws small data sets of many bands: TIFF files as satellites and microscopes give them.

Two classes that only one band tells apart: a disc whose near-infrared (band 4) is bright, on ground
whose other bands look the same. Values fill 12 of 16 bits, as sensors do.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from seglab.core.seeding import generator

TELLING_BAND = 4


def write_tiff(path: Path, pixels: np.ndarray, *, one_by_one: bool = False) -> None:
    """Write `(H, W, bands)` as a TIFF of unspecified bands, deflated, interleaved or plane by plane."""
    height, width, count = pixels.shape
    planes = [pixels[..., [band]] for band in range(count)] if one_by_one else [pixels]
    strips = [zlib.compress(np.ascontiguousarray(plane).tobytes()) for plane in planes]
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    each = (3, 2, "H"), (4, 4, "I")
    tags: list[tuple[int, tuple[int, int, str], list[int]]] = [
        (256, each[1], [width]),
        (257, each[1], [height]),
        (258, each[0], [8 * pixels.itemsize] * count),
        (259, each[0], [8]),
        (262, each[0], [1]),
        (273, each[1], [0] * len(strips)),
        (277, each[0], [count]),
        (278, each[1], [height]),
        (279, each[1], [len(strip) for strip in strips]),
        (284, each[0], [2 if one_by_one else 1]),
        (338, each[0], [0] * (count - 1)),
        (339, each[0], [kind] * count),
    ]
    tags = [tag for tag in tags if tag[2]]
    place = 8 + 2 + 12 * len(tags) + 4
    outside = sum(size * len(values) for _, (_, size, _), values in tags if size * len(values) > 4)
    starts = np.cumsum([place + outside, *(len(strip) for strip in strips[:-1])])
    directory, arrays = struct.pack("<H", len(tags)), b""
    for number, (code, _, letter), values in tags:
        written = starts.tolist() if number == 273 else values
        packed = struct.pack(f"<{len(written)}{letter}", *written)
        if len(packed) > 4:
            arrays, packed = arrays + packed, struct.pack("<I", place + len(arrays))
        directory += struct.pack("<HHI", number, code, len(values)) + packed.ljust(4, b"\0")
    head = struct.pack("<2sHI", b"II", 42, 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + directory + struct.pack("<I", 0) + arrays + b"".join(strips))


def draw(index: int, count: int = 5, size: int = 64, dtype: str = "uint16"):
    """Return an image `(size, size, count)` and its mask of classes 0 and 1."""
    rng = generator("multiband", index)
    rows, columns = np.mgrid[:size, :size]
    centre, radius = rng.uniform(0.3, 0.7, 2) * size, rng.uniform(0.15, 0.3) * size
    mask = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
    shade = 600 + 200 * np.sin(columns / size * 6.0 + index)
    image = shade[..., None] * np.linspace(0.8, 1.4, count) + rng.normal(0, 40, (size, size, count))
    if count >= TELLING_BAND:
        image[..., TELLING_BAND - 1] += np.where(mask, 1800, 0)
    scale = 16.0 if dtype == "uint8" else 1.0
    return (image.clip(0, 4095) / scale).astype(dtype), mask.astype(np.uint8)


def write_dataset(root: Path, num_images: int = 12, count: int = 5, dtype: str = "uint16") -> Path:
    """Write `images/*.tif` and `masks/*.png`; return the root."""
    (root / "masks").mkdir(parents=True, exist_ok=True)
    for index in range(num_images):
        image, mask = draw(index, count, dtype=dtype)
        write_tiff(root / "images" / f"tile_{index:02d}.tif", image, one_by_one=index % 2 == 1)
        Image.fromarray(mask).save(root / "masks" / f"tile_{index:02d}.png")
    return root
