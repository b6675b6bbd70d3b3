"""YOLO polygons: drawn as Ultralytics does, smaller over larger; names, splits, odd files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from seglab.annotations.format import LabelledImage
from seglab.annotations.formats.yolo import Yolo
from seglab.annotations.options import YoloOptions
from seglab.annotations.reading import Tree
from seglab.annotations.vectorise import to_shapes
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.data.annotated.importer import import_yolo

# Class on top by pixel, 3: none, from polygons2masks_overlap of Ultralytics for LINES on 10 x 12 pixels.
LINES = "1 0.2 0.2 0.55 0.25 0.5 0.55 0.15 0.6\n0 0.05 0.05 0.9 0.1 0.8 0.93 0.1 0.8\n"
DRAWN = """
000000333333 000000000003 001111100003 001111100003 011111100003
311111100033 311100000033 300000000033 300000000033 333333000033
"""


def _write(root: Path, text: str | None, data: str = "names: [car, tree]") -> None:
    (root / "images").mkdir(exist_ok=True)
    (root / "labels").mkdir(exist_ok=True)
    Image.new("RGB", (12, 10)).save(root / "images/a.png")
    (root / "data.yaml").write_text(data)
    if text is not None:
        (root / "labels/a.txt").write_text(text)


def _drawn(root: Path, options: YoloOptions | None = None) -> np.ndarray:
    found = Yolo(options).read(Tree(root, ["images/a.png"]))
    canvas = Yolo().canvas(10, 12, 3)
    for shape in found.images[0].load(10, 12):
        canvas.draw(shape, found.class_names.index(shape.label))
    return canvas.pixels


def test_drawn_as_ultralytics_does(tmp_path: Path) -> None:
    _write(tmp_path, LINES)
    assert (_drawn(tmp_path) == [[int(one) for one in row] for row in DRAWN.split()]).all()


def test_boxes_of_the_detection_task(tmp_path: Path) -> None:
    _write(tmp_path, "1 0.5 0.5 0.25 0.2\n")
    expected = np.full((10, 12), 3)
    expected[4:7, 4:8] = 1
    assert (_drawn(tmp_path) == expected).all()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("7 0 0 1 0 1 1", "class 7"),
        ("-1 0 0 1 0 1 1", "class -1"),
        ("0 0 0 1 0 1", "x and y"),
        ("0 0 0", "3 points"),
        ("0 0 0 nan 0 1 1", "not finite"),
        ("0 0 0 1e30 0 1 1", "not finite or farther"),
        ("0 0 0 999999 0 1 1", "farther"),
        ("car 0 0 1 0 1 1", "line 1"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, told: str, tmp_path: Path) -> None:
    _write(tmp_path, text)
    with pytest.raises(DataError, match=told) as caught:
        _drawn(tmp_path)
    assert "labels/a.txt" in str(caught.value)


def test_names_and_splits_of_data_yaml(tmp_path: Path) -> None:
    _write(tmp_path, "", "path: /elsewhere/set\nval: ../images\nnames: {1: tree, 0: car}")
    found = Yolo().read(Tree(tmp_path, ["images/a.png"]))
    assert found.class_names == ("car", "tree")
    assert found.images[0].split == "val"
    (tmp_path / "list.txt").write_text("./images/a.png\n")
    _write(tmp_path, "", "test: list.txt\nnames: [car, tree]")
    assert Yolo().read(Tree(tmp_path, ["images/a.png"])).images[0].split == "test"
    for data, told in (
        ("names: {0: a, 2: b}", "indices"),
        ("names: [yes, no]", "got 0: yes, 1: no; .* quotes"),
        ("names: {1: on, 0: 1.50}", "got 1: on, 0: 1.50;"),
        ("names: [a, 010, ~, 2001-01-01, ' ']", "got 1: 010, 2: None, 3: 2001-01-01, 4: +;"),
        ("names: {true: a, 0: b}", "indices 0, 1, ..., got true, 0"),
        ("names: {0.2: a, 1.7: b}", "indices"),
        ("names: {0: a, 0x1: b}", "indices"),
        ("names: a", "expected a list of names"),
        ("names: [", "not YAML"),
        ("nc: 3", "no YOLO data"),
    ):
        _write(tmp_path, "", data)
        with pytest.raises(DataError, match=told):
            _drawn(tmp_path)


def test_two_files_with_names_need_a_choice(tmp_path: Path) -> None:
    _write(tmp_path, LINES)
    (tmp_path / "old.yaml").write_text("names: [x]")
    with pytest.raises(DataError, match="option data"):
        _drawn(tmp_path)
    assert _drawn(tmp_path, YoloOptions(data="data.yaml")).any()


def test_names_from_classes_txt_and_import(tmp_path: Path) -> None:
    _write(tmp_path, LINES)
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("car\ntree\n")
    files = import_yolo(tmp_path, unlabelled="void", val_fraction=0.0)
    assert files.labels.class_names == ("car", "tree")
    mask = np.asarray(Image.open(tmp_path / str(files.samples[0].mask)))
    assert mask[0, 0] == 0
    assert mask[9, 0] == 255
    assert mask[5, 2] == 1


_JUDGE = """
import numpy as np
from ultralytics.data.utils import polygons2masks_overlap
answer = []
for text, height, width in given:
    lines = [line.split() for line in text.splitlines()]
    size = np.array([width, height], np.float32)
    polygons = [np.array(line[1:], np.float32).reshape(-1, 2) * size for line in lines]
    masks, index = polygons2masks_overlap((height, width), polygons)
    classes = np.array([int(line[0]) for line in lines])[index]
    answer.append(np.concatenate([[255], classes])[masks].tolist())
