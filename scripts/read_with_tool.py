"""Reads annotations with the tool they are for, and writes what it draws; the judge of our own readers.

Runs in the environment of the tool: it imports numpy and that tool alone. For example

    /path/to/labelme/bin/python scripts/read_with_tool.py labelme FOLDER out.npz --classes road,car

writes for every image, by the stem of its name, uint8 `(H, W)`: class indices in the order of `--classes`,
255 where the tool draws nothing, or what is no class. What stands behind a format is in `TOOLS`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

VOID = 255
Masks = dict[str, np.ndarray]


def labelme(folder: Path, classes: list[str]) -> Masks:
    """Draw LabelMe's JSON files."""
    from labelme._label_file import LabelFile
    from labelme.utils import shapes_to_label

    values = {name: number for number, name in enumerate(classes, 1)}
    masks = {}
    for file in sorted(folder.rglob("*.json")):
        size = json.loads(file.read_text())
        shapes = LabelFile(str(file)).shapes
        drawn, _ = shapes_to_label((size["imageHeight"], size["imageWidth"]), shapes, values)
        masks[file.stem] = (drawn - 1).astype(np.uint8)
    return masks


def coco(folder: Path, classes: list[str]) -> Masks:
    """Draw COCO's JSON files."""
    from pycocotools.coco import COCO

    masks = {}
    for file in sorted((folder / "annotations").glob("*.json")):
        api = COCO(str(file))
        names = {one["id"]: one["name"] for one in api.loadCats(api.getCatIds())}
        for image in api.loadImgs(api.getImgIds()):
            drawn = np.full((image["height"], image["width"]), VOID, np.uint8)
            for one in api.loadAnns(api.getAnnIds(imgIds=[image["id"]])):
                drawn[api.annToMask(one) > 0] = classes.index(names[one["category_id"]])
            masks[Path(image["file_name"]).stem] = drawn
    return masks


def _filled(points: Any, height: int, width: int) -> np.ndarray:
    from pycocotools import mask

    flat = [np.asarray(points, dtype=float).reshape(-1).tolist()]
    return mask.decode(mask.merge(mask.frPyObjects(flat, height, width))) > 0


def cvat(folder: Path, classes: list[str]) -> Masks:
    """Draw CVAT's XML: masks by its SDK, polygons by pycocotools as in its own exports."""
    from cvat_sdk.masks import decode_mask

    masks = {}
    for image in ElementTree.parse(folder / "annotations.xml").iter("image"):  # noqa: S314
        height, width = int(image.get("height", 0)), int(image.get("width", 0))
        drawn = np.full((height, width), VOID, np.uint8)
        for one in sorted(image, key=lambda shape: int(shape.get("z_order", 0))):
            if one.tag == "mask":
                left, top, w, h = (int(one.get(k, 0)) for k in ("left", "top", "width", "height"))
                runs = [int(run) for run in one.get("rle", "").split(",")]
                box = [left, top, left + w - 1, top + h - 1]
                inside = decode_mask([*runs, *box], image_width=width, image_height=height)
            else:
                points = [part.split(",") for part in one.get("points", "").split(";")]
                inside = _filled(points, height, width)
            drawn[inside] = classes.index(one.get("label", ""))
        masks[Path(image.get("name", "")).stem] = drawn
    return masks


def label_studio(folder: Path, classes: list[str]) -> Masks:
    """Draw Label Studio's tasks: brushes by its SDK, polygons by pycocotools."""
    from label_studio_sdk.converter.brush import decode_rle

    masks = {}
    for task in json.loads((folder / "tasks.json").read_text()):
        drawn = None
        for one in task["annotations"][0]["result"] if task["annotations"] else []:
            height, width = one["original_height"], one["original_width"]
            drawn = np.full((height, width), VOID, np.uint8) if drawn is None else drawn
            value = one["value"]
            if one["type"] == "brushlabels":
                inside = decode_rle(value["rle"]).reshape(height, width, 4)[..., 3] > 0
            else:
                inside = _filled(np.array(value["points"]) * [width, height] / 100, height, width)
            drawn[inside] = classes.index(value[one["type"]][0])
        if drawn is not None:
            masks[Path(task["data"]["image"]).stem] = drawn
    return masks


def supervisely(folder: Path, classes: list[str]) -> Masks:
    """Draw a Supervisely project, each label by its geometry."""
    import supervisely as sly

    meta = sly.ProjectMeta.from_json(json.loads((folder / "meta.json").read_text()))
    masks = {}
    for file in sorted(folder.glob("*/ann/*.json")):
        annotation = sly.Annotation.from_json(json.loads(file.read_text()), meta)
        drawn = np.full(annotation.img_size, VOID, np.uint8)
        for label in annotation.labels:
            label.geometry.draw(drawn, color=classes.index(label.obj_class.name))
        masks[Path(file.stem).stem] = drawn
    return masks


