"""Settings, the plan's table and files, and the manifest as one fold sees it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from seglab.core.errors import ConfigError, DataError, DataNotFoundError
from seglab.core.labels import LabelSpace
from seglab.data.folds import Fold, FoldPlan, FoldSettings, fold_manifest, make_folds
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


def make_manifest(rows: list[dict] | None = None) -> Manifest:
    rows = rows or [make_row(f"s{i}", group=f"g{i // 2}") for i in range(12)]
    labels = LabelSpace(("sky", "road"))
    return Manifest(pd.DataFrame(rows), labels, Path("/data"), "hand", "index", {})


def test_all_wrong_settings_are_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        FoldSettings(
            scheme="groupd",
            folds=1,
            repeats=0,
            group_by="colum",
            max_hash_distance=65,
            inner_folds=1,
            inner_scheme="nested",
            splits=("train", "unlabeled"),
        )
    text = str(caught.value)
    for part in (
        "got 'groupd' (did you mean 'grouped'?)",
        "inner_scheme: expected one of kfold, stratified, grouped, stratified_grouped, block, got 'nested'",
        "got 'colum' (did you mean 'column'?)",
        "splits[1]: expected one of train, val, test, got 'unlabeled'",
        "folds: expected a whole number (2 or more), got 1",
        "repeats: expected a whole number (1 or more), got 0",
        "max_hash_distance: expected a whole number (0 to 64), got 65",
        "inner_folds: expected a whole number (2 or more), got 1",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"scheme": "block", "repeats": 2},
            "nothing is shuffled, so every repeat would have the same",
        ),
        (
            {"scheme": "nested", "inner_scheme": "block", "repeats": 2},
            "repeats must be 1 for blocks",
        ),
        ({"scheme": "block", "group_by": "near_duplicates"}, "finds no sequences"),
        ({"scheme": "grouped", "group_by": "pattern"}, "needs group_pattern"),
        ({"scheme": "grouped", "group_pattern": "(a)"}, "counts only for group_by=pattern"),
        (
            {"scheme": "grouped", "group_by": "pattern", "group_pattern": "("},
            "no regular expression",
        ),
        (
            {"scheme": "grouped", "group_by": "pattern", "group_pattern": "a"},
            "one bracket.*it has 0",
        ),
        ({"scheme": "grouped", "group_by": "pattern", "group_pattern": "(a)(b)"}, "it has 2"),
        ({"scheme": "kfold", "splits": ()}, r"at least one split, each once, got \[\]"),
        ({"scheme": "kfold", "gap": 3}, "gap counts only for scheme block, got 3"),
        ({"scheme": "kfold", "splits": ("val", "val")}, "each once"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FoldSettings(**changes)


def test_settings_go_through_plain_content() -> None:
    chosen = FoldSettings(scheme="nested", gap=3, inner_scheme="block", splits=("train",))
    assert FoldSettings.read(yaml.safe_load(yaml.safe_dump(chosen.to_dict()))) == chosen
    with pytest.raises(ConfigError, match=r"fold: no such key \(did you mean 'folds'"):
        FoldSettings.read({"scheme": "kfold", "fold": 2})
    with pytest.raises(ConfigError, match="scheme: missing"):
        FoldSettings.read({"folds": 2})


def test_names_of_folds() -> None:
    assert Fold(0, 2, None, ("a",), ("b",)).name == "r0-f2"
    assert Fold(1, 2, 0, ("a",), ("b",), ("c",)).name == "r1-f2-i0"
    plan = make_folds(make_manifest(), FoldSettings(scheme="kfold", folds=3))
    assert plan.fold("r0-f2") is plan.folds[2]
    with pytest.raises(DataError, match=r"no fold 'r0-f3'.*folds are r0-f0, r0-f1, r0-f2"):
        plan.fold("r0-f3")


def test_table_has_one_row_a_fold_and_sample() -> None:
    manifest = make_manifest()
    table = make_folds(manifest, FoldSettings(scheme="block", folds=2)).table()
    assert list(table.columns) == ["repeat", "fold", "inner", "sample_id", "role", "group"]
    assert len(table) == 24
    assert set(table["inner"]) == {-1}
    # Each group of two frames is one sequence, cut into two blocks of one.
    ours = table[table["sample_id"].isin(["s2", "s3"])].sort_values(["fold", "sample_id"])
    assert ours[["fold", "sample_id", "role", "group"]].to_numpy().tolist() == [
        [0, "s2", "val", "g1"],
        [0, "s3", "train", "g1"],
        [1, "s2", "train", "g1"],
        [1, "s3", "val", "g1"],
    ]
    nested = make_folds(manifest, FoldSettings(scheme="nested", folds=3, inner_folds=2)).table()
    assert len(nested) == 3 * 2 * 12
    assert set(nested["inner"]) == {0, 1}
    assert set(nested["role"]) == {"train", "val", "test"}


@pytest.mark.parametrize(
    "chosen",
    [
        FoldSettings(scheme="kfold", folds=3, repeats=2),
        FoldSettings(scheme="stratified_grouped", folds=3),
        FoldSettings(scheme="nested", folds=3, inner_folds=2, inner_scheme="grouped"),
        FoldSettings(scheme="block", folds=3, gap=1, group_by="pattern", group_pattern="^(s)"),
    ],
)
def test_plan_is_read_as_it_was_written(chosen: FoldSettings, tmp_path: Path) -> None:
    plan = make_folds(make_manifest(), chosen)
    path = plan.write(tmp_path)
    assert path == tmp_path / "folds.parquet"
    for place in (tmp_path, path):
        again = FoldPlan.read(place)
        assert again == plan
        assert again.hash == plan.hash
        assert list(again.groups) == list(plan.groups)
    content = yaml.safe_load((tmp_path / "folds.yaml").read_text())
    assert content["hash"] == plan.hash
    assert content["manifest_fingerprint"] == plan.manifest_fingerprint
    assert content["settings"] == chosen.to_dict()
    assert content["folds"][0]["name"] == plan.folds[0].name
    assert content["folds"][0]["hash"] == plan.folds[0].hash
    assert content["folds"][0]["train"] == len(plan.folds[0].train_ids)
    assert pd.read_parquet(path).equals(plan.table())


def test_the_hash_stands_for_settings_data_and_folds() -> None:
    manifest = make_manifest()
    plan = make_folds(manifest, FoldSettings(scheme="kfold", folds=3))
    assert len(plan.hash) == 16
    int(plan.hash, 16)
    again = make_folds(make_manifest(), FoldSettings(scheme="kfold", folds=3))
    assert again.hash == plan.hash
    rows = manifest.table.assign(annotator="someone")
    others = [
        make_folds(manifest.with_table(rows), FoldSettings(scheme="kfold", folds=3)),
        make_folds(manifest, FoldSettings(scheme="kfold", folds=3, seed=1)),
        make_folds(manifest, FoldSettings(scheme="kfold", folds=3, allow_leaks=True)),
        FoldPlan(plan.settings, plan.manifest_fingerprint, plan.folds[:2], plan.groups),
    ]
    assert len({plan.hash, *(other.hash for other in others)}) == 5


def test_missing_foreign_and_changed_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"no folds at .*folds\.parquet"):
        FoldPlan.read(tmp_path)
    path = make_folds(make_manifest(), FoldSettings(scheme="kfold", folds=3)).write(tmp_path)
    content = pq.read_table(path)
    pq.write_table(content.slice(1).replace_schema_metadata(content.schema.metadata), path)
    with pytest.raises(DataError, match="it was changed outside seglab"):
        FoldPlan.read(tmp_path)
    pq.write_table(content.replace_schema_metadata(None), path)
    with pytest.raises(DataError, match="holds no folds of seglab"):
        FoldPlan.read(tmp_path)
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        FoldPlan.read(tmp_path)


def test_fold_manifest_keeps_only_what_the_fold_sees() -> None:
    rows = [make_row(f"f{i}") for i in range(9)]
    rows += [
        make_row("official", split="test"),
        make_row("bare", split="unlabeled", mask=None, class_pixels=[]),
        make_row("bad", keep=False),
    ]
    manifest = make_manifest(rows)
    plan = make_folds(manifest, FoldSettings(scheme="block", folds=3, gap=1))
    fold = plan.fold("r0-f1")
    seen = fold_manifest(manifest, fold)
    assert seen.split("train")["sample_id"].tolist() == ["f0", "f1", "f7", "f8"]
    assert seen.split("val")["sample_id"].tolist() == ["f3", "f4", "f5"]
    assert seen.splits() == {"train": 4, "val": 3, "test": 0, "unlabeled": 0}
    left = seen.table.loc[~seen.table["keep"], "sample_id"]
    assert left.tolist() == ["f2", "f6", "official", "bare", "bad"]
    changed = ["split", "keep"]
    assert seen.table.drop(columns=changed).equals(manifest.table.drop(columns=changed))
    assert manifest.splits()["test"] == 1
    assert fold.split_ids == {"train": ("f0", "f1", "f7", "f8"), "val": ("f3", "f4", "f5")}


def test_fold_manifest_of_a_nested_fold_has_its_test_part() -> None:
    manifest = make_manifest()
    fold = make_folds(manifest, FoldSettings(scheme="nested", folds=3, inner_folds=2)).folds[3]
    seen = fold_manifest(manifest, fold)
    for split in ("train", "val", "test"):
        assert sorted(seen.split(split)["sample_id"]) == sorted(fold.roles[split])
    assert seen.splits()["test"] == 4


def test_fold_of_another_manifest_is_refused() -> None:
    plan = make_folds(make_manifest(), FoldSettings(scheme="kfold", folds=3))
    rows = [make_row(f"s{i}", keep=i > 0) for i in range(11)]
    with pytest.raises(DataError, match="no kept sample for these of fold r0-f0") as caught:
        fold_manifest(make_manifest(rows), plan.folds[0])
    assert "- s0\n" in str(caught.value)
    assert "s11" in str(caught.value)
    with pytest.raises(DataError, match=r"made for data set .* make the folds again"):
        plan.require_manifest(make_manifest(rows))
