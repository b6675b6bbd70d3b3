"""Describing a manifest: hand-computed counts and shares, and the warnings."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglab.core.labels import LabelSpace
from seglab.data.description.class_support import format_objects, object_sizes
from seglab.data.description.describe import describe, format_description
from seglab.data.manifest import Manifest
from seglab.data.mask_parts import find_parts


def make_row(sample_id: str, split: str, pixels: list[int], **changes: Any) -> dict[str, Any]:
    row = {
        "sample_id": sample_id,
        "image": f"{sample_id}.png",
        "mask": f"{sample_id}_m.png" if pixels else None,
        "height": 2,
        "width": 5,
        "split": split,
        "group": sample_id,
        "annotator": None,
        "tags": [],
        "sha256": f"{sum(sample_id.encode()):064x}",
        "phash": None,
        "class_pixels": pixels,
        "flags": [],
        "keep": True,
    }
    return row | changes


@pytest.fixture
def manifest() -> Manifest:
    rows = [
        make_row("a", "train", [6, 4, 0, 0], group="scene"),
        make_row("b", "train", [2, 0, 0, 8]),
        make_row("c", "val", [0, 5, 5, 0], group="scene"),
        make_row("d", "val", [0, 10, 0, 0], sha256=f"{ord('a'):064x}"),
        make_row("u", "unlabeled", [], height=20, width=10),
        make_row("x", "train", [0, 0, 10, 0], keep=False, flags=["blurred"]),
    ]
    labels = LabelSpace(("sky", "road", "car"))
    return Manifest(pd.DataFrame(rows), labels, Path("/d"), "tiny", "index", {})


def test_counts_by_split(manifest: Manifest) -> None:
    splits = describe(manifest).splits
    assert splits.index.tolist() == ["train", "val", "unlabeled"]
    assert splits["samples"].tolist() == [2, 2, 1]
    assert splits["groups"].tolist() == [2, 2, 1]
    assert splits["labelled"].tolist() == [2, 2, 0]
    assert splits["pixels"].tolist() == [20, 20, 0]
    assert splits["ignored_share"].tolist()[:2] == [0.4, 0.0]
    assert math.isnan(splits["ignored_share"]["unlabeled"])


def test_class_shares_are_of_valid_pixels_and_labelled_images(manifest: Manifest) -> None:
    found = describe(manifest)
    assert list(found.pixel_share.columns) == ["train", "val"]
    assert found.pixel_share["train"].tolist() == pytest.approx([8 / 12, 4 / 12, 0.0])
    assert found.pixel_share["val"].tolist() == pytest.approx([0.0, 15 / 20, 5 / 20])
    assert found.image_share["train"].tolist() == [1.0, 0.5, 0.0]
    assert found.image_share["val"].tolist() == [0.0, 1.0, 0.5]
    assert found.absent == {"train": ["car"], "val": ["sky"]}


def test_sizes_count_kept_samples(manifest: Manifest) -> None:
    assert describe(manifest).sizes.to_dict(orient="records") == [
        {"split": "train", "height": 2, "width": 5, "samples": 2},
        {"split": "val", "height": 2, "width": 5, "samples": 2},
        {"split": "unlabeled", "height": 20, "width": 10, "samples": 1},
    ]


def test_leaks_between_splits_are_found(manifest: Manifest) -> None:
    found = describe(manifest)
    assert found.straddling.to_dict(orient="records") == [
        {"group": "scene", "train": 1, "val": 1, "unlabeled": 0}
    ]
    assert found.duplicates == [["train/a", "val/d"]]


def test_warnings_say_what_to_worry_about(manifest: Manifest) -> None:
    assert describe(manifest).warnings == [
        "groups in several splits, so scores look better than on new data: "
        "scene (train 1, val 1); use folds by group",
        "image files that are byte for byte in several splits, so scores look better than on new "
        "data: train/a = val/d",
        "train: no pixel of car; their scores there are undefined",
        "val: no pixel of sky; their scores there are undefined",
        "left out (keep is false): x",
        "train: too rare to learn (below 16 images): sky (2 images of 2 groups), road (1 image of 1 "
        "group)",
        "val: too rare to measure (below 5 images, no interval): road (2 images of 2 groups), car "
        "(1 image of 1 group)",
    ]
    assert describe(manifest).flags == {"blurred": 1}


def test_everything_is_plain_and_printable(manifest: Manifest) -> None:
    found = describe(manifest)
    content = json.loads(json.dumps(found.to_dict()))
    assert content["splits"]["train"]["samples"] == 2
    assert content["pixel_share"]["val"]["road"] == 0.75
    assert content["support"]["train"]["sky"] == {"images": 2, "groups": 2}
    text = format_description(found)
    for part in (manifest.fingerprint, "40.00 %", "66.67 %", "Warning: val: no pixel of sky"):
        assert part in text


def test_all_void_masks_have_undefined_shares(manifest: Manifest) -> None:
    table = manifest.table[manifest.table["sample_id"] == "b"].copy()
    table["class_pixels"] = [[0, 0, 0, 10]]
    found = describe(manifest.with_table(table))
    assert found.pixel_share["train"].isna().all()
    assert found.splits["ignored_share"]["train"] == 1.0
    assert "the val split is empty" in found.warnings
    assert " - " in format_description(found)


def test_manifest_with_nothing_kept(manifest: Manifest) -> None:
    table = manifest.table.assign(keep=False)
    found = describe(manifest.with_table(table))
    assert found.splits.empty
    assert found.duplicates == []
    assert found.straddling.empty
    count = (table["split"] == "train").sum()
    said = f"the train split is empty: all samples in it are left out ({count}, keep is false)"
    assert said in found.warnings
    assert format_description(found).startswith("tiny")


def test_groups_that_hold_a_class_and_tags_are_counted(manifest: Manifest) -> None:
    table = manifest.table.assign(
        group="scene", tags=[["night"], ["night", "rain"], [], ["rain"], ["night"], ["night"]]
    )
    found = describe(manifest.with_table(table))
    assert found.support["train", "images"].tolist() == [2, 1, 0]
    assert found.support["train", "groups"].tolist() == [1, 1, 0]
    assert found.tags.to_dict(orient="index") == {
        "night": {"train": 2, "val": 0, "unlabeled": 1},
        "rain": {"train": 1, "val": 1, "unlabeled": 0},
    }
    assert "night      2    0          1" in format_description(found)


def test_objects_are_regions_and_small_as_coco_has_it(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[0:2, 0:2] = 1
    mask[2:4, 2:4] = 1  # touches at a corner: one object of 8 pixels
    mask[30:62, 30:62] = 1  # 32 x 32 is not small
    mask[63, 63] = 255
    Image.fromarray(mask).save(tmp_path / "a_m.png")
    row = make_row("a", "train", [3071, 1032, 0, 0], height=64, width=64)
    row["class_pixels"] = [64 * 64 - 1032 - 1, 1032, 0, 1]
    labels = LabelSpace(("sky", "road", "car"))
    manifest = Manifest(pd.DataFrame([row]), labels, tmp_path, "tiny", "index", {})
    rows = manifest.split("train").to_dict(orient="records")
    sizes = object_sizes(find_parts(manifest, rows), labels)
    assert sizes["objects"].tolist() == [1, 2, 0]
    assert sizes.loc["road", "median"] == (8 + 1024) / 2
    assert sizes.loc["road", "small"] == 0.5
    assert math.isnan(sizes.loc["car", "median"])
    assert "road         2     516            59  50.0 %" in format_objects(sizes, "train")


def test_real_camvid_shares_a_drive_between_splits(shared: Path) -> None:
    # Only names matter here, so the manifest is made from the lists without reading images.
    rows = []
    for split in ("train", "val"):
        lines = (shared / "data" / "camvid" / f"{split}.txt").read_text().splitlines()
        names = [Path(line.split()[0]).stem for line in lines if line.strip()]
        rows += [
            make_row(name, split, [10, 0, 0, 0], group=name.split("_")[0], sha256=None)
            for name in names
        ]
    labels = LabelSpace(("sky", "road", "car"))
    manifest = Manifest(pd.DataFrame(rows), labels, Path("/d"), "camvid", "index", {})
    assert describe(manifest).straddling.to_dict(orient="records") == [
        {"group": "0016E5", "train": 204, "val": 101}
    ]
