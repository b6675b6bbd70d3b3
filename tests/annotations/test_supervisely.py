"""Supervisely: bitmaps and polygons as its SDK draws them; what is wrong is told by name."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.annotations.format import LabelledImage
from seglab.annotations.formats.supervisely import Supervisely
from seglab.annotations.reading import Tree
from seglab.annotations.vectorise import to_shapes
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.data.annotated.importer import import_supervisely

# Written and drawn by supervisely 6.74.51: BITMAP as packed palette PNG, as bare RGBA, as packed RGBA whose
# colours are all full; the polygon on 10 x 12 pixels.
BITMAP = "00110 00010 01011 10110"
PACKED = (
    "eJzrDPBz5+WS4mJgYOD19HAJAtKsQMzCyAwka/6mgyi2AJ8QVyD9////pTfn3wWyGEuC/IIZHJ7dSANyBDxdHEMq5iQbJAgk"
    "fEq4wcDAbMForXniXQ5QjsHT1c9lnVNCEwDQ9BtT"
)
BARE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAECAYAAABGM/VAAAAAG0lEQVR4nGNggIL/UMCADmCCTMgcOBsmgKwdAHRsH+Pa1SpO"
    "AAAAAElFTkSuQmCC"
)
ALPHA = (
    "eJzrDPBz5+WS4mJgYOD19HAJAtKsQMzCwQYk3Yy/OgApLU8Xx5CKOcl/zjOwvwn4pS7s1PNQvedgyzKuQ//OHzjwb34jo9vm"
    "/+kJCUB9ehwyM1iYZIG6GDxd/VzWOSU0AQD2gx1P"
)
EXTERIOR = [[1.7, 1.2], [9.6, 2.4], [7.2, 8.9], [2.6, 7.5]]
INTERIOR = [[[4, 3], [6, 3], [6, 5], [4, 5]]]
POLYGON = """
000000000000 011111000000 011111111100 011100011100 011100011000
001100011000 001111111000 001111110000 000001110000 000000000000
"""


def _bits(text: str) -> np.ndarray:
    return np.array([[letter == "1" for letter in row] for row in text.split()])


def _write(root: Path, *objects: Any, size: tuple[int, int] = (10, 12)) -> None:
    (root / "val/img").mkdir(parents=True, exist_ok=True)
    (root / "val/ann").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10)).save(root / "val/img/a.png")
    classes = [{"title": "car", "color": "#FF0010"}, {"title": "tree", "shape": "bitmap"}]
    (root / "meta.json").write_text(json.dumps({"classes": classes}))
    content = {"size": {"height": size[0], "width": size[1]}, "objects": objects}
    (root / "val/ann/a.png.json").write_text(json.dumps(content))


def _drawn(root: Path) -> np.ndarray:
    found = Supervisely().read(Tree(root, ["val/img/a.png"]))
    canvas = Supervisely().canvas(10, 12, 0)
    for shape in found.images[0].load(10, 12):
        canvas.draw(shape, found.class_names.index(shape.label) + 1)
    return canvas.pixels


def _bitmap(data: str, **more: Any) -> dict[str, Any]:
    return {
        "classTitle": "car",
        "geometryType": "bitmap",
        "bitmap": {"data": data, "origin": [3, 2]},
    } | more


def _polygon(exterior: Any, interior: Any = (), kind: str = "polygon") -> dict[str, Any]:
    points = {"exterior": exterior, "interior": list(interior)}
    return {"classTitle": "tree", "geometryType": kind, "points": points}


@pytest.mark.parametrize("data", [PACKED, BARE, ALPHA])
def test_bitmaps(data: str, tmp_path: Path) -> None:
    _write(tmp_path, _bitmap(data))
    expected = np.zeros((10, 12), bool)
    expected[2:6, 3:8] = _bits(BITMAP)
    assert (_drawn(tmp_path) == expected).all()


def test_polygons_rectangles_and_order(tmp_path: Path) -> None:
    _write(tmp_path, _polygon(EXTERIOR, INTERIOR))
    assert (_drawn(tmp_path) == 2 * _bits(POLYGON)).all()
    _write(tmp_path, _polygon([[4, 3], [1, 2]], kind="rectangle"), _bitmap(PACKED))
    drawn = _drawn(tmp_path)
    assert drawn[2, 1] == drawn[3, 4] == 2
    assert drawn[2, 5] == 1
    assert (drawn == 2).sum() == 8


def test_shapes_without_area_are_counted_on_import(tmp_path: Path) -> None:
    _write(tmp_path, _polygon([[1, 1], [5, 5]], kind="line"), _bitmap(PACKED))
    files = import_supervisely(tmp_path, unlabelled="background")
    assert files.labels.class_names == ("background", "car", "tree")
    assert files.labels.palette[1] == (255, 0, 16)
    assert files.samples[0].split == "val"
    assert any("1 shapes are of a kind without area" in note for note in files.notes)


def test_what_is_wrong_is_told_by_name(tmp_path: Path) -> None:
    bomb = base64.b64encode(zlib.compress(bytes((1 << 26) + 1))).decode()
    for broken, told in (
        (_bitmap("!!"), "base64"),
        (_bitmap(base64.b64encode(b"no").decode()), "zlib"),
        (_bitmap(base64.b64encode(zlib.compress(b"no")).decode()), "bitmap"),
        (_bitmap(bomb), "decompresses to more"),
        (_polygon([[0, 0], [1, 1]]), "3 points"),
        (_polygon([[0, 0], [1, 1], [1e9, 0]]), "farther"),
        (_polygon([[0, 0], [1, 1]], kind="alpha_mask"), "alpha_mask"),
        ({"classTitle": "car", "geometryType": "bitmap"}, "without its picture"),
        ({"classTitle": "car", "geometryType": "polygon"}, "without points"),
        ({"geometryType": "polygon"}, "classTitle"),
    ):
        _write(tmp_path, broken)
        with pytest.raises(DataError, match=told) as caught:
            _drawn(tmp_path)
        assert "val/ann/a.png.json" in str(caught.value)


_JUDGE = """
import glob, os, numpy as np, supervisely as sly
meta = sly.ProjectMeta.from_json(sly.json.load_json_file(os.path.join(given, "meta.json")))
names = ["road", "car", "sign"]
answer = {}
for file in glob.glob(os.path.join(given, "train", "ann", "*.json")):
    annotation = sly.Annotation.load_json_file(file, meta)
    mask = np.full(annotation.img_size, 255, np.uint8)
    for label in annotation.labels:
        label.geometry.draw(mask, names.index(label.obj_class.name))
    answer[os.path.basename(file)] = mask.tolist()
"""


@pytest.mark.slow
def test_supervisely_draws_what_is_written(ask: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = LabelSpace(("road", "car", "sign"))
    annotation, masks = Supervisely(), {}
    for number in range(20):
        mask = rng.choice(np.array([0, 1, 2, 255], np.uint8), rng.integers(2, 30, 2))
        if number % 2:
            mask = mask.repeat(5, 0).repeat(7, 1)
        height, width = mask.shape
        shapes = to_shapes(mask, dict(enumerate(labels.class_names)), Supervisely.drawing, 255)
        image = LabelledImage(f"train/img/{number}.png", height, width, shapes, mask, "train")
        annotation.write(tmp_path, image, labels)
        masks[f"{number}.png.json"] = mask.tolist()
    annotation.finish(tmp_path, labels)
    assert ask("supervisely", _JUDGE, str(tmp_path)) == masks
