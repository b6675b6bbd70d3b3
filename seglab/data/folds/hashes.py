"""Images that look alike: pairs of perceptual hashes that differ in few bits.

All pairs are compared, in slices of bounded memory: an index (BK-tree) in Python is slower for the
tens of thousands of images a segmentation data set has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

_SLICE_PAIRS = 4_000_000


def unique_hashes(hashes: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct hashes, uint64 `(U,)` ascending, and the place of each sample's in it.

    Args:
        hashes: 16 hexadecimal digits a sample, or None.

    Returns:
        Values and, int64 `(N,)`, indices into them; -1 for a sample without a hash.
    """
    known = np.array([text is not None for text in hashes], dtype=bool)
    numbers = np.array([int(text, 16) for text in hashes if text is not None], dtype=np.uint64)
    values, inverse = np.unique(numbers, return_inverse=True)
    places = np.full(len(hashes), -1, dtype=np.int64)
    places[known] = inverse
    return values, places


def count_bits(values: np.ndarray) -> np.ndarray:
    """Return the number of set bits of each uint64, as uint8."""
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(values)
    # NumPy 1: four lookups in a table of all 16-bit numbers.
    parts = np.ascontiguousarray(values)[..., None].view(np.uint16)
    return _table()[parts].sum(axis=-1, dtype=np.uint8)


def _table() -> np.ndarray:
    numbers = np.arange(1 << 16, dtype=np.uint16)
    return np.unpackbits(numbers.view(np.uint8).reshape(-1, 2), axis=1).sum(axis=1, dtype=np.uint8)


def _slices(values: np.ndarray, max_distance: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield `(rows, near)`: bool `(len(rows), U)`, whether the hashes differ in few enough bits."""
    step = max(1, _SLICE_PAIRS // max(1, len(values)))
    for start in range(0, len(values), step):
        rows = slice(start, min(start + step, len(values)))
        yield rows, count_bits(values[rows, None] ^ values[None, :]) <= max_distance


def near_clusters(values: np.ndarray, max_distance: int) -> np.ndarray:
    """Return the cluster of each distinct hash, int64 `(U,)`, by single linkage.

    Two hashes share a cluster when a chain of hashes joins them, each at most `max_distance` bits
    from the next.
    """
    # Imported here: reading a plan needs no SciPy.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(values)
    labels = np.arange(count, dtype=np.int64)
    for rows, near in _slices(values, max_distance):
        left, right = np.nonzero(near)
        # The labels so far stand for all edges seen, so that no slice but this one is in memory.
        ends = (
            np.concatenate([np.arange(count), left + rows.start]),
            np.concatenate([labels, right]),
        )
        graph = coo_matrix((np.ones(len(ends[0]), dtype=bool), ends), shape=(count, count))
        _, components = connected_components(graph, directed=False)
        _, first = np.unique(components, return_index=True)
        labels = first[components]
    return labels


def near_marked(values: np.ndarray, max_distance: int, marked: np.ndarray) -> np.ndarray:
    """Return for each hash, and each set of marked ones, whether a marked one is near it.

    Args:
        values: Distinct hashes, uint64 `(U,)`.
        max_distance: Bits that near hashes may differ in; a hash is near itself.
        marked: Bool `(U, S)`: S sets of hashes.

    Returns:
        Bool `(U, S)`.
    """
    found = np.zeros(marked.shape, dtype=bool)
    # As floats it is one fast matrix product; 0 and positive sums are exact.
    weights = marked.astype(np.float32)
    for rows, near in _slices(values, max_distance):
        found[rows] = near.astype(np.float32) @ weights > 0
    return found
