"""From hashes of all variants to the pairs of images that are one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from seglab.curation.alike.hamming import near_pairs
from seglab.curation.alike.hashing import MIRRORED


def candidate_pairs(hashes: np.ndarray, max_distance: int) -> np.ndarray:
    """Return pairs of images of which one, in some variant, has a hash near that of the other.

    Args:
        hashes: uint64 `(N, V)`: of each image, its mirror image, and other variants.
        max_distance: Bits that near hashes may differ in.

    Returns:
        int64 `(P, 3)`: places of the earlier and the later image, and 1 where only the mirror image is
        near; every pair once.
    """
    values, places = np.unique(hashes[:, 0], return_inverse=True)
    owners = np.argsort(places, kind="stable")
    starts = np.searchsorted(places[owners], np.arange(len(values) + 1))
    found = []
    for variant in range(hashes.shape[1]):
        queries, query_places = np.unique(hashes[:, variant], return_inverse=True)
        left, right, _ = near_pairs(queries, values, max_distance)
        query_owners = np.argsort(query_places, kind="stable")
        query_starts = np.searchsorted(query_places[query_owners], np.arange(len(queries) + 1))
        one, other = _products((query_owners, query_starts, left), (owners, starts, right))
        apart = one != other
        low, high = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
        mirrored = np.full(len(low), int(variant == MIRRORED))
        found.append(np.stack([low, high, mirrored], axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    # Sorted, so the row that needs no mirror comes first.
    _, first = np.unique(pairs[:, :2], axis=0, return_index=True)
    return pairs[first]


_Side = tuple[np.ndarray, np.ndarray, np.ndarray]


def _products(one: _Side, other: _Side) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of images behind pairs of distinct hashes.

    Each side is (images in order of their hash, where each hash begins among them, hash of each pair).
    """
    owners, starts, chosen = one
    other_owners, other_starts, other_chosen = other
    sizes = starts[chosen + 1] - starts[chosen]
    other_sizes = other_starts[other_chosen + 1] - other_starts[other_chosen]
    pair = np.repeat(np.arange(len(chosen)), sizes * other_sizes)
    begins = np.cumsum(sizes * other_sizes) - sizes * other_sizes
    step = np.arange(len(pair)) - begins[pair]
    across = np.maximum(other_sizes[pair], 1)
    return (
        owners[starts[chosen[pair]] + step // across],
        other_owners[other_starts[other_chosen[pair]] + step % across],
    )


def confirmed_pairs(
    pairs: np.ndarray, look: Callable[[int, int, bool], float], limit: float
) -> Iterator[tuple[int, int, float]]:
    """Yield the pairs whose pixels agree, with how much they do.

    Args:
        pairs: From `candidate_pairs`.
        look: Compares two places, with the first mirrored or not.
        limit: Similarity from which images are one picture.
    """
    for one, other, mirrored in pairs.tolist():
        score = look(one, other, bool(mirrored))
        if score >= limit:
            yield one, other, score
