"""Label Studio: a JSON file of tasks, each an image with its annotations or predictions.

- Rasteriser: that of pycocotools; whole numbers are pixel corners. Coordinates are percent of width and
  height. Rectangles turn clockwise about their upper left corner, ellipses (as outlines of 128 vertices)
  about their centre. Key points and lines have no area: they are counted and left out.
- Masks: brush strokes, a bit stream of the whole image as RGBA, of which alpha counts.
- Order: that of the results; later ones cover earlier ones.
- Holes: polygons have none; an object in the hole is drawn later, an empty hole makes a brush.
- Parts: a region is an object. Crowd: not known to Label Studio.
- Unlabelled: pixels of no region; the user says what they are. Names and colours: from the labelling
  configuration (`label_config.xml`) beside the tasks, where there is one.
- Not annotated: a task without annotations, or with skipped ones alone. Annotated as empty: its annotation
  has no regions. Where a task has several, the option `several` says which counts.
- EXIF: Label Studio shows images upright; regions on an image turned by its own tool are refused.

References:
    Label Studio, task format: https://labelstud.io/guide/task_format
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree import ElementTree as Xml

import numpy as np

from seglab.annotations.brush_rle import decode_brush, encode_brush
from seglab.annotations.drawing import Drawing
from seglab.annotations.format import AnnotationFormat, LabelledImage
from seglab.annotations.options import LabelStudioOptions
from seglab.annotations.rasterise import CornerCanvas
from seglab.annotations.reading import Limits, Record, Tree, reasons_named, require_pixels, ring
from seglab.annotations.shapes import AnnotatedImage, Annotations, Shape
from seglab.core.disk.files import atomic_path, write_json
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace

_CONFIG = "label_config.xml"
_LOCAL = "/data/local-files/?d="
_VERTICES = 128
# What Label Studio puts before the name of a file that was uploaded.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
_REGIONS = ("rectangle", "ellipse", "polygon", "brush", "keypoint")
_LABEL_KEYS = ("labels", *(f"{one}labels" for one in _REGIONS))


class _Task(Record):
    data: dict[str, Any]
    # Exports name by their ids alone what was not asked for.
    annotations: list[dict[str, Any] | int] = []  # noqa: RUF012 - a declaration
    predictions: list[dict[str, Any] | int] = []  # noqa: RUF012
    id: int | str | None = None


class _Result(Record):
    type: str
    value: dict[str, Any] = {}  # noqa: RUF012
    id: str | None = None
    original_width: int = 0
    original_height: int = 0
    image_rotation: float = 0.0


class _Rectangle(Record):
    x: float
    y: float
    width: float
    height: float
    rotation: float = 0.0


class _Ellipse(Record):
    x: float
    y: float
    radiusX: float  # noqa: N815 - Label Studio's name
    radiusY: float  # noqa: N815
    rotation: float = 0.0


class LabelStudio(AnnotationFormat):
    """Label Studio's tasks, see the module."""

    drawing: ClassVar[Drawing] = Drawing(CornerCanvas)
    declared = LabelStudioOptions
    unannotated: ClassVar[str] = "a task without annotations"

    def __init__(self, options: LabelStudioOptions | None = None) -> None:
        super().__init__(options)
        self._written: list[dict[str, Any]] = []

    def read(self, tree: Tree) -> Annotations:
        """Read every JSON file that is a list of tasks."""
        found = Annotations()
        listed: dict[str, str] = {}
        for file in tree.files(".json"):
            try:
                content = tree.json(file)
            except DataError as error:
                found.faults[file] = str(error)
                continue
            if not _are_tasks(content):
                continue
            found.sources.append(file)
            for number, one in enumerate(content):
                self._task(tree, file, number, one, found, listed)
        if not found.sources and not found.faults:
            raise DataError(f"no Label Studio file (JSON list of tasks) below {tree.root}")
        _read_config(tree, found)
        rest = [image for image in tree.images if image not in listed]
        found.images += [AnnotatedImage(image, lambda _h, _w: [], False) for image in rest]
        return found

    def _task(
        self,
        tree: Tree,
        file: str,
        number: int,
        content: Any,
        found: Annotations,
        listed: dict[str, str],
    ) -> None:
        where = f"{file}: task {number}"
        image = None
        try:
            task = _Task.of(content, where)
            image = next(
                filter(None, (_image(tree, one, file) for one in task.data.values())), None
            )
            if image is None:
                texts = [str(one)[:200] for one in task.data.values()]
                raise DataError(f"{where}: its image is not below {tree.root}: {', '.join(texts)}")
            if image in listed:
                raise DataError(f"{where}: {image} is in {listed[image]} too")
            listed[image] = where
            chosen = self._chosen(task, where)
        except DataError as error:
            found.faults[image if image and image not in found.faults else where] = str(error)
            return
        results = chosen.get("result") if chosen is not None else None
        load = functools.partial(_load, results or [], where, tree.limits)
        found.images.append(AnnotatedImage(image, load, chosen is not None, source=file))

    def _chosen(self, task: _Task, where: str) -> dict[str, Any] | None:
        part = task.annotations if self.options.part == "annotations" else task.predictions
        whole = [one for one in part if not isinstance(one, int)]
        if len(whole) < len(part):
            raise DataError(
                f"{where}: its {self.options.part} are ids alone; export a snapshot with "
                f"{self.options.part}.only_id false"
            )
        done = [one for one in whole if not one.get("was_cancelled")]
        if len(done) > 1 and self.options.several == "refuse":
            raise DataError(
                f"{where}: {len(done)} {self.options.part}; say which one counts with several=first or "
                "several=last"
            )
        if not done:
            return None
        return done[0 if self.options.several == "first" else -1]

    def write(self, folder: Path, image: LabelledImage, labels: LabelSpace) -> None:
        """Keep the task of an image until `finish`."""
        entry: dict[str, Any] = {"result": []}
        for number, shape in enumerate(image.shapes or ()):
            entry["result"].append(_written(shape, number, image))
        if self.options.part == "predictions":
            entry["model_version"] = "seglab"
        task: dict[str, Any] = {
            "id": len(self._written) + 1,
            "data": {"image": _LOCAL + quote(image.image)},
            self.options.part: [] if image.shapes is None else [entry],
        }
        self._written.append(task)

    def finish(self, folder: Path, labels: LabelSpace) -> None:
        """Write tasks.json and the labelling configuration that a project needs for it."""
        write_json(folder / "tasks.json", self._written)
        self._written = []
        view = Xml.Element("View")
        Xml.SubElement(view, "Image", name="image", value="$image", zoom="true")
        for tag in ("BrushLabels", "PolygonLabels"):
            control = Xml.SubElement(view, tag, name=tag[:-6].lower(), toName="image")
            for name, colour in zip(labels.class_names, labels.palette, strict=True):
                written = "#{:02x}{:02x}{:02x}".format(*colour)
                Xml.SubElement(control, "Label", value=name, background=written)
        with atomic_path(folder / _CONFIG) as temporary:
            Xml.ElementTree(view).write(temporary, encoding="utf-8")


