"""Masks on their way from the import to the cache, so that no file is decoded twice."""

from __future__ import annotations

import threading
import zlib

import numpy as np

# Packed, a mask takes a few kilobytes: enough for tens of thousands. The rest is decoded again.
_MAX_BYTES = 2**28


class DecodedMasks:
    """Class indices by the SHA-256 of their file, packed in memory until a cache has been opened."""

    def __init__(self) -> None:
        self._packed: dict[str, tuple[bytes, tuple[int, ...]]] = {}
        self._size = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[DecodedMasks], tuple[()]]:
        """Pickle as empty: another process decodes for itself."""
        return DecodedMasks, ()

    def keep(self, sha256: str, mask: np.ndarray) -> None:
        """Keep a uint8 mask `(H, W)`, as long as there is room."""
        packed = zlib.compress(mask.tobytes(), 1)
        with self._lock:
            if sha256 not in self._packed and self._size + len(packed) <= _MAX_BYTES:
                self._packed[sha256] = packed, mask.shape
                self._size += len(packed)

    def get(self, sha256: str | None) -> np.ndarray | None:
        """Return the mask of a file, uint8 `(H, W)`, read-only; None where it was not kept."""
        packed, shape = self._packed.get(sha256 or "", (b"", ()))
        return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape) if packed else None

    def __enter__(self) -> DecodedMasks:
        """Use them for the last time."""
        return self

    def __exit__(self, *error: object) -> None:
        """Forget all."""
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._packed.clear()
        self._size = 0
