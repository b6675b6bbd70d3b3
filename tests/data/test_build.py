"""Building a manifest: what is measured, and how faults are collected, raised or quarantined."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.core.errors import DataError, DataNotFoundError
from seglab.core.labels import LabelSpace
from seglab.data.build import ImportedFiles, SampleFiles, build_manifest
from seglab.data.manifest import Manifest

LABELS = LabelSpace(("sky", "road"), raw_ids={0: 0, 1: 1, 9: 255})
MASK = np.array([[0, 0, 1], [9, 1, 1]], np.uint8)


def write_sample(root: Path, name: str, mask: np.ndarray | None = MASK) -> SampleFiles:
    image = np.random.default_rng(len(name)).integers(0, 256, (2, 3, 3)).astype(np.uint8)
    Image.fromarray(image).save(root / f"{name}.png")
    if mask is None:
        return SampleFiles(name, Path(f"{name}.png"), None, "unlabeled", name)
    Image.fromarray(mask).save(root / f"{name}_mask.png")
    files = root / f"{name}.png", root / f"{name}_mask.png"
    return SampleFiles(name, *files, "train", "scene", "ann", ("night",))


def build(root: Path, samples: list[SampleFiles], on_error: str = "raise") -> Manifest:
    imported = ImportedFiles(samples, LABELS, "index", ["a note"])
    return build_manifest(imported, root, "tiny", {"importer": "test"}, 2, on_error)


def faulty_samples(root: Path) -> list[SampleFiles]:
    """One good sample and one of each fault."""
    samples = [write_sample(root, name) for name in ("good", "lost", "rotten", "bare", "bad")]
    (root / "lost.png").unlink()
    (root / "rotten.png").write_bytes((root / "rotten.png").read_bytes()[:40])
    (root / "bare_mask.png").unlink()
    (root / "bad_mask.png").write_bytes(b"nothing")
    samples.append(write_sample(root, "strange", np.full((2, 3), 7, np.uint8)))
    samples.append(write_sample(root, "small", MASK[:, :2]))
    return samples


def test_row_holds_what_is_in_the_files(tmp_path: Path) -> None:
    manifest = build(tmp_path, [write_sample(tmp_path, "a"), write_sample(tmp_path, "u", None)])
    row = manifest.table.iloc[0].to_dict()
    phash = row.pop("phash")
    assert len(phash) == 16
    assert row == {
        "sample_id": "a",
        "image": "a.png",
        "mask": "a_mask.png",
        "height": 2,
        "width": 3,
        "split": "train",
        "group": "scene",
        "annotator": "ann",
        "tags": ["night"],
        "sha256": hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest(),
        "mask_sha256": hashlib.sha256((tmp_path / row["mask"]).read_bytes()).hexdigest(),
        "class_pixels": [2, 3, 1],
        "flags": [],
        "keep": True,
    }
    unlabeled = manifest.table.iloc[1]
    assert (unlabeled["mask"], unlabeled["class_pixels"]) == (None, [])
    assert manifest.provenance["notes"] == ["a note"]
    assert manifest.provenance["quarantined"] == {}


def test_hash_is_of_the_image_alone(tmp_path: Path) -> None:
    samples = [write_sample(tmp_path, "a"), write_sample(tmp_path, "b", 1 - MASK % 2)]
    hashes = build(tmp_path, samples).table["sha256"]
    assert hashes[0] == hashes[1]


def test_result_does_not_depend_on_threads(tmp_path: Path) -> None:
    samples = [write_sample(tmp_path, "n" * count) for count in range(1, 9)]
    imported = ImportedFiles(samples, LABELS)
    prints = {
        build_manifest(imported, tmp_path, "t", {}, threads).fingerprint for threads in (1, 3)
    }
    assert len(prints) == 1


def test_all_faults_are_raised_at_once_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        build(tmp_path, faulty_samples(tmp_path))
    text = str(caught.value)
    assert "6 of 7 samples are faulty" in text
    for part in (
        "(corrupt_image 1, corrupt_mask 1, missing_image 1, missing_mask 1, size_mismatch 1, "
        "unknown_labels 1)",
        f"lost: {tmp_path}/lost.png: no such file",
        f"rotten: {tmp_path}/rotten.png: ",
        f"bare: {tmp_path}/bare_mask.png: no such file",
        f"bad: {tmp_path}/bad_mask.png: not an image file",
        f"strange: {tmp_path}/strange_mask.png: unknown mask values 7; known are [0, 1, 9]",
        f"small: {tmp_path}/small_mask.png: mask has 2 x 2 pixels (H x W), its image 2 x 3",
        "on_error=quarantine",
    ):
        assert part in text


def test_unknown_values_of_many_masks_are_one_line_with_the_fullest_example(tmp_path: Path) -> None:
    samples = [write_sample(tmp_path, f"s{n}", MASK * 0 + 20 + n // 7) for n in range(8)]
    samples += [write_sample(tmp_path, "both", np.array([[20, 21, 30], [0, 0, 1]], np.uint8))]
    with pytest.raises(DataError) as caught:
        build(tmp_path, [*samples, write_sample(tmp_path, "good")])
    (line,) = [one for one in str(caught.value).splitlines() if one.startswith("  - ")]
    assert line == (
        f"  - 9 masks hold values that are not known, for example both: {tmp_path}/both_mask.png: unknown "
        "mask values 20, 21, 30; known are [0, 1, 9]"
    )
    assert str(caught.value).endswith(
        "; data.options.raw_ids of `folder` gives unknown values a meaning: a class, or ignore"
    )


def test_quarantine_keeps_the_rows_out_of_every_split(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        manifest = build(tmp_path, faulty_samples(tmp_path), "quarantine")
    flags = dict(zip(manifest.table["sample_id"], manifest.table["flags"], strict=True))
    assert flags == {
        "good": [],
        "lost": ["missing_image"],
        "rotten": ["corrupt_image"],
        "bare": ["missing_mask"],
        "bad": ["corrupt_mask"],
        "strange": ["unknown_labels"],
        "small": ["size_mismatch"],
    }
    assert manifest.splits()["train"] == 1
    assert manifest.split("train")["sample_id"].tolist() == ["good"]
    assert "strange: " in caplog.text
    assert "unknown mask values 7" in manifest.provenance["quarantined"]["strange"]
    manifest.write(tmp_path / "out")
    assert Manifest.read(tmp_path / "out").fingerprint == manifest.fingerprint


def test_only_missing_files_are_a_not_found_error(tmp_path: Path) -> None:
    samples = [write_sample(tmp_path, "a"), write_sample(tmp_path, "b")]
    (tmp_path / "b.png").unlink()
    with pytest.raises(DataNotFoundError, match=r"b\.png: no such file"):
        build(tmp_path, samples)


def test_quarantine_of_everything_is_an_error(tmp_path: Path) -> None:
    sample = write_sample(tmp_path, "a", np.full((2, 3), 7, np.uint8))
    with pytest.raises(DataError, match="no sample is left"):
        build(tmp_path, [sample], "quarantine")


def test_exif_that_turns_only_the_image_is_explained(tmp_path: Path) -> None:
    sample = write_sample(tmp_path, "a")
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(tmp_path / "a.png", exif=exif)
    with pytest.raises(DataError, match=r"image orientation 6, mask 1"):
        build(tmp_path, [sample])
    Image.fromarray(MASK).save(tmp_path / "a_mask.png", exif=exif)
    assert build(tmp_path, [sample]).table[["height", "width"]].to_numpy().tolist() == [[3, 2]]


def test_exif_that_sizes_cannot_judge_is_flagged_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exif = Image.Exif()
    samples = []
    for name, turned, size in (("half", 3, (2, 3)), ("square", 6, (3, 3)), ("plain", 1, (2, 3))):
        samples.append(write_sample(tmp_path, name, np.zeros(size, np.uint8)))
        exif[274] = turned
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / f"{name}.png", exif=exif)
    with caplog.at_level(logging.WARNING):
        manifest = build(tmp_path, samples)
    assert manifest.table["flags"].tolist() == [["exif_ambiguous"], ["exif_ambiguous"], []]
    assert manifest.table["keep"].all()
    assert "EXIF turns image and mask of 2 samples differently" in caplog.text


def test_lists_that_cannot_be_right_are_refused_before_reading(tmp_path: Path) -> None:
    outside = SampleFiles("o", tmp_path.parent / "o.png", Path("../m.png"), "train", "g")
    twice = SampleFiles("a", Path("a.png"), None, "unlabeled", "a")
    with pytest.raises(DataError) as caught:
        build(tmp_path, [outside, twice, twice])
    text = str(caught.value)
    assert "sample_id 'a' is given to several files" in text
    assert "o.png lies outside the root" in text
    assert "../m.png lies outside the root" in text
    with pytest.raises(DataError, match="found no samples"):
        build(tmp_path, [])
    with pytest.raises(DataError, match="on_error must be one of raise, quarantine, got 'skip'"):
        build(tmp_path, [twice], "skip")
