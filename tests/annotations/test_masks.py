"""Masks written as files are what the importers of masks read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.annotations.format import LabelledImage, annotation_format
from seglab.annotations.reading import Tree
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.data.importers.datasets.voc import import_voc
from seglab.data.importers.folder import import_folder

LABELS = LabelSpace(("background", "lane", "kerb"), ignore_index=9)
MASK = np.array([[0, 1, 2, 9], [2, 2, 9, 0]], np.uint8)


def _export(name: str, root: Path) -> None:
    annotation = annotation_format(name)
    for stem, split in (("a", "train"), ("b", "train"), ("c/d", "val"), ("e", "unlabeled")):
        mask = None if split == "unlabeled" else MASK
        place = annotation.image_path(stem, ".png", split)
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 2)).save(root / place)
        annotation.write(root, LabelledImage(place, 2, 4, None, mask, split), LABELS)
    annotation.finish(root, LABELS)


def test_voc_with_classes_of_your_own(tmp_path: Path) -> None:
    _export("voc", tmp_path)
    files = import_voc(tmp_path)
    assert files.labels.class_names == LABELS.class_names
    assert {one.sample_id: one.split for one in files.samples} == {
        "a": "train",
        "b": "train",
        "c_d": "val",
    }
    for one in files.samples:
        assert (tmp_path / one.image).is_file()
        raw = Image.open(tmp_path / str(one.mask))
        assert raw.mode == "P"
        assert (files.labels.encode(np.asarray(raw)) == np.where(MASK == 9, 255, MASK)).all()
    assert (raw.getpalette() or [])[3:6] == [128, 0, 0]


def test_plain_masks(tmp_path: Path) -> None:
    _export("masks", tmp_path)
    names = (tmp_path / "class_names.txt").read_text().split()
    files = import_folder(tmp_path, class_names=names, allow_unlabeled=True)
    splits = {one.sample_id: one.split for one in files.samples}
    assert splits == {
        "train/a": "train",
        "train/b": "train",
        "val/c/d": "val",
        "unlabeled/e": "unlabeled",
    }
    raw = np.asarray(Image.open(tmp_path / str(files.samples[0].mask)))
    assert (files.labels.encode(raw) == np.where(MASK == 9, 255, MASK)).all()


@pytest.mark.parametrize(("name", "importer"), [("masks", "folder"), ("voc", "voc")])
def test_masks_have_importers_of_their_own(name: str, importer: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"importer {importer}"):
        annotation_format(name).read(Tree(tmp_path, []))
