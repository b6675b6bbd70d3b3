"""What is done to whole columns at once is what was done row by row."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.core.disk.files import hash_json
from seglab.core.errors import DataError
from seglab.core.seeding import generator
from seglab.data.columns import content_hash
from seglab.data.folds.hashes import near_clusters, near_pairs
from seglab.data.folds.natural import natural_key, natural_order
from seglab.data.manifest import Manifest
from tests.data.test_manifest import make_manifest, make_row


def slow_fingerprint(manifest: Manifest) -> str:
    """As recorded by every run so far: the JSON of one row after the other."""
    head = [2, hash_json(manifest.labels.to_dict()), manifest.mask_encoding]
    digest = hashlib.sha256(json.dumps(head).encode())
    rows = manifest.table.sort_values("sample_id").itertuples(index=False, name=None)
    for row in rows:
        digest.update(b"\n" + json.dumps(row, separators=(",", ":")).encode())
    return digest.hexdigest()[:16]


def many(rows: int) -> Manifest:
    order = generator(0).permutation(rows).tolist()
    return make_manifest(
        *[
            make_row(
                f"s{number}",
                tags=["night", 'a "b"\\'] if number % 7 == 0 else [],
                annotator="Zoë \U0001f600" if number % 5 == 0 else None,
                phash=None if number % 3 == 0 else f"{number:016x}",
                keep=number % 11 != 0,
            )
            for number in order
        ]
    )


def test_twenty_thousand_rows_come_back_with_the_fingerprint_of_old(tmp_path: Path) -> None:
    manifest = many(20_000)
    path = manifest.write(tmp_path)
    again = Manifest.read(path)
    assert again.fingerprint == slow_fingerprint(manifest)
    assert again._digest(2) == again.fingerprint
    pd.testing.assert_frame_equal(again.table, manifest.table)
    assert list(map(type, again.table.iloc[0])) == list(map(type, manifest.table.iloc[0]))


def test_of_a_changed_table_only_the_changed_columns_and_what_rests_on_them_are_looked_at() -> None:
    manifest = make_manifest(make_row("a", mask=None, split="unlabeled"), make_row("b", keep=False))
    again = replace(manifest, table=manifest.table.assign(group="x"), changed=("group",))
    expected = manifest.with_table(manifest.table.assign(group="x"))
    assert again.fingerprint == expected.fingerprint
    pd.testing.assert_frame_equal(again.table, expected.table)
    for column, value, problem in (
        ("group", "", "empty group"),
        ("split", "train", "no mask though not unlabeled: a"),
        ("keep", 1, "keep must be true or false"),
        ("height", 5, "class_pixels do not sum to height"),
    ):
        with pytest.raises(DataError, match=problem):
            replace(manifest, table=manifest.table.assign(**{column: value}), changed=(column,))


texts = st.text(st.characters(codec="utf-8"), max_size=6)


@given(
    st.dictionaries(
        texts.filter(bool), st.tuples(texts.filter(bool), st.lists(texts)), min_size=1, max_size=6
    )
)
@settings(max_examples=20, deadline=None)
def test_fingerprint_is_that_of_the_rows_as_json(content: dict[str, tuple[str, list[str]]]) -> None:
    rows = [
        make_row(name, image="i.png", mask="m.png", group=group, tags=tags)
        for name, (group, tags) in content.items()
    ]
    manifest = make_manifest(*rows)
    assert manifest.fingerprint == slow_fingerprint(manifest)


def test_names_that_are_no_utf_8_have_a_fingerprint_too() -> None:
    rows = [make_row("\udcff2"), make_row("\udcff10"), make_row("b")]
    manifest = make_manifest(table=pd.DataFrame(rows, dtype=object))
    assert manifest.fingerprint == slow_fingerprint(manifest)
    assert natural_order(manifest.table["sample_id"].tolist()).tolist() == [2, 0, 1]


def test_a_file_of_before_reads_alike_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    manifest = many(40)
    path = manifest.write(tmp_path)
    content = pq.read_table(path)
    former = {b"seglab_manifest": content.schema.metadata[b"seglab_manifest"]}
    pq.write_table(content.replace_schema_metadata(former), path)
    assert Manifest.read(path).fingerprint == manifest.fingerprint
    keep = pa.array([not value for value in content["keep"].to_pylist()])
    changed = content.set_column(content.column_names.index("keep"), "keep", keep)
    pq.write_table(changed, path)
    with pytest.raises(DataError, match="changed outside seglab"):
        Manifest.read(path)


def test_content_hash_follows_every_value_but_not_the_chunks() -> None:
    table = pa.table({"a": ["x", None, "yz", ""], "b": [[1], [], [2, 3], []], "c": [True] * 4})
    cut = pa.concat_tables([table.slice(0, 1), table.slice(1, 2), table.slice(3)])
    assert content_hash(b"h", cut) == content_hash(b"h", table)
    others: list[dict[str, list[Any]]] = [
        {"a": ["x", "", "yz", ""]},
        {"a": ["xy", None, "z", ""]},
        {"b": [[1], [2], [3], []]},
        {"b": [[1], [], [2, 4], []]},
        {"c": [True, True, True, False]},
    ]
    hashes = {content_hash(b"h", pa.table({**table.to_pydict(), **other})) for other in others}
    assert len(hashes | {content_hash(b"h", table), content_hash(b"g", table)}) == 7


parts = st.sampled_from(["0", "1", "9", "10", "007", "a", "b", "-", "_", "/", "é", " ", "\x01"])


@given(st.lists(st.lists(parts, max_size=7).map("".join), unique=True, max_size=12))
@settings(max_examples=60, deadline=None)
def test_natural_order_is_that_of_the_key(names: list[str]) -> None:
    expected = sorted(range(len(names)), key=lambda place: natural_key(names[place]))
    assert natural_order(names).tolist() == expected


def test_numbers_of_any_length_are_in_order() -> None:
    names = ["f" + "9" * 60, "f1" + "0" * 60, "f2"]
    assert natural_order(names).tolist() == [2, 0, 1]


@given(st.integers(0, 2**32), st.integers(0, 9), st.sampled_from([0, 10**9]))
@settings(max_examples=25, deadline=None)
def test_index_finds_the_pairs_that_all_pairs_hold(seed: int, distance: int, sort: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**63, 6, dtype=np.uint64)
    # Some bits of a few hashes turned over, anywhere in them.
    turned = [
        int(one) ^ sum(1 << int(bit) for bit in rng.choice(64, rng.integers(0, 12), replace=False))
        for one in rng.choice(base, 60)
    ]
    values = np.unique(np.array(turned, dtype=np.uint64))
    with pytest.MonkeyPatch.context() as patch:
        # Sorting for nothing: by the index; sorting dear: each with each.
        patch.setattr("seglab.data.folds.hashes._PAIRS_A_SORT", sort)
        batches = list(near_pairs(values, distance))
        labels = near_clusters(values, distance)
    found = {
        tuple(sorted(p))
        for one, two in batches
        for p in zip(one.tolist(), two.tolist(), strict=True)
    }
    numbers = [int(value) for value in values]
    expected = {
        (low, high)
        for high in range(len(numbers))
        for low in range(high)
        if (numbers[low] ^ numbers[high]).bit_count() <= distance
    }
    assert found == expected
    assert all(labels[low] == labels[high] for low, high in expected)
