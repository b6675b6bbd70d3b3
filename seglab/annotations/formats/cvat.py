"""CVAT for images 1.1 and for video 1.1: one XML file of all images, or of the tracks of a video.

- Rasteriser: that of pycocotools; whole numbers are pixel corners. Boxes turn clockwise about their
  centre; ellipses are OpenCV's, rounded to whole pixels. Polylines and points have no area: they are
  drawn where `line_width` is given, else counted and left out. Tags are no shapes.
- Masks: runs along the rows of their box, zeros first. One is written per connected region.
- Order: `z_order`, higher is nearer; among equals that of the file. Later shapes cover earlier ones.
- Holes: polygons have none; an object in the hole is drawn later, an empty hole makes a mask.
- Parts: `group_id` joins shapes to one object. Crowd: not known to CVAT.
- Unlabelled: pixels of no shape; the user says what they are. Names and colours: from `meta`.
- Video: a frame's image is the one whose name ends in its number (`frame_000012.png`). Between keyframes
  that are listed a box, an ellipse, and an outline of as many vertices move in a straight line; a mask
  stays. After the last one a shape stays until the video ends; `outside` hides it.
- Not annotated: the image is not listed. Annotated as empty: it is listed without shapes.
- EXIF: CVAT shows images upright, so coordinates are those of the upright image.

References:
    CVAT, XML format: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree as Xml

import numpy as np

from seglab.annotations.drawing import Drawing
from seglab.annotations.format import AnnotationFormat, LabelledImage
from seglab.annotations.formats.cvat_track import Track, frame_shapes, vertices
from seglab.annotations.options import CvatOptions
from seglab.annotations.rasterise import CornerCanvas, rotated_box
from seglab.annotations.reading import Limits, Record, Tree, reasons_named, require_pixels, ring
from seglab.annotations.shapes import AnnotatedImage, Annotations, Shape
from seglab.core.disk.files import atomic_path
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace

_FILE = "annotations.xml"
_IMAGES = "images"
_SHAPES = ("polygon", "polyline", "points", "box", "ellipse", "mask")
_NO_SHAPE = ("tag", "attribute")
SPLITS = {"train": "train", "validation": "val", "val": "val", "test": "test"}


class _Size(Record):
    name: str = ""
    width: int
    height: int
    subset: str = ""


class _Box(Record):
    xtl: float
    ytl: float
    xbr: float
    ybr: float
    rotation: float = 0.0


class _Ellipse(Record):
    cx: float
    cy: float
    rx: float
    ry: float
    rotation: float = 0.0


class _Mask(Record):
    rle: str
    left: int
    top: int
    width: int
    height: int


class _Common(Record):
    label: str
    z_order: int = 0
    group_id: int | None = None


class Cvat(AnnotationFormat):
    """CVAT's XML, see the module."""

    drawing: ClassVar[Drawing] = Drawing(CornerCanvas)
    declared = CvatOptions
    image_folder = _IMAGES
    unannotated: ClassVar[str] = "not in the XML file"

    def __init__(self, options: CvatOptions | None = None) -> None:
        super().__init__(options)
        self._written: list[Xml.Element] = []

    def read(self, tree: Tree) -> Annotations:
        """Read every XML file whose root is `annotations`."""
        found = Annotations()
        of_image: dict[str, str] = {}
        names: dict[str, None] = {}
        for file in tree.files(".xml"):
            try:
                root = tree.xml(file)
                if root.tag != "annotations":
                    continue
                found.sources.append(file)
                names |= dict.fromkeys(_declared(root, found))
                listed = [*self._images(tree, file, root), *self._frames(tree, file, root)]
            except DataError as error:
                found.faults[file] = str(error)
                continue
            for one in listed:
                if not one.image:
                    found.faults[one.source] = f"{file}: its image {one.source!r} is not there"
                elif one.image in of_image:
                    found.faults[one.image] = f"{one.image}: listed twice, in {file} too"
                else:
                    of_image[one.image] = file
                    found.images.append(one)
        if not found.sources and not found.faults:
            raise DataError(f"no CVAT file (XML with `annotations` as its root) below {tree.root}")
        rest = [image for image in tree.images if image not in of_image]
        found.images += [AnnotatedImage(image, lambda _h, _w: [], False) for image in rest]
        found.class_names = tuple(names)
        return found

    def _images(self, tree: Tree, file: str, root: Any) -> Iterable[AnnotatedImage]:
        for element in root.findall("image"):
            size = _Size.of(element.attrib, f"{file}: image {element.get('name', '')!r}")
            image = tree.image(size.name, file) or tree.image(f"{_IMAGES}/{size.name}", file)
            where = f"{file}: {size.name}"
            elements = [(one.tag, one.attrib) for one in element]
            load = functools.partial(_load, elements, size, where, tree.limits)
            split = SPLITS.get(size.subset.lower())
            # An image that is not there keeps its written name, for the list of faults.
            yield AnnotatedImage(image or "", load, True, split, file if image else size.name)

    def _frames(self, tree: Tree, file: str, root: Any) -> Iterable[AnnotatedImage]:
        tracks = [Track.of_element(element, file) for element in root.findall("track")]
        if not tracks:
            return
        stated = root.find("./meta//original_size")
        content = {} if stated is None else {one.tag: (one.text or "") for one in stated}
        size = _Size.of(content, f"{file}: meta/original_size")
        numbers = {image: _number(image) for image in tree.images}
        last = max((track.last for track in tracks), default=0)
        length = root.findtext("./meta//size") or ""
        end = int(length) if re.fullmatch(r"\d{1,9}", length) else last + 1
        for image, number in numbers.items():
            if number is not None and number < max(end, 1):
                load = functools.partial(
                    _load_frame, tracks, number, size, f"{file}: frame {number}", tree.limits
                )
                yield AnnotatedImage(image, load, True, None, file)

    def write(self, folder: Path, image: LabelledImage, labels: LabelSpace) -> None:
        """Keep the element of an image until `finish`; none for one that nobody annotated."""
        if image.shapes is None:
            return
        element = Xml.Element(
            "image",
            id=str(len(self._written)),
            name=image.image.removeprefix(f"{_IMAGES}/"),
            width=str(image.width),
            height=str(image.height),
            subset=image.split,
        )
        for order, shape in enumerate(image.shapes):
            element.append(_element(shape, order))
        self._written.append(element)

    def finish(self, folder: Path, labels: LabelSpace) -> None:
        """Write annotations.xml, with the names and colours of the classes."""
        root = Xml.Element("annotations")
        Xml.SubElement(root, "version").text = "1.1"
        task = Xml.SubElement(Xml.SubElement(root, "meta"), "task")
        Xml.SubElement(task, "size").text = str(len(self._written))
        declared = Xml.SubElement(task, "labels")
        for name, colour in zip(labels.class_names, labels.palette, strict=True):
            label = Xml.SubElement(declared, "label")
            Xml.SubElement(label, "name").text = name
            Xml.SubElement(label, "color").text = "#{:02x}{:02x}{:02x}".format(*colour)
        root.extend(self._written)
        self._written = []
        with atomic_path(folder / _FILE) as temporary:
            Xml.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def _declared(root: Any, found: Annotations) -> list[str]:
    """Return the names that `meta` declares, and note their colours."""
    names = []
    palette = dict(found.palette)
    for label in root.findall("./meta//labels/label"):
        name = (label.findtext("name") or "").strip()
        if not name:
            continue
        names.append(name)
        colour = (label.findtext("color") or "").strip()
        if re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
            red, green, blue = bytes.fromhex(colour[1:])
            palette[name] = (red, green, blue)
    found.palette = palette
    return names


