"""The contract of an importer: `read(root) -> ImportedFiles`, which only says which files belong together."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seglab.core.errors import DataError, DataNotFoundError
from seglab.data.build import ImportedFiles, build_manifest
from seglab.data.files.images import image_size
from seglab.data.files.masks import read_mask
from seglab.data.freshness import FileHashes
from seglab.data.importers.renewal import is_current
from seglab.data.manifest import SPLITS, Manifest
from seglab.testing.contract import Contract, expect_error


class ImporterContract(Contract):
    """What a data set asks of its importer.

    `build` is supplied with nothing and returns `read(root) -> ImportedFiles`; `write_data` writes a
    tiny data set of the layout it reads, with a labelled sample in `train` and in `val` at least.

    Attributes:
        splits: Samples expected in each split that is not empty; None: not known.
        looked_for: Name of a file or folder that a message about a wrong root is to have in it.
        makes_data: Whether it makes the data itself; then nothing is written for it.
    """

    splits: Mapping[str, int] | None = None
    looked_for = ""
    makes_data = False

    def write_data(self, root: Path) -> None:
        """Write a tiny data set below `root`, an empty folder."""
        raise NotImplementedError(
            f"{type(self).__name__}.write_data: expected it to write a tiny data set below root"
        )

    def read(self, root: Path, out: Path) -> Manifest:
        """Import what lies below `root`, write its manifest into `out` and return it."""
        imported = self.build()(root)
        assert isinstance(imported, ImportedFiles), (
            f"expected read(root) to return ImportedFiles, got {type(imported).__name__}"
        )
        manifest = build_manifest(imported, root, "tiny", {})
        manifest.write(out)
        return manifest

    @cached_property
    def _temporary(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="importer-")

    @property
    def folder(self) -> Path:
        """An empty folder for this test."""
        return Path(self._temporary.name).resolve()

    def teardown_method(self) -> None:
        """Remove what was written."""
        self._temporary.cleanup()

    @cached_property
    def root(self) -> Path:
        """The tiny data set, written."""
        root = self.folder / "raw"
        root.mkdir()
        if not self.makes_data:
            self.write_data(root)
        return root

    @cached_property
    def imported(self) -> Manifest:
        """The tiny data set, imported."""
        return self.read(self.root, self.folder / "out")

    def test_splits_are_as_laid_out(self) -> None:
        got = {split: count for split, count in self.imported.splits().items() if count}
        if self.splits is not None:
            assert got == dict(self.splits), f"expected samples {dict(self.splits)}, got {got}"
        assert {"train", "val"} <= got.keys(), f"expected samples in train and val, got {got}"

    def test_ids_are_unique_and_groups_set(self) -> None:
        table = self.imported.table
        assert table["sample_id"].is_unique, "expected every sample_id once"
        assert (table["group"] != "").all(), (
            "expected a group for each sample, its id if it has none"
        )
        unknown = set(table["split"]) - set(SPLITS)
        assert not unknown, f"expected splits among {', '.join(SPLITS)}, got {unknown}"

    def test_sizes_and_masks_decode(self) -> None:
        manifest = self.imported
        num_classes, ignored = manifest.labels.num_classes, manifest.labels.ignore_index
        row: Any  # of itertuples, whose types pandas does not know
        for row in manifest.table.itertuples():
            size = image_size(manifest.path(row.image))
            assert size == (row.height, row.width), f"{row.image}: expected {size} as its size"
            if row.mask is None:
                continue
            mask = read_mask(manifest.path(row.mask), manifest.labels, manifest.mask_encoding)
            counts = [int((mask == index).sum()) for index in (*range(num_classes), ignored)]
            assert list(row.class_pixels) == counts, f"{row.mask}: expected {counts} class pixels"
        total = np.sum(list(manifest.split("train")["class_pixels"]), axis=0)
        assert total[:num_classes].sum() > 0, "expected labelled pixels to train on, got none"

    def test_round_trip_keeps_the_fingerprint(self) -> None:
        manifest = self.imported
        same = Manifest.read(self.folder / "out").fingerprint == manifest.fingerprint
        assert same, "expected the manifest that was written"

    def test_what_did_not_change_is_seen_as_such(self) -> None:
        manifest = self.imported
        current = is_current(manifest, FileHashes(self.root))
        assert current, "expected nothing to have changed since the import"
        (self.root / manifest.split("val")["mask"].iloc[0]).write_bytes(b"")
        assert not is_current(manifest, FileHashes(self.root)), "expected a changed mask to be seen"

    def test_importing_again_gives_the_same(self) -> None:
        again = self.read(self.root, self.folder / "two")
        same = again.fingerprint == self.imported.fingerprint
        assert same, "expected the same manifest again; sort what the file system lists"

    def test_raw_root_is_not_written_to(self) -> None:
        if self.makes_data:
            return
        before = sorted(self.root.rglob("*"))
        self.read(self.root, self.folder / "out")
        new = set(self.root.rglob("*")) - set(before)
        assert not new, f"expected raw data only to be read, got new {sorted(map(str, new))}"

    def test_wrong_root_is_refused_by_name(self) -> None:
        if self.makes_data:
            return
        wrong = self.folder / "empty"
        wrong.mkdir()
        (wrong / "notes.md").write_text("x")
        for root in (wrong, self.folder / "gone"):
            with expect_error(DataError, self.looked_for or root.name):
                self.read(root, self.folder / "out")

    def test_lost_mask_is_named(self) -> None:
        if self.makes_data:
            return
        lost = self.root / self.imported.split("train")["mask"].iloc[0]
        lost.unlink()
        with expect_error(DataNotFoundError, f"{lost}: no such file"):
            self.read(self.root, self.folder / "two")
