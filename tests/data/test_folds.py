"""Cutting into folds: what every scheme promises, on hand-made manifests and drawn ones."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.data.folds import FoldPlan, FoldSettings, make_folds
from seglab.data.folds.schemes import assign, beside_held_out
from seglab.data.manifest import Manifest

SIMPLE = ("kfold", "stratified", "grouped", "stratified_grouped", "block")


def make_row(sample_id: str, pixels: tuple[int, int, int] = (6, 2, 1), **changes: Any) -> dict:
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
        "class_pixels": [*pixels, 10 - sum(pixels)],
        "flags": [],
        "keep": True,
    }
    return row | changes


def make_manifest(rows: list[dict]) -> Manifest:
    labels = LabelSpace(("sky", "road", "pole"))
    return Manifest(pd.DataFrame(rows), labels, Path("/data"), "hand", "index", {})


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """At least 12 groups of 1 to 4 samples, with classes here and there."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=12, max_size=20))
    rows = []
    for group, size in enumerate(sizes):
        for frame in range(size):
            pixels = draw(st.tuples(*[st.integers(0, 3)] * 3))
            split = draw(st.sampled_from(("train", "val")))
            name = f"v{group}_f{frame}"
            rows.append(make_row(name, pixels, group=f"video{group}", split=split))
    return make_manifest(rows)


def check_disjoint_and_complete(plan: FoldPlan, manifest: Manifest) -> None:
    everything = sorted(manifest.table["sample_id"])
    for fold in plan.folds:
        assert sorted(name for ids in fold.roles.values() for name in ids) == everything
        assert fold.train_ids
        assert fold.val_ids


