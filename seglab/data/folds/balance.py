"""Groups spread over folds so that every class, and the number of samples, is shared out evenly.

scikit-learn's StratifiedGroupKFold takes one label per sample, iterative-stratification knows no
groups; images hold many classes and come in groups. So this is iterative stratification (Sechidis,
Tsoumakas and Vlahavas, 2011) carried over to groups: the rarest class is placed first, while there
is most freedom, but with shares of pixels where the paper counts samples, and with whole groups
where it places one sample.

References:
    Sechidis et al. (2011): https://doi.org/10.1007/978-3-642-23808-6_10
"""

from __future__ import annotations

import numpy as np

# Draws of the order of groups, of which the most even outcome is kept; fewer for many groups,
# where chance evens out by itself.
_DRAWS, _PLACEMENTS = 32, 50_000
_FINE = 1e12


def group_shares(groups: np.ndarray, class_pixels: np.ndarray) -> np.ndarray:
    """Return what each group holds of each class, and last of the samples; columns sum to 1.

    Args:
        groups: Int64 `(N,)`, codes 0..G-1.
        class_pixels: Int64 `(N, C)`.

    Returns:
        Float64 `(G, C + 1)`; a class without pixels is a column of zeros.
    """
    content = np.column_stack([class_pixels, np.ones(len(groups))]).astype(np.float64)
    sums = np.zeros((int(groups.max()) + 1, content.shape[1]))
    np.add.at(sums, groups, content)
    totals = sums.sum(axis=0)
    return np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0)


def imbalance(shares: np.ndarray, fold_of: np.ndarray, sizes: np.ndarray) -> float:
    """Return how uneven folds are: root mean square of `share / wanted - 1` over folds and columns.

    `sizes` says what each fold should hold, as a multiple of an equal part. 0 is perfect, 1 means that
    what a fold holds typically is wrong by as much as it should be. Classes without pixels do not count.
    """
    held = np.zeros((len(sizes), shares.shape[1]))
    np.add.at(held, fold_of, shares)
    present = shares.sum(axis=0) > 0
    filled = len(sizes) * held[:, present] / sizes[:, None]
    return float(np.sqrt(np.mean((filled - 1) ** 2)))


def spread_groups(
    shares: np.ndarray, folds: int, rng: np.random.Generator, sizes: np.ndarray | None = None
) -> np.ndarray:
    """Return a fold for each group such that classes and samples are shared out evenly.

    Again and again the class that the fewest unplaced groups hold is taken, and its groups, in
    drawn order, go each to the fold that holds least of what the group brings: of all its classes
    and of samples at once, so large groups do not pile up where a rare class is wanted. Of several
    draws the most even counts. Every fold gets a group.

    Args:
        shares: Float64 `(G, C + 1)` of `group_shares`, at least `folds` groups.
        folds: Number of folds.
        rng: Draws orders and ties.
        sizes: Float64 `(folds,)`: what each should hold, relative to the others; equal by default.

    Returns:
        Int64 `(G,)`, values 0..folds-1.
    """
    sizes = np.ones(folds) if sizes is None else sizes / sizes.mean()
    draws = max(1, min(_DRAWS, _PLACEMENTS // len(shares)))
    outcomes = [_spread_once(shares, sizes, rng) for _ in range(draws)]
    return min(outcomes, key=lambda fold_of: round(imbalance(shares, fold_of, sizes), 9))


def _spread_once(shares: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    folds = len(sizes)
    drawn = rng.permutation(len(shares))
    fold_of = np.full(len(shares), -1, dtype=np.int64)
    held = np.zeros((folds, shares.shape[1]))
    # Which of two equal folds comes first is drawn too.
    names = rng.permutation(folds)
    sizes = sizes[names]
    parts, full = sizes.tolist(), [0.0] * folds
    every, empty, left = list(range(folds)), list(range(folds)), len(shares)
    while left:
        groups = _rarest(shares, drawn[fold_of[drawn] < 0])
        chosen = []
        # A million times: few and cheap steps for each.
        for share in shares[groups]:
            crowding = held.dot(share)
            crowding /= sizes
            # Rounding makes ties of sums that differ only in the order of their terms.
            crowding *= _FINE
            choices = zip(np.rint(crowding, crowding).tolist(), full, every, strict=True)
            must_fill = left <= len(empty)
            fold = (
                min(one for one in choices if one[-1] in empty)[-1]
                if must_fill
                else min(choices)[-1]
            )
            chosen.append(fold)
            row = held[fold]
            row += share
            full[fold] = row.item(-1) / parts[fold]
            left -= 1
            if fold in empty:
                empty.remove(fold)
        fold_of[groups] = chosen
    return names[fold_of]


def _rarest(shares: np.ndarray, unplaced: np.ndarray) -> np.ndarray:
    """Return the unplaced groups of the class that fewest of them hold; all when none has one."""
    counts = (shares[unplaced, :-1] > 0).sum(axis=0)
    if not counts.any():
        return unplaced
    rarest = int(np.argmin(np.where(counts > 0, counts, len(shares) + 1)))
    return unplaced[shares[unplaced, rarest] > 0]
