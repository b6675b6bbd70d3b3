"""LabelMe: one JSON file beside each image, of the same stem.

- Rasteriser: Pillow's; vertices are pixel centres, edges inclusive. Lines are 10 pixels wide, points discs
  of radius 5, a circle is its centre and a point on the rim.
- Masks: a PNG of their box, whose first point is its top left pixel (decimals are cut off).
- Order: that of the list; later shapes cover earlier ones, whatever their class.
- Holes: polygons have none; an object in the hole is drawn later, an empty hole makes a mask.
- Parts: `group_id` joins shapes to one object. Crowd: not known to LabelMe.
- Unlabelled: pixels of no shape; the user says what they are. Names: as in `labels.txt`, where there is
  one (`__ignore__` is void, `_background_` a class).
- Not annotated: there is no JSON file. Annotated as empty: its list of shapes is empty.
- EXIF: LabelMe shows images upright, so coordinates are those of the upright image.

References:
    LabelMe, `labelme/utils/shape.py`: https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import base64
import functools
import io
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from seglab.annotations.drawing import Drawing
from seglab.annotations.format import AnnotationFormat, LabelledImage
from seglab.annotations.options import LabelMeOptions
from seglab.annotations.rasterise import CentreCanvas
from seglab.annotations.reading import (
    Limits,
    Record,
    Tree,
    from_base64,
    picture,
    reasons_named,
    ring,
)
from seglab.annotations.shapes import AnnotatedImage, Annotations, Shape
from seglab.core.disk.files import write_json, write_text
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace

_VERSION = "5.5.0"
_LABELS = "labels.txt"
_IGNORED = "__ignore__"
# Number of points that a shape has; None: any number from the one given.
_POINTS: dict[str, tuple[int, int | None]] = {
    "polygon": (3, None),
    "rectangle": (2, 2),
    "oriented_rectangle": (4, 4),
    "circle": (2, 2),
    "line": (2, 2),
    "linestrip": (1, None),
    "point": (1, 1),
    "points": (1, None),
    "mask": (2, 2),
}


class _Shape(Record):
    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"
    group_id: int | None = None
    mask: str | None = None


class _File(Record):
    imagePath: str  # noqa: N815 - LabelMe's name
    shapes: list[_Shape]
    imageHeight: int | None = None  # noqa: N815
    imageWidth: int | None = None  # noqa: N815


class LabelMe(AnnotationFormat):
    """LabelMe JSON, see the module."""

    drawing: ClassVar[Drawing] = Drawing(CentreCanvas)
    declared = LabelMeOptions
    image_folder = "."
    unannotated: ClassVar[str] = "no JSON file"

    def read(self, tree: Tree) -> Annotations:
        """Read every JSON file that has `shapes` in it."""
        found = Annotations(void=frozenset({_IGNORED}))
        if (tree.root / _LABELS).is_file():
            names = [line.strip() for line in tree.text(_LABELS).splitlines() if line.strip()]
            found.class_names = tuple(name for name in names if name != _IGNORED)
            found.sources.append(_LABELS)
        of_image: dict[str, str] = {}
        for file in tree.files(".json"):
            try:
                content: Any = tree.json(file)
                if not isinstance(content, dict) or "shapes" not in content:
                    if tree.image_of_stem(file) is None:
                        continue  # of something else than an image
                    raise DataError(
                        f"{file}: lies beside an image and is no LabelMe file: no `shapes`"
                    )
                image = self._image(tree, file, _File.of(content, file))
            except DataError as error:
                found.faults[tree.image_of_stem(file) or file] = str(error)
                continue
            if image in of_image:
                found.faults[file] = f"{file}: {image} is annotated by {of_image[image]} too"
                continue
            of_image[image] = file
        for image in tree.images:
            source = of_image.get(image, "")
            beside = source or Path(image).with_suffix(".json").as_posix()
            found.sources.append(beside)
            if image not in found.faults:
                load = functools.partial(self._load, tree, source)
                found.images.append(AnnotatedImage(image, load, bool(source), source=source))
        if not of_image and not found.faults:
            raise DataError(f"no LabelMe file (JSON with `shapes`) below {tree.root}")
        return found

    def _image(self, tree: Tree, file: str, content: _File) -> str:
        image = tree.image(content.imagePath, file) or tree.image_of_stem(file)
        if image is None:
            raise DataError(
                f"{file}: its image {content.imagePath!r} is not below {tree.root}; an embedded "
                "picture (imageData) is not unpacked: save it there under this name"
            )
        return image

    def _load(self, tree: Tree, file: str, height: int, width: int) -> list[Shape]:
        if not file:
            return []
        content = _File.of(tree.json(file), file)
        stated = (content.imageHeight or height, content.imageWidth or width)
        if stated != (height, width):
            raise DataError(
                f"{file}: drawn on an image of {stated[0]} x {stated[1]} pixels (H x W), the image is "
                f"{height} x {width} upright"
            )
        shapes = []
        for number, one in enumerate(content.shapes):
            with reasons_named(f"{file}: shape {number} ({one.label})"):
                shapes.append(_shape(one, tree.limits))
        return shapes

    def write(self, folder: Path, image: LabelledImage, labels: LabelSpace) -> None:
        """Write the JSON file of an image; none for one that nobody annotated."""
        if image.shapes is None:
            return
        content: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": [_written(shape) for shape in image.shapes],
            "imagePath": Path(image.image).name,
            "imageData": None,
            "imageHeight": image.height,
            "imageWidth": image.width,
        }
        write_json(folder / f"{image.stem}.json", content)

    def finish(self, folder: Path, labels: LabelSpace) -> None:
        """Write the names of the classes, as `labelme --labels` takes them."""
        write_text(folder / _LABELS, "\n".join([_IGNORED, *labels.class_names]) + "\n")


def _shape(one: _Shape, limits: Limits) -> Shape:
    kind = one.shape_type or "polygon"
    if kind not in _POINTS:
        raise DataError(f"unknown shape_type {kind!r}; known are {', '.join(_POINTS)}")
    least, most = _POINTS[kind]
    if len(one.points) < least or (most is not None and len(one.points) > most):
        raise DataError(f"a {kind} has {least} points, got {len(one.points)}")
    points = ring(one.points, limits)
    label, group = one.label, one.group_id
    if kind == "mask":
        if one.mask is None:
            raise DataError("a mask without its picture")
        bitmap = picture(from_base64(one.mask), limits) != 0
        if bitmap.ndim != 2:
            raise DataError(f"the picture of a mask has one channel, got {bitmap.shape}")
        return Shape(label, "mask", (np.trunc(points[:1]),), bitmap=bitmap, group=group)
    if kind == "circle":
        radius = math.dist(points[0], points[1])
        rings = np.array([points[0], [radius, radius]])
        return Shape(label, "ellipse", (rings,), group=group)
    kinds: dict[str, Any] = {"rectangle": "box", "linestrip": "line", "point": "points"}
    kinds |= {"oriented_rectangle": "polygon"}
    return Shape(label, kinds.get(kind, kind), (points,), group=group)


def _written(shape: Shape) -> dict[str, Any]:
    points = shape.rings[0]
    content: dict[str, Any] = {
        "label": shape.label,
        "points": points.tolist(),
        "group_id": None,
        "description": "",
        "shape_type": "polygon",
        "flags": {},
        "mask": None,
    }
    if shape.bitmap is not None:
        height, width = shape.bitmap.shape
        far = points[0] + [width - 1, height - 1]
        stream = io.BytesIO()
        Image.fromarray(shape.bitmap).save(stream, format="PNG")
        content["points"] = [points[0].tolist(), far.tolist()]
        content["shape_type"] = "mask"
        content["mask"] = base64.b64encode(stream.getvalue()).decode()
    return content
