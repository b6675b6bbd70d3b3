"""COCO: RLE and polygons agree with pycocotools to the bit; crowds, gaps, panoptic PNG, odd files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.annotations.coco_rle import decode, encode, pack_counts, unpack_counts
from seglab.annotations.format import LabelledImage
from seglab.annotations.formats.coco import Coco
from seglab.annotations.options import CocoOptions
from seglab.annotations.reading import Limits, Tree
from seglab.annotations.shapes import Annotations, Shape
from seglab.annotations.vectorise import to_shapes
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.data.annotated.importer import import_coco

# Written by pycocotools 2.0.11.
NOISE = "001000001 000001101 100100100 101001101 011011110 110100010 100010011"
NOISE_COUNTS = "221030MO112ON030L000012231KL10"
POLYGON = [1.3, 1.1, 9.7, 2.4, 7.2, 8.9, 2.6, 7.3]
POLYGON_COUNTS = "=1;5K10O0001OO1N2Ma1"


def _bits(text: str) -> np.ndarray:
    return np.array([[letter == "1" for letter in row] for row in text.split()])


def _whole(counts: str, height: int, width: int) -> np.ndarray:
    left, top, bitmap = decode(unpack_counts(counts), height, width)
    mask = np.zeros((height, width), bool)
    mask[top : top + bitmap.shape[0], left : left + bitmap.shape[1]] = bitmap
    return mask


def _write(root: Path, annotations: Any, size: tuple[int, int] = (12, 14), **more: Any) -> None:
    Image.new("RGB", (size[1], size[0])).save(root / "a.png")
    content = {
        "images": [{"id": 5, "file_name": "a.png", "height": size[0], "width": size[1]}],
        "categories": [{"id": 90, "name": "tree"}, {"id": 3, "name": "car"}],
        "annotations": annotations,
    }
    (root / "instances_val2017.json").write_text(json.dumps(content | more))


def _read(root: Path, options: CocoOptions | None = None) -> Annotations:
    images = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.png"))]
    return Coco(options).read(Tree(root, images))


def _drawn(found: Annotations, height: int = 12, width: int = 14) -> np.ndarray:
    canvas = Coco().canvas(height, width, 0)
    for shape in found.images[0].load(height, width):
        value = 9 if shape.crowd else found.class_names.index(shape.label) + 1
        canvas.draw(shape, value)
    return canvas.pixels


def _one(segmentation: Any, category: int = 3, **more: Any) -> dict[str, Any]:
    return {"image_id": 5, "category_id": category, "segmentation": segmentation} | more


def test_rle_is_that_of_pycocotools() -> None:
    noise = _bits(NOISE)
    assert (_whole(NOISE_COUNTS, 7, 9) == noise).all()
    assert pack_counts(encode(0, 0, noise, 7, 9)) == NOISE_COUNTS
    holed = np.zeros((300, 200), bool)
    holed[10:250, 20:180] = True
    holed[100:120, 50:60] = False
    part = encode(20, 10, holed[10:250, 20:180], 300, 200)
    assert unpack_counts(pack_counts(part)) == part
    assert (_whole(pack_counts(part), 300, 200) == holed).all()
    # A difference of more than one character, negative and positive.
    assert pack_counts(part).startswith("jk5`7l100")
    assert "ZKhNX1X1hNhN" in pack_counts(part)


@pytest.mark.parametrize("counts", [[6, 7], [-1, 13], [2**62, 2**62, 2**62, 2**62, 12], [3], ["x"]])
def test_runs_that_do_not_fit_are_refused(counts: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        decode(counts, 3, 4)
    _write(tmp_path, [_one({"size": [12, 14], "counts": counts})])
    with pytest.raises(DataError, match="instances_val2017"):
        _drawn(_read(tmp_path))


@pytest.mark.parametrize("text", ["p" * 40, "2P", "é", "/"])
def test_broken_compressed_counts_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="RLE"):
        unpack_counts(text)


def test_forms_of_segmentation(tmp_path: Path) -> None:
    """Parts, a flat list, RLE as list and as text, ids with gaps, later over earlier, no licenses."""
    polygon = _whole(POLYGON_COUNTS, 12, 14)
    uncompressed = unpack_counts(POLYGON_COUNTS)
    for written in (
        [POLYGON],
        POLYGON,
        {"size": [12, 14], "counts": POLYGON_COUNTS},
        {"size": [12, 14], "counts": uncompressed},
    ):
        _write(
            tmp_path, [_one([[0, 0, 2, 0, 2, 2, 0, 2], [10, 9, 13, 9, 13, 11]], 90), _one(written)]
        )
        found = _read(tmp_path)
        assert found.class_names == ("car", "tree")
        assert found.images[0].split == "val"
        drawn = _drawn(found)
        assert (drawn[polygon] == 1).all()
        assert drawn[0, 0] == 2
        assert drawn[9, 11] == 2
        assert drawn.astype(bool).sum() == polygon.sum() + 3 + 3


def test_crowd_is_void_beneath_the_rest_unless_told_otherwise(tmp_path: Path) -> None:
    crowd = _one({"size": [12, 14], "counts": [0, 168]}, iscrowd=1)
    _write(tmp_path, [_one([[0, 0, 4, 0, 4, 4, 0, 4]], 90), crowd])
    drawn = _drawn(_read(tmp_path))
    assert (drawn[:4, :4] == 2).all()
    assert (drawn == 9).sum() == 168 - 16
    assert (_drawn(_read(tmp_path, CocoOptions(crowd="draw"))) == 1).all()
    assert (_drawn(_read(tmp_path, CocoOptions(crowd="skip"))) == 0).sum() == 168 - 16


def test_smaller_over_larger_on_request(tmp_path: Path) -> None:
    _write(tmp_path, [_one([[2, 2, 4, 2, 4, 4, 2, 4]], 90), _one([[0, 0, 9, 0, 9, 9, 0, 9]])])
    assert (_drawn(_read(tmp_path)) == 2).sum() == 0
    assert (_drawn(_read(tmp_path, CocoOptions(overlaps="smaller"))) == 2).sum() == 4


def test_boxes_and_slivers_have_no_area(tmp_path: Path) -> None:
    _write(tmp_path, [_one([]), _one(None), _one([[1, 1, 5, 5]])])
    canvas = Coco().canvas(12, 14, 0)
    shapes = _read(tmp_path).images[0].load(12, 14)
    assert [canvas.draw(shape, 1) for shape in shapes] == [False] * 3


def test_what_is_wrong_is_told_by_name(tmp_path: Path) -> None:
    for broken, told in (
        (_one([[0, 0, 1]]), "x and y in turn"),
        (_one([[0, 0, 1, "a", 3, 3]]), "annotation"),
        (_one("abc"), "segmentation"),
        (_one([[0, 0, 9, 9, 0, 9]], 4), "category 4"),
        (_one({"size": [99, 14], "counts": [5]}), "99 x 14"),
        (_one({"counts": [5]}), "size"),
    ):
        _write(tmp_path, [broken])
        with pytest.raises(DataError, match=told):
            _drawn(_read(tmp_path))
    _write(tmp_path, [_one([], 3) | {"image_id": 77}])
    assert "1 annotations of images" in str(_read(tmp_path).faults)
    _write(tmp_path, [], images=[{"id": 1, "file_name": "../../etc/passwd"}])
    assert "no such image" in str(_read(tmp_path).faults)
    _write(tmp_path, [_one({"size": [12, 14], "counts": [0, 168]})] * 3)
    tree = Tree(tmp_path, ["a.png"], Limits(pixels=400))
    with pytest.raises(DataError, match="more than 400"):
        Coco().read(tree).images[0].load(12, 14)


def test_two_files_of_one_image_need_a_choice(tmp_path: Path) -> None:
    _write(tmp_path, [_one([POLYGON])])
    (tmp_path / "person_val2017.json").write_bytes(
        (tmp_path / "instances_val2017.json").read_bytes()
    )
    with pytest.raises(DataError, match="option annotations"):
        _read(tmp_path)
    assert len(_read(tmp_path, CocoOptions(annotations="instances_*.json")).images) == 1


def test_panoptic(tmp_path: Path) -> None:
    ids = np.zeros((12, 14), np.int64)
    ids[2:5, 3:7], ids[6:, :] = 70000, 300
    folder = tmp_path / "instances_val2017"
    folder.mkdir()
    colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
    Image.fromarray(colours).save(folder / "a.png")
    segments = [{"id": 300, "category_id": 90}, {"id": 70000, "category_id": 3}]
    panoptic = {"image_id": 5, "file_name": "a.png", "segments_info": segments}
    _write(tmp_path, [panoptic])
    found = _read(tmp_path)
    assert [one.image for one in found.images] == ["a.png"]
    assert (_drawn(found) == (ids == 70000) + 2 * (ids == 300)).all()
    _write(tmp_path, [panoptic | {"segments_info": segments[:1]}])
    with pytest.raises(DataError, match="70000"):
        _drawn(_read(tmp_path))


def test_imported_names_are_listed_or_mapped(tmp_path: Path) -> None:
    _write(tmp_path, [_one([POLYGON])])
    files = import_coco(tmp_path, unlabelled="background")
    assert files.labels.class_names == ("background", "car", "tree")
    (sample,) = files.samples
    assert sample.split == "val"
    mask = np.asarray(Image.open(tmp_path / str(sample.mask)))
    assert (mask == _whole(POLYGON_COUNTS, 12, 14)).all()


_JUDGE = """
import io, contextlib, os, numpy as np
from pycocotools.coco import COCO
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO(os.path.join(given, "annotations", "instances_train.json"))
answer = {}
for one in coco.dataset["images"]:
    mask = np.full((one["height"], one["width"]), 255)
    for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[one["id"]])):
        bits = coco.annToMask(annotation).astype(bool)
        assert bits.sum() == annotation["area"] and (mask[bits] == 255).all()
        mask[bits] = annotation["category_id"] - 1
    answer[one["file_name"]] = mask.tolist()
