"""Where groups come from, images that look alike, and groups shared out by class."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold

from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.core.seeding import generator
from seglab.data.folds import FoldSettings, make_folds
from seglab.data.folds.balance import group_shares, imbalance, spread_groups
from seglab.data.folds.hashes import count_bits, near_clusters, near_marked, unique_hashes
from seglab.data.folds.natural import natural_key
from seglab.data.manifest import Manifest


def make_row(sample_id: str, **changes: Any) -> dict:
    row = {
        "sample_id": sample_id,
        "image": f"{sample_id}.png",
        "mask": f"{sample_id}_m.png",
        "height": 1,
        "width": 10,
        "split": "train",
        "group": sample_id,
        "annotator": None,
        "tags": [],
        "sha256": hashlib.sha256(sample_id.encode()).hexdigest(),
        "phash": None,
        "class_pixels": [6, 2, 2],
        "flags": [],
        "keep": True,
    }
    return row | changes


def make_manifest(rows: list[dict]) -> Manifest:
    labels = LabelSpace(("sky", "road"))
    return Manifest(pd.DataFrame(rows), labels, Path("/data"), "hand", "index", {})


def groups_of(rows: list[dict], **changes: Any) -> dict[str, str]:
    chosen = FoldSettings(**{"scheme": "grouped", "folds": 2, "allow_leaks": True} | changes)
    return dict(make_folds(make_manifest(rows), chosen).groups)


def test_natural_order_takes_digits_as_numbers() -> None:
    names = ["f10", "f9", "f1b", "f1", "10", "9", "a", "f01"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "f01", "f1", "f1b", "f9", "f10"]


def test_auto_takes_the_column_and_refuses_one_that_says_nothing() -> None:
    rows = [make_row("a", group="x"), make_row("b", group="x"), make_row("c", group="c")]
    assert groups_of(rows) == {"a": "x", "b": "x", "c": "c"}
    alone = [make_row(name) for name in "abc"]
    with pytest.raises(DataError) as caught:
        groups_of(alone)
    for choice in ("group_by=pattern", "group_by=near_duplicates", "scheme=kfold or stratified"):
        assert choice in str(caught.value)
    with pytest.raises(DataError, match="says nothing"):
        groups_of(alone, scheme="block", group_by="column")
    assert groups_of(alone, scheme="kfold") == {"a": "a", "b": "b", "c": "c"}


def test_pattern_reads_the_group_out_of_the_sample_id() -> None:
    rows = [make_row("p1_a"), make_row("p1_b"), make_row("p2_a")]
    pattern = {"group_by": "pattern", "group_pattern": "^(p[0-9])_"}
    assert groups_of(rows, **pattern) == {"p1_a": "p1", "p1_b": "p1", "p2_a": "p2"}
    with pytest.raises(DataError, match="finds no group in 1 of 4 names"):
        groups_of([*rows, make_row("q")], **pattern)


def test_near_duplicates_are_chains_of_alike_images_joined_with_groups_and_copies() -> None:
    copy = {"sha256": "ab" * 32}
    hashes = {
        "a": "00000000000000ff",
        "b": "00000000000000fe",
        "c": "00000000000000fc",  # a-c: 2 bits
        "d": "ffffffff00000000",
        "e": "0f0f0f0f0f0f0f0f",
        "f": None,
        "g": None,
        "h": None,
    }
    rows = [make_row(name, phash=phash) for name, phash in hashes.items()]
    near = {"group_by": "near_duplicates", "max_hash_distance": 1}
    alone = {"d": "d", "e": "e", "f": "f", "g": "g", "h": "h"}
    assert groups_of(rows, **near) == {"a": "a", "b": "a", "c": "a"} | alone
    assert groups_of(rows, **near | {"max_hash_distance": 0}) == {n: n for n in "abcdefgh"}
    # One group of the column joins a cluster with a lone image, one file under two names others.
    rows[2]["group"] = rows[3]["group"] = "scene"
    rows[5].update(copy)
    rows[6].update(copy)
    assert groups_of(rows, **near) == {
        "a": "a",
        "b": "a",
        "c": "a",
        "d": "a",
        "e": "e",
        "f": "f",
        "g": "f",
        "h": "h",
    }
    with pytest.raises(DataError, match="no sample has one"):
        groups_of([make_row("a"), make_row("b")], **near)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_bits_are_counted_with_and_without_numpy_2(numbers: list[int]) -> None:
    values = np.array(numbers, dtype=np.uint64)
    expected = [number.bit_count() for number in numbers]
    assert count_bits(values).tolist() == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(np, "bitwise_count", raising=False)
        assert count_bits(values).tolist() == expected
        assert count_bits(values[:, None]).shape == (len(numbers), 1)


@given(
    st.lists(st.integers(0, 255) | st.none(), max_size=25), st.integers(0, 3), st.integers(1, 50)
)
@settings(max_examples=60, deadline=None)
def test_clusters_are_those_of_a_plain_search(
    numbers: list[int | None], distance: int, pairs: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seglab.data.folds.hashes._SLICE_PAIRS", pairs)
        values, places = unique_hashes([None if n is None else f"{n:016x}" for n in numbers])
        labels = near_clusters(values, distance)
        marked = (values % np.uint64(3) == 0)[:, None]
        found = near_marked(values, distance, marked)[:, 0]
    assert [None if p < 0 else int(values[p]) for p in places] == numbers
    distinct = [int(value) for value in values]
    near = {a: {b for b in distinct if (a ^ b).bit_count() <= distance} for a in distinct}
    for start, label in zip(distinct, labels, strict=True):
        reached, waiting = {start}, [start]
        while waiting:
            new = near[waiting.pop()] - reached
            reached |= new
            waiting += new
        assert {v for v, other in zip(distinct, labels, strict=True) if other == label} == reached
    assert found.tolist() == [any(b % 3 == 0 for b in near[a]) for a in distinct]


def test_ten_thousand_hashes_take_seconds() -> None:
    values = np.unique(generator(0).integers(0, 2**63, 10_000).astype(np.uint64))
    start = time.perf_counter()
    labels = near_clusters(values, 4)
    assert time.perf_counter() - start < 20
    assert len(np.unique(labels)) == len(values)


def test_shares_of_groups_sum_to_one_and_absent_classes_are_zero() -> None:
    shares = group_shares(np.array([0, 1, 1]), np.array([[3, 0, 1], [1, 0, 0], [4, 0, 3]]))
    expected = [[3 / 8, 0, 1 / 4, 1 / 3], [5 / 8, 0, 3 / 4, 2 / 3]]
    np.testing.assert_allclose(shares, expected)
    # Two folds of one group: off by 1/4, 1/2 and 1/3 of what they should hold; class 1 is absent.
    expected_rms = np.sqrt(np.mean([(1 / 4) ** 2, (1 / 2) ** 2, (1 / 3) ** 2]))
    assert imbalance(shares, np.array([0, 1]), np.ones(2)) == pytest.approx(expected_rms)


def test_rare_classes_of_groups_are_shared_out_where_group_kfold_piles_them_up() -> None:
    rng = np.random.default_rng(0)
    # 24 groups of unequal size; a rare class in three of them, another in six.
    codes = np.repeat(np.arange(24), rng.integers(2, 9, 24))
    pixels = rng.integers(50, 150, (len(codes), 3))
    pixels[:, 1] *= codes < 3
    pixels[:, 2] *= (codes >= 2) & (codes < 8)
    shares = group_shares(codes, pixels)
    for seed in range(5):
        ours = spread_groups(shares, 3, generator(seed))
        assert sorted(ours[:3]) == [0, 1, 2]
        held = np.array([shares[ours == fold].sum(axis=0) for fold in range(3)])
        assert (held[:, 2] > 0.2).all()
        theirs = np.empty(24, dtype=int)
        splitter = GroupKFold(3, shuffle=True, random_state=seed)
        for number, (_, held_out) in enumerate(splitter.split(codes, groups=codes)):
            theirs[np.unique(codes[held_out])] = number
        assert imbalance(shares, ours, np.ones(3)) < 0.7 * imbalance(shares, theirs, np.ones(3))
        samples = np.bincount(ours[codes], minlength=3)
        assert samples.max() - samples.min() <= 0.15 * len(codes)


@given(st.integers(2, 6), st.integers(0, 20), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_every_fold_gets_a_group_even_if_one_is_huge(folds: int, more: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(folds + more), [50] + [1] * (folds + more - 1))
    pixels = rng.integers(0, 3, (len(codes), 4)) * rng.integers(0, 2, (len(codes), 4))
    fold_of = spread_groups(group_shares(codes, pixels), folds, generator(seed))
    assert set(fold_of) == set(range(folds))


def test_groups_without_any_class_are_shared_out_by_size() -> None:
    codes = np.repeat(np.arange(6), [4, 4, 2, 2, 1, 1])
    pixels = np.zeros((len(codes), 2), dtype=np.int64)
    fold_of = spread_groups(group_shares(codes, pixels), 2, generator(0))
    assert np.bincount(fold_of[codes]).tolist() == [7, 7]
