"""Supervisely projects: `meta.json`, and in each data set `img/NAME` with `ann/NAME.json`.

- Rasteriser: OpenCV's `fillPoly`; coordinates are whole pixels, edges inclusive. Holes are cut out with their
  edge. Rectangles are inclusive, too.
- Masks: `bitmap` with base64 of a zlib-packed PNG and the top left pixel (`origin`); its alpha channel
  where it has one, else its values; a PNG that is not packed counts where any channel is not 0.
- Order: that of the list; later objects cover earlier ones.
- Holes: polygons have `interior`; on export empty holes make a bitmap. Parts: an object each.
- Crowd: not known to Supervisely. Lines, points, graphs and cuboids have no area and are counted.
- Unlabelled: pixels of no object; the user says what they are. Names: the classes of meta.json in their
  order; `void` does not count.
- Not annotated: there is no file in `ann`. Annotated as empty: its list of objects is empty.
- Splits: data sets called train, val or test.

References:
    Supervisely, annotation format: https://docs.supervisely.com/data-organization/00_ann_format_navi
"""

from __future__ import annotations

import base64
import functools
import io
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from seglab.annotations.drawing import Drawing
from seglab.annotations.format import AnnotationFormat, LabelledImage
from seglab.annotations.options import SuperviselyOptions
from seglab.annotations.rasterise import GridCanvas
from seglab.annotations.reading import (
    Limits,
    Record,
    Tree,
    from_base64,
    inflate,
    reasons_named,
    require_pixels,
    ring,
)
from seglab.annotations.shapes import AnnotatedImage, Annotations, Shape
from seglab.core.disk.files import write_json
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace

_META = "meta.json"
_VOID = "void"
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_NO_AREA = ("line", "point", "graph", "cuboid", "cuboid_2d", "polyline")
_PNG = b"\x89PNG"
# One packed picture inflates to this many bytes at most.
_LARGEST_PNG = 1 << 26


class _Class(Record):
    title: str
    color: str = ""


class _Meta(Record):
    classes: list[_Class]


class _Size(Record):
    height: int
    width: int


class _Points(Record):
    exterior: list[tuple[float, float]]
    interior: list[list[tuple[float, float]]] = []  # noqa: RUF012 - a declaration


class _Bitmap(Record):
    data: str
    origin: tuple[int, int]


class _Object(Record):
    classTitle: str  # noqa: N815 - Supervisely's name
    geometryType: str = ""  # noqa: N815
    points: _Points | None = None
    bitmap: _Bitmap | None = None


class _File(Record):
    size: _Size
    objects: list[_Object]


class Supervisely(AnnotationFormat):
    """Supervisely's projects, see the module."""

    drawing: ClassVar[Drawing] = Drawing(GridCanvas)
    declared = SuperviselyOptions
    image_folder = "{split}/img"
    unannotated: ClassVar[str] = "no file in ann"

    def __init__(self, options: SuperviselyOptions | None = None) -> None:
        super().__init__(options)
        self._kinds: set[str] = set()

    def read(self, tree: Tree) -> Annotations:
        """Read meta.json, and the file of every image in a folder `img`."""
        metas = [file for file in tree.files(".json") if Path(file).name == _META]
        if len(metas) != 1:
            raise DataError(
                f"expected one Supervisely project ({_META}) below {tree.root}, found {len(metas)}: "
                f"{', '.join(metas[:5]) or 'none'}"
            )
        classes = _Meta.of(tree.json(metas[0]), metas[0]).classes
        found = Annotations(void=frozenset({_VOID}), sources=[metas[0]])
        found.class_names = tuple(one.title for one in classes if one.title != _VOID)
        found.palette = {one.title: rgb for one in classes if (rgb := _colour(one.color))}
        for image in tree.images:
            folder, _, name = image.rpartition("/")
            dataset, _, last = folder.rpartition("/")
            if last != "img" and folder != "img":
                continue
            above = f"{dataset}/" if dataset else ""
            source = f"{above}ann/{name}.json"
            found.sources.append(source)
            is_there = (tree.root / source).is_file()
            load = functools.partial(self._load, tree, source if is_there else "")
            split = _SPLITS.get(dataset.rpartition("/")[2].lower())
            found.images.append(AnnotatedImage(image, load, is_there, split, source))
        if not found.images:
            raise DataError(f"no images in folders called img below {tree.root}")
        return found

    def _load(self, tree: Tree, file: str, height: int, width: int) -> list[Shape]:
        if not file:
            return []
        content = _File.of(tree.json(file), file)
        if (content.size.height, content.size.width) != (height, width):
            raise DataError(
                f"{file}: annotated with {content.size.height} x {content.size.width} pixels (H x W), "
                f"the image is {height} x {width} upright"
            )
        if len(content.objects) > tree.limits.shapes:
            raise DataError(f"{file}: {len(content.objects):,} objects, more than are read")
        shapes, kept = [], 0
        for number, one in enumerate(content.objects):
            with reasons_named(f"{file}: object {number} ({one.classTitle})"):
                shapes.append(_shape(one, tree.limits))
                kept += 0 if shapes[-1].bitmap is None else shapes[-1].bitmap.size
                if kept > tree.limits.pixels:
                    raise DataError(f"bitmaps of more than {tree.limits.pixels:,} pixels")
        return shapes

    def write(self, folder: Path, image: LabelledImage, labels: LabelSpace) -> None:
        """Write the file of an image; none for one that nobody annotated."""
        if image.shapes is None:
            return
        self._kinds |= {shape.label for shape in image.shapes}
        path = Path(image.image)
        below = path.parts[path.parts.index("img") + 1 :]
        content: dict[str, Any] = {
            "description": "",
            "tags": [],
            "size": {"height": image.height, "width": image.width},
            "objects": [_written(shape) for shape in image.shapes],
        }
        target = Path(*path.parts[: path.parts.index("img")], "ann", *below)
        write_json(folder / f"{target.as_posix()}.json", content)

    def finish(self, folder: Path, labels: LabelSpace) -> None:
        """Write meta.json."""
        colours = [*zip(labels.class_names, labels.palette, strict=True), (_VOID, (0, 0, 0))]
        classes = [
            {"title": name, "shape": "any", "color": "#{:02X}{:02X}{:02X}".format(*colour)}
            for name, colour in colours
            if name != _VOID or _VOID in self._kinds
        ]
        write_json(folder / _META, {"classes": classes, "tags": [], "projectType": "images"})


