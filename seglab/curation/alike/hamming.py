"""Pairs of 64-bit hashes that differ in few bits, found without comparing all of them.

Multi-index hashing: hashes that differ in at most `r` bits agree, in at least one of four parts of 16
bits, up to `r // 4` bits. So each part is a table of buckets, and for a query only the buckets within
that many bits of its own part are looked at. With random hashes a bucket holds `N / 65536` of them: a
small share, though it grows with N, so that twice the hashes take two to three times the work.
`seglab.data.folds.hashes` sorts by parts instead: faster for a million hashes and a few bits, but for the
wide distances here, of changed copies against originals, its parts would agree by chance too often.

References:
    Norouzi, Punjani, Fleet (2014), Fast exact search in Hamming space with multi-index hashing:
    https://arxiv.org/abs/1307.2982
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from seglab.core.errors import ConfigError
from seglab.data.folds.hashes import count_bits

_PARTS, _BITS = 4, 16
_BUCKETS = 1 << _BITS
# Beyond it every fourth bucket would be looked at, and unrelated images would be near.
MOST_BITS = 15


def near_pairs(
    queries: np.ndarray, values: np.ndarray, max_distance: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which queries and values differ in at most `max_distance` bits.

    Args:
        queries: uint64 `(Q,)`.
        values: uint64 `(N,)`; equal ones are best given once.
        max_distance: 0 to 15 bits.

    Returns:
        Places in `queries`, places in `values`, and distances, int64 `(P,)` each, every pair once, in
        order of the places.

    Raises:
        ConfigError: The distance is out of range.
    """
    if not 0 <= max_distance <= MOST_BITS:
        raise ConfigError(f"max_distance: expected 0 to {MOST_BITS} bits, got {max_distance}")
    masks = _masks(max_distance // _PARTS)
    codes = [np.empty(0, dtype=np.int64)]
    for part in range(_PARTS):
        shift = np.uint64(_BITS * part)
        bucket = ((values >> shift) & np.uint64(_BUCKETS - 1)).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(bucket, minlength=_BUCKETS))])
        own = ((queries >> shift) & np.uint64(_BUCKETS - 1)).astype(np.int64)
        for mask in masks:
            left, right = _candidates(own ^ mask, order, starts)
            near = count_bits(queries[left] ^ values[right]) <= max_distance
            codes.append(left[near] * len(values) + right[near])
    pairs = np.unique(np.concatenate(codes))
    left, right = np.divmod(pairs, max(len(values), 1))
    return left, right, count_bits(queries[left] ^ values[right]).astype(np.int64)


def _masks(most: int) -> list[int]:
    """Return all 16-bit numbers with at most so many bits set."""
    return [
        sum(1 << bit for bit in bits)
        for count in range(most + 1)
        for bits in combinations(range(_BITS), count)
    ]


def _candidates(
    buckets: np.ndarray, order: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of query and value in the query's bucket."""
    first = starts[buckets]
    sizes = starts[buckets + 1] - first
    left = np.repeat(np.arange(len(buckets)), sizes)
    # Counts up from the first of each bucket.
    ends = np.cumsum(sizes)
    step = np.arange(len(left)) - np.repeat(ends - sizes, sizes)
    return left, order[np.repeat(first, sizes) + step]
