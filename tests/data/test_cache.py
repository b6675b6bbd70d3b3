from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglab.core.errors import DataError, DataNotFoundError, DiskFullError
from seglab.core.labels import LabelSpace
from seglab.data.build import ImportedFiles, SampleFiles, build_manifest, inspection
from seglab.data.files.masks import decode_mask
from seglab.data.loading import decoding, packing
from seglab.data.loading.cache import PackedCache
from seglab.data.manifest import Manifest

SIZES = [(12, 16), (20, 10), (12, 16), (7, 9)]
LABELS = LabelSpace(class_names=("a", "b", "c"))


def make_manifest(root: Path, sizes: list[tuple[int, int]] = SIZES, **changes: Any) -> Manifest:
    """Write random PNG files; the last sample has no mask."""
    rng = np.random.default_rng(0)
    rows = []
    for number, size in enumerate(sizes):
        name = f"s{number}"
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        mask = rng.choice(np.array([0, 1, 2, 255], dtype=np.uint8), size)
        labelled = number < len(sizes) - 1
        root.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / f"{name}.png")
        if labelled:
            Image.fromarray(mask).save(root / f"{name}_mask.png")
        files = [root / f"{name}.png", *([root / f"{name}_mask.png"] if labelled else [])]
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        counts = [int((mask == value).sum()) for value in (0, 1, 2, 255)]
        rows.append(
            {
                "sample_id": name,
                "image": f"{name}.png",
                "mask": f"{name}_mask.png" if labelled else None,
                "height": size[0],
                "width": size[1],
                "split": "train" if labelled else "unlabeled",
                "group": name,
                "annotator": None,
                "tags": [],
                "sha256": digests[0],
                "mask_sha256": digests[1] if labelled else None,
                "phash": None,
                "class_pixels": counts if labelled else [],
                "flags": [],
                "keep": True,
            }
        )
    table = pd.DataFrame(rows).assign(**changes)
    return Manifest(table, LABELS, root, "tiny", "index", {})


def read(root: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(root / name))


def test_images_and_masks_are_those_of_the_files(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "data")
    cache = PackedCache.open(manifest, tmp_path / "cache")
    assert cache.sample_ids == ["s0", "s1", "s2", "s3"]
    assert len(cache) == 4
    for row, size in enumerate(SIZES):
        np.testing.assert_array_equal(cache.image(row), read(manifest.root, f"s{row}.png"))
        assert cache.image(row).dtype == np.uint8
        assert cache.image_hw(row) == size
    for row in range(3):
        np.testing.assert_array_equal(cache.mask(row), read(manifest.root, f"s{row}_mask.png"))
        assert cache.mask_hw(row) == SIZES[row]
    assert cache.mask(3) is None
    assert cache.mask_hw(3) is None


def test_views_are_read_only_and_not_copied(tmp_path: Path) -> None:
    cache = PackedCache.open(make_manifest(tmp_path / "data"), tmp_path / "cache")
    image = cache.image(1)
    assert np.shares_memory(image, cache.image(1))
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0, 0] = 1


