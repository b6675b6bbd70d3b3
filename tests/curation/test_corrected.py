"""Corrected annotations: sent out by rank, drawn anew in a tool, and taken back as a new version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.annotations.format import annotation_format
from seglab.cli.data import run as seglab_data
from seglab.core.errors import ConfigError, DataError, PlaceError
from seglab.core.labels import LabelSpace
from seglab.curation.labels.ranking import rank_labels, write_ranking
from seglab.data.annotated.export import ExportSettings, export_manifest
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest
from tests.curation.conftest import Make, picture

TRUE = np.zeros((48, 64), np.uint8)
TRUE[:20], TRUE[30:40, 10:30], TRUE[44:] = 1, 2, 255
WRONG = np.where(TRUE == 2, 1, TRUE).astype(np.uint8)


@pytest.fixture
def place(make: Make, tmp_path: Path) -> Path:
    """A manifest of five samples; the labels of `b` are wrong, and a model says so."""
    masks: dict[str, np.ndarray | None] = {**dict.fromkeys("abcde", TRUE), "b": WRONG}
    manifest = make({name: picture(ord(name)) for name in "abcde"}, masks)
    manifest.write(tmp_path / "m")
    sure = 0.02 + 0.94 * (np.minimum(TRUE, 2) == np.arange(3)[:, None, None])
    write_ranking(rank_labels(manifest, lambda name: sure), tmp_path / "m" / "audit")
    return tmp_path / "m"


def corrected(place: Path, annotation: str) -> Path:
    """Send the two worst out, let an annotator who knows the truth draw them, and import them."""
    todo = place.parent / "todo"
    words = ["--format", annotation, "--images", "copy"]
    assert seglab_data(["export", str(place), "--worst", "2", "--out", str(todo), *words]) == 0
    names = sorted(path.stem for path in todo.rglob("*.png"))
    assert "b" in names
    assert len(names) == 2
    done = place.parent / "done"
    manifest, settings = Manifest.read(place), ExportSettings(samples=names)
    export_manifest(manifest, annotation_format(annotation), done, settings, lambda row: TRUE)
    words = ["--option", "unlabelled=void", "--option", "val_fraction=0"]
    seglab_data(["import", annotation, str(done), "--out", str(done / "m"), *words])
    return done / "m"


def test_the_worst_are_corrected_and_come_back_as_a_version(place: Path) -> None:
    before = Manifest.read(place)
    back = corrected(place, "label_studio")
    assert seglab_data(["clean", str(place), "--corrected", str(back)]) == 0
    after = Manifest.read(place)
    masks = {
        name: read_mask(after.root / path, after.labels)
        for name, path in zip(after.table["sample_id"], after.table["mask"], strict=True)
    }
    for mask in masks.values():
        np.testing.assert_array_equal(mask, TRUE)
    kept = before.table["mask"].eq(after.table["mask"])
    assert after.table["sample_id"][~kept].tolist() == ["b"]
    assert "relabel b: mask b_mask.png -> .seglab-masks/corrected-" in (
        place / "cleaning.log"
    ).read_text(encoding="utf-8")
    seglab_data(["undo", str(place)])
    assert Manifest.read(place).fingerprint == before.fingerprint


@pytest.mark.parametrize(
    ("encoding", "raw"), [("index", {7: 0, 300: 1, 12: 2, 13: 2, 0: 255}), ("colour", {})]
)
def test_masks_come_back_as_they_are_stored(
    place: Path, encoding: str, raw: dict[int, int]
) -> None:
    back = corrected(place, "labelme")
    manifest = Manifest.read(place)
    labels = LabelSpace(manifest.labels.class_names, raw_ids=raw, ignore_colour=(1, 2, 3))
    for name in manifest.table["mask"]:
        mask = read_mask(manifest.root / name, manifest.labels)
        content = labels.colourise(mask)
        content[mask == 255] = labels.ignore_colour
        if encoding == "index":
            values = {index: value for value, index in raw.items()}
            content = np.vectorize(values.get)(mask).astype(np.uint16)
        Image.fromarray(content).save(manifest.root / name)
    Manifest(manifest.table, labels, manifest.root, "mine", encoding, {}).write(place)
    assert seglab_data(["clean", str(place), "--corrected", str(back)]) == 0
    after = Manifest.read(place)
    new = after.table.set_index("sample_id").loc["b"]
    np.testing.assert_array_equal(read_mask(after.root / new["mask"], labels, encoding), TRUE)
    assert new["class_pixels"] == [
        np.count_nonzero(one) for one in (TRUE == 0, TRUE == 1, TRUE == 2, TRUE == 255)
    ]


def test_what_is_not_of_the_manifest_is_refused_and_nothing_is_changed(place: Path) -> None:
    back = corrected(place, "labelme")
    before = Manifest.read(place)
    other = Manifest.read(back)
    table = other.table.assign(sample_id=["x", "b"], sha256=["0" * 64, "1" * 64])
    labels = LabelSpace(("ground", "tree", "lorry"))
    Manifest(table, labels, other.root, "theirs", "index", {}).write(back)
    with pytest.raises(DataError) as told:
        seglab_data(["clean", str(place), "--corrected", str(back)])
    assert "'x' is no sample of mine" in str(told.value)
    assert "class 'lorry' is none of ground, tree, car" in str(told.value)
    assert Manifest.read(place).fingerprint == before.fingerprint


def test_what_to_export_is_said_once_and_within_what_there_is(place: Path) -> None:
    words = ["export", str(place), "--format", "labelme", "--out", str(place.parent / "out")]
    for more, told in (
        (["--worst", "6"], "expected 1 to the 5 images ranked, got 6"),
        (["--worst", "1", "--samples", "x"], "both say which"),
        (["--ranking", "x"], "goes with --worst"),
    ):
        with pytest.raises(ConfigError, match=told):
            seglab_data([*words, *more])
    (place / "names.txt").write_text("a\n\nq\n")
    with pytest.raises(DataError, match="'q'"):
        seglab_data([*words, "--samples", str(place / "names.txt")])


@pytest.mark.parametrize("images", ["copy", "link"])
def test_a_place_that_cannot_be_written_is_named_and_not_the_image(
    make: Make, tmp_path: Path, images: Any
) -> None:
    manifest = make({"a": picture(1)})
    long = manifest.with_table(manifest.table.assign(sample_id="n" * 300))
    settings = ExportSettings(images=images)
    with pytest.raises(PlaceError, match=r"n{300}\.png cannot be used: the name is longer"):
        export_manifest(long, annotation_format("labelme"), tmp_path / "out", settings)
    with pytest.raises(PlaceError, match=r"/proc/nothing.* cannot be used: no such file"):
        export_manifest(manifest, annotation_format("coco"), Path("/proc/nothing"), settings)
