"""From a manifest and settings to the folds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seglab.core.errors import DataError
from seglab.core.seeding import derive_seed
from seglab.data.folds.groups import Pool, make_pool
from seglab.data.folds.leaks import require_no_leaks
from seglab.data.folds.options import FoldSettings
from seglab.data.folds.plan import Fold, FoldPlan
from seglab.data.folds.schemes import assign, beside_held_out
from seglab.data.manifest import Manifest


def make_folds(manifest: Manifest, settings: FoldSettings) -> FoldPlan:
    """Cut the kept samples of `settings.splits` into folds.

    A pure function: the same manifest, whatever the order of its rows, and the same settings give
    the same plan on every machine (with the same versions of scikit-learn and
    iterative-stratification; so a plan is written down, not made again). In each repeat every
    sample is held out exactly once; for `nested` by exactly one outer fold.

    Raises:
        DataError: Nothing to cut, too few samples or groups, groups needed and not known, a gap
            that leaves nothing to train on, or the same file on both sides of a fold.
    """
    pool = make_pool(manifest, settings)
    folds = [fold for repeat in range(settings.repeats) for fold in _folds(pool, settings, repeat)]
    groups = dict(zip(pool.sample_ids, pool.groups, strict=True))
    plan = FoldPlan(settings, manifest.fingerprint, tuple(folds), groups)
    require_no_leaks(plan, manifest)
    return plan


def _folds(pool: Pool, settings: FoldSettings, repeat: int) -> Iterator[Fold]:
    everything = np.arange(len(pool.sample_ids))
    seed = derive_seed(settings.seed, "folds", settings.cut_scheme, repeat)
    none = everything[:0]
    for number, (train, held_out, out) in enumerate(
        _cut(pool, everything, settings, settings.folds, seed)
    ):
        if not settings.nested:
            yield Fold(repeat, number, None, *_ids(pool, train, held_out, none, out))
            continue
        inner_seed = derive_seed(seed, "inner", number)
        for inner, (fit, choose, inner_out) in enumerate(
            _inner_cut(pool, train, settings, inner_seed, f"r{repeat}-f{number}")
        ):
            left_out = np.union1d(out, inner_out)
            yield Fold(repeat, number, inner, *_ids(pool, fit, choose, held_out, left_out))


def _inner_cut(
    pool: Pool, train: np.ndarray, settings: FoldSettings, seed: int, name: str
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    try:
        return list(_cut(pool, train, settings, settings.inner_folds, seed))
    except DataError as error:
        raise DataError(f"inner folds of outer fold {name}: {error}") from error


def _cut(
    pool: Pool, rows: np.ndarray, settings: FoldSettings, folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield rows of the pool to train on, held out and left out, for each fold of some rows."""
    numbers = assign(settings.cut_scheme, pool, rows, folds, seed)
    for number in range(folds):
        rest, held_out = rows[numbers != number], rows[numbers == number]
        close = np.zeros(len(rest), dtype=bool)
        if settings.cut_scheme == "block":
            close = beside_held_out(pool, rest, held_out, settings.gap)
        if close.all():
            raise DataError(
                f"fold {number} has nothing to train on: gap={settings.gap} leaves out all "
                f"{len(close)} samples that are not held out; take a smaller gap or fewer folds"
            )
        yield rest[~close], held_out, rest[close]


def _ids(pool: Pool, *parts: np.ndarray) -> list[tuple[str, ...]]:
    return [tuple(pool.sample_ids[row] for row in part) for part in parts]
