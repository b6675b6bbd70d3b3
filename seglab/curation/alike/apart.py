"""Groups of vectors that are alike among themselves and unlike all others: images of another domain.

Where a fifth of the images are of one other domain, none of them is an outlier by itself: they widen what
is usual. But as a group they lie apart, and the top of a tree of clusters parts them from the rest.

A tree cannot know what is meant: in a data set of a single drive, a few images of another drive and light are
a group apart as well. So the audit proposes to look at them, not to drop them.
"""

from __future__ import annotations

import numpy as np

from seglab.curation.alike.outliers import outlier_scores

# A group holds at least so many, and this share; all groups together at most a quarter: what is more is a
# part of the data set (images by day among such by night), not foreign to it.
_LEAST, _LEAST_SHARE, _MOST_SHARE = 5, 0.03, 1 / 4
# The tree is grown of at most so many, for it takes the square of their number; the others follow them.
_MOST_IN_TREE = 2000
# How many times as far from the others as these are from each other. Where this was chosen, the groups that
# data sets fall into by themselves (drives, scenes) reached 1.22, and those of another domain 1.26 at least.
LEAST_APART = 1.24
# A feature that hardly varies among the others does not make a group foreign all alone.
_LEAST_SPREAD = 0.3


def groups_apart(
    vectors: np.ndarray, least: float = LEAST_APART, seed: int = 0
) -> list[tuple[np.ndarray, float]]:
    """Return the groups that lie apart from all other vectors, that of the largest distance first.

    Clusters are joined by their mean distance, each feature in standard deviations. Of the two clusters of
    more than a few vectors that are joined last, the smaller one lies apart if its mean distance from the
    larger, in standard deviations within the larger, is `least` times the mean distance within the larger.
    Then the larger one is looked at alike.

    Args:
        vectors: Float `(N, D)`, D some hundred, as of encoders: among a few features all groups lie apart.
        least: See above.
        seed: Of which vectors the tree is grown, where they are many.

    Returns:
        Places of the members, int64, and how far apart they are; none where what lies apart is more than a
        quarter.

    References:
        Sokal, Michener (1958), A statistical method for evaluating systematic relationships:
        https://archive.org/details/cbarchive_33927_astatisticalmethodforevaluatin1902
    """
    from scipy.spatial.distance import pdist, squareform

    values = np.asarray(vectors, dtype=np.float64)
    scale = values.std(axis=0)
    values = (values - np.median(values, axis=0)) / np.where(scale > 0, scale, 1)
    grown = np.sort(np.random.default_rng(seed).permutation(len(values))[:_MOST_IN_TREE])
    distances = squareform(pdist(values[grown]))
    rest, left = np.arange(len(grown)), np.arange(len(values))
    found: list[tuple[np.ndarray, float]] = []
    while True:
        inside = _last_joined(distances[np.ix_(rest, rest)], _least_members(len(grown)))
        small, large = rest[inside], rest[~inside]
        if not len(small) or len(grown) - len(large) > _MOST_SHARE * len(grown):
            return found
        apart = _apart(values[grown[small]], values[grown[large]])
        if apart < least:
            return found
        near = _nearer(values, left, grown[small], grown[large])
        found.append((left[near], apart))
        rest, left = large, left[~near]


def irrelevant(vectors: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, float]]]:
    """Return the scores of vectors that are unlike the others, and the groups of such that are alike.

    Args:
        vectors: Float `(N, D)`, N at least 20.

    Returns:
        Those of `outlier_scores`, by the standard of what is in no group; and `groups_apart`.
    """
    groups = groups_apart(vectors)
    foreign = np.zeros(len(vectors), dtype=bool)
    for members, _ in groups:
        foreign[members] = True
    return outlier_scores(vectors, foreign=foreign), groups


def _least_members(count: int) -> int:
    return max(_LEAST, round(_LEAST_SHARE * count))


def _apart(small: np.ndarray, large: np.ndarray) -> float:
    from scipy.spatial.distance import cdist, pdist

    scale = np.maximum(large.std(axis=0), _LEAST_SPREAD)
    own, other = large / scale, small / scale
    return float(cdist(other, own).mean() / max(float(pdist(own).mean()), 1e-12))


def _last_joined(distances: np.ndarray, least: int) -> np.ndarray:
    """Return the smaller of the two clusters that are joined last among those of at least so many."""
    from scipy.cluster.hierarchy import linkage, to_tree
    from scipy.spatial.distance import squareform

    count = len(distances)
    inside = np.zeros(count, dtype=bool)
    tree = linkage(squareform(distances, checks=False), "average")
    sizes = np.concatenate([np.ones(count), tree[:, 3]])
    joined = tree[:, :2].astype(int)
    large_enough = np.flatnonzero(sizes[joined].min(axis=1) >= least)
    if len(large_enough):
        pair = joined[large_enough[-1]]
        _, nodes = to_tree(tree, rd=True)
        inside[nodes[pair[sizes[pair].argmin()]].pre_order()] = True
    return inside


def _nearer(
    values: np.ndarray, places: np.ndarray, small: np.ndarray, large: np.ndarray
) -> np.ndarray:
    """Return which vectors are of the small group: its members, and what is in no tree but nearer to it."""
    near = np.isin(places, small)
    others = ~near & ~np.isin(places, large)
    if others.any():
        own, far = values[small].mean(axis=0), values[large].mean(axis=0)
        new = values[places[others]]
        near[others] = np.linalg.norm(new - own, axis=1) < np.linalg.norm(new - far, axis=1)
    return near