def _colour(written: str) -> tuple[int, int, int] | None:
    try:
        red, green, blue = bytes.fromhex(written.removeprefix("#"))
    except ValueError:
        return None
    return red, green, blue


def _shape(one: _Object, limits: Limits) -> Shape:
    kind = one.geometryType or ("bitmap" if one.bitmap else "polygon")
    if kind in _NO_AREA:
        return Shape(one.classTitle, "points")
    if kind == "bitmap":
        if one.bitmap is None:
            raise DataError("a bitmap without its picture")
        bitmap = _unpacked(one.bitmap.data, limits)
        corner = ring([one.bitmap.origin], limits)
        return Shape(one.classTitle, "mask", (corner,), bitmap=bitmap)
    if kind not in ("polygon", "rectangle"):
        raise DataError(
            f"geometryType {kind!r} is not read; expected bitmap, polygon, rectangle or one without "
            f"area ({', '.join(_NO_AREA)})"
        )
    if one.points is None:
        raise DataError(f"a {kind} without points")
    exterior = np.trunc(ring(one.points.exterior, limits))
    if kind == "rectangle":
        if len(exterior) != 2:
            raise DataError(f"a rectangle has two corners, got {len(exterior)}")
        return Shape(one.classTitle, "box", (exterior,))
    if len(exterior) < 3:
        raise DataError(f"a polygon has 3 points or more, got {len(exterior)}")
    holes = tuple(np.trunc(ring(hole, limits)) for hole in one.points.interior if hole)
    return Shape(one.classTitle, "polygon", (exterior,), holes)


def _unpacked(data: str, limits: Limits) -> np.ndarray:
    packed = from_base64(data)
    is_bare = packed.startswith(_PNG)
    content = packed if is_bare else inflate(packed, _LARGEST_PNG)
    with reasons_named("bitmap"), Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        require_pixels(image.height, image.width, limits)
        has_alpha = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
        pixels = np.asarray(image.convert("RGBA") if has_alpha else image)
    if pixels.ndim == 2:
        return pixels != 0
    if is_bare:
        return (pixels != 0).any(-1)
    if pixels.shape[2] != 4:
        raise DataError(f"a bitmap has one channel or four, got {pixels.shape[2]}")
    return pixels[..., 3] != 0


def _written(shape: Shape) -> dict[str, Any]:
    content: dict[str, Any] = {"classTitle": shape.label, "tags": [], "description": ""}
    if shape.bitmap is None:
        exterior = np.floor(shape.rings[0]).astype(int).tolist()
        points = {"exterior": exterior, "interior": []}
        return content | {"geometryType": "polygon", "points": points}
    stream = io.BytesIO()
    picture = Image.fromarray(shape.bitmap.astype(np.uint8))
    picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(stream, format="PNG", transparency=0)
    data = base64.b64encode(zlib.compress(stream.getvalue())).decode()
    origin = shape.rings[0][0].astype(int).tolist()
    return content | {"geometryType": "bitmap", "bitmap": {"data": data, "origin": origin}}
