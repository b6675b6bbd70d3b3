"""Decode once: all images and masks of a manifest as raw bytes in two memory-mapped files.

Images are uint8 RGB or grey, or the bands that were asked for in the type they are stored in, so that
16 bits stay 16 bits. Masks are uint8.

Every loader worker, fold, trial and process on a machine reads the same pages; the operating system
keeps them in memory as long as there is room. The name of a cache is a hash of all that its content
depends on, so a changed manifest or working size gets a cache of its own. Older ones stay on disk,
because other runs may still use them: to free space, delete folders in the cache directory at any
time; what is missing is built again.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from seglab.core.disk.files import hash_json
from seglab.core.errors import DataError, DataNotFoundError
from seglab.data.loading.packing import FORMAT_VERSION, IMAGES, INDEX, MASKS, CacheBuilder, Progress
from seglab.data.loading.store import SampleStore
from seglab.data.manifest import Manifest

log = logging.getLogger(__name__)


class PackedCache(SampleStore):
    """All kept samples of a manifest, decoded, in two memory-mapped files.

    Pickling passes on only the folder; each process maps the files when it first reads.

    Args:
        folder: A finished cache. Use `PackedCache.open` to have it built where it is missing.

    Raises:
        DataNotFoundError: There is no cache in `folder`.
        DataError: The cache is damaged: the index cannot be read or a file has another size.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = _read_index(folder)
        self.channels = index["channels"]
        self.dtype = np.dtype(index.get("dtype", "uint8"))
        self.bands = tuple(index.get("bands") or ()) or None
        self.fingerprint = index["fingerprint"]
        self.sample_ids = index["sample_ids"]
        self._image_hw: list[tuple[int, int]] = [(h, w) for h, w in index["image_hw"]]
        self._mask_hw = [None if hw is None else (hw[0], hw[1]) for hw in index["mask_hw"]]
        self._image_offsets = _offsets(self._image_hw, self.channels * self.dtype.itemsize)
        self._mask_offsets = _offsets(self._mask_hw, 1)
        sizes = {IMAGES: self._image_offsets[-1], MASKS: self._mask_offsets[-1]}
        for name, size in sizes.items():
            found = (folder / name).stat().st_size if (folder / name).is_file() else 0
            if found != size:
                raise DataError(f"{folder / name} should have {size} bytes, it has {found}")

    @classmethod
    def open(
        cls,
        manifest: Manifest,
        cache_dir: Path,
        image_size: tuple[int, int] | None = None,
        channels: int = 3,
        num_threads: int | None = None,
        on_progress: Progress | None = None,
        bands: tuple[int, ...] | None = None,
    ) -> PackedCache:
        """Return the cache of a manifest; build it first where it is missing or damaged.

        Only one process builds, others that ask meanwhile wait for it. A process killed while
        building leaves nothing that could be taken for a cache.

        Args:
            manifest: Data set; samples with `keep` false are left out.
            cache_dir: Folder for all caches.
            image_size: Working size (H, W) in pixels of images, or None for each one's own. Images
                shrink by area averaging and grow bilinearly; masks keep their size.
            channels: 3 for RGB, 1 for grey; without effect beside `bands`.
            num_threads: Threads that decode; None for one a processor.
            on_progress: Called as `on_progress(done, total)` after each sample while building.
            bands: Numbers of the bands to keep as they are stored, counted from 1, in the order of
                the channels; None for 8-bit RGB or grey.

        Raises:
            DataNotFoundError: Files are missing, and nothing else is wrong.
            DataError: Files are corrupt or not those that were imported (all are named), there is
                not enough free disk space, or the arguments are out of range.
        """
        _check_arguments(image_size, channels)
        parts = [FORMAT_VERSION, manifest.fingerprint, image_size, channels]
        parts += [list(bands)] if bands else []
        parts += _statuses(manifest)
        cache_dir = cache_dir.expanduser().absolute()
        safe_name = re.sub(r"[^\w.-]+", "_", manifest.name)
        folder = cache_dir / f"{safe_name}-{hash_json(parts)}"
        # Without the lock first: a finished cache can be where nothing may be written.
        found = cls._open_if_whole(folder)
        if found is not None:
            manifest.decoded.clear()
            return found
        cache_dir.mkdir(parents=True, exist_ok=True)
        with manifest.decoded, _locked(folder):
            found = cls._open_if_whole(folder)
            if found is not None:
                return found
            builder = CacheBuilder(manifest, folder, image_size, channels, bands)
            builder.build(num_threads, on_progress)
        return cls(folder)

    @classmethod
    def _open_if_whole(cls, folder: Path) -> PackedCache | None:
        try:
            return cls(folder)
        except DataNotFoundError:
            return None
        except DataError as error:
            log.warning("the cache is damaged and will be built again: %s", error)
            return None

    def __reduce__(self) -> tuple[type[PackedCache], tuple[Path]]:
        """Pickle as the folder alone, so that starting a worker copies nothing."""
        return PackedCache, (self.folder,)

    def image_hw(self, row: int) -> tuple[int, int]:
        """Return (H, W) in pixels of the cached image."""
        return self._image_hw[row]

    def mask_hw(self, row: int) -> tuple[int, int] | None:
        """Return (H, W) in pixels of the mask, None for a sample without one."""
        return self._mask_hw[row]

    def image(self, row: int) -> np.ndarray:
        """Return the image, `(H, W, channels)` of `dtype`, a read-only view of the mapped file."""
        height, width = self._image_hw[row]
        start, stop = self._image_offsets[row : row + 2]
        return self._images[start:stop].view(self.dtype).reshape(height, width, self.channels)

    def mask(self, row: int) -> np.ndarray | None:
        """Return the mask, uint8 `(H, W)`, a read-only view; None for a sample without one.

        Values are class indices or `ignore_index`.
        """
        size = self._mask_hw[row]
        if size is None:
            return None
        start, stop = self._mask_offsets[row : row + 2]
        return self._masks[start:stop].reshape(size)

    @cached_property
    def _images(self) -> np.ndarray:
        return _map_file(self.folder / IMAGES)

    @cached_property
    def _masks(self) -> np.ndarray:
        return _map_file(self.folder / MASKS)


