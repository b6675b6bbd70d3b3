"""COCO: JSON files of images, categories and annotations; panoptic ones with a PNG an image.

- Rasteriser: that of pycocotools; vertices are pixel corners. A polygon of fewer than three vertices and
  an annotation that is a box alone have no area and are counted.
- Masks: RLE down the columns, zeros first, as a list or compressed; the bits are taken as they are.
- Order: that of the file, later over earlier; `overlaps=smaller` draws smaller over larger.
- Holes: polygons have none; on export such objects are RLE. Parts: the lists of one annotation.
- Crowd (`iscrowd`): void by default, beneath all other annotations; or drawn, or left out (`crowd`).
- Unlabelled: pixels of no annotation, and those of id 0 in panoptic PNG; the user says what they are.
- Names: the categories in the order of their ids, which may have gaps; `void` does not count.
- Not annotated: the image is in no file, or in one without `annotations`. Annotated as empty: it is in
  `images` and has no annotation.
- Splits: train, val or test in the path of the JSON file.

References:
    COCO, data format: https://cocodataset.org/#format-data
    Kirillov et al. (2019), panoptic format: https://arxiv.org/abs/1801.00868
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage

from seglab.annotations.coco_rle import decode, encode, pack_counts, unpack_counts
from seglab.annotations.drawing import Drawing, drawn_area
from seglab.annotations.format import AnnotationFormat, LabelledImage
from seglab.annotations.options import CocoOptions
from seglab.annotations.rasterise import CornerCanvas
from seglab.annotations.reading import (
    Limits,
    Record,
    Tree,
    pairs,
    picture,
    reasons_named,
    require_pixels,
)
from seglab.annotations.shapes import AnnotatedImage, Annotations, Shape
from seglab.core.disk.files import write_json
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace

_VOID = "void"
_SPLIT = re.compile(r"(?<![a-z])(train|val|test)(id|idation)?(?![a-z])")


class _Image(Record):
    id: int | str
    file_name: str
    height: int | None = None
    width: int | None = None


class _Category(Record):
    id: int
    name: str
    color: tuple[int, int, int] | None = None


class _Annotation(Record):
    category_id: int
    iscrowd: int = 0
    segmentation: Any = None


class _Segment(Record):
    id: int
    category_id: int
    iscrowd: int = 0


class _Panoptic(Record):
    file_name: str
    segments_info: list[_Segment]


class _Runs(Record):
    size: tuple[int, int]
    counts: str | list[int]


class Coco(AnnotationFormat):
    """COCO JSON, see the module."""

    drawing: ClassVar[Drawing] = Drawing(CornerCanvas, is_ordered=False)
    declared = CocoOptions
    image_folder = "images/{split}"
    unannotated: ClassVar[str] = "listed in no file that has `annotations`"

    def __init__(self, options: CocoOptions | None = None) -> None:
        super().__init__(options)
        self._written: dict[str, list[tuple[LabelledImage, list[dict[str, Any]]]]] = {}

    def read(self, tree: Tree) -> Annotations:
        """Read every JSON file that has `images` in it."""
        found = Annotations(void=frozenset({_VOID}))
        of_image: dict[str, str] = {}
        pictures: set[str] = set()
        names: dict[str, None] = {}
        palette: dict[str, tuple[int, int, int]] = {}
        for file in tree.files(".json"):
            if not Path(file).match(self.options.annotations):
                continue
            try:
                content = tree.json(file)
                if not isinstance(content, dict) or "images" not in content:
                    continue
                one = _File(tree, file, content, self.options)
            except DataError as error:
                found.faults[file] = str(error)
                continue
            found.sources.append(file)
            names |= dict.fromkeys(one.names.values())
            palette |= one.palette
            pictures |= one.pictures
            found.faults |= one.faults
            for image in one.images:
                if image.image in of_image:
                    raise DataError(
                        f"{of_image[image.image]} and {file} both hold {image.image}; say which files "
                        "count with the option annotations, such as annotations='instances_*.json'"
                    )
                of_image[image.image] = file
            found.images += one.images
        if not of_image and not found.faults:
            raise DataError(f"no COCO file (JSON with `images`) below {tree.root}")
        found.images += [
            AnnotatedImage(image, lambda height, width: [], annotated=False)
            for image in tree.images
            if image not in of_image and image not in pictures and image not in found.faults
        ]
        found.class_names = tuple(name for name in names if name != _VOID)
        found.palette = palette
        return found

    def write(self, folder: Path, image: LabelledImage, labels: LabelSpace) -> None:
        """Keep the annotations of an image; one that nobody annotated goes into a file without."""
        known = self._written.setdefault(image.split if image.shapes is not None else "", [])
        known.append((image, [_annotation(one, image, labels) for one in image.shapes or ()]))

    def finish(self, folder: Path, labels: LabelSpace) -> None:
        """Write one file a split, and one of the images that nobody annotated."""
        for split, images in self._written.items():
            annotations = [
                {"id": 0, "image_id": number} | one
                for number, (_, written) in enumerate(images, 1)
                for one in written
            ]
            for number, one in enumerate(annotations, 1):
                one["id"] = number
            names = list(labels.class_names)
            if any(one["category_id"] > len(names) for one in annotations):
                names.append(_VOID)
            content: dict[str, Any] = {
                "images": [
                    {
                        "id": number,
                        "file_name": one.image.removeprefix(f"images/{one.split}/"),
                        "height": one.height,
                        "width": one.width,
                    }
                    for number, (one, _) in enumerate(images, 1)
                ],
                "categories": [
                    {"id": number, "name": name, "supercategory": ""}
                    for number, name in enumerate(names, 1)
                ],
            }
            if split:
                content["annotations"] = annotations
            name = f"instances_{split}" if split else "image_info"
            write_json(folder / "annotations" / f"{name}.json", content)
        self._written = {}


class _File:
    """One JSON file, its annotations by image."""

    def __init__(self, tree: Tree, file: str, content: Mapping[str, Any], options: Any) -> None:
        self._tree, self._file, self._options = tree, file, options
        self.faults: dict[str, str] = {}
        self.pictures: set[str] = set()
        with reasons_named(file):
            categories = [_Category.of(one, "categories") for one in content.get("categories", [])]
            listed = [_Image.of(one, "images") for one in content["images"]]
            by_image: dict[Any, list[Any]] = defaultdict(list)
            for one in content.get("annotations", []):
                by_image[one["image_id"]].append(one)
        categories.sort(key=lambda one: one.id)
        self.names = {one.id: one.name for one in categories}
        if len(self.names) < len(categories):
            raise DataError(f"{file}: two categories of one id")
        self.palette = {one.name: one.color for one in categories if one.color is not None}
        split = _SPLIT.search(file.lower())
        self._split = split.group(1) if split else None
        is_annotated = "annotations" in content
        self.images = list(self._images(listed, by_image, is_annotated))
        if orphans := sum(map(len, by_image.values())):
            self.faults[file] = f"{file}: {orphans} annotations of images that it does not list"

    def _images(
        self, listed: Sequence[_Image], by_image: dict[Any, list[Any]], is_annotated: bool
    ) -> Iterator[AnnotatedImage]:
        for one in listed:
            own = by_image.pop(one.id, [])
            path = self._path(one.file_name)
            if path is None:
                where = f"{self._file}: {one.file_name}"
                self.faults[where] = f"{where}: no such image below {self._tree.root}"
                continue
            self.pictures |= {
                picture
                for annotation in own
                if isinstance(annotation, dict) and "segments_info" in annotation
                for picture in self._pictures(str(annotation.get("file_name", "")))
            }
            load = functools.partial(self._load, one, own)
            yield AnnotatedImage(path, load, is_annotated, self._split, self._file)

    def _path(self, name: str) -> str | None:
        places = [f"images/{self._split}/", f"{self._split}/"] if self._split else []
        for place in (*places, "images/"):
            if f"{place}{name}" in self._tree.images_known:
                return f"{place}{name}"
        return self._tree.image(name, self._file)

    def _pictures(self, name: str) -> list[str]:
        """Return where the panoptic PNG of a name may be, likeliest first."""
        folder, _, stem = self._file.removesuffix(".json").rpartition("/")
        beside = f"{folder}/" if folder else ""
        return [f"{beside}{stem}/{name}", f"{stem}/{name}", f"{beside}{name}"]

    def _load(self, image: _Image, own: Sequence[Any], height: int, width: int) -> list[Shape]:
        where = f"{self._file}: {image.file_name}"
        stated = (image.height or height, image.width or width)
        if stated != (height, width):
            raise DataError(
                f"{where}: annotated with {stated[0]} x {stated[1]} pixels (H x W), the image is "
                f"{height} x {width} upright"
            )
        if len(own) > self._tree.limits.shapes:
            raise DataError(f"{where}: {len(own):,} annotations, more than are read")
        shapes: list[Shape] = []
        kept = 0
        for one in own:
            with reasons_named(f"{where}: annotation {one.get('id', '')}"):
                if "segments_info" in one:
                    shapes += self._segments(_Panoptic.of(one, "segments"), height, width)
                    continue
                shapes += self._shape(_Annotation.of(one, "annotation"), height, width)
                if shapes and (bitmap := shapes[-1].bitmap) is not None:
                    kept += bitmap.size
                if kept > self._tree.limits.pixels:
                    raise DataError(f"masks of more than {self._tree.limits.pixels:,} pixels")
        if self._options.overlaps == "smaller":
            shapes.sort(key=lambda one: -drawn_area(one, Coco.drawing, height, width))
        # What is said of a crowd holds where no annotation says more.
        return sorted(shapes, key=lambda one: not one.crowd)

    def _shape(self, one: _Annotation, height: int, width: int) -> list[Shape]:
        label = self._label(one.category_id)
        crowd = bool(one.iscrowd) and self._options.crowd == "void"
        if one.iscrowd and self._options.crowd == "skip":
            return []
        written = one.segmentation
        if isinstance(written, dict):
            left, top, bitmap = _unpacked(_Runs.of(written, "segmentation"), height, width)
            corner = np.array([[left, top]], dtype=float)
            return [Shape(label, "mask", (corner,), bitmap=bitmap, crowd=crowd)]
        rings = _rings(written, self._tree.limits)
        # A shape of points has no area: it is counted, not drawn.
        return [Shape(label, "polygon" if rings else "points", tuple(rings), crowd=crowd)]

    def _label(self, category: int) -> str:
        if category not in self.names:
            raise DataError(f"category {category} is not among the categories")
        return self.names[category]

    def _segments(self, one: _Panoptic, height: int, width: int) -> Iterator[Shape]:
        there = [name for name in self._pictures(one.file_name) if name in self._tree.images_known]
        if not there:
            raise DataError(f"{one.file_name}: no such PNG below {self._tree.root}")
        pixels = picture(self._tree.bytes(there[0]), self._tree.limits)
        if pixels.shape[:2] != (height, width) or pixels.ndim != 3:
            raise DataError(
                f"{there[0]}: expected RGB of {height} x {width}, got an array of {pixels.shape}"
            )
        ids = (pixels[..., :3].astype(np.int64) * (1, 1 << 8, 1 << 16)).sum(-1)
        values, index = np.unique(ids, return_inverse=True)
        segments = {segment.id: segment for segment in one.segments_info}
        if unknown := sorted(set(values.tolist()) - segments.keys() - {0}):
            raise DataError(f"{there[0]}: segments {unknown[:10]} are not in segments_info")
        places = ndimage.find_objects(index.reshape(height, width) + 1)
        for number, (value, box) in enumerate(zip(values.tolist(), places, strict=True)):
            segment = segments.get(value)
            if not value or segment is None or (segment.iscrowd and self._options.crowd == "skip"):
                continue
            bitmap = index.reshape(height, width)[box] == number
            corner = np.array([[box[1].start, box[0].start]], dtype=float)
            crowd = bool(segment.iscrowd) and self._options.crowd == "void"
            label = self._label(segment.category_id)
            yield Shape(label, "mask", (corner,), bitmap=bitmap, crowd=crowd)


def _unpacked(runs: _Runs, height: int, width: int) -> tuple[int, int, np.ndarray]:
    require_pixels(*runs.size)
    if tuple(runs.size) != (height, width):
        raise DataError(
            f"RLE of {runs.size[0]} x {runs.size[1]} pixels (H x W), the image has others"
        )
    counts = unpack_counts(runs.counts) if isinstance(runs.counts, str) else runs.counts
    return decode(counts, height, width)


def _rings(written: Any, limits: Limits) -> list[np.ndarray]:
    """Return the parts of a polygon: a list of flat lists, or, as some tools write it, one flat list."""
    if written is None:
        return []
    if not isinstance(written, list):
        raise DataError(f"segmentation is a list or RLE, got {type(written).__name__}")
    parts = [written] if written and not isinstance(written[0], list) else written
    rings = [pairs(part, limits) for part in parts]
    return [one for one in rings if len(one) > 2]


def _annotation(shape: Shape, image: LabelledImage, labels: LabelSpace) -> dict[str, Any]:
    names = [*labels.class_names, _VOID]
    content: dict[str, Any] = {"category_id": names.index(shape.label) + 1, "iscrowd": 0}
    if shape.bitmap is not None:
        left, top = (int(number) for number in shape.rings[0][0])
        runs = encode(left, top, shape.bitmap, image.height, image.width)
        rows, columns = shape.bitmap.shape
        size = [image.height, image.width]
        return content | {
            "segmentation": {"size": size, "counts": pack_counts(runs)},
            "area": int(shape.bitmap.sum()),
            "bbox": [left, top, columns, rows],
        }
    points = np.concatenate(shape.rings)
    low, high = points.min(0), points.max(0)
    return content | {
        "segmentation": [one.reshape(-1).tolist() for one in shape.rings],
        "area": drawn_area(shape, Coco.drawing, image.height, image.width),
        "bbox": [*low.tolist(), *(high - low).tolist()],
    }
