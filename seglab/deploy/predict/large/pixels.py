"""The pixels of a large image, read piece by piece: decoded once, upright, into a file on disk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.bundle.loader import Bundle, ImageError, at_working_size
from seglab.data.files.image_files import orientation_of
from seglab.deploy.predict.files.georeference import open_raster
from seglab.deploy.predict.files.reading import count_pixels, read_bands
from seglab.deploy.predict.files.sources import Source

_STRIP_BYTES = 32 << 20
# Up to so many pixels a file can be decoded as a whole, though not be predicted so. GDAL, which takes over,
# gives the same but for JPEG with colours of half the size: a grey value here and there.
_BY_LOADER = 100_000_000
# As Pillow turns colours to grey (ITU-R 601-2), in fixed point.
_LUMA = np.array([19595, 38470, 7471], np.uint32)


@dataclass(frozen=True)
class Pixels:
    """An array `(H, W, channels)` in a file; no more of it is in memory than was asked for.

    Attributes:
        path: The file.
        shape: Of the array.
        dtype: Of the array.
        offset: Where it begins in the file.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int = 0

    def mapped(self, mode: Any = "r") -> np.ndarray:
        """Return the array as it lies on disk; what was touched is in memory until it is let go."""
        return np.memmap(self.path, self.dtype, mode, self.offset, self.shape)

    def part(self, rows: slice, columns: slice) -> np.ndarray:
        """Return a copy of a part."""
        return np.array(self.mapped()[rows, columns])

    def write(self, rows: slice, columns: slice, values: np.ndarray) -> None:
        """Write a part."""
        self.mapped("r+")[rows, columns] = values

    def strips(self, row_bytes: int | None = None) -> list[slice]:
        """Return rows from top to bottom, as many at once as are held easily."""
        one = row_bytes or self.dtype.itemsize * math.prod(self.shape[1:])
        step = max(1, _STRIP_BYTES // max(one, 1))
        return [slice(top, min(top + step, self.shape[0])) for top in range(0, self.shape[0], step)]


def new_pixels(path: Path, shape: tuple[int, ...], dtype: str) -> Pixels:
    """Return an array of zeros in a new file, which takes room on disk as it is written to."""
    found = Pixels(path, shape, np.dtype(dtype))
    with path.open("wb") as stream:
        stream.truncate(found.dtype.itemsize * math.prod(shape))
    return found


def spool(source: Source, bundle: Bundle, folder: Path) -> Pixels:
    """Decode an image file as the bundle's loader does, into a file; an array file is read where it is.

    Args:
        source: The file.
        bundle: Its decoding rules.
        folder: Where the pixels go.

    Raises:
        ImageError: The file is damaged, or is not what the model takes.
        DataError: rasterio is not installed.
    """
    accepts = bundle.info["input"]
    channels, has_bands = accepts["channels"], bool(accepts["bands"])
    if source.place.suffix.lower() == ".npy":
        return _array_file(source, channels, folder)
    count = count_pixels(source)
    if not has_bands and count is not None and count <= min(_BY_LOADER, accepts["max_pixels"]):
        image = bundle.decode(source.read())
        pixels = new_pixels(folder / "pixels.raw", image.shape, image.dtype.name)
        pixels.write(slice(None), slice(None), image)
        return pixels
    turned = _orientation(source)
    with open_raster(source, "an image too large to be held") as raster:
        size = (raster.height, raster.width) if turned < 5 else (raster.width, raster.height)
        dtype = read_bands(raster, bundle, ((0, 1), (0, 1))).dtype.name if has_bands else "uint8"
        pixels = new_pixels(folder / "pixels.raw", (*size, channels), dtype)
        colours = _colours(raster)
        step = max(1, _STRIP_BYTES // (raster.width * 4 * channels))
        for top in range(0, raster.height, step):
            rows = (top, min(top + step, raster.height))
            window = (rows, (0, raster.width))
            if has_bands:
                values = read_bands(raster, bundle, window)
            else:
                values = _as_bytes(raster.read(window=window), colours, raster, channels)
            _stored(pixels.mapped("r+"), turned)[slice(*rows)] = values
    return pixels


def shrunk(pixels: Pixels, size: tuple[int, int]) -> np.ndarray:
    """Return the image at the size that the network works at, as the loader resizes it."""
    height, width, channels = pixels.shape
    if not (size[0] < height and size[1] < width):
        return at_working_size(pixels.part(slice(None), slice(None))[None], size)[0]
    sums = np.zeros((size[0], width * channels))
    edges = np.arange(size[0] + 1) * (height / size[0])
    for rows in pixels.strips():
        at = np.arange(rows.start, rows.stop)
        # Only these rows of the small image are touched.
        first = int(np.searchsorted(edges, rows.start, "right")) - 1
        last = int(np.searchsorted(edges, rows.stop, "left"))
        upper, lower = edges[first + 1 : last + 1, None], edges[first:last, None]
        shares = (np.minimum(upper, at + 1) - np.maximum(lower, at)).clip(0) * (size[0] / height)
        sums[first:last] += shares @ pixels.part(rows, slice(None)).reshape(len(at), -1)
    edges = np.arange(size[1] + 1) * (width / size[1])
    at = np.arange(width)
    shares = np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)
    shares = shares.clip(0) * (size[1] / width)
    small = np.einsum("hwc,nw->hnc", sums.reshape(size[0], width, channels), shares, optimize=True)
    return np.rint(small).astype(pixels.dtype)


def _array_file(source: Source, channels: int, folder: Path) -> Pixels:
    path = source.place
    if source.is_remote:
        path = folder / "pixels.npy"
        path.write_bytes(source.read())
    held = np.load(path, mmap_mode="r", allow_pickle=False)
    shape = held.shape if held.ndim == 3 else (*held.shape, 1)
    if len(shape) != 3 or shape[2] != channels or not held.flags.c_contiguous:
        raise ImageError(f"expected an image (H, W, {channels}) in C order, got {held.shape}")
    return Pixels(path, shape, held.dtype, held.offset)


def _orientation(source: Source) -> int:
    try:
        with source.open() as stream, Image.open(stream) as image:
            return orientation_of(image)
    except (OSError, ValueError, SyntaxError):
        return 1  # what Pillow cannot open, as GDAL can, has no EXIF


def _stored(upright: np.ndarray, turned: int) -> np.ndarray:
    """Return a view of an upright image in the order of the file; see `image_files.oriented`."""
    if turned in (3, 4, 7, 8):
        upright = upright[::-1]
    if turned in (2, 3, 6, 7):
        upright = upright[:, ::-1]
    return np.swapaxes(upright, 0, 1) if turned >= 5 else upright


def _colours(raster: Any) -> np.ndarray | None:
    """Return the palette of an indexed image, uint8 `(256, 3)`."""
    if raster.count != 1 or raster.colorinterp[0].name != "palette":
        return None
    table = np.zeros((256, 3), np.uint8)
    for value, colour in raster.colormap(1).items():
        table[value] = colour[:3]
    return table


def _as_bytes(
    planes: np.ndarray, colours: np.ndarray | None, raster: Any, channels: int
) -> np.ndarray:
    """Return what is stored as uint8 `(rows, W, channels)`, colour or grey as the model takes it."""
    kinds = [one.name for one in raster.colorinterp]
    if "cyan" in kinds or planes.dtype.name not in ("uint8", "uint16"):
        raise ImageError(f"expected 8 bits, or 16-bit grey, got {planes.dtype} as {kinds}")
    if planes.dtype == np.uint16:
        if len(planes) > 1:
            raise ImageError("expected 8 bits, or 16-bit grey, got 16 bits in several channels")
        planes = ((planes.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if raster.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1":
        planes = planes * np.uint8(255)
    if colours is not None:
        planes = np.moveaxis(colours[planes[0]], 2, 0)
    rgb = planes[:3] if len(planes) >= 3 else planes[:1]
    if len(rgb) == 3 and channels == 1:
        rgb = ((np.einsum("chw,c->hw", rgb.astype(np.uint32), _LUMA) + 0x8000) >> 16)[None]
    if len(rgb) == 1 and channels == 3:
        rgb = np.repeat(rgb, 3, axis=0)
    if len(rgb) != channels:
        raise ImageError(f"expected an image of {channels} channels, got {raster.count}")
    return np.moveaxis(rgb, 0, 2).astype(np.uint8)
