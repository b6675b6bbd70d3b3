"""Pages of the reference that are written by hand say what the code declares."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from scripts.docs_site.reference_pages import configuration_page
from seglab.bundle.input_statistics import input_statistics, output_statistics
from seglab.bundle.loader import VERSIONS, Prediction
from seglab.config.declared.schema import SCHEMA_OF
from seglab.core.errors import DataError
from seglab.data.importers import import_dataset
from seglab.data.manifest import Manifest
from seglab.data.table import SCHEMA
from seglab.runs.schema import DEFAULTS, KINDS, SCHEMA_VERSION, STATUSES
from tests.data.test_importers import make_camvid
from tests.reference_pages import DOCS, REFERENCE, rows, words

BUNDLE = Path(__file__).resolve().parent / "bundle" / "version_1.zip"


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    make_camvid(tmp_path / "raw")
    return import_dataset("camvid", tmp_path / "raw", tmp_path / "out", "tiny")


@pytest.mark.parametrize("app", SCHEMA_OF)
def test_headings_of_keys_differ_within_the_list_beside_the_page(app: str) -> None:
    """Nine began with `loss.terms.*.target=seglab.losses` and were cut off there."""
    page = configuration_page(app, SCHEMA_OF[app])
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert len({heading[:24] for heading in headings}) == len(headings)
    assert any("DiceLoss" in heading for heading in headings) == (app == "train")


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
    page = DOCS / "bundle.md"
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


def test_arrays_of_the_reference_of_a_bundle() -> None:
    given = rows(DOCS / "bundle.md", "`reference.npz`")
    told = {name: words(shape)[0] for names, shape, _ in given for name in words(names)}
    # Those that need the masks and the samples: `seglab.deploy.export.statistics.write_reference`.
    assert {told.pop("streams"), told.pop("features")} == {"()", "(F)"}
    assert told.pop("true_confusion") == told["confusion"]
    probabilities = np.full((5, 8, 9), 0.2, np.float32)
    prediction = Prediction(probabilities.argmax(0).astype(np.uint8), probabilities, None)
    image = np.arange(216, dtype=np.uint8).reshape(8, 9, 3)
    measured = input_statistics(image) | output_statistics(prediction)
    sides = {3: "C", 5: "K", 2: "2"}
    shapes = {
        name: f"({', '.join(sides[side] for side in array.shape)})"
        for name, array in measured.items()
    }
    assert told == shapes