def _number(image: str) -> int | None:
    digits = re.search(r"(\d{1,12})$", Path(image).stem)
    return int(digits.group(1)) if digits else None


def _require_size(size: _Size, height: int, width: int, where: str) -> None:
    if (size.height, size.width) != (height, width):
        raise DataError(
            f"{where}: drawn on an image of {size.height} x {size.width} pixels (H x W), the image is "
            f"{height} x {width} upright"
        )


def _load(
    elements: list[tuple[str, Mapping[str, str]]],
    size: _Size,
    where: str,
    limits: Limits,
    height: int,
    width: int,
) -> list[Shape]:
    _require_size(size, height, width, where)
    drawn = []
    for number, (tag, content) in enumerate(elements):
        if tag in _NO_SHAPE:
            continue
        place = f"{where}: shape {number} ({tag})"
        common = _Common.of(content, place)
        with reasons_named(place):
            drawn.append((common.z_order, _shape(tag, content, common, limits)))
    return [shape for _, shape in sorted(drawn, key=lambda one: one[0])]


def _load_frame(
    tracks: list[Track],
    frame: int,
    size: _Size,
    where: str,
    limits: Limits,
    height: int,
    width: int,
) -> list[Shape]:
    with reasons_named(where):
        elements = frame_shapes(tracks, frame)
    return _load(elements, size, where, limits, height, width)


