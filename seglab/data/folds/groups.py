"""The samples that folds are made of, and what must stay together among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from seglab.core.errors import DataError
from seglab.data.build.splitting import group_by_pattern
from seglab.data.columns import matrix_of
from seglab.data.folds.hashes import near_clusters, unique_hashes
from seglab.data.folds.natural import natural_order
from seglab.data.folds.options import FoldSettings
from seglab.data.manifest import Manifest

# One name a sample; None: nothing is known of this one, so it is tied to no other.
Names = list[str | None]


@dataclass(frozen=True, eq=False)
class Pool:
    """The samples that are cut into folds, in natural order of their ids.

    Args:
        sample_ids: Their ids.
        groups: Name of the group (for blocks: the sequence) of each sample.
        grouped: Whether the groups say anything; else every sample is its own group, or for blocks
            all are one sequence.
        class_pixels: Int64 `(N, num_classes)`: pixels of each class, without the ignored ones.
    """

    sample_ids: tuple[str, ...]
    groups: tuple[str, ...]
    grouped: bool
    class_pixels: np.ndarray

    @cached_property
    def codes(self) -> np.ndarray:
        """The groups as integers from 0 in order of their names, int64 `(N,)`."""
        return np.unique(np.array(self.groups, dtype=object), return_inverse=True)[1]


def pooled_rows(manifest: Manifest, splits: Iterable[str]) -> pd.DataFrame:
    """Return the kept rows of some splits, in natural order of the ids.

    Raises:
        DataError: There are none.
    """
    return manifest.table.iloc[pooled_places(manifest, splits)].reset_index(drop=True)


def pooled_places(manifest: Manifest, splits: Iterable[str]) -> np.ndarray:
    """Return where in the table the rows of `pooled_rows` are, int64 `(N,)`.

    Raises:
        DataError: There are none.
    """
    splits, table = list(splits), manifest.table
    places = np.flatnonzero(table["keep"] & table["split"].isin(splits))
    if not len(places):
        counts = ", ".join(f"{name} {count}" for name, count in manifest.splits().items())
        raise DataError(
            f"{manifest.name!r} has no samples in {' and '.join(splits)} to cut into folds; it has "
            f"{counts}. Name other splits, or check the columns `split` and `keep`"
        )
    return places[natural_order(table["sample_id"].to_numpy()[places].tolist())]


def make_pool(manifest: Manifest, settings: FoldSettings) -> Pool:
    """Return the samples to cut, with their groups.

    Raises:
        DataError: No samples, or no groups where the scheme needs them.
    """
    rows = pooled_rows(manifest, settings.splits)
    groups = find_groups(rows, settings)
    ids = tuple(rows["sample_id"])
    if groups is not None:
        names = tuple(groups)
    else:
        names = (manifest.name,) * len(ids) if settings.cut_scheme == "block" else ids
    pixels = matrix_of(rows["class_pixels"])
    return Pool(ids, names, groups is not None, pixels[:, : manifest.labels.num_classes])


def find_groups(rows: pd.DataFrame, settings: FoldSettings) -> list[str] | None:
    """Return the group of each row as `settings.group_by` says; None where nothing is known.

    Raises:
        DataError: The scheme needs groups and there are none; the pattern does not match all ids;
            or hashes are asked for and there are none.
    """
    column = column_groups(rows)
    if settings.group_by == "pattern":
        return group_by_pattern(rows["sample_id"].tolist(), settings.group_pattern)
    if settings.group_by == "near_duplicates":
        if rows["phash"].isna().all():
            raise DataError(
                "group_by=near_duplicates compares perceptual hashes, and no sample has one (column "
                "`phash`); import the data again, or group by column or pattern"
            )
        ids = rows["sample_id"].tolist()
        looks = alike(rows, settings.max_hash_distance)
        return join_names([[*(column or ids)], looks, rows["sha256"].tolist()], ids)
    asked = settings.group_by == "column" and settings.cut_scheme == "block"
    if column is None and (settings.grouped or asked):
        raise DataError(
            "the column `group` of the manifest says nothing (every sample is its own group), so "
            f"{settings.cut_scheme} folds have nothing to keep together. Choose: "
            "cv.group_by=pattern with a cv.group_pattern that finds scene or patient in the sample id; "
            "cv.group_by=near_duplicates to keep images together that look alike; import the data "
            "again with groups; or cv.scheme=kfold or stratified if every image is independent"
        )
    return column


def column_groups(rows: pd.DataFrame) -> list[str] | None:
    """Return the column `group`, or None where it only repeats the sample ids."""
    return None if (rows["group"] == rows["sample_id"]).all() else rows["group"].tolist()


def alike(rows: pd.DataFrame, max_distance: int) -> Names:
    """Return for each row the first one that looks like it by a chain of near hashes; None: no hash."""
    values, places = unique_hashes(rows["phash"].tolist())
    clusters = near_clusters(values, max_distance)
    known = np.flatnonzero(places >= 0)
    names = np.full(len(rows), None, dtype=object)
    names[known] = first_names(clusters[places[known]], rows["sample_id"].to_numpy()[known])
    return names.tolist()


def first_names(codes: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Return for each sample the name of the first one with its code, object `(N,)`."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return names[first][inverse]


def join_names(all_names: Sequence[Names], sample_ids: Sequence[str]) -> list[str]:
    """Return one group a sample: samples that share a name of any list are in one.

    Args:
        all_names: Lists of one name a sample.
        sample_ids: Names a sample that nothing ties to another.

    Returns:
        The name of the group: that of its first member in the first list that knows it.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = nodes = len(sample_ids)
    called, nameless = np.array(sample_ids, dtype=object), np.ones(count, dtype=bool)
    # Samples are tied to a node for each name they have; what hangs together then is one group.
    left, right = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for names in all_names:
        own = np.array(names, dtype=object)
        codes, found = pd.factorize(own)
        known = codes >= 0
        called = np.where(nameless & known, own, called)
        nameless &= ~known
        # Names of one sample each tie nothing.
        if len(found) < known.sum():
            left.append(np.flatnonzero(known))
            right.append(nodes + codes[known])
            nodes += len(found)
    ends = np.concatenate(left), np.concatenate(right)
    graph = coo_matrix((np.ones(len(ends[0]), dtype=bool), ends), shape=(nodes, nodes))
    groups = connected_components(graph, directed=False)[1][:count]
    return first_names(groups, called).tolist()