def _are_tasks(content: Any) -> bool:
    return isinstance(content, list) and any(
        isinstance(one, dict) and "data" in one for one in content
    )


def _read_config(tree: Tree, found: Annotations) -> None:
    if not (tree.root / _CONFIG).is_file():
        return
    found.sources.append(_CONFIG)
    try:
        view = tree.xml(_CONFIG)
    except DataError as error:
        found.faults[_CONFIG] = str(error)
        return
    labels = {one.get("value", ""): one.get("background", "") for one in view.iter("Label")}
    labels.pop("", None)
    found.class_names = tuple(labels)
    palette = {}
    for name, colour in labels.items():
        if re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
            red, green, blue = bytes.fromhex(colour[1:])
            palette[name] = (red, green, blue)
    found.palette = palette


def _image(tree: Tree, written: Any, file: str) -> str | None:
    """Return the image that a value of a task names: a path, an upload, a local file or a URL."""
    if not isinstance(written, str) or len(written) > 4096:
        return None
    try:
        parts = urlsplit(written)
        local = parse_qs(parts.query).get("d", [])
    except ValueError:
        return None
    for name in (*local, written, unquote(parts.path)):
        folder, _, last = name.rpartition("/")
        for one in (name, f"{folder}/{_UPLOADED.sub('', last)}"):
            if image := tree.image(one, file):
                return image
    return None


def _load(results: Any, where: str, limits: Limits, height: int, width: int) -> list[Shape]:
    if not isinstance(results, list):
        raise DataError(f"{where}: expected a list of results")
    if len(results) > limits.shapes:
        raise DataError(f"{where}: {len(results):,} results, more than {limits.shapes:,}")
    return list(_shapes(results, where, limits, height, width))