"""


@pytest.mark.slow
def test_pycocotools_reads_what_is_written(ask: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = LabelSpace(("road", "car", "sign"))
    coco, masks = Coco(), {}
    for number in range(20):
        mask = rng.choice(np.array([0, 1, 2, 255], np.uint8), rng.integers(1, 30, 2))
        if number % 2:
            mask = mask.repeat(5, 0).repeat(7, 1)
        shapes = to_shapes(mask, dict(enumerate(labels.class_names)), Coco.drawing, 255)
        name = f"images/train/{number}.png"
        coco.write(
            tmp_path,
            LabelledImage(name, mask.shape[0], mask.shape[1], shapes, mask, "train"),
            labels,
        )
        masks[f"{number}.png"] = mask.tolist()
    coco.finish(tmp_path, labels)
    assert ask("pycocotools", _JUDGE, str(tmp_path)) == masks


@pytest.mark.slow
def test_rle_and_polygons_agree_with_pycocotools(ask: Any) -> None:
    rng = np.random.default_rng(1)
    polygons = [(rng.random((rng.integers(3, 12), 2)) * 50 - 5).tolist() for _ in range(300)]
    program = """
from pycocotools import mask
flat = [[[n for p in one for n in p]] for one in given]
answer = [mask.merge(mask.frPyObjects(one, 37, 43))["counts"].decode() for one in flat]
"""
    for points, counts in zip(polygons, ask("pycocotools", program, polygons), strict=True):
        canvas = Coco().canvas(37, 43, 0)
        canvas.draw(Shape("", "polygon", (np.array(points),)), 1)
        expected = _whole(counts, 37, 43)
        assert (canvas.pixels.astype(bool) == expected).all()
        assert pack_counts(encode(0, 0, expected, 37, 43)) == counts