def cityscapes_json(folder: Path, classes: list[str]) -> Masks:
    """Draw Cityscapes' polygons with json2labelImg, told our names of classes."""
    from cityscapesscripts.helpers.annotation import Annotation
    from cityscapesscripts.helpers.labels import Label
    from cityscapesscripts.preparation import json2labelImg

    values = {**{name: number for number, name in enumerate(classes)}, "unlabeled": VOID}
    json2labelImg.name2label = {
        name: Label(name, value, value, "", 0, False, False, (0, 0, 0))
        for name, value in values.items()
    }
    masks = {}
    for file in sorted((folder / "gtFine").rglob("*_polygons.json")):
        annotation = Annotation()
        annotation.fromJsonFile(str(file))
        stem = file.stem.removesuffix("_gtFine_polygons")
        drawn = json2labelImg.createLabelImage(annotation, "ids")
        masks[f"{stem}_leftImg8bit"] = np.array(drawn)
    return masks


def yolo(folder: Path, classes: list[str]) -> Masks:
    """Draw YOLO's text files as Ultralytics does for training."""
    from PIL import Image
    from ultralytics.data.utils import polygons2masks_overlap

    masks = {}
    for file in sorted((folder / "labels").rglob("*.txt")):
        image = next((folder / "images").rglob(f"{file.stem}.*"))
        width, height = Image.open(image).size
        lines = [line.split() for line in file.read_text().splitlines()]
        drawn = np.full((height, width), VOID, np.uint8)
        if lines:
            size = np.array([width, height], np.float32)
            outlines = [np.array(line[1:], np.float32).reshape(-1, 2) * size for line in lines]
            numbers = np.array([int(line[0]) for line in lines])
            top, order = polygons2masks_overlap((height, width), outlines, downsample_ratio=1)
            values = np.where(numbers < len(classes), numbers, VOID)[order]
            top = np.asarray(top).astype(int)
            drawn[top > 0] = values[top[top > 0] - 1]
        masks[file.stem] = drawn
    return masks


def _pictures(folder: Path, _: list[str]) -> Masks:
    from PIL import Image

    return {file.stem: np.asarray(Image.open(file)) for file in sorted(folder.rglob("*.png"))}


def masks(folder: Path, classes: list[str]) -> Masks:
    """Read indexed PNG files with Pillow."""
    return _pictures(folder / "masks", classes)


def voc(folder: Path, classes: list[str]) -> Masks:
    """Read PASCAL VOC's indexed PNG files with Pillow."""
    return _pictures(folder / "SegmentationClass", classes)


def cvat_masks(folder: Path, classes: list[str]) -> Masks:
    """Read CVAT's coloured PNG files with Pillow, by the colours of labelmap.txt."""
    from PIL import Image

    values = {}
    for line in (folder / "labelmap.txt").read_text().splitlines()[1:]:
        name, colour = line.split(":")[:2]
        values[colour] = classes.index(name) if name in classes else VOID
    masks = {}
    for file in sorted((folder / "SegmentationClass").rglob("*.png")):
        coloured = np.asarray(Image.open(file))
        drawn = np.full(coloured.shape[:2], VOID, np.uint8)
        for colour, value in values.items():
            drawn[(coloured == [int(one) for one in colour.split(",")]).all(-1)] = value
        masks[file.stem] = drawn
    return masks


# What reads a format, and the module that has it. CVAT reads masks in its server alone.
TOOLS: dict[str, tuple[str, Callable[[Path, list[str]], Masks]]] = {
    "labelme": ("labelme", labelme),
    "coco": ("pycocotools", coco),
    "cvat": ("cvat_sdk", cvat),
    "cvat_masks": ("PIL", cvat_masks),
    "label_studio": ("label_studio_sdk", label_studio),
    "supervisely": ("supervisely", supervisely),
    "cityscapes_json": ("cityscapesscripts", cityscapes_json),
    "yolo": ("ultralytics", yolo),
    "masks": ("PIL", masks),
    "voc": ("PIL", voc),
}


def main() -> int:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("format", choices=TOOLS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--classes", required=True, help="names in index order, separated by commas"
    )
    args = parser.parse_args()
    drawn: dict[str, Any] = TOOLS[args.format][1](args.folder, args.classes.split(","))
    np.savez_compressed(args.out, **drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
