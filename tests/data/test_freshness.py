"""Files that come, go or change are noticed on the next use of a data set; unchanged ones not read."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from seglab.cli.data.importer_options import parse_options
from seglab.core.errors import DataError, DataNotFoundError
from seglab.data.freshness import FileHashes, describe_changes, hashes
from seglab.data.importers import import_dataset, open_dataset
from seglab.data.loading.cache import PackedCache
from seglab.data.manifest import Manifest

CLASSES = {"class_names": ["a", "b"]}


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def add(root: Path, name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    write(root / "images" / f"{name}.png", rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    write(root / "masks" / f"{name}.png", rng.integers(0, 2, (6, 8), dtype=np.uint8))


def mirror(path: Path) -> None:
    """Mirror a mask in place: the same number of pixels of each class, in other places."""
    mirrored = np.asarray(Image.open(path))[:, ::-1].copy()
    write(path, mirrored)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(8):
        add(tmp_path / "raw", f"s{number}", number)
    return tmp_path / "raw"


def open_raw(root: Path, **changes: Any) -> Manifest:
    content: dict[str, Any] = {
        "name": "tiny",
        "importer": "folder",
        "root": root,
        "manifest": None,
        "options": CLASSES,
        "data_dir": root.parent / "data",
    }
    return open_dataset(**content | changes)


def cached_masks(manifest: Manifest, cache_dir: Path) -> dict[str, np.ndarray | None]:
    cache = PackedCache.open(manifest, cache_dir)
    return {name: cache.mask(row) for row, name in enumerate(cache.sample_ids)}


def test_mirrored_masks_are_those_that_are_trained(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = open_raw(root)
    cached_masks(before, tmp_path / "cache")
    masks = sorted((root / "masks").iterdir())
    for path in masks:
        mirror(path)
    with caplog.at_level(logging.INFO):
        now = open_raw(root)
    assert now.table["class_pixels"].tolist() == before.table["class_pixels"].tolist()
    assert now.fingerprint != before.fingerprint
    cached = cached_masks(now, tmp_path / "cache")
    for path in masks:
        np.testing.assert_array_equal(cached[path.stem], np.asarray(Image.open(path)))
    (line,) = [text for text in caplog.messages if "fingerprint" in text]
    created = str(before.provenance["created"])[:16].replace("T", " ")
    assert f"under {root}: 8 masks changed since {created} UTC" in line
    assert f"new fingerprint {now.fingerprint} ({before.fingerprint} before, kept in " in line
    folder = Path(line.rpartition("kept in ")[2].removesuffix(")"))
    assert Manifest.read(folder).fingerprint == now.fingerprint
    former = Manifest.read(folder / f"manifest.{before.fingerprint}.parquet")
    assert former.fingerprint == before.fingerprint


def rename(root: Path) -> None:
    for kind in ("images", "masks"):
        (root / kind / "s1.png").rename(root / kind / "t1.png")


def brighten(root: Path) -> None:
    path = root / "images" / "s0.png"
    write(path, np.asarray(Image.open(path)) // 2)


def remove(root: Path) -> None:
    for kind in ("images", "masks"):
        (root / kind / "s7.png").unlink()


def restore_time(root: Path) -> None:
    path = root / "masks" / "s2.png"
    status = path.stat()
    mirror(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (brighten, "1 image changed"),
        (restore_time, "1 mask changed"),
        (lambda root: add(root, "s8", 8), "1 image added, 1 mask added"),
        (remove, "1 image removed, 1 mask removed"),
        (rename, "1 image added, 1 image removed, 1 mask added, 1 mask removed"),
        (lambda root: (root / "val.txt").write_text("s0\ns7\n"), "6 images removed"),
    ],
)
def test_every_kind_of_change_is_noticed_and_named(
    root: Path,
    change: Callable[[Path], Any],
    expected: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # All that is known of files is trusted at once.
    monkeypatch.setattr(hashes, "_SETTLED_NS", 0)
    before = open_raw(root)
    assert open_raw(root).fingerprint == before.fingerprint
    change(root)
    now = open_raw(root)
    assert now.fingerprint != before.fingerprint
    assert ", ".join(describe_changes(before, now)).startswith(expected)
    assert f"under {root}: {expected}" in caplog.messages[-1]


def test_an_unchanged_data_set_is_not_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hashes, "_SETTLED_NS", 0)
    before = open_raw(root)

    def refuse(*given: Any, **also: Any) -> None:
        raise AssertionError("a file was read")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr("seglab.data.importers.opening.build_manifest", refuse)
    # What is no sample does not count.
    (root / "images" / ".ipynb_checkpoints").mkdir()
    (root / "images" / ".ipynb_checkpoints" / "s0-checkpoint.png").touch()
    (root / "runs.png").touch()
    assert open_raw(root).fingerprint == before.fingerprint
    monkeypatch.undo()
    # A copy of the same content, as of another checkout, is read and found to be the same.
    path = root / "images" / "s3.png"
    path.write_bytes(path.read_bytes())
    monkeypatch.setattr("seglab.data.importers.opening.build_manifest", refuse)
    assert open_raw(root).fingerprint == before.fingerprint
    assert not [text for text in caplog.messages if "fingerprint" in text]


def test_a_file_that_changed_just_now_is_read_again(root: Path) -> None:
    store = root.parent / "hashes.json"
    known = FileHashes(root, store)
    old = known.of(["masks/s0.png", "masks/none.png"])
    assert old["masks/none.png"] is None
    # Its times may not move on within this moment, so that it is not remembered.
    assert FileHashes(root, store)._known == {}
    mirror(root / "masks" / "s0.png")
    assert FileHashes(root, store).of(["masks/s0.png"]) != {"masks/s0.png": old["masks/s0.png"]}
    store.write_text("{")
    assert FileHashes(root, store).of(["masks/s1.png"])["masks/s1.png"] is not None


def test_a_mask_that_comes_later_is_noticed(root: Path) -> None:
    for masks in ("masks", "masks/{stem}.png"):
        options = {**CLASSES, "allow_unlabeled": True, "masks": masks}
        kept = (root / "masks" / "s4.png").read_bytes()
        (root / "masks" / "s4.png").unlink()
        assert open_raw(root, options=options).splits()["unlabeled"] == 1
        (root / "masks" / "s4.png").write_bytes(kept)
        assert open_raw(root, options=options).splits()["unlabeled"] == 0


def test_an_explicit_manifest_whose_files_differ_is_refused(root: Path) -> None:
    out = root.parent / "out"
    manifest = import_dataset("folder", root, out, "mine", CLASSES)
    assert open_raw(root, manifest=out).fingerprint == manifest.fingerprint
    content = (root / "masks" / "s2.png").read_bytes()
    mirror(root / "masks" / "s2.png")
    (root / "images" / "s5.png").unlink()
    with pytest.raises(DataError) as caught:
        open_raw(root, manifest=out)
    message = str(caught.value)
    assert not isinstance(caught.value, DataNotFoundError)
    assert f"2 files under {root} are not those of the manifest {out}" in message
    assert "(1 is missing, 1 changed)" in message
    (line,) = [line for line in message.splitlines() if "seglab data import" in line]
    line = line[line.index("seglab data import") :].removesuffix(":")
    assert shlex.split(line) == [
        "seglab",
        "data",
        "import",
        "folder",
        str(root),
        "--out",
        str(out),
        "--name",
        "mine",
        "--option",
        'class_names=["a", "b"]',
    ]
    assert parse_options(shlex.split(line)[-1:], "folder") == CLASSES
    assert "masks/s2.png changed since the import" in message
    assert "images/s5.png is missing" in message
    (root / "masks" / "s2.png").write_bytes(content)
    with pytest.raises(DataNotFoundError, match="1 file under"):
        open_raw(root, manifest=out)
    # Samples that are left out need no files.
    table = manifest.table
    manifest.with_table(table.assign(keep=table["sample_id"] != "s5")).write(out)
    assert sum(open_raw(root, manifest=out).splits().values()) == 7


def as_the_former_version(folder: Path) -> str:
    """Rewrite a manifest as seglab wrote it before it kept hashes of masks; return its fingerprint."""
    manifest = Manifest.read(folder)
    bare = manifest.with_table(manifest.table.assign(mask_sha256=None))
    table = pq.read_table(folder / "manifest.parquet").drop_columns(["mask_sha256"])
    head = yaml.safe_load(table.schema.metadata[b"seglab_manifest"])
    head |= {"schema_version": 1, "fingerprint": bare.fingerprint}
    del head["provenance"]["sources"]
    text = yaml.safe_dump(head)
    pq.write_table(
        table.replace_schema_metadata({b"seglab_manifest": text.encode()}),
        folder / "manifest.parquet",
    )
    (folder / "manifest.yaml").write_text(text)
    return bare.fingerprint


def test_manifests_of_the_former_version_are_renewed(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fresh = open_raw(root)
    (folder,) = [path for path in (tmp_path / "data" / "manifests").iterdir() if path.is_dir()]
    former = as_the_former_version(folder)
    assert Manifest.read(folder).fingerprint == former
    mirror(root / "masks" / "s0.png")
    now = open_raw(root)
    assert now.fingerprint not in (former, fresh.fingerprint)
    assert "imported again, for its manifest held no hashes of masks" in caplog.messages[-1]
    # What a former run recorded is as far as it can tell the same.
    assert now.is_of(former)
    assert (folder / f"manifest.{former}.parquet").is_file()


def test_an_explicit_manifest_of_the_former_version_counts_masks_as_they_are(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = import_dataset("folder", root, tmp_path / "out", "mine", CLASSES)
    as_the_former_version(tmp_path / "out")
    assert open_raw(root, manifest=tmp_path / "out").fingerprint == manifest.fingerprint
    assert "holds no hashes of 8 masks" in caplog.messages[-1]
    mirror(root / "masks" / "s0.png")
    changed = open_raw(root, manifest=tmp_path / "out")
    assert changed.fingerprint != manifest.fingerprint
    cached = cached_masks(changed, tmp_path / "cache")
    np.testing.assert_array_equal(cached["s0"], np.asarray(Image.open(root / "masks" / "s0.png")))
