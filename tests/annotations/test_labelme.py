"""LabelMe: every shape type as LabelMe itself writes and draws it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.annotations.formats.labelme import LabelMe
from seglab.annotations.reading import Tree

# Shapes of every type in files that LabelMe writes, drawn by LabelMe's own rasteriser.
PROGRAM = """
import os, tempfile
import numpy as np
from labelme import utils
from labelme._label_file import LabelFile

rng = np.random.default_rng(0)
H, W = 60, 80
names = {"_background_": 0, "car": 1}
COUNTS = {"polygon": 7, "rectangle": 2, "oriented_rectangle": 4, "circle": 2, "line": 2,
          "linestrip": 5, "point": 1, "points": 3, "mask": 2}


def made(kind):
    x, y = rng.uniform(5, W - 20, COUNTS[kind]), rng.uniform(5, H - 20, COUNTS[kind])
    points = [[round(float(a), 2), round(float(b), 2)] for a, b in zip(x, y)]
    shape = {"label": "car", "points": points, "group_id": None, "shape_type": kind, "flags": {},
             "description": "", "mask": None}
    if kind == "oriented_rectangle":
        a, b = points[0]
        shape["points"] = [[a, b], [a + 12.5, b + 5.25], [a + 8.5, b + 14.5], [a - 4, b + 9.25]]
    if kind == "mask":
        shape["points"] = [[10, 8], [29, 22]]
        shape["mask"] = rng.random((15, 20)) < 0.5
    return shape


def drawn(shape):
    if shape["shape_type"] == "points":  # shapes_to_label knows single ones alone
        return sum(drawn({**shape, "shape_type": "point", "points": [one]}) for one in shape["points"])
    return utils.shapes_to_label((H, W, 3), [shape], names)[0]


answer, folder = [], tempfile.mkdtemp()
for shape in [made(kind) for kind in COUNTS for _ in range(5)]:
    pixels = drawn(shape)
    mask = shape["mask"]
    if mask is not None:
        shape["mask"] = utils.img_arr_to_b64(mask.astype(np.uint8))
    LabelFile().save(os.path.join(folder, "a.json"), [shape], "a.png", H, W)
    answer.append([open(os.path.join(folder, "a.json")).read(), pixels.tolist()])
"""


def _drawn(root: Path, written: str, height: int, width: int) -> np.ndarray:
    Image.new("RGB", (width, height)).save(root / "a.png")
    (root / "a.json").write_text(written)
    found = LabelMe().read(Tree(root, ["a.png"]))
    canvas = LabelMe().canvas(height, width, 0)
    for one in found.images[0].load(height, width):
        canvas.draw(one, 1)
    return np.array(canvas.pixels)


def test_edges_are_inclusive_and_labelme_5_files_are_read(tmp_path: Path) -> None:
    square = {"label": "car", "points": [[2, 2], [8, 2], [8, 8], [2, 8]], "group_id": 3}
    content = {
        "version": "5.0.1",
        "imagePath": "a.png",
        "imageData": "aGVsbG8=",
        "shapes": [square],
    }
    assert _drawn(tmp_path, json.dumps(content), 12, 12).sum() == 49


@pytest.mark.slow
def test_every_shape_type_is_drawn_as_labelme_does(tmp_path: Path, ask: Any) -> None:
    worst: dict[str, float] = {}
    for written, drawn in ask("labelme", PROGRAM, None):
        theirs = np.array(drawn) > 0
        ours = _drawn(tmp_path, written, *theirs.shape) > 0
        iou = float((ours & theirs).sum() / (ours | theirs).sum())
        kind = json.loads(written)["shapes"][0]["shape_type"]
        worst[kind] = min(worst.get(kind, 1.0), iou)
    assert len(worst) == 9
    assert min(worst.values()) >= 0.999, worst
