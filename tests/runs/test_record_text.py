"""Parsing by blocks gives what parsing as a whole gives, whatever the layout of the text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seglab.core.disk.files import write_json
from seglab.core.errors import DataError
from seglab.runs.record_text import RecordText, flatten
from seglab.runs.schema import DEFAULTS, read_record

CONFIG = {"optimizer": {"lr": 0.1, "options": {}}, "data": {"crop": [64, 96], "name": "a"}, "n": 1}
RECORD = {
    "run_id": "r",
    "kind": "train",
    "notes": 'a\nb,\n  "c": {',
    "tags": ["x", "y"],
    "metrics": {"val/miou": 0.5, "val/iou/car": None},
    "config": CONFIG,
}

leaves = st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(max_size=5)
names = st.sampled_from(["a", "b", 'c"', "d\n", "config", "x.y"])
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


def _expected(path: Path) -> dict[str, Any]:
    content = read_record(path)
    flat: dict[str, Any] = {}
    flatten("config", content["config"], flat)
    return {**content, "config": flat}


def test_record_as_written(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, DEFAULTS | RECORD)
    parsed = RecordText().parse(path.read_bytes(), path)
    assert parsed["config"] == {
        "config.optimizer.lr": 0.1,
        "config.optimizer.options": {},
        "config.data.crop": [64, 96],
        "config.data.name": "a",
        "config.n": 1,
    }
    assert parsed == _expected(path)
    assert parsed["notes"] == RECORD["notes"]
    assert set(parsed) == set(DEFAULTS)


def test_blocks_met_before_are_not_parsed_again(tmp_path: Path) -> None:
    path, reader = tmp_path / "run.json", RecordText()
    parsed = []
    for lr in (0.1, 0.2):
        write_json(path, DEFAULTS | RECORD | {"config": CONFIG | {"optimizer": {"lr": lr}}})
        parsed.append(reader.parse(path.read_bytes(), path)["config"])
    first, second = parsed
    assert (first["config.optimizer.lr"], second["config.optimizer.lr"]) == (0.1, 0.2)
    assert first["config.data.crop"] is second["config.data.crop"]


@pytest.mark.parametrize("layout", [{"indent": None}, {"indent": 4}, {"indent": 0}, {"indent": 2}])
def test_any_layout_reads_the_same(tmp_path: Path, layout: dict[str, Any]) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"schema_version": 1, **RECORD}, **layout))
    assert RecordText().parse(path.read_bytes(), path) == _expected(path)


@pytest.mark.parametrize(
    "text",
    [
        # Cut at line breaks these fall into pieces of which some look like fields of the record.
        '{\n  "schema_version": 1, "tags": [1,\n  "seed"], "config": {}\n}',
        '{\n  "schema_version": 1,\n  "git": {"a": 1,\n  "wandb": {\n"b": 2},\n  "seed": 3}\n}',
        '{\n  "schema_version": 1,\n  "config": {\n    "a": {"b": 1,\n    "c": 2\n  }\n}\n}',
        '{\n  "schema_version": 1,\n  "config": {\n    "a": 1},\n  "seed": {\n    "b": 2\n  }\n}',
    ],
)
def test_odd_hand_made_layouts_read_the_same(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    assert RecordText().parse(path.read_bytes(), path) == _expected(path)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    fields=st.dictionaries(st.sampled_from(sorted(DEFAULTS)), values, max_size=6),
    config=st.dictionaries(names, values, max_size=4),
    indent=st.sampled_from([None, 0, 2, 3]),
)
def test_random_records_read_the_same(
    tmp_path: Path, fields: dict[str, Any], config: dict[str, Any], indent: int | None
) -> None:
    path = tmp_path / "run.json"
    path.write_text(
        json.dumps({**fields, "schema_version": 1, "config": config}, indent=indent),
        encoding="utf-8",
    )
    assert RecordText().parse(path.read_bytes(), path) == _expected(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "no schema_version"),
        ("[]", "not a run record"),
        ('{\n  "schema_version": 99,\n  "config": {}\n}', "install a newer seglab"),
        ('{\n  "schema_version": 1,\n  "seed": 1', "is not JSON"),
    ],
)
def test_broken_records_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        RecordText().parse(path.read_bytes(), path)