def _statuses(manifest: Manifest) -> list[Any]:
    """Return path, size and time of change of files that the manifest holds no hash of.

    The fingerprint does not stand for their content, so they do; none in an imported data set.
    """
    kept = manifest.table[manifest.table["keep"]]
    bare = [
        path
        for file, digest in (("image", "sha256"), ("mask", "mask_sha256"))
        for path in kept.loc[kept[digest].isna() & kept[file].notna(), file]
    ]
    found = []
    for path in map(manifest.path, bare):
        if path.is_file():
            status = path.stat()
            found.append([str(path), status.st_size, status.st_mtime_ns])
    return found


def _check_arguments(image_size: tuple[int, int] | None, channels: int) -> None:
    if image_size is not None and (len(image_size) != 2 or min(image_size) < 1):
        raise DataError(f"image_size must be (H, W) in pixels, at least (1, 1); got {image_size}")
    if channels not in (1, 3):
        raise DataError(f"channels must be 3 (RGB) or 1 (grey), got {channels}")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a cache; say so in the log when another process has it."""
    lock = FileLock(str(folder.with_name(f".{folder.name}.lock")))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("waiting for another process that is building the cache %s", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _read_index(folder: Path) -> dict[str, Any]:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataNotFoundError(f"no cache at {folder}; PackedCache.open builds one") from error
    except ValueError as error:
        raise DataError(f"{folder / INDEX} is not valid JSON: {error}") from error
    if not isinstance(index, dict) or index.get("format_version") != FORMAT_VERSION:
        raise DataError(f"{folder / INDEX} is not a cache index of version {FORMAT_VERSION}")
    return index


def _offsets(sizes: Sequence[tuple[int, int] | None], pixel_bytes: int) -> list[int]:
    """Return where each sample starts in its file, and as last entry where the file ends."""
    offsets = [0]
    for size in sizes:
        offsets.append(offsets[-1] + (0 if size is None else size[0] * size[1] * pixel_bytes))
    return offsets


def _map_file(path: Path) -> np.ndarray:
    # An empty file cannot be mapped; a data set without any mask has one.
    if path.stat().st_size == 0:
        return np.empty(0, dtype=np.uint8)
    # As a plain array: slicing np.memmap itself costs several times more.
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
