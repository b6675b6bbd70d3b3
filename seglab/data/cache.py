"""Decode once: all images and masks of a manifest as raw bytes in two memory-mapped files.

Every loader worker, fold, trial and process on a machine reads the same pages; the operating system
keeps them in memory as long as there is room. The name of a cache is a hash of all that its content
depends on, so a changed manifest or working size gets a cache of its own. Older ones stay on disk,
because other runs may still use them: to free space, delete folders in the cache directory at any
time; what is missing is built again.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filelock import FileLock, Timeout

from seglab.core.errors import DataError, DataNotFoundError, list_problems
from seglab.core.files import hash_json, sha256_bytes, write_text
from seglab.data.images import decode_image, read_mask
from seglab.data.manifest import Manifest

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
Progress = Callable[[int, int], None]
_IMAGES, _MASKS, _INDEX = "images.bin", "masks.bin", "index.json"
# Enough to repair a data set in one go; a moved root would otherwise print every file there is.
_MAX_NAMED = 200


class PackedCache:
    """All kept samples of a manifest as uint8, sorted by `sample_id`; rows are integers from 0.

    Images have the working size, masks the native one, so that scores are always taken on the mask
    as it was drawn. Pickling passes on only the folder; each process maps the files when it first
    reads.

    Args:
        folder: A finished cache. Use `PackedCache.open` to have it built where it is missing.

    Raises:
        DataNotFoundError: There is no cache in `folder`.
        DataError: The cache is damaged: the index cannot be read or a file has another size.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = _read_index(folder)
        self.channels: int = index["channels"]
        self.fingerprint: str = index["fingerprint"]
        self.sample_ids: list[str] = index["sample_ids"]
        self._image_hw: list[tuple[int, int]] = [(h, w) for h, w in index["image_hw"]]
        self._mask_hw = [None if hw is None else (hw[0], hw[1]) for hw in index["mask_hw"]]
        self._image_offsets = _offsets(self._image_hw, self.channels)
        self._mask_offsets = _offsets(self._mask_hw, 1)
        sizes = {_IMAGES: self._image_offsets[-1], _MASKS: self._mask_offsets[-1]}
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
    ) -> PackedCache:
        """Return the cache of a manifest; build it first where it is missing or damaged.

        Only one process builds, others that ask meanwhile wait for it. A process killed while
        building leaves nothing that could be taken for a cache.

        Args:
            manifest: Data set; samples with `keep` false are left out.
            cache_dir: Folder for all caches.
            image_size: Working size (H, W) in pixels of images, or None for each one's own. Images
                shrink by area averaging and grow bilinearly; masks keep their size.
            channels: 3 for RGB, 1 for grey.
            num_threads: Threads that decode; None for one a processor.
            on_progress: Called as `on_progress(done, total)` after each sample while building.

        Raises:
            DataNotFoundError: Files are missing, and nothing else is wrong.
            DataError: Files are corrupt or not those that were imported (all are named), there is
                not enough free disk space, or the arguments are out of range.
        """
        _check_arguments(image_size, channels)
        parts = [FORMAT_VERSION, manifest.fingerprint, image_size, channels]
        cache_dir = cache_dir.expanduser().absolute()
        safe_name = re.sub(r"[^\w.-]+", "_", manifest.name)
        folder = cache_dir / f"{safe_name}-{hash_json(parts)}"
        # Without the lock first: a finished cache can be where nothing may be written.
        found = cls._open_if_whole(folder)
        if found is not None:
            return found
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            found = cls._open_if_whole(folder)
            if found is not None:
                return found
            _Builder(manifest, folder, image_size, channels).build(num_threads, on_progress)
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

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.sample_ids)

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
        """Return the image, uint8 `(H, W, channels)`, a read-only view of the mapped file."""
        height, width = self._image_hw[row]
        start, stop = self._image_offsets[row : row + 2]
        return self._images[start:stop].reshape(height, width, self.channels)

    def mask(self, row: int) -> np.ndarray | None:
        """Return the mask, uint8 `(H, W)`, a read-only view; None for a sample without one.

        Values are class indices or `ignore_index`.
        """
        size = self._mask_hw[row]
        if size is None:
            return None
        start, stop = self._mask_offsets[row : row + 2]
        return self._masks[start:stop].reshape(size)

    def rows(self, sample_ids: Iterable[str]) -> list[int]:
        """Return the rows of samples, in the order asked for.

        Raises:
            DataError: A sample is not in the cache; all such are listed.
        """
        wanted = list(sample_ids)
        unknown = [sample_id for sample_id in wanted if sample_id not in self._row_of]
        if unknown:
            title = f"samples not among the {len(self)} kept ones of the data set"
            raise DataError(list_problems(title, unknown))
        return [self._row_of[sample_id] for sample_id in wanted]

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {sample_id: row for row, sample_id in enumerate(self.sample_ids)}

    @cached_property
    def _images(self) -> np.ndarray:
        return _map_file(self.folder / _IMAGES)

    @cached_property
    def _masks(self) -> np.ndarray:
        return _map_file(self.folder / _MASKS)


