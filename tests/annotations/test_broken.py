"""What is broken is said first, and not hidden by what follows from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from seglab.core.errors import DataError
from seglab.data.importers import import_dataset

GOOD = {
    "version": "6",
    "flags": {},
    "shapes": [
        {"label": "car", "points": [[1, 1], [5, 1], [5, 5]], "shape_type": "polygon", "flags": {}}
    ],
    "imagePath": "a.png",
    "imageData": None,
    "imageHeight": 8,
    "imageWidth": 8,
}


def read(root: Path, annotations: dict[str, str]) -> None:
    for stem, text in annotations.items():
        Image.new("RGB", (8, 8)).save(root / f"{stem}.png")
        (root / f"{stem}.json").write_text(text, encoding="utf-8")
    options = {"unlabelled": "background", "class_names": ["background", "car"]}
    import_dataset("labelme", root, root / "out", "mine", options)


def test_when_nothing_can_be_read_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no annotation can be read:\n.*a\.json") as caught:
        read(tmp_path, {"a": '{"shapes": [oops', "b": "[]"})
    assert "b.json: lies beside an image and is no LabelMe file" in str(caught.value)


def test_when_too_few_are_left_for_the_splits_the_broken_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 sample cannot fill 2 splits") as caught:
        read(tmp_path, {"a": json.dumps(GOOD), "b": "{"})
    assert "these annotations cannot be read" in str(caught.value)
    assert "b.json" in str(caught.value)
