"""The samples that folds are made of, and what must stay together among them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from seglab.core.errors import DataError
from seglab.data.folds.hashes import near_clusters, unique_hashes
from seglab.data.folds.options import FoldSettings
from seglab.data.importers.splitting import group_by_pattern
from seglab.data.manifest import Manifest

_DIGITS = re.compile(r"([0-9]+)")


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


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sort key that takes digits as numbers: `f9` comes before `f10`."""
    parts = _DIGITS.split(name)
    # Text and digits alternate and text comes first, so only like is compared with like.
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), name


def pooled_rows(manifest: Manifest, splits: Iterable[str]) -> pd.DataFrame:
    """Return the kept rows of some splits, in natural order of the ids.

    Raises:
        DataError: There are none.
    """
    splits = list(splits)
    table = manifest.table
    rows = table[table["keep"] & table["split"].isin(splits)]
    if rows.empty:
        counts = ", ".join(f"{name} {count}" for name, count in manifest.splits().items())
        raise DataError(
            f"{manifest.name!r} has no samples in {' and '.join(splits)} to cut into folds; it has "
            f"{counts}. Name other splits, or check the columns `split` and `keep`"
        )
    order = sorted(range(len(rows)), key=lambda place: natural_key(rows["sample_id"].iloc[place]))
    return rows.iloc[order].reset_index(drop=True)


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
    pixels = np.array(rows["class_pixels"].tolist(), dtype=np.int64)
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
        return _alike(rows, column, settings.max_hash_distance)
    asked = settings.group_by == "column" and settings.cut_scheme == "block"
    if column is None and (settings.grouped or asked):
        raise DataError(
            "the column `group` of the manifest says nothing (every sample is its own group), so "
            f"{settings.cut_scheme} folds have nothing to keep together. Choose: "
            "group_by=pattern with a group_pattern that finds scene or patient in the sample id; "
            "group_by=near_duplicates to keep images together that look alike; import the data "
            "again with groups; or scheme=kfold or stratified if every image is independent"
        )
    return column


def column_groups(rows: pd.DataFrame) -> list[str] | None:
    """Return the column `group`, or None where it only repeats the sample ids."""
    return None if (rows["group"] == rows["sample_id"]).all() else rows["group"].tolist()


def _alike(rows: pd.DataFrame, column: Sequence[str] | None, max_distance: int) -> list[str]:
    """Return clusters of images that look alike or share a group, named by their first member."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    values, places = unique_hashes(rows["phash"].tolist())
    if not len(values):
        raise DataError(
            "group_by=near_duplicates compares perceptual hashes, and no sample has one (column "
            "`phash`); import the data again, or group by column or pattern"
        )
    names = list(column) if column is not None else rows["sample_id"].tolist()
    clusters = near_clusters(values, max_distance)
    looks = [int(clusters[place]) if place >= 0 else None for place in places]
    ties: list[Sequence[object]] = [names, looks, rows["sha256"].tolist()]
    count = nodes = len(rows)
    # Samples are tied to a node for each name, cluster and file they have; what hangs together then
    # is one group.
    left: list[int] = []
    right: list[int] = []
    for tie in ties:
        node: dict[object, int] = {}
        for place, value in enumerate(tie):
            if value is not None:
                left.append(place)
                right.append(node.setdefault(value, nodes + len(node)))
        nodes += len(node)
    graph = coo_matrix((np.ones(len(left), dtype=bool), (left, right)), shape=(nodes, nodes))
    _, components = connected_components(graph, directed=False)
    first: dict[int, str] = {}
    for name, component in zip(names, components[:count], strict=True):
        first.setdefault(int(component), name)
    return [first[int(component)] for component in components[:count]]
