"""Where on Earth the pixels of a GeoTIFF are, taken over by what is written; needs rasterio."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from seglab.core.disk.files import atomic_path
from seglab.core.errors import DataError
from seglab.deploy.predict.files.sources import Source

TIFF_SUFFIXES = (".tif", ".tiff")
# GDAL keeps 5 % of the machine's memory by default.
_CACHE_BYTES = 64 << 20
_TILE = 512


@dataclass(frozen=True)
class Georeference:
    """What a GeoTIFF says of its place.

    Attributes:
        crs: Coordinate reference system.
        transform: From pixels to it.
        gcps: Ground control points, where it has them instead of a transform.
        pixel_m2: Area of a pixel; None where the system does not measure lengths.
    """

    crs: Any
    transform: Any
    gcps: list[Any]
    pixel_m2: float | None

    @property
    def profile(self) -> dict[str, Any]:
        """What rasterio takes to write it."""
        if self.gcps:
            return {"crs": self.crs, "gcps": self.gcps}
        return {"crs": self.crs, "transform": self.transform}


def require_rasterio(why: str) -> Any:
    """Return the package.

    Raises:
        DataError: It is not installed.
    """
    try:
        import rasterio
        import rasterio.io
    except ImportError:
        raise DataError(f"{why} needs rasterio: pip install 'seglab[geo]'") from None
    return rasterio


@contextmanager
def open_raster(source: Source, why: str) -> Iterator[Any]:
    """Yield an image file as rasterio opens it, within little memory.

    Raises:
        DataError: rasterio is not installed.
        OSError: The file is damaged, or none that GDAL reads.
    """
    rasterio = require_rasterio(why)
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        if source.is_remote:
            with rasterio.io.MemoryFile(source.read()) as held, held.open() as raster:
                yield raster
        else:
            with rasterio.open(source.place) as raster:
                yield raster


def georeference_of(raster: Any) -> Georeference | None:
    """Return the georeference of an open raster; None where it has none."""
    gcps, gcps_crs = raster.gcps
    if raster.crs is None and not gcps and raster.transform.is_identity:
        return None
    crs = raster.crs or gcps_crs
    pixel_m2 = None
    if crs is not None and crs.is_projected and not gcps:
        pixel_m2 = abs(raster.transform.determinant) * crs.linear_units_factor[1] ** 2
    return Georeference(crs, raster.transform, list(gcps), pixel_m2)


def write_raster(
    path: Path,
    rows: Iterator[np.ndarray],
    size: tuple[int, ...],
    place: Georeference,
    palette: Sequence[tuple[int, ...]] = (),
) -> None:
    """Write a GeoTIFF in tiles.

    Args:
        path: The file.
        rows: Bands of rows from top to bottom, `(planes, rows, W)` of one dtype.
        size: `(planes, H, W)`.
        place: The georeference.
        palette: Colours of the values 0, 1, ... of a single plane.
    """
    rasterio = require_rasterio("a GeoTIFF")
    first = next(rows)
    profile = {"driver": "GTiff", "count": size[0], "height": size[1], "width": size[2]}
    profile |= {"tiled": True, "blockxsize": _TILE, "blockysize": _TILE, "compress": "deflate"}
    profile |= {"dtype": first.dtype.name, "BIGTIFF": "IF_SAFER"} | place.profile
    top = 0
    with (
        atomic_path(path) as temporary,
        rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES),
        rasterio.open(temporary, "w", **profile) as raster,
    ):
        if palette:
            raster.write_colormap(1, dict(enumerate(palette)))
        for band in chain([first], rows):
            raster.write(band, window=((top, top + band.shape[1]), (0, size[2])))
            top += band.shape[1]
