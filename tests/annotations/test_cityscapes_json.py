"""Cityscapes JSON: drawn as json2labelImg does; exports that the importer of its masks reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.annotations.format import LabelledImage
from seglab.annotations.formats.cityscapes import EVALUATED, LABELS, Cityscapes
from seglab.annotations.vectorise import to_shapes
from seglab.core.labels import LabelSpace
from seglab.data.annotated.importer import import_cityscapes_json
from seglab.data.importers.datasets.cityscapes import CLASSES, import_cityscapes

# Ids by json2labelImg of cityscapesScripts for OBJECTS on 8 x 12 pixels, as letters from a (0).
OBJECTS = [
    {"label": "road", "polygon": [[0, 0], [11, 0], [11, 7], [0, 7]]},
    {"label": "cargroup", "polygon": [[2, 1], [8, 2], [6, 6]]},
    {"label": "sky", "polygon": [[0, 0], [3, 0], [3, 3]], "deleted": 1},
    {"label": "license plate", "polygon": [[5, 3], [6, 3], [6, 4]]},
    {"label": "ground", "polygon": [[9, 5], [9, 5], [9, 5]]},
    {"label": "person", "polygon": [[10, 1], [10, 4]]},
]
IDS = """
hhhhhhhhhhhh hh{hhhhhhhyh hhh{{{{{{hyh hhhh{{{{hhyh
hhhh{{{{hhyh hhhhh{{hhghh hhhhhh{hhhhh hhhhhhhhhhhh
"""


def _write(root: Path, objects: Any) -> None:
    image = root / "leftImg8bit/val/ulm/ulm_000000_000019_leftImg8bit.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 8)).save(image)
    target = root / "gtFine/val/ulm/ulm_000000_000019_gtFine_polygons.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"imgHeight": 8, "imgWidth": 12, "objects": objects}))


def test_labels_are_those_of_the_masks() -> None:
    assert [(number, LABELS[number]) for number in EVALUATED] == [one[:2] for one in CLASSES]


def test_drawn_as_json2labelimg_does(tmp_path: Path) -> None:
    _write(tmp_path, OBJECTS)
    files = import_cityscapes_json(tmp_path, unlabelled="void", class_names=list(LABELS))
    mask = np.asarray(Image.open(tmp_path / str(files.samples[0].mask)))
    assert ["".join(chr(97 + one) for one in row) for row in mask] == IDS.split()
    assert files.samples[0].split == "val"


def test_classes_outside_the_benchmark_do_not_count(tmp_path: Path) -> None:
    _write(tmp_path, [*OBJECTS[:1], {"label": "tunnel", "polygon": [[0, 0], [4, 0], [4, 4]]}])
    files = import_cityscapes_json(tmp_path, unlabelled="void")
    mask = np.asarray(Image.open(tmp_path / str(files.samples[0].mask)))
    assert files.labels.num_classes == len(EVALUATED)
    assert mask[0, 2] == 255
    assert mask[7, 2] == 0


def _masks(labels: LabelSpace) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    masks = {}
    for number in range(12):
        values = np.array([0, 5, labels.num_classes - 1, 255], np.uint8)
        mask = rng.choice(values, rng.integers(3, 24, 2))
        masks[f"ulm_000000_{number:06}"] = mask.repeat(5, 0).repeat(7, 1) if number % 2 else mask
    return masks


def _export(root: Path, labels: LabelSpace, masks: dict[str, np.ndarray]) -> None:
    annotation, names = Cityscapes(), dict(enumerate(labels.class_names))
    for name, mask in masks.items():
        height, width = mask.shape
        place = annotation.image_path(name, ".png", "train")
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height)).save(root / place)
        shapes = to_shapes(mask, names, Cityscapes.drawing, 255)
        annotation.write(root, LabelledImage(place, height, width, shapes, mask, "train"), labels)


def test_exports_are_read_by_both_importers(tmp_path: Path) -> None:
    labels = LabelSpace(tuple(LABELS[number] for number in EVALUATED))
    masks = _masks(labels)
    _export(tmp_path, labels, masks)
    by_ids = import_cityscapes(tmp_path, test=False)
    drawn = import_cityscapes_json(tmp_path, unlabelled="void", val_fraction=0.0)
    assert [one.sample_id for one in by_ids.samples] == sorted(masks)
    for ours, theirs in zip(drawn.samples, by_ids.samples, strict=True):
        ids = np.asarray(Image.open(tmp_path / str(theirs.mask)))
        expected = masks[theirs.sample_id]
        assert (by_ids.labels.encode(ids) == expected).all()
        assert (np.asarray(Image.open(tmp_path / str(ours.mask))) == expected).all()


def test_names_become_those_of_frames() -> None:
    place = Cityscapes().image_path("a b/x_1", ".png", "val")
    assert place == "leftImg8bit/val/a-b-x-1/a-b-x-1_000000_000000_leftImg8bit.png"


_JUDGE = """
import glob, os, numpy as np
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2labelImg import createLabelImage
answer = {}
for file in glob.glob(os.path.join(given, "gtFine", "*", "*", "*_polygons.json")):
    annotation = Annotation()
    annotation.fromJsonFile(file)
    ids = np.asarray(createLabelImage(annotation, "ids"))
    answer[os.path.basename(file).removesuffix("_gtFine_polygons.json")] = ids.tolist()
"""


def _polygons(rng: np.random.Generator, height: int, width: int) -> list[dict[str, Any]]:
    """Outlines as people draw them and worse: concave, crossed, thin, beyond the edge, hardly any."""
    objects = []
    for number in range(30):
        corners = int(rng.choice([2, 3, 4, 7, 40]))
        centre = rng.uniform(-5, (width + 5, height + 5))
        spread = float(rng.choice([0.6, 4.0, 15.0, width]))
        points = centre + rng.normal(0, spread, (corners, 2))
        if number % 3:  # as the data set's own files: whole pixels
            points = np.rint(points)
        label = str(rng.choice([*LABELS, "cargroup", "license plate"]))
        objects.append({"label": label, "polygon": points.tolist()})
        if number % 7 == 0:
            objects[-1]["deleted"] = 1
    return objects


def _camvid_outlines(folder: Path) -> tuple[list[dict[str, Any]], int, int]:
    """Outlines of a street, moved by up to 2 pixels as a person's hand moves them, and of its holes."""
    mask = np.asarray(Image.open(sorted((folder / "valannot").glob("*.png"))[0]))
    shapes = to_shapes(mask, dict(enumerate(LABELS[1:31])), Cityscapes.drawing, 255, 2.0)
    objects = [{"label": one.label, "polygon": one.rings[0].tolist()} for one in shapes]
    return objects, *mask.shape[:2]


@pytest.mark.slow
def test_json2labelimg_fills_every_polygon_the_same(ask: Any, tmp_path: Path, shared: Path) -> None:
    """Not a pixel differs: both fill with Pillow, so the agreement is stated as equality."""
    rng = np.random.default_rng(7)
    sets = [(_polygons(rng, 40, 64), 40, 64) for _ in range(40)]
    sets.append(_camvid_outlines(shared / "data" / "camvid"))
    for number, (objects, height, width) in enumerate(sets):
        name = f"ulm_000000_{number:06}"
        image = tmp_path / f"leftImg8bit/train/ulm/{name}_leftImg8bit.png"
        target = tmp_path / f"gtFine/train/ulm/{name}_gtFine_polygons.json"
        for place in (image, target):
            place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height)).save(image)
        content = {"imgHeight": height, "imgWidth": width, "objects": objects}
        target.write_text(json.dumps(content))
    files = import_cityscapes_json(tmp_path, unlabelled="unlabeled", class_names=list(LABELS))
    assert not files.faults
    ours = {
        one.image.name: np.asarray(Image.open(tmp_path / str(one.mask))) for one in files.samples
    }
    theirs = ask("cityscapesscripts", _JUDGE, str(tmp_path))
    assert len(theirs) == len(ours) == 41
    for name, ids in theirs.items():
        mask = ours[f"{name}_leftImg8bit.png"]
        np.testing.assert_array_equal(mask, ids, name)
        assert len(np.unique(mask)) > 1


@pytest.mark.slow
def test_json2labelimg_draws_the_same(ask: Any, tmp_path: Path) -> None:
    labels = LabelSpace(tuple(LABELS[number] for number in EVALUATED))
    masks = _masks(labels)
    _export(tmp_path, labels, masks)
    ids = np.zeros(256, np.uint8)
    ids[: len(EVALUATED)] = EVALUATED
    expected = {name: ids[mask].tolist() for name, mask in masks.items()}
    assert ask("cityscapesscripts", _JUDGE, str(tmp_path)) == expected
