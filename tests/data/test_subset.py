from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seglab.core.errors import ConfigError, DataError
from seglab.core.labels import LabelSpace
from seglab.data.loading.cache import PackedCache
from seglab.data.loading.datamodule import LoaderConfig, SegDataModule
from seglab.data.manifest import Manifest
from seglab.data.subset import MIN_GROUPS, as_part_of, subset_train, whole_fingerprint

LABELS = LabelSpace(("road", "car", "bus"))


def row(number: int, split: str, group: str | None, pixels: tuple[int, int, int]) -> dict[str, Any]:
    name = f"s{number:03}"
    return {
        "sample_id": name,
        "image": f"{name}.png",
        "mask": f"{name}m.png",
        "height": 2,
        "width": 5,
        "split": split,
        "group": group or name,
        "annotator": None,
        "tags": [],
        "sha256": None,
        "phash": None,
        "class_pixels": [*pixels, 10 - sum(pixels)],
        "flags": [],
        "keep": True,
    }


def make_manifest(train: int = 80, per_group: int = 0, root: Path = Path("/data")) -> Manifest:
    """Every image has road, every second a car, every tenth a bus; val and test behind."""
    rows = []
    for number in range(train + 12):
        split = "train" if number < train else "val" if number < train + 8 else "test"
        group = f"{split}{number // per_group:02}" if per_group else None
        pixels = (5, 2 * (number % 2 == 0), 1 * (number % 10 == 3))
        rows.append(row(number, split, group, pixels))
    return Manifest(pd.DataFrame(rows), LABELS, root, "tiny", "index", {"importer": "test"})


def ids(manifest: Manifest, split: str = "train") -> set[str]:
    return set(manifest.split(split)["sample_id"])


def test_all_of_it_is_the_manifest_itself() -> None:
    manifest = make_manifest()
    assert subset_train(manifest, 1, 3) is manifest
    assert subset_train(manifest, 1.0, 3) is manifest


@pytest.mark.parametrize(("fraction", "count"), [(0.125, 10), (0.25, 20), (0.5, 40), (0.99, 79)])
def test_share_is_met_and_other_splits_stay(fraction: float, count: int) -> None:
    manifest = make_manifest()
    part = subset_train(manifest, fraction, 0)
    assert part.splits() == {"train": count, "val": 8, "test": 4, "unlabeled": 0}
    assert ids(part, "val") == ids(manifest, "val")
    assert len(part.table) == len(manifest.table)
    assert part.fingerprint != manifest.fingerprint
    assert part.provenance["importer"] == "test"
    assert part.provenance["train_subset"] == {
        "fraction": fraction,
        "seed": 0,
        "by": "group",
        "samples": count,
        "of": 80,
    }


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 5), st.sampled_from([0, 2, 5, 20]))
def test_smaller_share_lies_within_a_larger(a: float, b: float, seed: int, per_group: int) -> None:
    manifest = make_manifest(per_group=per_group)
    small, large = (subset_train(manifest, share, seed) for share in sorted((a, b)))
    assert ids(small)
    assert ids(small) <= ids(large) <= ids(manifest)


def test_seed_decides_and_the_order_of_the_table_does_not() -> None:
    manifest = make_manifest()
    shuffled = manifest.with_table(manifest.table.iloc[::-1])
    assert ids(subset_train(manifest, 0.25, 1)) == ids(subset_train(shuffled, 0.25, 1))
    assert ids(subset_train(manifest, 0.25, 1)) != ids(subset_train(manifest, 0.25, 2))


def test_groups_stay_whole_where_there_are_enough() -> None:
    manifest = make_manifest(per_group=4)  # 20 groups
    part = subset_train(manifest, 0.3, 0)
    sizes = part.split("train")["group"].value_counts()
    assert set(sizes) == {4}
    assert len(sizes) == 6


def test_few_groups_are_cut_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    manifest = make_manifest(per_group=20)  # 4 groups, fewer than MIN_GROUPS
    assert MIN_GROUPS > 4
    with caplog.at_level(logging.WARNING, "seglab"):
        part = subset_train(manifest, 0.125, 0)
    assert part.splits()["train"] == 10
    assert part.provenance["train_subset"]["by"] == "sample"
    assert "the training split has only 4 groups" in caplog.text


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_as_frequent_as_in_the_whole(seed: int) -> None:
    part = subset_train(make_manifest(), 0.25, seed).split("train")
    present = np.array(part["class_pixels"].tolist())[:, :3] > 0
    # Of 80 images 40 have a car and 8 a bus; a quarter drawn blindly misses every bus in 8 % of
    # draws.
    assert present.sum(axis=0)[0] == 20
    assert 9 <= present.sum(axis=0)[1] <= 11
    assert present.sum(axis=0)[2] == 2


def test_left_out_by_the_audit_stays_out() -> None:
    manifest = make_manifest()
    table = manifest.table.copy()
    table.loc[:39, "keep"] = False
    part = subset_train(manifest.with_table(table), 0.5, 0)
    assert len(ids(part)) == 20
    assert ids(part) <= {f"s{number:03}" for number in range(40, 80)}


@pytest.mark.parametrize("fraction", [0, -0.5, 1.5, float("nan")])
def test_share_out_of_range(fraction: float) -> None:
    with pytest.raises(
        ConfigError, match=r"data\.train_fraction: expected a number of more than 0"
    ):
        subset_train(make_manifest(), fraction, 0)


def test_nothing_to_share() -> None:
    manifest = make_manifest()
    table = manifest.table.assign(split="val")
    with pytest.raises(DataError, match="training split is empty"):
        subset_train(manifest.with_table(table), 0.5, 0)


def test_part_of_a_part_is_read_from_the_cache_of_the_whole() -> None:
    manifest = make_manifest()
    fold = as_part_of(manifest.with_table(manifest.table.assign(split="train")), manifest)
    part = subset_train(fold, 0.5, 0)
    assert whole_fingerprint(manifest) == manifest.fingerprint
    assert whole_fingerprint(fold) == whole_fingerprint(part) == manifest.fingerprint
    assert len({manifest.fingerprint, fold.fingerprint, part.fingerprint}) == 3


def test_note_survives_writing(tmp_path: Path) -> None:
    part = subset_train(make_manifest(), 0.5, 0)
    back = Manifest.read(part.write(tmp_path))
    assert back.fingerprint == part.fingerprint
    assert whole_fingerprint(back) == whole_fingerprint(part)


def test_loaders_read_a_part_from_the_cache_of_the_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    manifest = make_manifest(train=20, root=tmp_path)
    rows = manifest.table.to_dict(orient="records")
    for one in rows:
        pixels = rng.integers(0, 256, (2, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / one["image"])
        counts = one["class_pixels"]
        mask = np.repeat([0, 1, 2, 255], counts).astype(np.uint8).reshape(2, 5)
        Image.fromarray(mask).save(tmp_path / one["mask"])
    cache = PackedCache.open(manifest, tmp_path / "cache")
    config = LoaderConfig(batch_size=2, eval_batch_size=2)
    part = subset_train(manifest, 0.5, 0)
    loaders = SegDataModule(part, cache, config)
    assert set(loaders.sample_ids("train")) == ids(part)
    assert loaders.steps_per_epoch == 5
    assert set(loaders.sample_ids("val")) == ids(manifest, "val")
    other = manifest.with_table(part.table)  # the same content without the note
    with pytest.raises(DataError, match="open the cache with this manifest"):
        SegDataModule(other, cache, config)
