"""Cityscapes JSON: `gtFine/SPLIT/CITY/NAME_gtFine_polygons.json` beside `leftImg8bit`.

- Rasteriser: Pillow's, as json2labelImg uses it; vertices are pixel centres, edges inclusive. No pixel
  differs from createLabelImage of cityscapesScripts 2.3.0, of drawn streets and of crossed, thin, fractional
  outlines and ones beyond the edge.
- Order: that of the list; later polygons cover earlier ones. Those that are `deleted` and those of
  labels with a negative id (`license plate`) are not drawn.
- Holes: polygons have none; what lies in one is drawn later, nothing as `unlabeled`. Masks: none.
- Crowd: `group` at the end of a label (`cargroup`) is taken off and the region drawn as its class, as
  json2labelImg does.
- Unlabelled: pixels of no polygon; the user says what they are. The labels of Cityscapes that are not among
  its 19 classes do not count, unless `class_names` has them.
- Not annotated: there is no JSON file. Annotated as empty: its list of objects is empty.
- Splits: the folder below `gtFine`.
- On export, `NAME_gtFine_labelIds.png` is written beside, where the classes are those of Cityscapes: what
  the data set itself has, and what the importer `cityscapes` reads. Names become `CITY_SEQUENCE_FRAME`.

References:
    cityscapesScripts, preparation/json2labelImg.py: https://github.com/mcordts/cityscapesScripts
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from seglab.annotations.drawing import Drawing
from seglab.annotations.format import AnnotationFormat, LabelledImage
from seglab.annotations.options import CityscapesJsonOptions
from seglab.annotations.rasterise import CentreCanvas
from seglab.annotations.reading import Limits, Record, Tree, reasons_named, ring
from seglab.annotations.shapes import AnnotatedImage, Annotations, Shape
from seglab.core.disk.files import atomic_path, write_json
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace

_ENDING = "_polygons.json"
_IMAGE_ENDING = "_leftImg8bit"
_UNLABELED = "unlabeled"
# Labels by id, and the ids of those that the benchmark counts.
LABELS = (
    "unlabeled, ego vehicle, rectification border, out of roi, static, dynamic, ground, road, sidewalk, "
    "parking, rail track, building, wall, fence, guard rail, bridge, tunnel, pole, polegroup, traffic "
    "light, traffic sign, vegetation, terrain, sky, person, rider, car, truck, bus, caravan, trailer, "
    "train, motorcycle, bicycle"
).split(", ")
EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_NOT_DRAWN = "license plate"
_SPLITS = {"train": "train", "train_extra": "train", "val": "val", "test": "test"}


class _Object(Record):
    label: str
    polygon: list[tuple[float, float]]
    deleted: int = 0


class _File(Record):
    imgHeight: int  # noqa: N815 - Cityscapes' name
    imgWidth: int  # noqa: N815
    objects: list[_Object]


class Cityscapes(AnnotationFormat):
    """Cityscapes' polygons, see the module."""

    drawing: ClassVar[Drawing] = Drawing(CentreCanvas, has_masks=False)
    declared = CityscapesJsonOptions
    image_folder = "leftImg8bit/{split}"
    unannotated: ClassVar[str] = "no JSON file"

    def image_path(self, sample_id: str, suffix: str, split: str) -> str:
        """Return the image's path, of the form that Cityscapes asks for."""
        name = re.sub(r"[^\w.-]+", "-", sample_id)
        parts = name.rsplit("_", 2)
        if len(parts) != 3 or not all(parts):
            parts = [name.replace("_", "-"), "000000", "000000"]
        return f"leftImg8bit/{split}/{parts[0]}/{'_'.join(parts)}{_IMAGE_ENDING}{suffix}"

    def read(self, tree: Tree) -> Annotations:
        """Read every file that ends in `_polygons.json`."""
        names = tuple(LABELS[number] for number in EVALUATED)
        found = Annotations(class_names=names, void=frozenset(LABELS) - frozenset(names))
        by_name: dict[str, list[str]] = {}
        for image in tree.images:
            by_name.setdefault(Path(image).stem.removesuffix(_IMAGE_ENDING), []).append(image)
        of_image: dict[str, str] = {}
        for file in tree.files(".json"):
            if not file.endswith(_ENDING):
                continue
            frame = Path(file).name.removesuffix(_ENDING)
            frame = re.sub(r"_gt(Fine|Coarse)$", "", frame)
            images = by_name.get(frame, [])
            if len(images) != 1:
                found.faults[file] = (
                    f"{file}: {len(images)} images called {frame} below {tree.root}"
                )
            elif images[0] in of_image:
                found.faults[file] = f"{file}: {images[0]} has {of_image[images[0]]} too"
            else:
                of_image[images[0]] = file
        if not of_image and not found.faults:
            raise DataError(f"no Cityscapes files (*{_ENDING}) below {tree.root}")
        for image in tree.images:
            source = of_image.get(image, "")
            if not source and not Path(image).stem.endswith(_IMAGE_ENDING):
                continue
            found.sources += [source] if source else []
            split = next((_SPLITS[part] for part in source.split("/") if part in _SPLITS), None)
            load = functools.partial(self._load, tree, source)
            found.images.append(AnnotatedImage(image, load, bool(source), split, source))
        return found

    def _load(self, tree: Tree, file: str, height: int, width: int) -> list[Shape]:
        if not file:
            return []
        content = _File.of(tree.json(file), file)
        if (content.imgHeight, content.imgWidth) != (height, width):
            raise DataError(
                f"{file}: annotated with {content.imgHeight} x {content.imgWidth} pixels (H x W), the "
                f"image is {height} x {width} upright"
            )
        if len(content.objects) > tree.limits.shapes:
            raise DataError(f"{file}: {len(content.objects):,} objects, more than are read")
        shapes = []
        for number, one in enumerate(content.objects):
            if one.deleted or one.label == _NOT_DRAWN:
                continue
            with reasons_named(f"{file}: object {number} ({one.label})"):
                shapes.append(_shape(one, tree.limits))
        return shapes

    def write(self, folder: Path, image: LabelledImage, labels: LabelSpace) -> None:
        """Write the polygons of an image, and its ids where the classes are those of Cityscapes."""
        if image.shapes is None:
            return
        stem = Path("gtFine", *Path(image.stem).parts[1:]).as_posix().removesuffix(_IMAGE_ENDING)
        content = {
            "imgHeight": image.height,
            "imgWidth": image.width,
            "objects": [
                {
                    "label": _UNLABELED if shape.label == "void" else shape.label,
                    "polygon": shape.rings[0].astype(int).tolist(),
                }
                for shape in image.shapes
            ],
        }
        write_json(folder / f"{stem}_gtFine{_ENDING}", content)
        if image.mask is None or not set(labels.class_names) <= set(LABELS):
            return
        ids = np.zeros(256, np.uint8)
        ids[: labels.num_classes] = [LABELS.index(name) for name in labels.class_names]
        with atomic_path(folder / f"{stem}_gtFine_labelIds.png") as temporary:
            Image.fromarray(ids[image.mask]).save(temporary, format="PNG")


def _shape(one: _Object, limits: Limits) -> Shape:
    label = one.label
    if label not in LABELS and label.removesuffix("group") in LABELS:
        label = label.removesuffix("group")
    if len(one.polygon) < 2:
        raise DataError(f"a polygon has 2 points or more, got {len(one.polygon)}")
    return Shape(label, "polygon", (ring(one.polygon, limits),))
