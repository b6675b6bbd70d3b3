"""The schemes: each gives every sample the number of the fold that holds it out.

Random states are seeded from the settings alone, and samples come in natural order of their ids, so
a plan is the same on every machine and for every order of the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from seglab.core.errors import DataError
from seglab.core.seeding import generator
from seglab.data.folds.balance import group_shares, spread_groups
from seglab.data.folds.groups import Pool


def assign(scheme: str, pool: Pool, rows: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold 0..folds-1 that holds out each of some samples.

    Args:
        scheme: Any scheme but `nested`.
        pool: All samples.
        rows: Int64 `(n,)` ascending: the samples of the pool to cut.
        folds: Number of folds, at least 2.
        seed: For this cut alone.

    Returns:
        Int64 `(n,)`; every fold occurs.

    Raises:
        DataError: There are too few samples or groups for so many folds.
    """
    _require(len(rows), folds, "samples")
    if scheme == "kfold":
        return _kfold(len(rows), folds, seed)
    if scheme == "stratified":
        return _stratified(pool.class_pixels[rows] > 0, folds, seed)
    codes = np.unique(pool.codes[rows], return_inverse=True)[1]
    if scheme == "block":
        return _blocks(codes, folds)
    _require(int(codes.max()) + 1, folds, "groups")
    if scheme == "grouped":
        return _grouped(codes, folds, seed)
    shares = group_shares(codes, pool.class_pixels[rows])
    return spread_groups(shares, folds, generator(seed, "groups"))[codes]


def beside_held_out(pool: Pool, rows: np.ndarray, held_out: np.ndarray, gap: int) -> np.ndarray:
    """Return which of some samples lie within `gap` places of a held-out one of their sequence.

    Places count the samples of the pool, so a gap can only be wider than asked where frames of a
    sequence are not in the pool.

    Args:
        pool: All samples.
        rows: Int64 `(n,)`: samples to judge.
        held_out: Int64 `(m,)`: samples held out.
        gap: Places, 0 for none.

    Returns:
        Bool `(n,)`.
    """
    codes = pool.codes
    close = np.zeros(len(codes), dtype=bool)
    is_held_out = np.zeros(len(codes), dtype=bool)
    is_held_out[held_out] = True
    for code in range(int(codes.max()) + 1):
        members = np.flatnonzero(codes == code)
        places = np.flatnonzero(is_held_out[members])
        if not len(places):
            continue
        own = np.arange(len(members))
        after = np.searchsorted(places, own)
        before = own - places[np.maximum(after - 1, 0)]
        ahead = places[np.minimum(after, len(places) - 1)] - own
        close[members] = np.minimum(np.abs(before), np.abs(ahead)) <= gap
    return close[rows]


def _require(count: int, folds: int, what: str) -> None:
    if count >= folds:
        return
    advice = f"ask for at most {count} folds" if count >= 2 else "at least 2 are needed"
    if what == "groups":
        advice += ", group more finely, or cut within groups by scheme=block"
    counted = f"{count} {what if count != 1 else what[:-1]}"
    raise DataError(f"{counted} cannot fill {folds} folds: {advice}")


def _kfold(count: int, folds: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import KFold

    splitter = KFold(folds, shuffle=True, random_state=_short(seed))
    return _numbers(splitter.split(np.zeros(count)), count)


def _stratified(present: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Balance in how many samples each class occurs, by `iterative-stratification`.

    Classes that occur in all samples or in none say nothing and are left out: every fold of equal
    size has them alike. The library takes at least two columns, so a lone class goes with its
    opposite.
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold  # type: ignore[import-untyped]

    counts = present.sum(axis=0)
    columns = present[:, (counts > 0) & (counts < len(present))]
    if columns.shape[1] == 0:
        return _kfold(len(present), folds, seed)
    if columns.shape[1] == 1:
        columns = np.column_stack([columns, ~columns])
    splitter = MultilabelStratifiedKFold(folds, shuffle=True, random_state=_short(seed))
    numbers = _numbers(splitter.split(np.zeros(len(columns)), columns.astype(int)), len(columns))
    empty = set(range(folds)) - set(numbers.tolist())
    if empty:
        raise DataError(
            f"{len(present)} samples are too few to balance {columns.shape[1]} classes over "
            f"{folds} folds: {len(empty)} would hold nothing out; ask for fewer folds, or kfold"
        )
    return numbers


def _grouped(codes: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deal shuffled groups out, equally many to each fold; their sizes do not count."""
    from sklearn.model_selection import GroupKFold

    splitter = GroupKFold(folds, shuffle=True, random_state=_short(seed))
    return _numbers(splitter.split(np.zeros(len(codes)), groups=codes), len(codes))


def _blocks(codes: np.ndarray, folds: int) -> np.ndarray:
    """Cut each sequence into `folds` runs of equal length, give or take one sample.

    Which folds get the odd samples moves on from sequence to sequence, so that folds are of equal
    size, also where sequences are shorter than the number of folds.
    """
    numbers = np.empty(len(codes), dtype=np.int64)
    first = 0
    for code in range(int(codes.max()) + 1):
        members = np.flatnonzero(codes == code)
        least, odd = divmod(len(members), folds)
        lengths = np.full(folds, least)
        lengths[(first + np.arange(odd)) % folds] += 1
        numbers[members] = np.repeat(np.arange(folds), lengths)
        first += odd
    return numbers


def _short(seed: int) -> int:
    """Return a seed that NumPy's older generator, which scikit-learn uses, takes: 32 bits."""
    return seed % 2**32


def _numbers(splits: Iterator[tuple[Any, Any]], count: int) -> np.ndarray:
    numbers = np.full(count, -1, dtype=np.int64)
    for number, (_, held_out) in enumerate(splits):
        numbers[held_out] = number
    return numbers
