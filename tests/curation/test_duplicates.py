from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.core.errors import ConfigError
from seglab.curation.alike.hamming import near_pairs
from seglab.curation.alike.transforms import TRANSFORMS
from seglab.curation.audit import audit
from seglab.curation.registry import AuditInputs
from seglab.data.folds import FoldSettings, make_folds
from tests.curation.conftest import Make, picture

KINDS = ["exact_duplicate", "near_duplicate", "split_leak"]


@pytest.mark.parametrize("distance", [0, 3, 7, 11])
def test_index_finds_exactly_the_pairs_that_comparing_all_finds(distance: int) -> None:
    rng = np.random.default_rng(distance)
    values = rng.integers(0, 2**64, 400, dtype=np.uint64)
    for place in range(200):
        bits = rng.permutation(64)[: place % 13]
        values[200 + place] = values[place] ^ np.uint64(sum(1 << int(bit) for bit in bits))
    queries = values[::2]
    gaps = np.bitwise_count(queries[:, None] ^ values[None])
    left, right, found = near_pairs(queries, values, distance)
    np.testing.assert_array_equal(np.stack([left, right]), np.nonzero(gaps <= distance))
    np.testing.assert_array_equal(found, gaps[left, right])
    with pytest.raises(ConfigError, match="expected 0 to 15 bits, got 16"):
        near_pairs(values, values, 16)


def test_copies_are_found_after_every_transform_and_nothing_else(
    make: Make, tmp_path: Path
) -> None:
    images = {f"s{place}": picture(place, (96, 128)) for place in range(len(TRANSFORMS))}
    rng = np.random.default_rng(0)
    for place, (name, change) in enumerate(TRANSFORMS.items()):
        images[f"t{name}".replace(" ", "_")] = change(images[f"s{place}"], rng)
    found = audit(AuditInputs(make(images)), KINDS).table
    wanted = {f"t{name}".replace(" ", "_"): f"s{place}" for place, name in enumerate(TRANSFORMS)}
    assert dict(zip(found["sample_id"], found["other"], strict=True)) == wanted
    assert set(found["kind"]) == {"near_duplicate"}


def test_the_held_out_copy_is_named_as_a_leak_of_split_and_fold(make: Make) -> None:
    images = {f"s{place}": picture(place) for place in range(6)}
    images["s1"] = images["s0"]
    splits = {"s0": "val", "s3": "val"}
    manifest = make(images, splits=splits)
    found = audit(AuditInputs(manifest), KINDS).table.set_index("kind")
    assert found.loc["exact_duplicate", ["sample_id", "other"]].tolist() == ["s1", "s0"]
    assert found.loc["split_leak", ["sample_id", "other"]].tolist() == ["s0", "s1"]
    plan = make_folds(
        manifest, FoldSettings.read({"scheme": "kfold", "folds": 6, "allow_leaks": True}, "cv")
    )
    leaks = audit(AuditInputs(manifest, folds=plan), ["fold_leak"]).table
    # Each is held out once while the other is trained on.
    assert sorted(zip(leaks["sample_id"], leaks["other"], strict=True)) == [
        ("s0", "s1"),
        ("s1", "s0"),
    ]


def test_images_without_contrast_are_no_copies_of_each_other(make: Make) -> None:
    flat = np.full((48, 64, 3), 90, np.uint8)
    manifest = make({"a": flat, "b": flat + 1, "c": flat + 2})
    assert audit(AuditInputs(manifest), KINDS).table.empty
    assert Image.open(manifest.root / "a.png").size == (64, 48)
