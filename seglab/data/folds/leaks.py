"""What lies on both sides of a fold and must not: the check behind the promise of each scheme.

Plans are judged by the manifest, not by what they say themselves. What a scheme does not promise,
but what makes its scores look better all the same, is said in `seglab.data.folds.warnings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seglab.core.errors import DataError, list_problems
from seglab.data.folds.groups import find_groups, pooled_rows
from seglab.data.folds.hashes import near_marked, unique_hashes
from seglab.data.folds.plan import FoldPlan
from seglab.data.manifest import Manifest

SIDES = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Sides:
    """Which pooled sample is on which side of which fold: int8 `(folds, N)`, index in SIDES or -1.

    Samples that a fold names twice are in `twice` as `(fold name, sample id, roles)`.
    """

    rows: pd.DataFrame
    names: list[str]
    side: np.ndarray
    twice: list[tuple[str, str, list[str]]]


def find_leaks(plan: FoldPlan, manifest: Manifest) -> list[str]:
    """Return one sentence for everything that lies on two sides of a fold and must not.

    Sides are train, val and (nested) test. Looked for are: a sample or an image file (by SHA-256),
    for every scheme; a group, for the grouped ones; and images that look alike, where
    `group_by=near_duplicates`. Groups and hashes are read from the manifest again, so a plan from a
    file is judged by the data and not by what it says itself.

    Raises:
        DataError: The plan is of another manifest.
    """
    sides = read_sides(plan, manifest)
    settings = plan.settings
    leaks = [
        f"{fold}: sample {name} is in {enumerate_words(roles)}" for fold, name, roles in sides.twice
    ]
    leaks += _repeated_files(sides)
    if settings.grouped:
        groups = find_groups(sides.rows, settings)
        leaks += _split_groups(sides, groups or [])
        if settings.group_by == "near_duplicates":
            leaks += [
                f"{sides.names[place]}: held-out samples that look like one on another side: {count}"
                for place, count in enumerate(count_alike(sides, settings.max_hash_distance))
                if count
            ]
    return leaks


def require_no_leaks(plan: FoldPlan, manifest: Manifest) -> None:
    """Check a plan against its manifest.

    Raises:
        DataError: There are leaks and the settings do not allow them; all are listed.
    """
    leaks = find_leaks(plan, manifest)
    if leaks and not plan.settings.allow_leaks:
        title = (
            "the folds leak: scores would be better than on new images. Take copies out of the "
            "manifest (keep=false), use a grouped scheme with group_by=near_duplicates, which "
            "keeps copies together, or set allow_leaks if that is meant"
        )
        raise DataError(list_problems(title, leaks))


def read_sides(plan: FoldPlan, manifest: Manifest) -> Sides:
    """Return the sides of a plan, with the rows of the manifest.

    Raises:
        DataError: The plan is of another manifest, or names samples that are not pooled.
    """
    plan.require_manifest(manifest)
    rows = pooled_rows(manifest, plan.settings.splits)
    place_of = {name: place for place, name in enumerate(rows["sample_id"])}
    side = np.full((len(plan.folds), len(rows)), -1, dtype=np.int8)
    twice, foreign = [], []
    for number, fold in enumerate(plan.folds):
        roles_of: dict[str, list[str]] = {}
        for role, ids in fold.roles.items():
            for name in ids:
                roles_of.setdefault(name, []).append(role)
        twice += [(fold.name, name, roles) for name, roles in roles_of.items() if len(roles) > 1]
        foreign += [f"{fold.name}: {name}" for name in roles_of if name not in place_of]
        for code, role in enumerate(SIDES):
            side[number, [place_of[name] for name in fold.roles[role] if name in place_of]] = code
    if foreign:
        raise DataError(list_problems("the folds name samples that are not pooled", foreign))
    return Sides(rows, [fold.name for fold in plan.folds], side, twice)


def cut_values(
    sides: Sides, values: Sequence[object]
) -> Iterator[tuple[int, str, dict[str, np.ndarray]]]:
    """Yield fold, value and side -> places, for each value that is on more than one side."""
    series = pd.Series(list(values), dtype=object)
    known = series.notna().to_numpy()
    codes, found = pd.factorize(series)
    names = list(found)
    for number, side in enumerate(sides.side):
        used = known & (side >= 0)
        on = np.zeros((len(names), len(SIDES)), dtype=bool)
        on[codes[used], side[used]] = True
        for code in np.flatnonzero(on.sum(axis=1) > 1):
            places = {
                name: np.flatnonzero(used & (codes == code) & (side == place))
                for place, name in enumerate(SIDES)
                if on[code, place]
            }
            yield number, str(names[code]), places


def _repeated_files(sides: Sides) -> list[str]:
    ids = sides.rows["sample_id"].to_numpy()
    found = []
    for number, digest, places in cut_values(sides, sides.rows["sha256"].tolist()):
        where = [f"{side} as {', '.join(ids[rows])}" for side, rows in places.items()]
        found.append(
            f"{sides.names[number]}: the file {digest[:12]}... is in {enumerate_words(where)}"
        )
    return found


def _split_groups(sides: Sides, groups: Sequence[str]) -> list[str]:
    found = []
    for number, group, places in cut_values(sides, groups):
        where = [f"{side} ({len(rows)} of its samples)" for side, rows in places.items()]
        found.append(f"{sides.names[number]}: group {group} is in {enumerate_words(where)}")
    return found


def count_alike(sides: Sides, max_distance: int) -> list[int]:
    """Return for each fold how many held-out samples look like one of the side before theirs.

    Test samples count when they look like a training or validation sample.
    """
    values, places = unique_hashes(sides.rows["phash"].tolist())
    known = np.flatnonzero(places >= 0)
    folds = len(sides.side)
    # For each fold two sets: the training hashes, and those of training and validation.
    marked = np.zeros((len(values), 2 * folds), dtype=bool)
    for number, side in enumerate(sides.side):
        marked[places[known[side[known] == 0]], number] = True
        before = known[(side[known] == 0) | (side[known] == 1)]
        marked[places[before], folds + number] = True
    near = near_marked(values, max_distance, marked)
    counts = []
    for number, side in enumerate(sides.side):
        val, test = known[side[known] == 1], known[side[known] == 2]
        counts.append(
            int(near[places[val], number].sum() + near[places[test], folds + number].sum())
        )
    return counts


def enumerate_words(parts: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return " and ".join(([", ".join(parts[:-1])] if parts[:-1] else []) + list(parts[-1:]))
