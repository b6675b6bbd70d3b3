"""YOLO polygons (Ultralytics): a text file of outlines an image, and data.yaml with the names.

- Rasteriser: OpenCV's `fillPoly`; x times width, y times height, cut to whole pixels, edges inclusive. Lines
  of five numbers are boxes (centre and size) of the detection task, drawn as such.
- Order: smaller over larger, by the pixels that each covers alone, however the lines are sorted.
- Holes: polygons have none; an object in the hole is smaller and so on top. A hole with nothing in it
  is written as an outline of the class `void`, or of the class that unlabelled pixels are.
- Masks: none. Parts: a line is an object; parts become several. Crowd: not known to YOLO.
- Unlabelled: pixels of no outline; the user says what they are. Names: `names` in data.yaml (or the lines
  of classes.txt); `void` does not count.
- Not annotated: there is no text file. Annotated as empty: it is empty.
- Splits: the folders and lists that data.yaml names; images in none of them are left out. Text files lie in
  `labels` beside `images`, or beside the image.

References:
    Ultralytics, segmentation data sets: https://docs.ultralytics.com/datasets/segment/
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml

from seglab.annotations.data_yaml import DataYaml, has_names, read_data_yaml
from seglab.annotations.drawing import Drawing, drawn_area
from seglab.annotations.format import AnnotationFormat, LabelledImage
from seglab.annotations.options import YoloOptions
from seglab.annotations.rasterise import GridCanvas
from seglab.annotations.reading import Limits, Tree, pairs, reasons_named
from seglab.annotations.shapes import AnnotatedImage, Annotations, Shape
from seglab.core.disk.files import write_text
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace

_VOID = "void"
_DATA, _CLASSES = "data.yaml", "classes.txt"
_BOX = 4


class Yolo(AnnotationFormat):
    """YOLO's text files, see the module."""

    drawing: ClassVar[Drawing] = Drawing(GridCanvas, has_masks=False, by_area=True)
    declared = YoloOptions
    image_folder = "images/{split}"
    unannotated: ClassVar[str] = "no text file"

    def __init__(self, options: YoloOptions | None = None) -> None:
        super().__init__(options)
        self._splits: set[str] = set()
        self._has_void = False

    def read(self, tree: Tree) -> Annotations:
        """Read data.yaml, and the text file of every image."""
        data = self._data(tree)
        found = Annotations(void=frozenset({_VOID}), sources=[data.file, *data.lists])
        found.notes += [f"{data.file}: {place} is not there" for place in data.lost]
        found.class_names = tuple(name for name in data.names if name != _VOID)
        is_any, left_out = False, 0
        for image in tree.images:
            split = data.split_of(image)
            if split is None and data.places:
                left_out += 1
                continue
            source = _beside(tree, image)
            found.sources.append(source)
            is_there = (tree.root / source).is_file()
            is_any |= is_there
            load = functools.partial(self._load, tree, source if is_there else "", data.names)
            found.images.append(AnnotatedImage(image, load, is_there, split, source))
        if left_out:
            found.notes.append(f"{left_out} images are in no split of {data.file} and left out")
        if not is_any:
            raise DataError(
                f"no YOLO text files of the images below {tree.root}; masks that are PNG are read by the "
                "importer folder"
            )
        return found

    def _data(self, tree: Tree) -> DataYaml:
        """Return what the file with the names says.

        Raises:
            DataError: There is none, or several have names.
        """
        given = self.options.data
        files = [given] if given else tree.files(".yaml", ".yml")
        told = [file for file in files if has_names(tree, file)]
        if len(told) > 1:
            raise DataError(
                f"{', '.join(told)} all have names; say which counts with the option data"
            )
        if told:
            return read_data_yaml(tree, told[0])
        if not given and (tree.root / _CLASSES).is_file():
            lines = tree.text(_CLASSES).splitlines()
            return DataYaml(_CLASSES, [line.strip() for line in lines if line.strip()])
        without = f"; {', '.join(files)} has none" if files else ""
        raise DataError(
            f"no YOLO data below {tree.root}: expected {given or _DATA} with `names`, such as "
            f"names: [road, car], or {_CLASSES}{without}"
        )

    def _load(
        self, tree: Tree, file: str, names: list[str], height: int, width: int
    ) -> list[Shape]:
        if not file:
            return []
        lines = [line.split() for line in tree.text(file).splitlines() if line.strip()]
        if len(lines) > tree.limits.shapes:
            raise DataError(f"{file}: {len(lines):,} outlines, more than are read")
        shapes = []
        for number, line in enumerate(lines, 1):
            with reasons_named(f"{file}: line {number}"):
                shapes.append(_shape(line, names, height, width, tree.limits))
        return sorted(shapes, key=lambda one: -drawn_area(one, self.drawing, height, width))

    def write(self, folder: Path, image: LabelledImage, labels: LabelSpace) -> None:
        """Write the text file of an image; none for one that nobody annotated."""
        self._splits.add(image.split)
        if image.shapes is None:
            return
        names = [*labels.class_names, _VOID]
        lines = []
        for shape in image.shapes:
            self._has_void |= shape.label == _VOID
            scaled = shape.rings[0] / (image.width, image.height)
            numbers = " ".join(f"{number:.9g}" for number in scaled.reshape(-1).tolist())
            lines.append(f"{names.index(shape.label)} {numbers}\n")
        path = f"labels/{image.stem.removeprefix('images/')}.txt"
        write_text(folder / path, "".join(lines))

    def finish(self, folder: Path, labels: LabelSpace) -> None:
        """Write data.yaml."""
        names = [*labels.class_names, *([_VOID] if self._has_void else [])]
        content: dict[str, Any] = {
            "path": ".",
            **{
                split: f"images/{split}"
                for split in ("train", "val", "test")
                if split in self._splits
            },
            "names": dict(enumerate(names)),
        }
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        write_text(folder / _DATA, text)


def _beside(tree: Tree, image: str) -> str:
    """Return where the text file of an image is, or would be."""
    stem = Path(image).with_suffix(".txt").as_posix()
    before, found, after = f"/{stem}".rpartition("/images/")
    if found:
        labels = f"{before}/labels/{after}".removeprefix("/")
        if (tree.root / labels).is_file() or not (tree.root / stem).is_file():
            return labels
    return stem


def _shape(line: list[str], names: list[str], height: int, width: int, limits: Limits) -> Shape:
    if len(line) > 2 * limits.points:
        raise DataError(f"more than {limits.points:,} vertices")
    index = int(line[0])
    if not 0 <= index < len(names):
        raise DataError(f"class {index} is not among the {len(names)} names")
    numbers = [float(one) for one in line[1:]]
    # As the tool: in single precision, cut off.
    size = np.array([width, height], np.float32)
    if len(numbers) == _BOX:
        x, y, columns, rows = numbers
        corners = [x - columns / 2, y - rows / 2, x + columns / 2, y + rows / 2]
        scaled = pairs(corners, limits).astype(np.float32) * size
        return Shape(names[index], "box", (np.trunc(scaled).astype(float),))
    points = pairs(numbers, limits)
    if len(points) < 3:
        raise DataError(f"an outline has 3 points or more, got {len(points)}")
    scaled = np.trunc(points.astype(np.float32) * size).astype(float)
    if np.abs(scaled).max() > limits.reach:
        raise DataError(f"a vertex farther than {limits.reach:,.0f} pixels away; expected 0 to 1")
    return Shape(names[index], "polygon", (scaled,))
