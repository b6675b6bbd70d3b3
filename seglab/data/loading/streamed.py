"""Samples that are decoded when they are asked for: of files by URL, more than a disk may hold.

A packed cache would copy all of them here, decoded; this one keeps files as they are stored, within the
limit of the file cache. Each loader worker reads for itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seglab.core.errors import DataError
from seglab.data.bands.statistics import layout_of
from seglab.data.loading.decoding import SampleDecoder
from seglab.data.loading.store import SampleStore
from seglab.data.manifest import Manifest
from seglab.data.remote import file_cache, use_file_cache


class StreamedSamples(SampleStore):
    """All kept samples of a manifest, read file by file.

    Args:
        manifest: Data set; its heights and widths are taken as the sizes of images and masks.
        image_size: Working size (H, W) in pixels of images, or None for each one's own.
        channels: 3 for RGB, 1 for grey; without effect beside `bands`.
        bands: Numbers of the bands to keep as they are stored, counted from 1.
    """

    def __init__(
        self,
        manifest: Manifest,
        image_size: tuple[int, int] | None = None,
        channels: int = 3,
        bands: tuple[int, ...] | None = None,
    ) -> None:
        self._decoder = SampleDecoder(manifest, image_size, channels, bands)
        self._sources = list(self._decoder.sources())
        sizes = self._decoder.table[["height", "width"]].to_numpy()
        self._sizes = [(int(height), int(width)) for height, width in sizes]
        self.sample_ids = [source.sample_id for source in self._sources]
        self.fingerprint = manifest.fingerprint
        self.channels, self.bands = self._decoder.channels, bands
        layout = layout_of(manifest)
        self.dtype = np.dtype(layout.dtype if bands and layout else "uint8")

    def __getstate__(self) -> dict[str, Any]:
        """Return what a worker that is not forked needs: the cache is set up there anew."""
        cache = file_cache()
        return {**self.__dict__, "_cache": (cache.folder.parent, cache.limit / 1e9)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set up the samples, and the cache of files, in another process."""
        use_file_cache(*state.pop("_cache"))
        self.__dict__.update(state)

    def image_hw(self, row: int) -> tuple[int, int]:
        """Return (H, W) in pixels of the image."""
        return self._decoder.image_size or self._sizes[row]

    def mask_hw(self, row: int) -> tuple[int, int] | None:
        """Return (H, W) in pixels of the mask, None for a sample without one."""
        return None if self._sources[row].mask is None else self._sizes[row]

    def image(self, row: int) -> np.ndarray:
        """Return the image, `(H, W, channels)` of `dtype`.

        Raises:
            DataError: The file is gone, damaged, of another type, or not the one that was imported.
            RemoteError: The store cannot be reached, or refuses.
        """
        source = self._sources[row]
        image = _found(self._decoder.image, source)
        self._require(source.image, image.shape[:2], self.image_hw(row))
        if image.dtype != self.dtype:
            raise DataError(f"{source.image}: holds {image.dtype}, the data set {self.dtype}")
        return image

    def mask(self, row: int) -> np.ndarray | None:
        """Return the mask, uint8 `(H, W)`; None for a sample without one.

        Raises:
            DataError: The file is gone, damaged, or not the one that was imported.
            RemoteError: The store cannot be reached, or refuses.
        """
        source = self._sources[row]
        mask: np.ndarray | None = _found(self._decoder.mask, source)
        if mask is not None:
            self._require(source.mask, mask.shape, self._sizes[row])
        return mask

    def _require(self, path: object, found: tuple[int, ...], expected: tuple[int, int]) -> None:
        if found != expected:
            raise DataError(f"{path}: has {found} pixels (H, W), the manifest says {expected}")


def _found(decode: Any, source: Any) -> Any:
    try:
        return decode(source)
    except FileNotFoundError as error:
        raise DataError(f"{source.sample_id}: {error.filename}: no such file") from error