def test_working_size_resizes_images_and_leaves_masks(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "data")
    cache = PackedCache.open(manifest, tmp_path / "cache", image_size=(6, 8))
    assert [cache.image(row).shape for row in range(4)] == [(6, 8, 3)] * 4
    assert [cache.mask_hw(row) for row in range(4)] == [*SIZES[:3], None]
    source = read(manifest.root, "s0.png").astype(np.float64)
    # Exactly half the size: area averaging is the mean of 2 x 2 pixels.
    halved = source.reshape(6, 2, 8, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(cache.image(0), halved, atol=0.51)


def test_growing_is_bilinear_and_mixed_does_both(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "data")
    cache = PackedCache.open(manifest, tmp_path / "cache", image_size=(10, 20))
    source = read(manifest.root, "s1.png")
    averaged = source.reshape(10, 2, 10, 3).astype(np.float64).mean(axis=1)
    both = cv2.resize(averaged, (20, 10), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(cache.image(1), both, atol=1.1)
    grown = cv2.resize(read(manifest.root, "s3.png"), (20, 10), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(cache.image(3), grown)


def test_one_channel(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "data")
    cache = PackedCache.open(manifest, tmp_path / "cache", (5, 5), channels=1)
    assert cache.image(0).shape == (5, 5, 1)
    plain = PackedCache.open(manifest, tmp_path / "cache", channels=1)
    grey = np.asarray(Image.open(manifest.root / "s1.png").convert("L"))
    np.testing.assert_array_equal(plain.image(1)[..., 0], grey)


def test_rows_of_sample_ids(tmp_path: Path) -> None:
    cache = PackedCache.open(make_manifest(tmp_path / "data"), tmp_path / "cache")
    assert cache.rows(["s2", "s0"]) == [2, 0]
    with pytest.raises(DataError, match=r"4 kept ones[^$]*- s9[^$]*- x"):
        cache.rows(["s2", "s9", "x"])


def test_not_kept_samples_are_left_out(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "data", keep=[True, False, True, True])
    (manifest.root / "s1.png").unlink()
    cache = PackedCache.open(manifest, tmp_path / "cache")
    assert cache.sample_ids == ["s0", "s2", "s3"]
    np.testing.assert_array_equal(cache.image(1), read(manifest.root, "s2.png"))


def test_names_become_safe_folder_names(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "data")
    named = Manifest(manifest.table, LABELS, manifest.root, "../a b/c", "index", {})
    folder = PackedCache.open(named, tmp_path / "cache").folder
    assert folder.parent == tmp_path / "cache"
    assert folder.name.startswith(".._a_b_c-")


def test_a_data_set_without_masks(tmp_path: Path) -> None:
    cache = PackedCache.open(make_manifest(tmp_path / "data", [(4, 4)]), tmp_path / "cache")
    assert cache.mask(0) is None
    assert cache.image(0).shape == (4, 4, 3)


def test_progress_counts_every_sample(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    manifest = make_manifest(tmp_path / "data", [(4, 4)] * 25)
    PackedCache.open(
        manifest, tmp_path / "cache", num_threads=2, on_progress=lambda *call: calls.append(call)
    )
    assert calls == [(done, 25) for done in range(1, 26)]


def test_second_opening_reads_no_source_file(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "data")
    first = PackedCache.open(manifest, tmp_path / "cache")
    for file in manifest.root.iterdir():
        file.unlink()
    second = PackedCache.open(manifest, tmp_path / "cache")
    assert second.folder == first.folder
    np.testing.assert_array_equal(second.image(2), first.image(2))


def test_every_setting_and_the_fingerprint_have_their_own_cache(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "data")
    retagged = make_manifest(tmp_path / "data", tags=[["night"], [], [], []])
    folders = {
        PackedCache.open(manifest, tmp_path / "cache").folder,
        PackedCache.open(manifest, tmp_path / "cache", (6, 8)).folder,
        PackedCache.open(manifest, tmp_path / "cache", (8, 6)).folder,
        PackedCache.open(manifest, tmp_path / "cache", channels=1).folder,
        PackedCache.open(retagged, tmp_path / "cache").folder,
    }
    assert len(folders) == 5
    assert all(folder.is_dir() and folder.name.startswith("tiny-") for folder in folders)


def test_another_mask_has_another_cache_whether_it_was_hashed_or_not(tmp_path: Path) -> None:
    for number, changes in enumerate(({}, {"mask_sha256": None})):
        root = tmp_path / f"data{number}"
        former = PackedCache.open(make_manifest(root, **changes), tmp_path / "cache")
        mirrored = read(root, "s0_mask.png")[:, ::-1].copy()
        Image.fromarray(mirrored).save(root / "s0_mask.png")
        os.utime(root / "s0_mask.png", (1, 1))
        digest = hashlib.sha256((root / "s0_mask.png").read_bytes()).hexdigest()
        table = make_manifest(root / "unused", **changes).table
        if not changes:
            table.loc[0, "mask_sha256"] = digest
        manifest = Manifest(table, LABELS, root, "tiny", "index", {})
        cache = PackedCache.open(manifest, tmp_path / "cache")
        assert cache.folder != former.folder
        np.testing.assert_array_equal(cache.mask(0), mirrored)


@pytest.mark.parametrize("name", ["images.bin", "masks.bin", "index.json"])
@pytest.mark.parametrize("damage", ["truncate", "delete"])
def test_damaged_cache_is_built_again(
    tmp_path: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = make_manifest(tmp_path / "data")
    file = PackedCache.open(manifest, tmp_path / "cache").folder / name
    if damage == "truncate":
        os.truncate(file, file.stat().st_size - 1)
    else:
        file.unlink()
    with caplog.at_level(logging.WARNING):
        cache = PackedCache.open(manifest, tmp_path / "cache")
    np.testing.assert_array_equal(cache.image(3), read(manifest.root, "s3.png"))
    np.testing.assert_array_equal(cache.mask(2), read(manifest.root, "s2_mask.png"))
    assert ("will be built again" in caplog.text) == (name != "index.json" or damage != "delete")


def test_opening_a_folder_without_a_cache_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"PackedCache\.open builds one"):
        PackedCache(tmp_path)


def test_changed_missing_and_corrupt_files_are_all_named(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "data", [(6, 8)] * 6)
    root = manifest.root
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(root / "s0.png")
    (root / "s1.png").unlink()
    (root / "s2_mask.png").write_bytes(b"no image")
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(root / "s3_mask.png")
    with pytest.raises(DataError) as caught:
        PackedCache.open(manifest, tmp_path / "cache")
    message = str(caught.value)
    assert "4 files of 'tiny' cannot be used" in message
    assert "import the data again" in message
    assert f"s0: {root / 's0.png'}: not the file that was imported" in message
    assert "s1.png" in message
    assert "s2_mask.png" in message
    assert f"s3: {root / 's3_mask.png'}: not the file that was imported" in message
    assert "s4" not in message
    assert not isinstance(caught.value, DataNotFoundError)
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_only_missing_files_are_a_not_found_error(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "data")
    (manifest.root / "s0.png").unlink()
    (manifest.root / "s2_mask.png").unlink()
    with pytest.raises(DataNotFoundError, match="2 files of 'tiny'"):
        PackedCache.open(manifest, tmp_path / "cache")


def test_too_little_disk_space_is_said_before_building(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**29))
    manifest = make_manifest(tmp_path / "data")
    with pytest.raises(
        DiskFullError, match=r"needs 0\.75 GiB, free are 0\.50 GiB\. Delete old caches"
    ):
        PackedCache.open(manifest, tmp_path / "cache", image_size=(2**13, 2**13))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"image_size": (0, 4)}, r"got \(0, 4\)"), ({"channels": 4}, "grey.*got 4")],
)
def test_wrong_arguments(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        PackedCache.open(make_manifest(tmp_path / "data"), tmp_path / "cache", **settings)


def test_pickle_holds_the_folder_only(tmp_path: Path) -> None:
    cache = PackedCache.open(make_manifest(tmp_path / "data", [(64, 64)] * 9), tmp_path / "cache")
    cache.image(0)
    content = pickle.dumps(cache)
    assert len(content) < 500
    np.testing.assert_array_equal(pickle.loads(content).image(5), cache.image(5))  # noqa: S301


def _open_and_report(manifest: Manifest, cache_dir: Path, barrier: Any, queue: Any) -> None:
    steps: list[int] = []

    def on_progress(done: int, total: int) -> None:
        steps.append(done)
        time.sleep(0.02)

    barrier.wait(30)
    cache = PackedCache.open(manifest, cache_dir, num_threads=1, on_progress=on_progress)
    queue.put((len(steps), int(cache.image(1).sum())))


def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    manifest = make_manifest(tmp_path / "data", [(8, 8)] * 10)
    barrier, queue = context.Barrier(2), context.Queue()
    arguments = (manifest, tmp_path / "cache", barrier, queue)
    processes = [context.Process(target=_open_and_report, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(30)
    expected = int(read(manifest.root, "s1.png").sum())
    assert sorted(answers) == [(0, expected), (10, expected)]


def _build_slowly(manifest: Manifest, cache_dir: Path, started: Any) -> None:
    def on_progress(done: int, total: int) -> None:
        started.set()
        time.sleep(60)

    PackedCache.open(manifest, cache_dir, num_threads=1, on_progress=on_progress)


def test_killed_builder_leaves_no_cache_and_no_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    manifest = make_manifest(tmp_path / "data")
    started = context.Event()
    process = context.Process(target=_build_slowly, args=(manifest, tmp_path / "cache", started))
    process.start()
    assert started.wait(30)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    left = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert [path.suffix for path in left] == [".part"]
    cache = PackedCache.open(manifest, tmp_path / "cache")
    np.testing.assert_array_equal(cache.image(0), read(manifest.root, "s0.png"))
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == [cache.folder]


def test_index_of_another_format_is_not_taken(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "data")
    index = PackedCache.open(manifest, tmp_path / "cache").folder / "index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "format_version": 0}))
    with pytest.raises(DataError, match="not a cache index of version 2"):
        PackedCache(index.parent)
    assert len(PackedCache.open(manifest, tmp_path / "cache")) == 4


def test_mask_is_decoded_once_on_its_way_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = LabelSpace(("a", "b"))
    rng = np.random.default_rng(0)
    samples = []
    for number in range(3):
        paths = [tmp_path / f"{number}.{kind}.png" for kind in ("image", "mask")]
        Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).save(paths[0])
        Image.fromarray(rng.integers(0, 2, (6, 8), dtype=np.uint8)).save(paths[1])
        samples.append(SampleFiles(str(number), *paths, "train", str(number)))
    decoded = []

    def noted(content: bytes, path: Path, *rest: Any) -> np.ndarray:
        decoded.append(path.name)
        return decode_mask(content, path, *rest)

    for module in (inspection, decoding):
        monkeypatch.setattr(module, "decode_mask", noted)
    manifest = build_manifest(ImportedFiles(samples, labels), tmp_path, "tiny", {})
    first = PackedCache.open(manifest, tmp_path / "caches")
    assert sorted(decoded) == [f"{number}.mask.png" for number in range(3)]
    # What was kept in memory is gone; another working size reads the files again, to the same masks.
    second = PackedCache.open(manifest, tmp_path / "caches", image_size=(3, 4))
    assert len(decoded) == 6
    for row in range(3):
        assert np.array_equal(first.mask(row), second.mask(row))
