"""Samples as an audit sees them: both files read once, and what is wrong with them kept as words."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.core.disk.files import sha256_bytes
from seglab.core.errors import DataError, LabelError
from seglab.data.bands.decode import decode_bands, own_picture
from seglab.data.build import (
    CORRUPT_IMAGE,
    CORRUPT_MASK,
    MISSING_IMAGE,
    MISSING_MASK,
    UNKNOWN_LABELS,
)
from seglab.data.files.images import bands_in, decode_image
from seglab.data.files.masks import decode_mask
from seglab.data.manifest import Manifest

DROPPED = "dropped"
FILE_FAULTS = frozenset(
    {MISSING_IMAGE, CORRUPT_IMAGE, MISSING_MASK, CORRUPT_MASK, UNKNOWN_LABELS, "size_mismatch"}
)


@dataclass(frozen=True, eq=False)
class Sample:
    """One row of a manifest with what its files hold.

    Args:
        row: The row, column -> value.
        image: uint8 RGB `(H, W, 3)`, bands other than RGB stretched for the eye; None: unreadable.
        mask: Class indices uint8 `(H, W)`; None: not labelled or unreadable.
        faults: Kind of fault -> what exactly.
        sha256: SHA-256 of image and mask, None where there is no file.
    """

    row: dict[str, Any]
    image: np.ndarray | None
    mask: np.ndarray | None
    faults: dict[str, str]
    sha256: tuple[str | None, str | None]

    @property
    def sample_id(self) -> str:
        """Name of the sample."""
        return str(self.row["sample_id"])


def audited_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the rows an audit looks at: those kept, and those that the import found faulty files of.

    What was taken out on purpose is no finding any more.
    """
    rows = manifest.table.to_dict(orient="records")
    return [
        {str(name): value for name, value in row.items()}
        for row in rows
        if row["keep"] or (FILE_FAULTS & set(row["flags"]) and DROPPED not in row["flags"])
    ]


def read_samples(manifest: Manifest) -> Iterator[Sample]:
    """Yield every audited sample, read a few ahead in threads (decoders release the lock)."""
    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Sample]] = deque()
        for row in audited_rows(manifest):
            waiting.append(pool.submit(read_sample, manifest, row))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def read_sample(manifest: Manifest, row: dict[str, Any], mask_only: bool = False) -> Sample:
    """Read the files of a row; what is wrong with them stands in `faults`."""
    faults: dict[str, str] = {}
    image, digest = (None, None) if mask_only else _read_image(manifest, row["image"], faults)
    mask, mask_digest = None, None
    if row["mask"] is not None:
        mask, mask_digest = _read_mask(manifest, row["mask"], faults)
    return Sample(row, image, mask, faults, (digest, mask_digest))


def _read_image(
    manifest: Manifest, name: str, faults: dict[str, str]
) -> tuple[np.ndarray | None, str | None]:
    path = manifest.path(name)
    try:
        content = path.read_bytes()
    except OSError as error:
        faults[MISSING_IMAGE] = f"{name}: {error.strerror or error}"
        return None, None
    try:
        if bands_in(content, path):
            return own_picture(decode_bands(content, path)), sha256_bytes(content)
        return decode_image(content, path), sha256_bytes(content)
    except (DataError, OSError, MemoryError) as error:
        faults[CORRUPT_IMAGE] = _told(error, path, name)
        return None, sha256_bytes(content)


def _read_mask(
    manifest: Manifest, name: str, faults: dict[str, str]
) -> tuple[np.ndarray | None, str | None]:
    path = manifest.path(name)
    try:
        content = path.read_bytes()
    except OSError as error:
        faults[MISSING_MASK] = f"{name}: {error.strerror or error}"
        return None, None
    digest = sha256_bytes(content)
    try:
        return decode_mask(content, path, manifest.labels, manifest.mask_encoding), digest
    except LabelError as error:
        faults[UNKNOWN_LABELS] = _told(error, path, name)
    except (DataError, OSError, MemoryError) as error:
        faults[CORRUPT_MASK] = _told(error, path, name)
    return None, digest


def _told(error: Exception, path: Path, name: str) -> str:
    """Return an error that names the file as the manifest does."""
    return f"{name}: {str(error).removeprefix(f'{path}: ')}"