def _shape(tag: str, content: Mapping[str, str], common: _Common, limits: Limits) -> Shape:
    label, group = common.label, common.group_id
    if tag == "box":
        box = _Box.of(content, tag)
        ring([[box.xtl, box.ytl], [box.xbr, box.ybr]], limits)
        corners = rotated_box(box.xtl, box.ytl, box.xbr, box.ybr, box.rotation)
        return Shape(label, "polygon", (corners,), group=group)
    if tag == "ellipse":
        one = _Ellipse.of(content, tag)
        rings = ring([[one.cx, one.cy], [one.rx, one.ry]], limits)
        return Shape(label, "ellipse", (rings,), rotation=one.rotation, group=group)
    if tag == "mask":
        mask = _Mask.of(content, tag)
        corner = ring([[mask.left, mask.top]], limits)
        return Shape(label, "mask", (corner,), bitmap=decode_runs(mask, limits), group=group)
    kinds: dict[str, Any] = {"polygon": "polygon", "polyline": "line", "points": "points"}
    if tag not in kinds:
        raise DataError(f"cannot be drawn; known are {', '.join(_SHAPES)}")
    points = ring(vertices(content.get("points", "")), limits)
    if tag == "polygon" and len(points) < 3:
        raise DataError(f"a polygon has 3 points or more, got {len(points)}")
    return Shape(label, kinds[tag], (points,), group=group)


def decode_runs(mask: _Mask, limits: Limits) -> np.ndarray:
    """Return the bitmap `(height, width)` of runs along its rows, zeros first.

    Raises:
        DataError: They are not numbers, or do not fill the box.
    """
    require_pixels(mask.height, mask.width, limits)
    words = mask.rle.split(",")
    if len(words) > mask.height * mask.width + 1:
        raise DataError(f"{len(words):,} runs, more than the box has pixels")
    if not all(word.strip().isdecimal() and len(word) < 12 for word in words):
        raise DataError("expected runs as whole numbers with commas between")
    runs = np.array([int(word) for word in words], np.int64)
    if int(runs.sum()) != mask.height * mask.width:
        raise DataError(
            f"the runs cover {int(runs.sum()):,} pixels, the box has {mask.height * mask.width:,}"
        )
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(mask.height, mask.width)


def encode_runs(bitmap: np.ndarray) -> list[int]:
    """Return the runs of a bitmap `(h, w)` along its rows, zeros first."""
    flat = np.concatenate([[False], bitmap.reshape(-1), [not bitmap.reshape(-1)[-1]]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(run) for run in np.diff(changes, prepend=0)]


def _element(shape: Shape, order: int) -> Xml.Element:
    points = shape.rings[0]
    common = {"label": shape.label, "source": "manual", "occluded": "0", "z_order": str(order)}
    if shape.bitmap is None:
        written = ";".join(f"{x:.10g},{y:.10g}" for x, y in points.tolist())
        return Xml.Element("polygon", {**common, "points": written})
    height, width = shape.bitmap.shape
    place = {"left": int(points[0, 0]), "top": int(points[0, 1]), "width": width, "height": height}
    runs = ", ".join(map(str, encode_runs(shape.bitmap)))
    written_place = {key: str(value) for key, value in place.items()}
    return Xml.Element("mask", {**common, "rle": runs, **written_place})