@given(manifests(), st.sampled_from(SIMPLE), st.integers(2, 4), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_each_sample_is_held_out_once_a_repeat(
    manifest: Manifest, scheme: str, folds: int, seed: int
) -> None:
    repeats = 1 if scheme == "block" else 2
    plan = make_folds(
        manifest, FoldSettings(scheme=scheme, folds=folds, repeats=repeats, seed=seed)
    )
    check_disjoint_and_complete(plan, manifest)
    assert [fold.name for fold in plan.folds] == [
        f"r{repeat}-f{number}" for repeat in range(repeats) for number in range(folds)
    ]
    for repeat in range(repeats):
        held_out = [name for f in plan.folds if f.repeat == repeat for name in f.val_ids]
        assert sorted(held_out) == sorted(manifest.table["sample_id"])
    assert all(fold.test_ids == fold.left_out_ids == () for fold in plan.folds)


@given(manifests(), st.sampled_from(("grouped", "stratified_grouped")), st.booleans())
@settings(max_examples=40, deadline=None)
def test_groups_are_never_cut(manifest: Manifest, scheme: str, nested: bool) -> None:
    chosen = FoldSettings(scheme=scheme, folds=3)
    if nested:
        chosen = FoldSettings(scheme="nested", folds=3, inner_folds=2, inner_scheme=scheme)
    group_of = dict(zip(manifest.table["sample_id"], manifest.table["group"], strict=True))
    for fold in make_folds(manifest, chosen).folds:
        sides = [{group_of[name] for name in ids} for ids in fold.roles.values()]
        assert sum(map(len, sides)) == len(set.union(*sides))


@given(manifests(), st.sampled_from(SIMPLE))
@settings(max_examples=30, deadline=None)
def test_nested_folds_test_each_sample_once_and_choose_on_the_rest(
    manifest: Manifest, scheme: str
) -> None:
    plan = make_folds(
        manifest, FoldSettings(scheme="nested", folds=3, inner_folds=2, inner_scheme=scheme)
    )
    check_disjoint_and_complete(plan, manifest)
    assert [f.name for f in plan.folds] == [f"r0-f{o}-i{i}" for o in range(3) for i in range(2)]
    everything = sorted(manifest.table["sample_id"])
    outer = plan.outer_folds()
    assert [fold.name for fold in outer] == ["r0-f0", "r0-f1", "r0-f2"]
    assert sorted(name for fold in outer for name in fold.test_ids) == everything
    for fold in outer:
        inside = [inner for inner in plan.folds if inner.number == fold.number]
        assert {inner.test_ids for inner in inside} == {fold.test_ids}
        chosen_on = [name for inner in inside for name in inner.val_ids]
        assert sorted(chosen_on) == sorted(fold.train_ids)
        assert sorted(fold.train_ids + fold.test_ids) == everything


@given(st.permutations(range(15)), st.sampled_from((*SIMPLE, "nested")))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_does_not_matter(order: list[int], scheme: str) -> None:
    rows = [make_row(f"s{i}", (i % 3, i % 2, 1), group=f"g{i // 2}") for i in range(15)]
    plan = make_folds(make_manifest(rows), FoldSettings(scheme=scheme, folds=3))
    shuffled = make_folds(
        make_manifest([rows[i] for i in order]), FoldSettings(scheme=scheme, folds=3)
    )
    assert shuffled == plan
    assert shuffled.hash == plan.hash


def test_plans_are_the_same_on_every_machine() -> None:
    rows = [make_row(f"s{i}", (1, i % 2, int(i < 4)), group=f"g{i // 2}") for i in range(12)]
    manifest = make_manifest(rows)
    expected = {
        "kfold": ["s4 s5 s7 s9", "s0 s1 s2 s11", "s3 s6 s8 s10"],
        "stratified": ["s2 s6 s9 s11", "s0 s3 s4 s7", "s1 s5 s8 s10"],
        "grouped": ["s2 s3 s10 s11", "s0 s1 s6 s7", "s4 s5 s8 s9"],
        "stratified_grouped": ["s2 s3 s4 s5", "s6 s7 s10 s11", "s0 s1 s8 s9"],
    }
    for scheme, held_out in expected.items():
        plan = make_folds(manifest, FoldSettings(scheme=scheme, folds=3))
        assert [" ".join(fold.val_ids) for fold in plan.folds] == held_out


def test_seeds_and_repeats_cut_anew() -> None:
    manifest = make_manifest([make_row(f"s{i}", group=f"g{i // 2}") for i in range(24)])
    for scheme in ("kfold", "stratified", "grouped", "stratified_grouped"):
        plan = make_folds(manifest, FoldSettings(scheme=scheme, folds=3, repeats=3))
        cuts = {frozenset(f.val_ids for f in plan.folds if f.repeat == r) for r in range(3)}
        assert len(cuts) == 3, scheme
        first = make_folds(manifest, FoldSettings(scheme=scheme, folds=3, repeats=1))
        assert first.folds == plan.folds[:3], scheme
        other = make_folds(manifest, FoldSettings(scheme=scheme, folds=3, seed=1))
        assert other.hash != first.hash
        assert other.folds != first.folds


def test_stratified_shares_out_a_rare_class_and_one_that_is_everywhere() -> None:
    rows = [make_row(f"s{i}", (5, i % 2, int(i < 6))) for i in range(30)]
    plan = make_folds(make_manifest(rows), FoldSettings(scheme="stratified", folds=3))
    for fold in plan.folds:
        numbers = [int(name[1:]) for name in fold.val_ids]
        assert len(numbers) == 10
        assert sum(n < 6 for n in numbers) == 2
        assert sum(n % 2 for n in numbers) == 5


@pytest.mark.parametrize("pole", [(lambda i: i < 6), (lambda i: True), (lambda i: False)])
def test_stratified_takes_one_class_or_none_that_varies(pole: Any) -> None:
    rows = [make_row(f"s{i}", (5, 0, int(pole(i)))) for i in range(18)]
    plan = make_folds(make_manifest(rows), FoldSettings(scheme="stratified", folds=3))
    with_pole = [sum(pole(int(name[1:])) for name in fold.val_ids) for fold in plan.folds]
    assert [len(fold.val_ids) for fold in plan.folds] == [6, 6, 6]
    assert with_pole == [sum(map(pole, range(18))) / 3] * 3


def test_blocks_are_consecutive_in_natural_order_with_a_gap_on_both_sides() -> None:
    manifest = make_manifest([make_row(f"f{i}") for i in range(12)])
    plan = make_folds(manifest, FoldSettings(scheme="block", folds=3, gap=2))
    names = [f"f{i}" for i in range(12)]
    assert [list(fold.val_ids) for fold in plan.folds] == [names[:4], names[4:8], names[8:]]
    middle = plan.fold("r0-f1")
    assert middle.left_out_ids == ("f2", "f3", "f8", "f9")
    assert middle.train_ids == ("f0", "f1", "f10", "f11")
    assert plan.fold("r0-f0").left_out_ids == ("f4", "f5")
    assert set(plan.groups.values()) == {"hand"}


def test_each_fold_holds_out_a_block_of_every_sequence_and_odd_frames_move_on() -> None:
    rows = [
        make_row(f"{v}{i}", group=v) for v, n in (("a", 7), ("b", 4), ("c", 1)) for i in range(n)
    ]
    plan = make_folds(make_manifest(rows), FoldSettings(scheme="block", folds=3))
    assert [fold.val_ids for fold in plan.folds] == [
        ("a0", "a1", "a2", "b0"),
        ("a3", "a4", "b1", "b2"),
        ("a5", "a6", "b3", "c0"),
    ]


@given(st.lists(st.integers(1, 20), max_size=3), st.integers(0, 3), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_gap_is_respected(lengths: list[int], gap: int, nested: bool) -> None:
    # One sequence is long enough for every gap drawn; the others may be left out whole.
    lengths = [*lengths, 24]
    rows = [make_row(f"v{v}_f{f}", group=f"v{v}") for v, n in enumerate(lengths) for f in range(n)]
    chosen = FoldSettings(scheme="block", folds=3, gap=gap)
    if nested:
        chosen = FoldSettings(
            scheme="nested", folds=3, inner_folds=2, inner_scheme="block", gap=gap
        )
    plan = make_folds(make_manifest(rows), chosen)
    frames = {name: (name.split("_f")[0], int(name.split("_f")[1])) for name in plan.groups}
    for fold in plan.folds:
        for held in fold.val_ids + fold.test_ids:
            video, place = frames[held]
            for name in fold.train_ids:
                assert frames[name][0] != video or abs(frames[name][1] - place) > gap
        for name in fold.left_out_ids:
            video, place = frames[name]
            held_out = [frames[held] for held in fold.val_ids + fold.test_ids]
            assert any(v == video and abs(p - place) <= gap for v, p in held_out)


def test_too_few_samples_groups_and_training_images_are_refused() -> None:
    few = make_manifest([make_row(f"s{i}", group=f"g{i % 2}") for i in range(4)])
    with pytest.raises(DataError, match="4 samples cannot fill 5 folds: ask for at most 4 folds"):
        make_folds(few, FoldSettings(scheme="kfold", folds=5))
    for scheme in ("grouped", "stratified_grouped"):
        with pytest.raises(DataError, match="2 groups cannot fill 3 folds: ask for at most 2"):
            make_folds(few, FoldSettings(scheme=scheme, folds=3))
    with pytest.raises(DataError, match="fold 0 has nothing to train on: gap=9 leaves out all 2"):
        make_folds(few, FoldSettings(scheme="block", folds=2, gap=9))
    with pytest.raises(DataError, match=r"inner folds of outer fold r0-f0: 1 group cannot fill 2 "):
        make_folds(
            few, FoldSettings(scheme="nested", folds=2, inner_folds=2, inner_scheme="grouped")
        )


def test_only_kept_samples_of_the_named_splits_are_cut() -> None:
    rows = [make_row(f"s{i}") for i in range(6)]
    rows += [make_row("v", split="val"), make_row("t", split="test"), make_row("x", keep=False)]
    manifest = make_manifest(rows)
    assert set(make_folds(manifest, FoldSettings(scheme="kfold", folds=2)).groups) == {
        f"s{i}" for i in range(6)
    } | {"v"}
    with_test = make_folds(manifest, FoldSettings(scheme="kfold", folds=2, splits=("val", "test")))
    assert set(with_test.groups) == {"v", "t"}
    with pytest.raises(
        DataError, match=r"no samples in test to cut .* it has train 2, val 0, test 0"
    ):
        make_folds(make_manifest(rows[:2]), FoldSettings(scheme="kfold", folds=2, splits=("test",)))


def test_beside_held_out_takes_the_nearer_of_two_blocks() -> None:
    from seglab.data.folds.groups import Pool

    pool = Pool(
        tuple(map(str, range(9))), ("a",) * 8 + ("b",), True, np.ones((9, 1), dtype=np.int64)
    )
    rows = np.array([1, 2, 3, 5, 6, 8])
    close = beside_held_out(pool, rows, np.array([0, 7]), gap=2)
    assert close.tolist() == [True, True, False, True, True, False]
    assert not beside_held_out(pool, rows, np.array([0, 7]), gap=0).any()


def test_iterative_stratification_that_leaves_a_fold_empty_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    from seglab.data.folds.groups import Pool

    monkeypatch.setattr(
        MultilabelStratifiedKFold, "_make_test_folds", lambda *_: np.array([0, 0, 1, 1])
    )
    pixels = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
    pool = Pool(("a", "b", "c", "d"), ("a", "b", "c", "d"), False, pixels)
    with pytest.raises(DataError, match="4 samples are too few to balance 2 classes over 3 folds"):
        assign("stratified", pool, np.arange(4), 3, 0)
