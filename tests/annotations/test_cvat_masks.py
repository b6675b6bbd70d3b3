"""CVAT segmentation mask 1.1: colours and numbers of lines, what is no label, and what is broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.annotations.format import LabelledImage
from seglab.annotations.formats.cvat_masks import CvatMasks
from seglab.annotations.reading import Tree
from seglab.annotations.vectorise import to_shapes
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.data.importers import import_dataset

MAP = "# label:color_rgb:parts:actions\nroad:128,64,128::\nbackground:9,9,9::\ncar:0,0,142:a,b:c\n"
CODES = np.array([[0, 1, 2, 2], [0, 0, 1, 2]], np.uint8)
COLOURS = np.array([(128, 64, 128), (9, 9, 9), (0, 0, 142)], np.uint8)


def _save(root: Path, pixels: np.ndarray, name: str = "a") -> None:
    for folder in ("SegmentationClass", "JPEGImages"):
        (root / folder).mkdir(exist_ok=True)
    Image.fromarray(pixels).save(root / "SegmentationClass" / f"{name}.png")
    Image.new("RGB", (4, 2)).save(root / "JPEGImages" / f"{name}.png")
    (root / "labelmap.txt").write_text(MAP)


@pytest.mark.parametrize("pixels", [CODES, COLOURS[CODES]], ids=["numbers", "colours"])
def test_what_cvat_writes_is_read(pixels: np.ndarray, tmp_path: Path) -> None:
    for name in ("a", "b"):
        _save(tmp_path, pixels, name)
    Image.new("RGB", (4, 2)).save(tmp_path / "JPEGImages" / "c.png")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "Train.txt").write_text("a\n")
    (lists / "Validation.txt").write_text("b\n")
    manifest = import_dataset(
        "cvat_masks", tmp_path, tmp_path / "out", "mine", {"unlabelled": "void"}
    )
    assert manifest.labels.class_names == ("road", "car")
    assert manifest.labels.palette[1] == (0, 0, 142)
    assert manifest.splits() == {"train": 1, "val": 1, "test": 0, "unlabeled": 1}
    mask = np.asarray(Image.open(tmp_path / str(manifest.table["mask"].iloc[0])))
    assert (mask == np.array([0, 255, 1], np.uint8)[CODES]).all()


def test_what_is_broken_is_named(tmp_path: Path) -> None:
    _save(tmp_path, COLOURS[CODES])
    strange = COLOURS[CODES].copy()
    strange[0, 0] = (1, 2, 3)
    _save(tmp_path, strange, "b")
    _save(tmp_path, COLOURS[CODES].repeat(2, 0), "c")
    (tmp_path / "JPEGImages" / "a.png").unlink()
    images = [
        f"{folder}/{one}.png" for folder in ("JPEGImages", "SegmentationClass") for one in "bc"
    ]
    found = CvatMasks().read(Tree(tmp_path, images))
    assert found.faults == {
        "SegmentationClass/a.png": "SegmentationClass/a.png: its image is not there"
    }
    for one, told in zip(found.images, (r"b.png: .*\(1, 2, 3\)", r"c.png: 4 x 4"), strict=True):
        with pytest.raises(DataError, match=told):
            one.load(2, 4)
    for line in ("road:1,2", "road:1,2,300", "road:9,9,9", "car:1,1,1"):
        (tmp_path / "labelmap.txt").write_text(f"{MAP}{line}::\n")
        with pytest.raises(DataError, match=r"labelmap\.txt: line 5"):
            CvatMasks().read(Tree(tmp_path, images))


@pytest.mark.parametrize("unlabelled", [0, 255])
def test_classes_called_background_and_colours_that_are_alike(
    unlabelled: int, tmp_path: Path
) -> None:
    labels = LabelSpace(("background", "lane", "kerb"), ((0, 0, 0), (0, 0, 0), (128, 0, 0)))
    mask = np.array([[0, 1, 2, 255], [2, 2, 255, 0]], np.uint8)
    annotation = CvatMasks()
    names = dict(enumerate(labels.class_names)) | {255: "void"}
    shapes = to_shapes(mask, names, annotation.drawing, unlabelled)
    image = LabelledImage("JPEGImages/a.png", 2, 4, shapes, mask, "train")
    annotation.write(tmp_path, image, labels)
    annotation.finish(tmp_path, labels)
    objects = np.asarray(Image.open(tmp_path / "SegmentationObject" / "a.png"))
    assert sorted(np.unique(objects)) == [0, *range(1, len(shapes) + 1)]
    found = CvatMasks().read(Tree(tmp_path, ["JPEGImages/a.png"]))
    assert found.class_names == (() if unlabelled == 0 else ("background",)) + ("lane", "kerb")
    canvas = annotation.canvas(2, 4, unlabelled)
    for shape in found.images[0].load(2, 4):
        canvas.draw(shape, {name: value for value, name in names.items()}[shape.label])
    assert (canvas.pixels == mask).all()
