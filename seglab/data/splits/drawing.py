"""Shares a data set out into splits, whole units at a time, with every class in each split alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from seglab.core.errors import ConfigError, DataError
from seglab.core.seeding import generator
from seglab.data.folds.balance import group_shares, spread_groups
from seglab.data.folds.groups import Names, join_names, pooled_rows
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
        units: The unit of each row: what was placed as a whole.
        placed: The new split of each row; None: left out in a gap.
    """

    manifest: Manifest
    former: Manifest
    rows: pd.DataFrame
    names: Mapping[Source, Names]
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
    rows = pooled_rows(whole, LABELLED)
    names = {
        source: names_by(source, rows, manifest.root, options)
        for source in sources_of(rows, options)
    }
    sequences = join_names([*names.values(), rows["sha256"].tolist()], rows["sample_id"].tolist())
    units = cut_into_runs(sequences, options.block) if options.block else sequences
    placed = _place(units, rows, manifest.labels.num_classes, options)
    if options.gap:
        placed = leave_gaps(sequences, placed, options.gap)
    drawn = _changed(whole, rows, units, placed, options)
    return DrawnSplit(drawn, manifest, rows, names, units, placed)


def _without_gaps(manifest: Manifest) -> Manifest:
    """Take back the samples that a former split left out."""
    flags = manifest.table["flags"]
    dropped = np.array([GAP_FLAG in own for own in flags], dtype=bool)
    if not dropped.any():
        return manifest
    freed = pd.Series([[one for one in own if one != GAP_FLAG] for own in flags], dtype=object)
    return manifest.with_table(
        manifest.table.assign(keep=manifest.table["keep"] | dropped, flags=freed)
    )


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
    sizes = Counter(units)
    seen: dict[str, int] = {}
    runs = []
    for unit in units:
        place = seen.get(unit, 0)
        seen[unit] = place + 1
        last = max(0, round(sizes[unit] / length) - 1)
        runs.append(f"{unit}/{min(place // length, last)}")
    return runs


def _place(
    units: Sequence[str], rows: pd.DataFrame, num_classes: int, options: SplitOptions
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
    pixels = np.array(rows["class_pixels"].tolist(), dtype=np.int64)[pooled, :num_classes]
    sizes = np.array(list(wanted.values()))
    rng = generator(options.seed, "split")
    fold_of = spread_groups(group_shares(codes, pixels), len(wanted), rng, sizes)
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
    after = {"train": {"val", "test"}, "val": {"test"}, "test": set()}
    members: dict[str, list[int]] = {}
    for place, name in enumerate(sequences):
        members.setdefault(name, []).append(place)
    left = list(placed)
    for places in members.values():
        own = [placed[place] for place in places]
        for index, place in enumerate(places):
            near = own[max(0, index - gap) : index + gap + 1]
            if not after[str(own[index])].isdisjoint(str(name) for name in near):
                left[place] = None
    return left


def _changed(
    manifest: Manifest,
    rows: pd.DataFrame,
    units: Sequence[str],
    placed: Sequence[str | None],
    options: SplitOptions,
) -> Manifest:
    places = manifest.table.index[manifest.table["sample_id"].isin(rows["sample_id"])]
    # Those of `rows`, in the order that they have in the table.
    order = pd.Index(rows["sample_id"]).get_indexer(manifest.table.loc[places, "sample_id"])
    new = np.array(placed, dtype=object)[order]
    gap, pooled = pd.isna(new), rows["split"].isin(options.pooled).to_numpy()[order]
    columns = {
        name: manifest.table[name].to_numpy(dtype=object, copy=True)
        for name in ("group", "split", "keep", "flags")
    }
    columns["group"][places[pooled]] = np.array(units, dtype=object)[order][pooled]
    columns["split"][places[~gap]] = new[~gap]
    columns["keep"][places[gap]] = False
    for place in places[gap]:
        columns["flags"][place] = [*columns["flags"][place], GAP_FLAG]
    entry = {"of": manifest.fingerprint, **options.to_dict()}
    known = manifest.provenance.get("splits_drawn", [])
    return replace(
        manifest,
        table=manifest.table.assign(
            **{name: pd.Series(values, dtype=object) for name, values in columns.items()}
        ),
        provenance={**manifest.provenance, "splits_drawn": [*known, entry]},
    )
