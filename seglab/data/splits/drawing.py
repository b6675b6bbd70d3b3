"""Shares a data set out into splits, whole units at a time, with every class in each split alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from seglab.core.errors import ConfigError, DataError
from seglab.core.seeding import generator
from seglab.data.columns import matrix_of
from seglab.data.folds.balance import group_shares, spread_groups
from seglab.data.folds.groups import Names, join_names, pooled_places
from seglab.data.manifest import Manifest
from seglab.data.splits.options import LABELLED, Source, SplitOptions
from seglab.data.splits.units import names_by, sources_of

GAP_FLAG = "split_gap"


@dataclass(frozen=True, eq=False)
class DrawnSplit:
    """A split, and what it was drawn from.

    Attributes:
        manifest: With the new column `split`; `group` names the unit of each sample, samples in a gap
            are not kept.
        former: The manifest as it was.
        rows: All labelled rows in natural order, as they were.
        names: By source, what each of those rows belongs to.
        pixels: Int64 `(N, num_classes + 1)`: pixels of each class in each of those rows, then ignored ones.
        units: The unit of each row: what was placed as a whole.
        placed: The new split of each row; None: left out in a gap.
    """

    manifest: Manifest
    former: Manifest
    rows: pd.DataFrame
    names: Mapping[Source, Names]
    pixels: np.ndarray
    units: Sequence[str]
    placed: Sequence[str | None]


def draw_split(manifest: Manifest, options: SplitOptions) -> DrawnSplit:
    """Share the labelled samples of some splits out anew.

    Units are placed as folds of groups are (`seglab.data.folds.balance`): the rarest class first, each
    unit where least of what it holds is, measured against the wanted share.

    Args:
        manifest: The data set; samples without a mask, and those not kept, stay where they are.
        options: Shares, what belongs together, blocks.

    Raises:
        ConfigError: A share for a split whose samples are to stay as they are.
        DataError: Fewer units than splits to fill, or a source that says nothing.
    """
    _require_free(manifest, options)
    whole = _without_gaps(manifest)
    places = pooled_places(whole, LABELLED)
    rows = whole.table.iloc[places].reset_index(drop=True)
    pixels = matrix_of(rows["class_pixels"])
    names = {
        source: names_by(source, rows, manifest.root, options)
        for source in sources_of(rows, options)
    }
    sequences = join_names([*names.values(), rows["sha256"].tolist()], rows["sample_id"].tolist())
    units = cut_into_runs(sequences, options.block) if options.block else sequences
    placed = _place(units, rows, pixels[:, :-1], options)
    if options.gap:
        placed = leave_gaps(sequences, placed, options.gap)
    drawn = _changed(whole, places, units, placed, options)
    return DrawnSplit(drawn, manifest, rows, names, pixels, units, placed)


def _without_gaps(manifest: Manifest) -> Manifest:
    """Take back the samples that a former split left out."""
    flags = manifest.table["flags"]
    dropped = np.array([GAP_FLAG in own for own in flags], dtype=bool)
    if not dropped.any():
        return manifest
    freed = pd.Series([[one for one in own if one != GAP_FLAG] for own in flags], dtype=object)
    table = manifest.table.assign(keep=manifest.table["keep"] | dropped, flags=freed)
    return replace(manifest, table=table, changed=("keep", "flags"))


def _require_free(manifest: Manifest, options: SplitOptions) -> None:
    counts = manifest.splits()
    problems = [
        f"{name}: {counts[name]} samples are in this split and stay there, so it can take no others; "
        f"give it the share 0, or add it to pooled"
        for name, share in (("val", options.val), ("test", options.test))
        if share and name not in options.pooled and counts[name]
    ]
    if problems:
        raise ConfigError(problems)


def cut_into_runs(units: Sequence[str], length: int) -> list[str]:
    """Cut each unit into runs of consecutive samples; a short rest goes with the run before it.

    Args:
        units: The unit of each sample, samples in natural order.
        length: Samples of a run.

    Returns:
        Names such as `drive1/2`.
    """
    codes, names = pd.factorize(np.array(units, dtype=object))
    order, start, end = _within(codes)
    # The last whole run of a unit takes the rest.
    last = np.maximum(0, np.rint((end - start) / length).astype(np.int64) - 1)
    run = np.empty_like(codes)
    run[order] = np.minimum((np.arange(len(codes)) - start) // length, last)
    both, inverse = np.unique(np.stack([codes, run]), axis=1, return_inverse=True)
    called = [f"{names[code]}/{number}" for code, number in both.T.tolist()]
    return np.array(called, dtype=object)[inverse].tolist()


def _within(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return samples sorted by code and else as they come, and where each one's code starts and ends there.

    Args:
        codes: Int64 `(N,)`, from 0 without a gap.

    Returns:
        Places of the samples, starts and ends, int64 `(N,)` each.
    """
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes))
    own = codes[order]
    return order, np.concatenate([[0], ends])[own], ends[own]


