"""Images that look alike: pairs of perceptual hashes that differ in few bits.

Hashes that differ in at most `r` of 64 bits, cut into `r + k` parts, agree in all bits of at least `k`
parts. So for each choice of `k` parts the hashes are sorted by those, and only those that agree there are
compared: for unrelated images a number that grows with theirs, not with its square. Few hashes, and those
that may differ in many bits, are compared each with each, in slices of bounded memory.

References:
    Norouzi, Punjani, Fleet (2014), Fast exact search in Hamming space with multi-index hashing:
    https://arxiv.org/abs/1307.2982
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, pairwise
from math import comb

import numpy as np

_SLICE_PAIRS = 4_000_000
_HASH_BITS = 64
# Comparing so many pairs takes as long as sorting one hash.
_PAIRS_A_SORT = 10


def unique_hashes(hashes: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct hashes, uint64 `(U,)` ascending, and the place of each sample's in it.

    Args:
        hashes: 16 hexadecimal digits a sample, or None.

    Returns:
        Values and, int64 `(N,)`, indices into them; -1 for a sample without a hash.
    """
    known = np.array([text is not None for text in hashes], dtype=bool)
    digits = "".join([text for text in hashes if text is not None])
    numbers = np.frombuffer(bytes.fromhex(digits), dtype=">u8").astype(np.uint64)
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


def near_pairs(values: np.ndarray, max_distance: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of hashes that differ in few bits, some millions at a time.

    Args:
        values: Distinct hashes, uint64 `(U,)`.
        max_distance: Bits that near hashes may differ in.

    Yields:
        Places in `values`, int64 `(P,)` each. Every near pair comes at least once, in some order; it may
        come again, and no hash is paired with itself.
    """
    parts = _parts(len(values), max_distance)
    if parts:
        yield from _pairs_by_parts(values, max_distance, parts)
        return
    step = max(1, _SLICE_PAIRS // max(1, len(values)))
    for start in range(0, len(values), step):
        rows = values[start : start + step, None]
        # Each with those after it.
        near = np.triu(count_bits(rows ^ values[None, start:]) <= max_distance, 1)
        left, right = np.nonzero(near)
        yield left + start, right + start


def _parts(count: int, max_distance: int) -> int:
    """Return in how many parts of a hash two must agree to be compared; 0: compare each with each."""
    costs = {0: count / 2}
    for parts in range(1, 5):
        bits = _HASH_BITS * parts / (max_distance + parts)
        choices = comb(max_distance + parts, parts)
        costs[parts] = choices * (_PAIRS_A_SORT + count / 2 / 2**bits)
    return min(costs, key=lambda parts: costs[parts])


def _pairs_by_parts(
    values: np.ndarray, max_distance: int, parts: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    edges = np.linspace(0, _HASH_BITS, max_distance + parts + 1).round().astype(int).tolist()
    masks = [(1 << high) - (1 << low) for low, high in pairwise(edges)]
    for chosen in combinations(masks, parts):
        keys = values & np.uint64(sum(chosen))
        order = np.argsort(keys)
        keys, ordered = keys[order], values[order]
        places, lag = np.arange(len(values)), 0
        while len(places):
            # Those that agree are neighbours: each is held against the next, the one after that, ...
            lag += 1
            places = places[: np.searchsorted(places, len(values) - lag)]
            places = places[keys[places] == keys[places + lag]]
            near = places[count_bits(ordered[places] ^ ordered[places + lag]) <= max_distance]
            yield order[near], order[near + lag]


def _gathered(
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the same pairs in few large batches, for work that takes a while however few they are."""
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    size = 0
    for batch in batches:
        if len(batch[0]):
            waiting.append(batch)
            size += len(batch[0])
        if size >= _SLICE_PAIRS:
            yield _joined(waiting)
            waiting, size = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([left for left, _ in batches]), np.concatenate([r for _, r in batches])


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
    for left, right in _gathered(near_pairs(values, max_distance)):
        # The labels so far stand for all edges seen, so that no pairs but these are in memory.
        ends = (np.concatenate([np.arange(count), left]), np.concatenate([labels, right]))
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
    found = marked.copy()
    for left, right in near_pairs(values, max_distance):
        np.logical_or.at(found, left, marked[right])
        np.logical_or.at(found, right, marked[left])
    return found
