"""Pairs of 64-bit hashes that differ in few bits, found without comparing all of them.

Multi-index hashing: hashes that differ in at most `r` bits agree, in at least one of `m` parts, up to
`r // m` bits. So each part is a table of buckets, and for a query only the buckets within that many bits
of its own part are looked at. Long parts have many such buckets, most of them empty, short ones have few
and full ones; how many parts is chosen by what they would cost among so many hashes.

Among random hashes, what a query has to look at grows as `N ** H(r / b)` for `r` of `b` bits, H the entropy
in bits: `N ** 0.66` for 11 of 64. So twice the hashes take about three times the work.
`seglab.data.folds.hashes` sorts by parts instead: faster for a million hashes and a few bits, but for the
wide distances here, of changed copies against originals, its parts would agree by chance too often.

References:
    Norouzi, Punjani, Fleet (2014), Fast exact search in Hamming space with multi-index hashing:
    https://arxiv.org/abs/1307.2982
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise
from math import comb

import numpy as np

from seglab.core.errors import ConfigError
from seglab.data.folds.hashes import count_bits

_HASH_BITS = 64
# Beyond it every fourth bucket would be looked at, and unrelated images would be near.
MOST_BITS = 15
# With fewer parts the table of buckets outgrows the caches, with more every bucket is full.
_PARTS = (3, 4, 5, 6)
# To compare a hash takes as long as to look at so many empty buckets.
_LOOKS_A_HASH = 2
_MASKS_A_TASK = 128
# Queries at a time: what is made of so many stays in the caches.
_BLOCK = 1 << 16


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
    codes = [np.empty(0, dtype=np.int64)]
    parts = _num_parts(len(values), max_distance)
    # NumPy releases the lock while it gathers and compares.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for low, high in pairwise(np.linspace(0, _HASH_BITS, parts + 1).round().astype(int)):
            part = _Part(queries, values, int(low), int(high), max_distance)
            for found in pool.map(part.near, _tasks(int(high - low), max_distance // parts)):
                codes += found
    pairs = np.unique(np.concatenate(codes))
    left, right = np.divmod(pairs, max(len(values), 1))
    return left, right, count_bits(queries[left] ^ values[right]).astype(np.int64)


def _num_parts(count: int, max_distance: int) -> int:
    def cost(parts: int) -> float:
        bits = -(-_HASH_BITS // parts)
        looks = parts * sum(comb(bits, wrong) for wrong in range(max_distance // parts + 1))
        return looks * (1 + _LOOKS_A_HASH * count / 2**bits)

    return min(_PARTS, key=cost)


def _tasks(bits: int, most: int) -> Iterator[list[int]]:
    """Yield all numbers of so many bits with at most `most` of them set, some at a time."""
    masks = [
        sum(1 << bit for bit in chosen)
        for count in range(most + 1)
        for chosen in combinations(range(bits), count)
    ]
    for start in range(0, len(masks), _MASKS_A_TASK):
        yield masks[start : start + _MASKS_A_TASK]


class _Part:
    """The buckets of one part of the hashes, and the queries in order of their own bucket."""

    def __init__(
        self, queries: np.ndarray, values: np.ndarray, low: int, high: int, max_distance: int
    ) -> None:
        def buckets_of(hashes: np.ndarray) -> np.ndarray:
            return ((hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)).astype(
                np.int64
            )

        buckets = buckets_of(values)
        self._values = np.argsort(buckets, kind="stable")
        self._hashes = values[self._values]
        sizes = np.bincount(buckets, minlength=1 << (high - low))
        self._sizes, self._filled = sizes.astype(np.int32), sizes > 0
        self._first = (np.cumsum(sizes) - sizes).astype(np.int32)
        own = buckets_of(queries)
        self._queries = np.argsort(own, kind="stable")
        self._own, self._query_hashes = own[self._queries], queries[self._queries]
        self._max_distance = max_distance

    def near(self, masks: list[int]) -> list[np.ndarray]:
        """Return the near pairs in buckets that differ by one of the masks, as codes of both places."""
        found = []
        for start in range(0, len(self._own), _BLOCK):
            own = self._own[start : start + _BLOCK]
            hashes = self._query_hashes[start : start + _BLOCK]
            for mask in masks:
                buckets = own ^ mask
                asked = np.flatnonzero(self._filled[buckets])
                for left, right in self._compared(hashes, asked, buckets[asked]):
                    places = self._queries[start + left] * len(self._values)
                    found.append(places + self._values[right])
        return found

    def _compared(
        self, hashes: np.ndarray, asked: np.ndarray, buckets: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the near pairs of queries and values in their buckets: all first values, all second, ..."""
        right, sizes, number = self._first[buckets], self._sizes[buckets], 0
        while len(asked):
            apart = count_bits(hashes[asked] ^ self._hashes[right])
            near = np.flatnonzero(apart <= self._max_distance)
            if len(near):
                yield asked[near], right[near]
            number += 1
            more = np.flatnonzero(sizes > number)
            asked, right, sizes = asked[more], right[more] + 1, sizes[more]