def _place(
    units: Sequence[str], rows: pd.DataFrame, class_pixels: np.ndarray, options: SplitOptions
) -> list[str | None]:
    shares = {"train": 1 - options.val - options.test, "val": options.val, "test": options.test}
    wanted = {name: share for name, share in shares.items() if share > 0}
    pooled = np.flatnonzero(rows["split"].isin(options.pooled))
    own = np.array(units, dtype=object)[pooled]
    codes, names = pd.factorize(own, sort=True)
    if len(names) < len(wanted):
        raise DataError(
            f"{len(names)} unit{'s' * (len(names) != 1)} that must stay whole cannot fill "
            f"{len(wanted)} splits ({', '.join(wanted)}): cut them into runs of consecutive samples "
            "(block), look for less that belongs together (by), or add data"
        )
    sizes = np.array(list(wanted.values()))
    rng = generator(options.seed, "split")
    fold_of = spread_groups(group_shares(codes, class_pixels[pooled]), len(wanted), rng, sizes)
    placed = rows["split"].to_numpy(dtype=object, copy=True)
    placed[pooled] = np.array(list(wanted), dtype=object)[fold_of[codes]]
    return placed.tolist()


def leave_gaps(
    sequences: Sequence[str], placed: Sequence[str | None], gap: int
) -> list[str | None]:
    """Leave samples out that lie within `gap` places of another split in their sequence.

    Training gives way to validation and test, validation to the test.

    Args:
        sequences: The sequence of each sample, samples in natural order.
        placed: The split of each.
        gap: Places.

    Returns:
        The splits; None where a sample is left out.
    """
    codes, _ = pd.factorize(np.array(sequences, dtype=object))
    order, start, end = _within(codes)
    own = np.array(placed, dtype=object)
    places, sorted_own = np.arange(len(own)), own[order]
    left = np.zeros(len(own), dtype=bool)
    for later in ("val", "test"):
        there = np.concatenate([[0], np.cumsum(sorted_own == later)])
        near = there[np.minimum(end, places + gap + 1)] > there[np.maximum(start, places - gap)]
        gives_way = sorted_own == "train" if later == "val" else sorted_own != "test"
        left[order] |= near & gives_way
    own[left] = None
    return own.tolist()


def _changed(
    manifest: Manifest,
    places: np.ndarray,
    units: Sequence[str],
    placed: Sequence[str | None],
    options: SplitOptions,
) -> Manifest:
    """Return the manifest with the splits and groups of the rows at `places`."""
    table, new = manifest.table, np.array(placed, dtype=object)
    former = table["split"].to_numpy(dtype=object)
    gap, pooled = new == None, np.isin(former[places], options.pooled)  # noqa: E711
    group, split = table["group"].to_numpy(dtype=object, copy=True), former.copy()
    group[places[pooled]] = np.array(units, dtype=object)[pooled]
    split[places[~gap]] = new[~gap]
    columns = {"group": group, "split": split}
    if gap.any():
        columns["keep"] = table["keep"].to_numpy(copy=True)
        columns["keep"][places[gap]] = False
        columns["flags"] = table["flags"].to_numpy(copy=True)
        for place in places[gap]:
            columns["flags"][place] = [*columns["flags"][place], GAP_FLAG]
    entry = {"of": manifest.fingerprint, **options.to_dict()}
    known = manifest.provenance.get("splits_drawn", [])
    return replace(
        manifest,
        table=table.assign(**columns),
        changed=tuple(columns),
        provenance={**manifest.provenance, "splits_drawn": [*known, entry]},
    )