@dataclass(frozen=True)
class _Source:
    sample_id: str
    image: Path
    mask: Path | None
    sha256: str | None
    class_pixels: Sequence[int]


@dataclass
class _Decoded:
    image: np.ndarray | None = None
    mask: np.ndarray | None = None
    problems: list[str] = field(default_factory=list)
    missing: bool = True


class _Builder:
    """Builds one cache in a temporary folder and moves it to its place when it is whole."""

    def __init__(
        self, manifest: Manifest, folder: Path, image_size: tuple[int, int] | None, channels: int
    ) -> None:
        self.manifest = manifest
        self.folder = folder
        self.image_size = image_size
        self.channels = channels
        self.table = manifest.table[manifest.table["keep"]].sort_values("sample_id")

    def build(self, num_threads: int | None, on_progress: Progress | None) -> None:
        self._check_space()
        # The lock is held, so a folder of this name is what a killed process left.
        partial = self.folder.with_name(f".{self.folder.name}.part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            self._write(partial, num_threads or _num_processors(), on_progress)
            shutil.rmtree(self.folder, ignore_errors=True)
            partial.rename(self.folder)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise DataError(self._no_space("the disk became full while building")) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _write(self, partial: Path, num_threads: int, on_progress: Progress | None) -> None:
        sources = list(self._sources())
        image_hw, mask_hw = [], []
        faulty: list[_Decoded] = []
        with (partial / _IMAGES).open("wb") as images, (partial / _MASKS).open("wb") as masks:
            for done, decoded in enumerate(self._decode_all(sources, num_threads), start=1):
                if decoded.problems:
                    faulty.append(decoded)
                elif decoded.image is not None and not faulty:
                    images.write(decoded.image.data)
                    image_hw.append(decoded.image.shape[:2])
                    mask_hw.append(None if decoded.mask is None else decoded.mask.shape)
                    masks.write(b"" if decoded.mask is None else decoded.mask.data)
                if on_progress is not None:
                    on_progress(done, len(sources))
            if faulty:
                raise _error(faulty, self.manifest)
            for stream in (images, masks):
                stream.flush()
                os.fsync(stream.fileno())
        index = {
            "format_version": FORMAT_VERSION,
            "name": self.manifest.name,
            "fingerprint": self.manifest.fingerprint,
            "image_size": self.image_size,
            "channels": self.channels,
            "sample_ids": [source.sample_id for source in sources],
            "image_hw": image_hw,
            "mask_hw": mask_hw,
        }
        write_text(partial / _INDEX, json.dumps(index))

    def _sources(self) -> Iterator[_Source]:
        root = self.manifest.root
        columns = [self.table[name] for name in ("sample_id", "image", "mask", "sha256")]
        for sample_id, image, mask, sha256, counts in zip(
            *columns, self.table["class_pixels"], strict=True
        ):
            path = root / mask if isinstance(mask, str) else None
            yield _Source(sample_id, root / image, path, sha256, counts)

    def _decode_all(self, sources: Sequence[_Source], num_threads: int) -> Iterator[_Decoded]:
        """Yield decoded samples in order; a bounded number of them is in memory at a time."""
        pending: deque[Future[_Decoded]] = deque()
        with ThreadPoolExecutor(num_threads, thread_name_prefix="seglab-decode") as pool:
            for source in sources:
                pending.append(pool.submit(self._decode, source))
                if len(pending) > 4 * num_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _decode(self, source: _Source) -> _Decoded:
        decoded = _Decoded()
        for read in (self._decode_image, self._decode_mask):
            try:
                read(source, decoded)
            except (DataError, OSError) as error:
                decoded.problems.append(f"{source.sample_id}: {error}")
                decoded.missing = decoded.missing and isinstance(error, FileNotFoundError)
        return decoded

    def _decode_image(self, source: _Source, decoded: _Decoded) -> None:
        content = source.image.read_bytes()
        if source.sha256 is not None and sha256_bytes(content) != source.sha256:
            raise DataError(f"{source.image}: not the file that was imported (other SHA-256)")
        image = decode_image(content, source.image, self.channels)
        resized = _resize(image, self.image_size) if self.image_size else image
        decoded.image = np.ascontiguousarray(resized.reshape(*resized.shape[:2], self.channels))

    def _decode_mask(self, source: _Source, decoded: _Decoded) -> None:
        if source.mask is None:
            return
        labels = self.manifest.labels
        mask = np.ascontiguousarray(read_mask(source.mask, labels, self.manifest.mask_encoding))
        # The manifest keeps no hash of masks; its class counts change with nearly every edit.
        counts = np.bincount(mask.ravel(), minlength=256)
        if len(source.class_pixels) == labels.num_classes + 1:
            found = [*counts[: labels.num_classes], counts[labels.ignore_index]]
            if not np.array_equal(found, source.class_pixels):
                raise DataError(f"{source.mask}: not the mask that was imported (other pixels)")
        decoded.mask = mask

    def _check_space(self) -> None:
        pixels = (self.table["height"] * self.table["width"]).astype("int64")
        size = self.image_size
        images = int(pixels.sum()) if size is None else len(pixels) * size[0] * size[1]
        needed = images * self.channels + int(pixels[self.table["mask"].notna()].sum())
        free = shutil.disk_usage(self.folder.parent).free
        if needed > free:
            raise DataError(self._no_space(f"it needs {_gib(needed)}, free are {_gib(free)}"))

    def _no_space(self, reason: str) -> str:
        return (
            f"not enough disk space for the cache of {self.manifest.name!r} in "
            f"{self.folder.parent}: {reason}. Delete old caches there, name another folder "
            "(paths.cache_dir or SEGLAB_CACHE), or set a smaller data.image_size"
        )


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
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataNotFoundError(f"no cache at {folder}; PackedCache.open builds one") from error
    except ValueError as error:
        raise DataError(f"{folder / _INDEX} is not valid JSON: {error}") from error
    if not isinstance(index, dict) or index.get("format_version") != FORMAT_VERSION:
        raise DataError(f"{folder / _INDEX} is not a cache index of version {FORMAT_VERSION}")
    return index


def _offsets(sizes: Sequence[tuple[int, int] | None], channels: int) -> list[int]:
    """Return where each sample starts in its file, and as last entry where the file ends."""
    offsets = [0]
    for size in sizes:
        offsets.append(offsets[-1] + (0 if size is None else size[0] * size[1] * channels))
    return offsets


def _map_file(path: Path) -> np.ndarray:
    # An empty file cannot be mapped; a data set without any mask has one.
    if path.stat().st_size == 0:
        return np.empty(0, dtype=np.uint8)
    # As a plain array: slicing np.memmap itself costs several times more.
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))


def _resize(image: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Resize `(H, W)` or `(H, W, 3)`: by area along axes that shrink, then bilinearly."""
    height, width = image_size
    smaller = (min(height, image.shape[0]), min(width, image.shape[1]))
    if smaller != image.shape[:2]:
        image = cv2.resize(image, smaller[::-1], interpolation=cv2.INTER_AREA)
    if image.shape[:2] != image_size:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return image


def _error(faulty: Sequence[_Decoded], manifest: Manifest) -> DataError:
    problems = [problem for decoded in faulty for problem in decoded.problems]
    noun = "file" if len(problems) == 1 else "files"
    title = (
        f"{len(problems)} {noun} of {manifest.name!r} cannot be used; if the files are right as "
        f"they are now, import the data again, otherwise restore them under {manifest.root}"
    )
    kind = DataNotFoundError if all(decoded.missing for decoded in faulty) else DataError
    return kind(list_problems(title, problems, limit=_MAX_NAMED))


def _num_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
