"""Splits of many samples are drawn column by column, and are to the sample what they were row by row."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.core.labels import LabelSpace
from seglab.core.seeding import generator
from seglab.data.folds.balance import group_shares, spread_groups
from seglab.data.manifest import Manifest
from seglab.data.splits.drawing import cut_into_runs, draw_split, leave_gaps
from seglab.data.splits.findings import leak_table, share_table, warnings_of
from seglab.data.splits.options import SplitOptions
from seglab.data.splits.units import numbered_names
from tests.data.test_manifest import make_row


def drives(rows: int) -> Manifest:
    """Frames of drives in no order: some unlabelled, left out, looking alike, copied, with rare classes."""
    rng = generator(0)
    made = []
    for number in rng.permutation(rows).tolist():
        drive, frame = divmod(number, 17)
        pixels = [*rng.integers(0, 90, 3).tolist(), int(rng.random() < 0.02), 0]
        labelled = number % 23 != 0
        made.append(
            make_row(
                f"day{drive % 3}/drive{drive}_{frame}",
                height=1,
                width=sum(pixels) + 1,
                class_pixels=[*pixels[:-1], 1] if labelled else [],
                mask="m.png" if labelled else None,
                split=("train", "val", "test")[number % 3] if labelled else "unlabeled",
                group=f"drive{drive}",
                sha256=f"{number % 870:064x}",
                phash=None if number % 31 == 0 else f"{int(rng.integers(0, 400)) << 20:016x}",
                flags=["dark", "split_gap"] if number % 19 == 0 else [],
                keep=number % 19 != 0 and number % 37 != 0,
            )
        )
    labels = LabelSpace(("a", "b", "c", "d"))
    return Manifest(pd.DataFrame(made), labels, Path("/data"), "drives", "index", {})


@pytest.mark.parametrize(
    ("options", "digest"),
    [
        ({"by": ("column",)}, "d11932ada536822f"),
        (
            {"by": ("column",), "val": 0.3, "seed": 3, "pooled": ("train", "val")},
            "8beddeb91e82594d",
        ),
        ({"by": ("names",), "block": 5, "gap": 2, "test": 0.2}, "3db59a5c23a87942"),
        ({"by": ("near_duplicates",), "max_hash_distance": 0, "val": 0.4}, "57260a0a04021930"),
        ({"by": ("pattern",), "pattern": ".+", "test": 0.1}, "e76ff516e89eb0c9"),
    ],
)
def test_splits_are_those_of_before(options: dict[str, Any], digest: str) -> None:
    chosen = SplitOptions(**options)
    drawn = draw_split(drives(900), chosen)
    told = [
        drawn.manifest.fingerprint,
        list(drawn.units),
        list(drawn.placed),
        {source: list(names) for source, names in drawn.names.items()},
        leak_table(drawn, chosen.seed).to_csv(),
        share_table(drawn).to_csv(),
        warnings_of(drawn, chosen),
    ]
    assert hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16] == digest


def runs_one_by_one(units: list[str], length: int) -> list[str]:
    sizes, seen, runs = Counter(units), Counter[str](), []
    for unit in units:
        last = max(0, round(sizes[unit] / length) - 1)
        runs.append(f"{unit}/{min(seen[unit] // length, last)}")
        seen[unit] += 1
    return runs


def gaps_one_by_one(sequences: list[str], placed: list[str], gap: int) -> list[str | None]:
    after = {"train": {"val", "test"}, "val": {"test"}, "test": set()}
    left: list[str | None] = list(placed)
    for name in set(sequences):
        places = [place for place, own in enumerate(sequences) if own == name]
        for index, place in enumerate(places):
            near = {placed[one] for one in places[max(0, index - gap) : index + gap + 1]}
            if near & after[placed[place]]:
                left[place] = None
    return left


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["train", "val", "test"]))),
    st.integers(1, 6),
)
@settings(max_examples=60, deadline=None)
def test_runs_and_gaps_are_those_of_one_sample_after_the_other(
    samples: list[tuple[str, str]], length: int
) -> None:
    units, placed = [unit for unit, _ in samples], [split for _, split in samples]
    assert cut_into_runs(units, length) == runs_one_by_one(units, length)
    assert leave_gaps(units, placed, length) == gaps_one_by_one(units, placed, length)


def beginnings_one_by_one(names: list[str]) -> list[str | None]:
    found: list[str | None] = []
    for name in names:
        path = PurePosixPath(name)
        match = re.match(r"^(?P<beginning>.*?)[\W_]*\d+$", path.name)
        folder = "" if str(path.parent) == "." else f"{path.parent}/"
        found.append(f"{folder}{match['beginning']}" or None if match else None)
    counts = Counter(name for name in found if name is not None)
    several = {name for name, count in counts.items() if count > 1}
    return [name if name in several and len(counts) > 1 else None for name in found]


parts = st.sampled_from(
    ["a", "B", "1", "07", "_", "-", ".", "/", " ", "\u00e9", "\u0663", "\udcff", "\n"]
)


@given(st.lists(st.lists(parts, min_size=1, max_size=6).map("".join), max_size=12))
@settings(max_examples=80, deadline=None)
def test_beginnings_are_those_of_one_name_after_the_other(names: list[str]) -> None:
    assert numbered_names(names) == beginnings_one_by_one(names)


def spread_one_by_one(
    shares: np.ndarray, folds: int, rng: np.random.Generator, sizes: np.ndarray
) -> np.ndarray:
    """One draw, as it was before it was made fast."""
    drawn, fold_of = rng.permutation(len(shares)), np.full(len(shares), -1)
    held, full, names = np.zeros((folds, shares.shape[1])), [0.0] * folds, rng.permutation(folds)
    sizes = (sizes / sizes.mean())[names]
    while (fold_of < 0).any():
        unplaced = drawn[fold_of[drawn] < 0]
        counts = (shares[unplaced, :-1] > 0).sum(axis=0)
        if counts.any():
            rarest = np.argmin(np.where(counts > 0, counts, len(shares) + 1))
            unplaced = unplaced[shares[unplaced, rarest] > 0]
        for group in unplaced:
            crowding = (held @ shares[group] / sizes).tolist()
            empty = sorted(set(range(folds)) - set(fold_of.tolist()))
            free = empty if (fold_of < 0).sum() <= len(empty) else range(folds)
            _, _, fold = min((round(crowding[one] * 1e12), full[one], one) for one in free)
            fold_of[group] = fold
            held[fold] += shares[group]
            full[fold] = float(held[fold, -1]) / float(sizes[fold])
    return names[fold_of]


@given(st.integers(0, 2**32), st.integers(2, 5), st.integers(5, 60), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_groups_are_spread_as_one_after_the_other(
    seed: int, folds: int, groups: int, classes: int
) -> None:
    rng = generator(seed)
    # Few values, so that there are ties.
    pixels = rng.integers(0, 3, (groups, classes)) * rng.integers(0, 2, (groups, classes))
    shares, sizes = group_shares(np.arange(groups), pixels), rng.integers(1, 4, folds) / 8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seglab.data.folds.balance._DRAWS", 1)
        found = spread_groups(shares, folds, generator(seed, "draw"), sizes)
    expected = spread_one_by_one(shares, folds, generator(seed, "draw"), sizes)
    assert found.tolist() == expected.tolist()
