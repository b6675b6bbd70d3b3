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

import numpy as np

from seglab.core.disk.files import write_text
from seglab.core.disk.places import place_error
from seglab.core.errors import DataError, DataNotFoundError, DiskFullError, list_problems
from seglab.data.loading.decoding import SampleDecoder, SourceFiles
from seglab.data.manifest import Manifest

# Of the second version the name covers the content of masks.
FORMAT_VERSION = 2
IMAGES, MASKS, INDEX = "images.bin", "masks.bin", "index.json"
Progress = Callable[[int, int], None]
# Enough to repair a data set in one go; a moved root would otherwise print every file there is.
_MAX_NAMED = 200


@dataclass
class _Decoded:
    image: np.ndarray | None = None
    mask: np.ndarray | None = None
    problems: list[str] = field(default_factory=list)
    missing: bool = True

    def require_type(self, dtype: str, source: SourceFiles) -> None:
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
        self.decoder = SampleDecoder(manifest, image_size, channels, bands)

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
        sources = list(self.decoder.sources())
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
            "channels": self.decoder.channels,
            "dtype": dtype,
            "bands": self.bands,
            "sample_ids": [source.sample_id for source in sources],
            "image_hw": image_hw,
            "mask_hw": mask_hw,
        }
        write_text(partial / INDEX, json.dumps(index))

    def _decode_all(self, sources: Sequence[SourceFiles], num_threads: int) -> Iterator[_Decoded]:
        """Yield decoded samples in order; a bounded number of them is in memory at a time."""
        pending: deque[Future[_Decoded]] = deque()
        with ThreadPoolExecutor(num_threads, thread_name_prefix="seglab-decode") as pool:
            for source in sources:
                pending.append(pool.submit(self._decode, source))
                if len(pending) > 4 * num_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _decode(self, source: SourceFiles) -> _Decoded:
        decoded = _Decoded()
        for name, decode in (("image", self.decoder.image), ("mask", self.decoder.mask)):
            try:
                setattr(decoded, name, decode(source))
            except (DataError, OSError) as error:
                decoded.problems.append(f"{source.sample_id}: {error}")
                decoded.missing = decoded.missing and isinstance(error, FileNotFoundError)
        return decoded

    def _check_space(self) -> None:
        pixels = (self.decoder.table["height"] * self.decoder.table["width"]).astype("int64")
        size = self.image_size
        images = int(pixels.sum()) if size is None else len(pixels) * size[0] * size[1]
        # Not known before the files are read; most bands have 16 bits.
        pixel_bytes = self.decoder.channels * (2 if self.bands else 1)
        needed = images * pixel_bytes + int(pixels[self.decoder.table["mask"].notna()].sum())
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
