"""Label Studio: brush strokes to the byte, regions in percent, tasks of every kind, broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.annotations.brush_rle import decode_brush, encode_brush
from seglab.annotations.formats.label_studio import LabelStudio
from seglab.annotations.options import LabelStudioOptions
from seglab.annotations.reading import Tree
from seglab.annotations.shapes import Annotations
from seglab.core.errors import DataError

# label_studio_sdk.converter.brush.mask2rle of `_mask()` times 255.
BRUSH = "0 0 0 140 57 27 254 35 0 191 255 108 2 63 248 192 39 255 182 1 127 254 48 8 255 240 184 0"


def _mask() -> np.ndarray:
    mask = np.zeros((5, 7), bool)
    mask[1:4, 2:6] = mask[4, 0] = True
    mask[2, 3] = False
    return mask


def _bytes() -> list[int]:
    return [int(one) for one in BRUSH.split()]


def test_brush_is_that_of_label_studio() -> None:
    assert encode_brush(_mask()) == _bytes()
    assert (decode_brush(_bytes(), 5, 7) == _mask()).all()


def test_brush_of_single_values_as_the_browser_writes_it() -> None:
    # Four values (0, 0, 0, 9) of 8 bits, not as a run: 0, size 0 of 3 bits, length 4, the values.
    head = f"{4:032b}{7:05b}" + "".join(f"{one - 1:04b}" for one in (3, 4, 8, 16))
    text = head + "0" + "00" + "011" + "".join(f"{one:08b}" for one in (0, 0, 0, 9))
    text += "0" * (-len(text) % 8)
    content = list(int(text, 2).to_bytes(len(text) // 8))
    assert decode_brush(content, 1, 1).tolist() == [[True]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (_bytes()[:-4], "ends before"),
        ([], "ends before"),
        ([300], "list of bytes"),
        ([255] * 40, "values"),
        ([*_bytes()[:3], 140, *[255] * 30], "beyond its end"),
    ],
)
def test_broken_brush_is_refused(content: list[int], told: str) -> None:
    with pytest.raises(DataError, match=told):
        decode_brush(content, 5, 7)


def _result(kind: str, **value: Any) -> dict[str, Any]:
    return {
        "type": f"{kind}labels",
        "value": {f"{kind}labels": ["car"], **value},
        "original_width": 20,
        "original_height": 10,
    }


def _read(
    root: Path, *parts: list[dict[str, Any]], options: LabelStudioOptions | None = None, **more: Any
) -> Annotations:
    Image.new("RGB", (20, 10)).save(root / "a b.png")
    task = {
        "data": {"image": "/data/upload/7/0a1b2c3d-a%20b.png"},
        "annotations": [{"result": part} for part in parts],
        **more,
    }
    (root / "export.json").write_text(json.dumps([task]))
    return LabelStudio(options).read(Tree(root, ["a b.png"]))


def _drawn(found: Annotations) -> np.ndarray:
    assert not found.faults
    canvas = LabelStudio().canvas(10, 20, 0)
    for shape in found.images[0].load(10, 20):
        canvas.draw(shape, 1)
    return np.array(canvas.pixels)


def test_coordinates_are_percent(tmp_path: Path) -> None:
    box = _result("rectangle", x=10, y=20, width=50, height=30)
    corners = [[10, 20], [60, 20], [60, 50], [10, 50]]
    expected = np.zeros((10, 20))
    expected[2:5, 2:12] = 1
    assert (_drawn(_read(tmp_path, [box])) == expected).all()
    assert (_drawn(_read(tmp_path, [_result("polygon", points=corners)])) == expected).all()


def test_rectangle_turns_about_its_upper_left_corner(tmp_path: Path) -> None:
    box = _result("rectangle", x=50, y=20, width=25, height=30, rotation=90)
    expected = np.zeros((10, 20))
    expected[2:7, 7:10] = 1
    assert (_drawn(_read(tmp_path, [box])) == expected).all()


def test_ellipse_has_its_area(tmp_path: Path) -> None:
    drawn = _drawn(_read(tmp_path, [_result("ellipse", x=50, y=50, radiusX=30, radiusY=40)]))
    assert abs(int(drawn.sum()) - np.pi * 6 * 4) < 6
    assert np.flatnonzero(drawn.any(0)).tolist() == list(range(4, 16))


def test_label_of_a_general_tag_is_found_by_id(tmp_path: Path) -> None:
    size = {"original_width": 20, "original_height": 10, "id": "r"}
    value = {"x": 0, "y": 0, "width": 100, "height": 100, "rotation": 0}
    geometry = {"type": "rectangle", "value": value, **size}
    named = {"type": "labels", "value": {**value, "labels": ["car"]}, **size}
    found = _read(tmp_path, [geometry, named])
    assert [shape.label for shape in found.images[0].load(10, 20)] == ["car"]


def test_skipped_tasks_are_not_annotated(tmp_path: Path) -> None:
    skipped = {"result": [], "was_cancelled": True}
    assert not _read(tmp_path, annotations=[skipped]).images[0].annotated
    assert _read(tmp_path, []).images[0].annotated


def test_several_annotations_need_a_choice(tmp_path: Path) -> None:
    parts = [[], [_result("rectangle", x=0, y=0, width=100, height=100)]]
    assert "several=last" in _read(tmp_path, *parts).faults["a b.png"]
    last = _read(tmp_path, *parts, options=LabelStudioOptions(several="last"))
    assert _drawn(last).all()
    first = _read(tmp_path, *parts, options=LabelStudioOptions(several="first"))
    assert not _drawn(first).any()


def test_predictions_are_read_when_asked(tmp_path: Path) -> None:
    box = _result("rectangle", x=0, y=0, width=100, height=100)
    options = LabelStudioOptions(part="predictions")
    assert _drawn(_read(tmp_path, options=options, predictions=[{"result": [box]}])).all()


def test_exports_hold_ids_of_what_was_not_asked_for(tmp_path: Path) -> None:
    box = _result("rectangle", x=0, y=0, width=100, height=100)
    assert _drawn(_read(tmp_path, [box], predictions=[7])).all()
    options = LabelStudioOptions(part="predictions")
    (told,) = _read(tmp_path, [box], options=options, predictions=[7]).faults.values()
    assert "its predictions are ids alone; export a snapshot with predictions.only_id false" in told


def test_turned_image_and_two_labels_are_refused(tmp_path: Path) -> None:
    box = _result("rectangle", x=0, y=0, width=9, height=9)
    for changed, told in (
        ({**box, "image_rotation": 90}, "turned by 90"),
        ({**box, "value": {**box["value"], "rectanglelabels": ["car", "tree"]}}, "one label"),
        ({**box, "original_width": 10}, "10 x 10"),
    ):
        with pytest.raises(DataError, match=told):
            _read(tmp_path, [changed]).images[0].load(10, 20)


@pytest.mark.slow
def test_brush_agrees_with_label_studio_on_many_masks(ask: Any) -> None:
    rng = np.random.default_rng(0)
    masks = [rng.random((13, 17)) < share for share in (0.01, 0.5, 0.95) for _ in range(10)]
    masks.append(np.ones((200, 300), bool))
    program = (
        "import numpy as np\nfrom label_studio_sdk.converter.brush import mask2rle\n"
        "answer = [mask2rle(np.array(one, np.uint8) * 255) for one in given]"
    )
    answer = ask("label_studio_sdk", program, [one.tolist() for one in masks])
    for mask, theirs in zip(masks, answer, strict=True):
        assert (decode_brush(theirs, *mask.shape) == mask).all()
        if mask.size < 16_384:
            assert encode_brush(mask) == theirs
