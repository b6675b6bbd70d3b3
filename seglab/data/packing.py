"""Writes a packed cache: decodes every sample once, checks it against the manifest, names what is wrong."""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from seglab.core.disk.files import sha256_bytes, write_text
from seglab.core.disk.places import place_error
from seglab.core.errors import DataError, DataNotFoundError, DiskFullError, list_problems
from seglab.data.bands.decode import decode_bands, select_bands
from seglab.data.images import decode_image
from seglab.data.manifest import Manifest
from seglab.data.masks import decode_mask

# Of the second version the name covers the content of masks.
FORMAT_VERSION = 2
IMAGES, MASKS, INDEX = "images.bin", "masks.bin", "index.json"
Progress = Callable[[int, int], None]
# Enough to repair a data set in one go; a moved root would otherwise print every file there is.
_MAX_NAMED = 200


@dataclass(frozen=True)
class _Source:
    sample_id: str
    image: Path
    mask: Path | None
    sha256: str | None
    mask_sha256: str | None
    class_pixels: Sequence[int]


@dataclass
class _Decoded:
    image: np.ndarray | None = None
    mask: np.ndarray | None = None
    problems: list[str] = field(default_factory=list)
    missing: bool = True

    def require_type(self, dtype: str, source: _Source) -> None:
        """Note as a problem that the image is not of the type of the others."""
        if self.image is not None and self.image.dtype != dtype:
            self.problems.append(
                f"{source.sample_id}: {source.image}: holds {self.image.dtype}, the images before "
                f"it {dtype}; bands must be of one type"
            )
            self.missing = False


class CacheBuilder:
    """Builds one cache in a temporary folder and moves it to its place when it is whole.

    Args:
        manifest: Data set; samples with `keep` false are left out.
        folder: Where the finished cache goes; its lock is held by the caller.
        image_size: Working size (H, W) of images, or None for each one's own.
        channels: 3 for RGB, 1 for grey.
        bands: Numbers of the bands to keep as stored, instead of RGB or grey.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        image_size: tuple[int, int] | None,
        channels: int,
        bands: tuple[int, ...] | None = None,
    ) -> None:
        self.manifest = manifest
        self.folder = folder
        self.image_size = image_size
        self.bands = bands
        self.channels = len(bands) if bands else channels
        self.table = manifest.table[manifest.table["keep"]].sort_values("sample_id")

    def build(self, num_threads: int | None, on_progress: Progress | None) -> None:
        """Decode, check and write everything.

        Raises:
            DataNotFoundError: Files are missing, and nothing else is wrong.
            DataError: Files are corrupt or changed since the import; all are named.
            DiskFullError: The disk is too small.
        """
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
            if not isinstance(place_error(error, self.folder), DiskFullError):
                raise
            full = self._no_space("the disk became full while building")
            raise DiskFullError(full, self.folder.parent) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _write(self, partial: Path, num_threads: int, on_progress: Progress | None) -> None:
        sources = list(self._sources())
        image_hw: list[tuple[int, ...]] = []
        mask_hw: list[tuple[int, ...] | None] = []
        dtype = "uint8"
        faulty: list[_Decoded] = []
        with (partial / IMAGES).open("wb") as images, (partial / MASKS).open("wb") as masks:
            for done, decoded in enumerate(self._decode_all(sources, num_threads), start=1):
                if decoded.image is not None:
                    dtype = decoded.image.dtype.name if not image_hw else dtype
                    decoded.require_type(dtype, sources[done - 1])
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
            "dtype": dtype,
            "bands": self.bands,
            "sample_ids": [source.sample_id for source in sources],
            "image_hw": image_hw,
            "mask_hw": mask_hw,
        }
        write_text(partial / INDEX, json.dumps(index))

    def _sources(self) -> Iterator[_Source]:
        root = self.manifest.root
        names = ("sample_id", "image", "mask", "sha256", "mask_sha256", "class_pixels")
        columns = [self.table[name] for name in names]
        for sample_id, image, mask, *known in zip(*columns, strict=True):
            path = root / mask if isinstance(mask, str) else None
            yield _Source(sample_id, root / image, path, *known)

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
        _require_imported(content, source.sha256, source.image)
        if self.bands:
            image = select_bands(decode_bands(content, source.image), self.bands, source.image)
        else:
            image = decode_image(content, source.image, self.channels)
        resized = _resize(image, self.image_size) if self.image_size else image
        decoded.image = np.ascontiguousarray(resized.reshape(*resized.shape[:2], self.channels))

    def _decode_mask(self, source: _Source, decoded: _Decoded) -> None:
        if source.mask is None:
            return
        labels = self.manifest.labels
        content = source.mask.read_bytes()
        _require_imported(content, source.mask_sha256, source.mask)
        # The file is the one the import read, so is what came of it.
        decoded.mask = self.manifest.decoded.get(source.mask_sha256)
        if decoded.mask is not None:
            return
        mask = decode_mask(content, source.mask, labels, self.manifest.mask_encoding)
        mask = np.ascontiguousarray(mask)
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
        # Not known before the files are read; most bands have 16 bits.
        pixel_bytes = self.channels * (2 if self.bands else 1)
        needed = images * pixel_bytes + int(pixels[self.table["mask"].notna()].sum())
        free = shutil.disk_usage(self.folder.parent).free
        if needed > free:
            full = self._no_space(f"it needs {_gib(needed)}, free are {_gib(free)}")
            raise DiskFullError(full, self.folder.parent)

    def _no_space(self, reason: str) -> str:
        return (
            f"not enough disk space for the cache of {self.manifest.name!r} in "
            f"{self.folder.parent}: {reason}. Delete old caches there, name another folder "
            "(paths.cache_dir or SEGLAB_CACHE), or set a smaller data.image_size"
        )


def _require_imported(content: bytes, sha256: str | None, path: Path) -> None:
    if sha256 is not None and sha256_bytes(content) != sha256:
        raise DataError(f"{path}: not the file that was imported (other SHA-256)")


def _resize(image: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Resize `(H, W)` or `(H, W, C)` of any type: by area along axes that shrink, then bilinearly."""
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
    return f"{size / 2**30:.2f} GiB" if size > 2**28 else f"{size / 2**20:.1f} MiB"
