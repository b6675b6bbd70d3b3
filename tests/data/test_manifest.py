"""The manifest: validation, fingerprint, and files that survive changes and damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.core.errors import DataError, DataNotFoundError
from seglab.core.labels import LabelSpace
from seglab.data.manifest import COLUMNS, Manifest

LABELS = LabelSpace(("sky", "road"), raw_ids={0: 0, 1: 1, 9: 255})


def make_row(sample_id: str, **changes: Any) -> dict[str, Any]:
    row = {
        "sample_id": sample_id,
        "image": f"images/{sample_id}.png",
        "mask": f"masks/{sample_id}.png",
        "height": 2,
        "width": 3,
        "split": "train",
        "group": "scene",
        "annotator": None,
        "tags": ["night"],
        "sha256": "ab" * 32,
        "mask_sha256": "ef" * 32,
        "phash": "0f" * 8,
        "class_pixels": [4, 1, 1],
        "flags": [],
        "keep": True,
    }
    return row | changes


def make_manifest(*rows: dict[str, Any], **changes: Any) -> Manifest:
    content: dict[str, Any] = {
        "table": pd.DataFrame(list(rows) or [make_row("a"), make_row("b", split="val")]),
        "labels": LABELS,
        "root": Path("/data"),
        "name": "tiny",
        "mask_encoding": "index",
        "provenance": {"importer": "test"},
    }
    return Manifest(**content | changes)


def test_columns_are_those_of_the_design() -> None:
    assert COLUMNS == (
        "sample_id",
        "image",
        "mask",
        "height",
        "width",
        "split",
        "group",
        "annotator",
        "tags",
        "sha256",
        "mask_sha256",
        "phash",
        "class_pixels",
        "flags",
        "keep",
    )


def test_split_returns_kept_rows_sorted_by_id() -> None:
    manifest = make_manifest(make_row("c"), make_row("a"), make_row("b", keep=False))
    assert manifest.split("train")["sample_id"].tolist() == ["a", "c"]
    assert manifest.split("test").empty
    assert manifest.splits() == {"train": 2, "val": 0, "test": 0, "unlabeled": 0}


def test_split_of_unknown_name_suggests_one() -> None:
    with pytest.raises(DataError, match="did you mean 'train'"):
        make_manifest().split("trian")


def test_missing_values_become_none_whatever_pandas_made_of_them() -> None:
    row = make_row("a", mask=float("nan"), annotator=pd.NA, split="unlabeled", class_pixels=[])
    table = pd.DataFrame([row, make_row("b")])
    table["height"] = table["height"].astype(float)
    manifest = make_manifest(table=table)
    assert manifest.table["mask"][0] is None
    assert manifest.table["annotator"].tolist() == [None, None]
    assert manifest.table["height"].dtype == np.int64


def test_all_problems_are_listed_at_once() -> None:
    rows = [
        make_row("a"),
        make_row("a", split="trian"),
        make_row("b", mask=None, class_pixels=[]),
        make_row("c", image="/abs/c.png"),
        make_row("d", mask="../d.png"),
        make_row("e", class_pixels=[6, 0]),
        make_row("f", class_pixels=[1, 1, 1]),
        make_row("g", height=0, class_pixels=[0, 0, 0]),
        make_row("h", group=""),
        make_row("i", sha256="xyz"),
    ]
    with pytest.raises(DataError) as caught:
        make_manifest(*rows, mask_encoding="rgb")
    text = str(caught.value)
    for part in (
        "mask_encoding must be one of index, colour, got 'rgb'",
        "sample_id must be unique, repeated: a",
        "split must be one of train, val, test, unlabeled, got trian",
        "no mask though not unlabeled: b",
        "image must be a path inside the root, with '/': c",
        "mask must be a path inside the root, with '/': d",
        "class_pixels needs 3 values: 2 classes, then ignored pixels: e",
        "class_pixels do not sum to height * width: f",
        "height and width must be positive: g",
        "empty group (use the sample_id when there is none): h",
        "sha256 is not hexadecimal of the right length: i",
    ):
        assert part in text


def test_columns_missing_and_unknown_are_both_named() -> None:
    table = pd.DataFrame([make_row("a")]).drop(columns=["phash", "keep"]).assign(fold=1)
    with pytest.raises(DataError, match=r"(?s)missing columns: phash, keep.*unknown columns: fold"):
        make_manifest(table=table)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("height", "2", "height must be an integer; row 0: '2'"),
        ("height", 2.5, "height must be an integer; row 0: 2.5"),
        ("height", None, "height must be an integer"),
        ("keep", 1, "keep must be true or false; row 0: 1"),
        ("tags", "night", "tags must be a list of text; row 0: 'night'"),
        ("class_pixels", [1, "x"], "class_pixels must be a list of integers"),
        ("split", None, "split must be text; row 0: None"),
    ],
)
def test_wrong_types_are_named(column: str, value: Any, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        make_manifest(make_row("a", **{column: value}))
    assert expected in str(caught.value)


def test_rows_left_out_may_be_incomplete() -> None:
    broken = make_row(
        "x",
        keep=False,
        height=0,
        width=0,
        class_pixels=[],
        sha256=None,
        phash=None,
        flags=["missing_image"],
    )
    assert make_manifest(make_row("a"), broken).splits()["train"] == 1


def test_fingerprint_ignores_root_name_provenance_and_order() -> None:
    first, second = make_row("a"), make_row("b", split="val")
    manifest = make_manifest(first, second)
    moved = make_manifest(second, first, root=Path("/else"), name="other", provenance={"by": "x"})
    assert moved.fingerprint == manifest.fingerprint
    assert len(manifest.fingerprint) == 16
    assert int(manifest.fingerprint, 16) >= 0


@pytest.mark.parametrize(
    "changes",
    [
        {"split": "val"},
        {"keep": False},
        {"group": "other"},
        {"tags": []},
        {"flags": ["blurred"]},
        {"sha256": "cd" * 32},
        {"mask_sha256": "cd" * 32},
        {"class_pixels": [3, 2, 1]},
        {"annotator": "ann"},
    ],
)
def test_fingerprint_follows_every_column(changes: dict[str, Any]) -> None:
    assert (
        make_manifest(make_row("a", **changes)).fingerprint
        != make_manifest(make_row("a")).fingerprint
    )


def test_fingerprint_follows_labels_and_encoding() -> None:
    prints = {
        make_manifest().fingerprint,
        make_manifest(mask_encoding="colour").fingerprint,
        make_manifest(labels=LabelSpace(("sky", "street"))).fingerprint,
        make_manifest(labels=LabelSpace(("sky", "road"), raw_ids={0: 0, 1: 1})).fingerprint,
    }
    assert len(prints) == 4


@settings(max_examples=25, deadline=None)
@given(st.permutations([f"s{index}" for index in range(6)]))
def test_fingerprint_is_the_same_for_every_order(order: list[str]) -> None:
    expected = make_manifest(*[make_row(f"s{index}") for index in range(6)]).fingerprint
    assert make_manifest(*[make_row(name) for name in order]).fingerprint == expected


def test_write_and_read_give_the_same_manifest(tmp_path: Path) -> None:
    unlabeled = make_row("u", mask=None, split="unlabeled", class_pixels=[], tags=[])
    manifest = make_manifest(make_row("a", annotator="ann"), unlabeled)
    path = manifest.write(tmp_path / "new")
    for place in (path, path.parent):
        again = Manifest.read(place)
        assert again.fingerprint == manifest.fingerprint
        pd.testing.assert_frame_equal(again.table, manifest.table)
        assert again.labels == manifest.labels
        assert (again.root, again.name, again.provenance) == (
            manifest.root,
            manifest.name,
            manifest.provenance,
        )
    assert again.table["mask"][1] is None
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "manifest.parquet",
        "manifest.yaml",
    ]


def test_a_version_has_the_same_bytes_wherever_it_is_written(tmp_path: Path) -> None:
    """W&B tells an artifact by the digests of its files: so all runs on a version share one."""
    manifest = make_manifest(make_row("a"), make_row("b"))
    one, again = manifest.write(tmp_path / "one"), manifest.write(tmp_path / "two")
    read = Manifest.read(tmp_path / "one").write(tmp_path / "three")
    for suffix in (".parquet", ".yaml"):
        contents = {path.with_suffix(suffix).read_bytes() for path in (one, again, read)}
        assert len(contents) == 1, suffix


def test_write_keeps_the_former_version(tmp_path: Path) -> None:
    old = make_manifest()
    old.write(tmp_path)
    new = old.with_table(old.table.assign(keep=[True, False]))
    new.write(tmp_path)
    new.write(tmp_path)
    assert Manifest.read(tmp_path).fingerprint == new.fingerprint
    kept = Manifest.read(tmp_path / f"manifest.{old.fingerprint}.parquet")
    assert kept.fingerprint == old.fingerprint
    assert len(list(tmp_path.iterdir())) == 4


def test_write_keeps_even_a_damaged_former_version(tmp_path: Path) -> None:
    (tmp_path / "manifest.parquet").write_bytes(b"not parquet")
    make_manifest().write(tmp_path)
    kept = list(tmp_path.glob("manifest.damaged-*.parquet"))
    assert [file.read_bytes() for file in kept] == [b"not parquet"]


def test_root_may_be_edited_in_the_yaml_and_relative(tmp_path: Path) -> None:
    make_manifest().write(tmp_path)
    file = tmp_path / "manifest.yaml"
    content = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(content | {"root": "raw"}))
    assert Manifest.read(tmp_path).root == tmp_path / "raw"
    assert Manifest.read(tmp_path, root=Path("/elsewhere")).root == Path("/elsewhere")


def test_labels_edited_in_the_yaml_are_refused(tmp_path: Path) -> None:
    make_manifest().write(tmp_path)
    file = tmp_path / "manifest.yaml"
    file.write_text(file.read_text().replace("road", "street"))
    with pytest.raises(DataError, match=r"manifest\.yaml: labels differ from manifest\.parquet"):
        Manifest.read(tmp_path)


def test_parquet_alone_is_complete(tmp_path: Path) -> None:
    manifest = make_manifest()
    path = manifest.write(tmp_path)
    (tmp_path / "manifest.yaml").unlink()
    assert Manifest.read(path).labels == manifest.labels


def test_yaml_of_another_version_is_ignored_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = make_manifest()
    old.write(tmp_path)
    stale = (tmp_path / "manifest.yaml").read_text()
    new = old.with_table(old.table.assign(keep=[True, False]))
    new.write(tmp_path)
    (tmp_path / "manifest.yaml").write_text(stale)
    assert Manifest.read(tmp_path).fingerprint == new.fingerprint
    assert "is not of the version" in caplog.text


def test_read_names_what_is_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="no manifest at"):
        Manifest.read(tmp_path)
    damaged = tmp_path / "manifest.parquet"
    damaged.write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        Manifest.read(damaged)
    pd.DataFrame({"a": [1]}).to_parquet(damaged)
    with pytest.raises(DataError, match="no seglab manifest"):
        Manifest.read(damaged)


def test_a_table_may_lack_the_hashes_of_masks() -> None:
    rows = [make_row("a"), make_row("b", split="val")]
    known = make_manifest(*rows)
    bare = known.with_table(pd.DataFrame(rows).drop(columns="mask_sha256"))
    assert bare.table["mask_sha256"].tolist() == [None, None]
    # Of manifests written before there were such hashes.
    assert bare.fingerprint == "ab83b8a722335dc9"
    assert known.is_of(bare.fingerprint)
    assert known.is_of(known.fingerprint)
    assert not bare.is_of(known.fingerprint)
    changed = make_manifest(make_row("a", sha256="cd" * 32), rows[1])
    assert not changed.is_of(bare.fingerprint)
