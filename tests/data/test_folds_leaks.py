"""Leaks are found in plans made by hand, and warnings say what a scheme does not promise."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.data.folds import (
    Fold,
    FoldPlan,
    FoldSettings,
    find_leaks,
    fold_warnings,
    leak_warnings,
    make_folds,
    require_no_leaks,
)
from seglab.data.manifest import Manifest


def make_row(sample_id: str, **changes: Any) -> dict:
    # Hashes of different samples are far apart.
    digest = hashlib.sha256(sample_id.encode()).hexdigest()
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
        "sha256": digest,
        "phash": digest[:16],
        "class_pixels": [6, 2, 2],
        "flags": [],
        "keep": True,
    }
    return row | changes


def make_manifest(rows: list[dict]) -> Manifest:
    labels = LabelSpace(("sky", "road"))
    return Manifest(pd.DataFrame(rows), labels, Path("/data"), "hand", "index", {})


def make_plan(manifest: Manifest, *folds: Fold, **changes: Any) -> FoldPlan:
    chosen = FoldSettings(**{"scheme": "kfold", "folds": 2} | changes)
    ids = manifest.table["sample_id"]
    return FoldPlan(chosen, manifest.fingerprint, folds, {name: name for name in ids})


def test_clean_plans_have_neither_leaks_nor_warnings() -> None:
    manifest = make_manifest([make_row(f"s{i}") for i in range(6)])
    plan = make_folds(manifest, FoldSettings(scheme="kfold", folds=3))
    assert find_leaks(plan, manifest) == []
    assert fold_warnings(plan, manifest) == []
    require_no_leaks(plan, manifest)


def test_a_sample_on_both_sides_is_a_leak() -> None:
    manifest = make_manifest([make_row(name) for name in "abc"])
    plan = make_plan(manifest, Fold(0, 0, None, ("a", "b"), ("b", "c")))
    assert find_leaks(plan, manifest) == ["r0-f0: sample b is in train and val"]
    with pytest.raises(DataError, match=r"the folds leak[\s\S]*sample b is in train and val"):
        require_no_leaks(plan, manifest)


def test_the_same_file_on_both_sides_is_an_error_unless_allowed() -> None:
    rows = [make_row(f"s{i}") for i in range(6)]
    rows[5]["sha256"] = rows[0]["sha256"]
    manifest = make_manifest(rows)
    for scheme in ("kfold", "stratified"):
        with pytest.raises(DataError, match="group_by=near_duplicates") as caught:
            make_folds(manifest, FoldSettings(scheme=scheme, folds=6))
        digest = rows[0]["sha256"][:12]
        assert f"the file {digest}... is in train as s0 and val as s5" in str(caught.value)
        plan = make_folds(manifest, FoldSettings(scheme=scheme, folds=6, allow_leaks=True))
        assert len(find_leaks(plan, manifest)) == 2
        require_no_leaks(plan, manifest)
        found = leak_warnings(plan, manifest)
        assert sum(line.startswith("allowed by allow_leaks: r0-f") for line in found) == 2
    safe = FoldSettings(scheme="grouped", folds=3, group_by="near_duplicates")
    assert find_leaks(make_folds(manifest, safe), manifest) == []
    # Groups of the column do not know of the copy.
    rows[1]["group"] = rows[0]["group"]
    with pytest.raises(DataError, match="the folds leak"):
        make_folds(make_manifest(rows), FoldSettings(scheme="grouped", folds=5))


def test_a_file_is_sought_between_validation_and_test_too_but_not_among_left_out() -> None:
    rows = [make_row(name) for name in "abcd"]
    rows[3]["sha256"] = rows[2]["sha256"]
    manifest = make_manifest(rows)
    nested = {"scheme": "nested", "inner_scheme": "kfold"}
    plan = make_plan(manifest, Fold(0, 1, 0, ("a", "b"), ("c",), ("d",)), **nested)
    (leak,) = find_leaks(plan, manifest)
    assert leak.startswith("r0-f1-i0: the file ")
    assert leak.endswith("is in val as c and test as d")
    plan = make_plan(manifest, Fold(0, 1, 0, ("a", "b"), ("c",), (), ("d",)), **nested)
    assert find_leaks(plan, manifest) == []


def test_a_cut_group_is_a_leak_of_grouped_plans_and_a_warning_of_others() -> None:
    rows = [make_row(f"s{i}", group=f"g{i // 3}") for i in range(6)]
    manifest = make_manifest(rows)
    fold = Fold(0, 0, None, ("s0", "s1", "s3", "s4", "s5"), ("s2",))
    grouped = make_plan(manifest, fold, scheme="grouped")
    assert find_leaks(grouped, manifest) == [
        "r0-f0: group g0 is in train (2 of its samples) and val (1 of its samples)"
    ]
    plain = make_plan(manifest, fold)
    assert find_leaks(plain, manifest) == []
    require_no_leaks(plain, manifest)
    (warning,) = leak_warnings(plain, manifest)
    assert warning.startswith("1 of 2 groups are on both sides of a fold")
    assert leak_warnings(make_plan(manifest, fold, scheme="block", gap=1), manifest) == []


def test_images_that_look_alike_are_counted() -> None:
    hashes = ["00000000000000ff", "00000000000000fe", "0f0f0f0f0f0f0f0f", "ffffffff00000000"]
    manifest = make_manifest([make_row(f"s{i}", phash=phash) for i, phash in enumerate(hashes)])
    fold = Fold(0, 0, None, ("s0", "s2"), ("s1", "s3"))
    (warning,) = leak_warnings(make_plan(manifest, fold), manifest)
    assert warning.startswith("1 of 2 held-out samples (all folds) look like one on another side")
    assert leak_warnings(make_plan(manifest, fold, max_hash_distance=0), manifest) == []
    near = {"scheme": "grouped", "group_by": "near_duplicates"}
    assert find_leaks(make_plan(manifest, fold, **near), manifest) == [
        "r0-f0: group s0 is in train (1 of its samples) and val (1 of its samples)",
        "r0-f0: held-out samples that look like one on another side: 1",
    ]
    nested = Fold(0, 0, 0, ("s2",), ("s0",), ("s1", "s3"))
    (warning,) = leak_warnings(make_plan(manifest, nested, scheme="nested"), manifest)
    assert warning.startswith("1 of 3 held-out samples")


def test_missing_hashes_and_a_missing_gap_are_said() -> None:
    manifest = make_manifest([make_row(f"s{i}", phash=None) for i in range(4)])
    found = leak_warnings(make_folds(manifest, FoldSettings(scheme="block", folds=2)), manifest)
    assert found[0] == "gap is 0: the frames next to a held-out block are trained on"
    assert found[1].startswith("4 of 4 samples have no perceptual hash")
    assert len(found) == 2


def test_classes_without_pixels_are_named_with_their_folds() -> None:
    rows = [make_row(f"s{i}", class_pixels=[6, 0, 4]) for i in range(4)]
    manifest = make_manifest(rows)
    plan = make_folds(manifest, FoldSettings(scheme="kfold", folds=2))
    assert fold_warnings(plan, manifest) == ["no pooled sample has a pixel of road"]
    rows[3]["class_pixels"] = [6, 2, 2]
    manifest = make_manifest(rows)
    plan = make_folds(manifest, FoldSettings(scheme="block", folds=2, gap=1))
    assert fold_warnings(plan, manifest) == [
        "r0-f1: the training part has no pixel of road",
        "road: no held-out pixel in r0-f0 (val); its scores there are undefined",
    ]


def test_uneven_parts_and_repeats_that_repeat_are_said() -> None:
    sizes = {"a": 8, "b": 2, "c": 1}
    rows = [make_row(f"{g}{i}", group=g) for g, size in sizes.items() for i in range(size)]
    manifest = make_manifest(rows)
    found = fold_warnings(
        make_folds(manifest, FoldSettings(scheme="grouped", folds=3, repeats=2)), manifest
    )
    assert found[0] == (
        "held-out parts have 1 to 8 samples, since groups differ in size; "
        "stratified_grouped balances samples too"
    )
    assert found[1].startswith("repeats 0 and 1 hold out the same parts")
    assert len(found) == 2
    plan = make_folds(manifest, FoldSettings(scheme="stratified_grouped", folds=3))
    assert fold_warnings(plan, manifest) == [
        "held-out parts have 1 to 8 samples, since groups differ in size"
    ]


def test_plans_of_other_manifests_and_foreign_samples_are_refused() -> None:
    manifest = make_manifest([make_row(name) for name in "abcd"])
    plan = make_folds(manifest, FoldSettings(scheme="kfold", folds=2))
    other = make_manifest([make_row(name) for name in "abce"])
    for check in (find_leaks, require_no_leaks, leak_warnings, fold_warnings):
        with pytest.raises(DataError, match="make the folds again"):
            check(plan, other)
    fold = dataclasses.replace(plan.folds[0], train_ids=("a", "zebra"))
    with pytest.raises(DataError, match=r"not pooled:[\s\S]*r0-f0: zebra"):
        find_leaks(make_plan(manifest, fold), manifest)