"""


@pytest.mark.slow
def test_ultralytics_draws_what_is_written(ask: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = LabelSpace(("road", "car", "sign"))
    yolo, given, expected = Yolo(), [], []
    for number in range(20):
        mask = rng.choice(np.array([0, 1, 2, 255], np.uint8), rng.integers(3, 30, 2))
        mask[0, 0] = 0
        if number % 2:
            mask = mask.repeat(5, 0).repeat(7, 1)
        height, width = mask.shape
        shapes = to_shapes(mask, dict(enumerate(labels.class_names)), Yolo.drawing, 255)
        image = LabelledImage(f"images/train/{number}.png", height, width, shapes, mask, "train")
        yolo.write(tmp_path, image, labels)
        given.append([(tmp_path / f"labels/train/{number}.txt").read_text(), height, width])
        expected.append(np.where(mask == 255, 3, mask))
    yolo.finish(tmp_path, labels)
    assert yaml.safe_load((tmp_path / "data.yaml").read_text())["names"][3] == "void"
    for drawn, mask in zip(ask("ultralytics", _JUDGE, given), expected, strict=True):
        # What is not labelled reaches the border, or is an outline of the class `void`.
        assert (np.where(np.array(drawn) == 255, 3, drawn) == mask).all()


@pytest.mark.slow
def test_random_outlines_agree_with_ultralytics(ask: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    texts = []
    for _ in range(100):
        lines = [
            " ".join(
                map(str, [number % 2, *(rng.random(2 * rng.integers(3, 9))).round(6).tolist()])
            )
            for number in range(2)
        ]
        texts.append(("\n".join(lines), 10, 12))
    for (text, _, _), drawn in zip(texts, ask("ultralytics", _JUDGE, texts), strict=True):
        _write(tmp_path, text)
        ours = np.where(_drawn(tmp_path) == 3, 255, _drawn(tmp_path))
        areas = [(_alone(tmp_path, line) != 3).sum() for line in text.splitlines()]
        if areas[0] != areas[1]:
            assert (ours == drawn).all()


def _alone(root: Path, line: str) -> np.ndarray:
    _write(root, line)
    return _drawn(root)
