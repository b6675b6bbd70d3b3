"""Pages of the reference that are written by hand say what the code declares."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import yaml

from seglab.bundle.loader import VERSIONS
from seglab.core.errors import DataError
from seglab.data.importers import import_dataset
from seglab.data.manifest import Manifest
from seglab.data.table import SCHEMA
from seglab.runs.schema import DEFAULTS, KINDS, SCHEMA_VERSION, STATUSES
from tests.data.test_importers import make_camvid

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
BUNDLE = ROOT / "tests" / "bundle" / "version_1.zip"


def rows(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without the table's own head."""
    section = page.read_text(encoding="utf-8").split(f"\n## {heading}")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    make_camvid(tmp_path / "raw")
    return import_dataset("camvid", tmp_path / "raw", tmp_path / "out", "tiny")


def takes_null(manifest: Manifest, column: str) -> bool:
    empty: pd.Series = pd.Series([[]] * len(manifest.table), dtype="object")
    table = manifest.table.assign(mask=None, split="unlabeled", class_pixels=empty)
    table[column] = pd.Series([None] * len(table), dtype="object")
    try:
        manifest.with_table(table)
    except DataError:
        return False
    return True


def test_columns_of_the_manifest(manifest: Manifest) -> None:
    page = rows(REFERENCE / "manifest.md", "Columns")
    told = [(words(name)[0], words(kind)[0], null) for name, kind, null, _ in page]
    spelled = {pa.list_(pa.string()): "list<string>", pa.list_(pa.int64()): "list<int64>"}
    declared = [
        (
            field.name,
            spelled.get(field.type, str(field.type)),
            "yes" if takes_null(manifest, field.name) else "no",
        )
        for field in SCHEMA
    ]
    assert told == declared


def test_head_of_the_manifest(manifest: Manifest, tmp_path: Path) -> None:
    told = {words(name)[0]: sentence for name, sentence in rows(REFERENCE / "manifest.md", "Head")}
    head = yaml.safe_load((tmp_path / "out" / "manifest.yaml").read_text(encoding="utf-8"))
    assert list(told) == list(head)
    assert str(head["schema_version"]) == told["schema_version"].partition(";")[0]
    assert head["labels"].keys() <= set(words(told["labels"]))


def test_fields_of_a_record() -> None:
    page = REFERENCE / "run-folder.md"
    heading = f"Fields of `run.json`, version {SCHEMA_VERSION}"
    told = {name: sentence for cell, sentence in rows(page, heading) for name in words(cell)}
    assert told.keys() == DEFAULTS.keys()
    assert set(words(told["kind"])) == set(KINDS)
    assert set(words(told["status"])) == set(STATUSES)


def test_contract_of_a_bundle() -> None:
    page = ROOT / "docs" / "bundle.md"
    told = {
        name: text
        for cell, text in rows(page, f"`bundle.json`, version {VERSIONS[-1]}")
        for name in words(cell)
    }
    with zipfile.ZipFile(BUNDLE) as archive:
        (place,) = [name for name in archive.namelist() if name.endswith("bundle.json")]
        info = json.loads(archive.read(place))
    # This one was not scored again by `seglab export`.
    assert told.keys() - {"export"} == info.keys()
    for key in ("labels", "input", "predict"):
        assert set(words(told[key])) == set(info[key])