def _shapes(
    results: list[Any], where: str, limits: Limits, height: int, width: int
) -> Iterator[Shape]:
    read = [_Result.of(one, f"{where}: result {number}") for number, one in enumerate(results)]
    # A general `Labels` tag writes a region twice: its geometry, and its label under the same id.
    named = {one.id: label for one in read if one.id and (label := _labels(one))}
    seen: set[str] = set()
    for number, one in enumerate(read):
        kind = one.type.removesuffix("labels") or _kind_of(one.value)
        if kind not in _REGIONS or (one.id is not None and one.id in seen):
            continue
        seen |= {one.id} if one.id is not None else set()
        place = f"{where}: result {number} ({one.type})"
        stated = (one.original_height, one.original_width)
        if stated != (height, width):
            raise DataError(
                f"{place}: drawn on an image of {stated[0]} x {stated[1]} pixels (H x W), the image is "
                f"{height} x {width} upright"
            )
        if one.image_rotation % 360:
            raise DataError(f"{place}: drawn on the image turned by {one.image_rotation:g} degrees")
        labels = _labels(one) or named.get(one.id or "", [])
        if len(labels) != 1:
            raise DataError(f"{place}: expected one label, got {labels or 'none'}")
        with reasons_named(place):
            yield _shape(kind, one.value, labels[0], limits, height, width)


def _labels(one: _Result) -> list[str]:
    found = [one.value[key] for key in _LABEL_KEYS if key in one.value]
    return [str(label) for label in found[0]] if found and isinstance(found[0], list) else []


def _kind_of(value: dict[str, Any]) -> str:
    """Return the kind of a region of a general `Labels` tag."""
    for key, kind in (("rle", "brush"), ("points", "polygon"), ("radiusX", "ellipse")):
        if key in value:
            return kind
    return "rectangle" if "width" in value and "rotation" in value else ""


def _shape(
    kind: str, value: dict[str, Any], label: str, limits: Limits, height: int, width: int
) -> Shape:
    scale = np.array([width, height]) / 100
    if kind == "brush":
        require_pixels(height, width, limits)
        if value.get("format", "rle") != "rle":
            raise DataError(f"unknown format {value['format']!r} of a brush; known is rle")
        return Shape(
            label, "mask", (np.zeros((1, 2)),), bitmap=decode_brush(value["rle"], height, width)
        )
    if kind == "keypoint":
        return Shape(label, "points", (ring([[value["x"], value["y"]]], limits) * scale,))
    if kind == "polygon":
        points = ring(value["points"], limits) * scale
        if len(points) < 3:
            raise DataError(f"a polygon has 3 points or more, got {len(points)}")
        return Shape(label, "polygon", (points,))
    if kind == "ellipse":
        one = _Ellipse.of(value, kind)
        angles = np.linspace(0, 2 * np.pi, _VERTICES, endpoint=False)
        rim = np.stack([one.radiusX * np.cos(angles), one.radiusY * np.sin(angles)], 1) * scale
        return _turned(label, rim, np.array([one.x, one.y]) * scale, one.rotation, limits)
    box = _Rectangle.of(value, kind)
    corners = np.array([[0, 0], [box.width, 0], [box.width, box.height], [0, box.height]]) * scale
    return _turned(label, corners, np.array([box.x, box.y]) * scale, box.rotation, limits)


def _turned(
    label: str, points: np.ndarray, origin: np.ndarray, degrees: float, limits: Limits
) -> Shape:
    """Return an outline turned clockwise about 0 and moved to its origin."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return Shape(label, "polygon", (ring(points @ turn + origin, limits),))


def _written(shape: Shape, number: int, image: LabelledImage) -> dict[str, Any]:
    height, width = image.height, image.width
    kind = "polygon" if shape.bitmap is None else "brush"
    value: dict[str, Any] = {f"{kind}labels": [shape.label]}
    points = shape.rings[0]
    if shape.bitmap is None:
        value["points"] = (points * 100 / [width, height]).tolist()
        value["closed"] = True
    else:
        whole = np.zeros((height, width), bool)
        (left, top), (rows, columns) = points[0].astype(int).tolist(), shape.bitmap.shape
        whole[top : top + rows, left : left + columns] = shape.bitmap
        value |= {"format": "rle", "rle": encode_brush(whole)}
    return {
        "id": f"region{number}",
        "type": f"{kind}labels",
        "from_name": kind,
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": value,
    }
