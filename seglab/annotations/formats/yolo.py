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
- Splits: the folders and lists that data.yaml names. Text files lie in `labels` beside `images`, or beside
  the image.

References:
    Ultralytics, segmentation data sets: https://docs.ultralytics.com/datasets/segment/
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml

from seglab.annotations.drawing import Drawing, drawn_area
from seglab.annotations.format import AnnotationFormat, LabelledImage
from seglab.annotations.options import YoloOptions
from seglab.annotations.rasterise import GridCanvas
from seglab.annotations.reading import Limits, Tree, pairs, reasons_named
from seglab.annotations.shapes import AnnotatedImage, Annotations, Shape
from seglab.core.disk.files import write_text
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.core.text.yaml_words import read_yaml_words, whole_number

_VOID = "void"
_DATA, _CLASSES = "data.yaml", "classes.txt"
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_BOX = 4
_LARGEST_YAML = 1 << 22


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
        file, names, places = self._data(tree)
        found = Annotations(void=frozenset({_VOID}), sources=[file])
        found.class_names = tuple(name for name in names if name != _VOID)
        is_any = False
        for image in tree.images:
            source = _beside(tree, image)
            found.sources.append(source)
            is_there = (tree.root / source).is_file()
            is_any |= is_there
            load = functools.partial(self._load, tree, source if is_there else "", names)
            split = next((split for place, split in places if _holds(place, image)), None)
            found.images.append(AnnotatedImage(image, load, is_there, split, source))
        if not is_any:
            raise DataError(f"no YOLO text files of the images below {tree.root}")
        return found

    def _data(self, tree: Tree) -> tuple[str, list[str], list[tuple[str, str]]]:
        """Return the file with the names, the names, and which place holds which split."""
        given = self.options.data
        files = [given] if given else tree.files(".yaml", ".yml")
        told = []
        for file in files:
            content = _yaml(tree, file)
            if isinstance(content, dict) and "names" in content:
                told.append((file, content))
        if len(told) > 1:
            raise DataError(
                f"{', '.join(file for file, _ in told)} all have names; say which counts with the "
                "option data"
            )
        if told:
            file, content = told[0]
            with reasons_named(file):
                words = read_yaml_words(tree.bytes(file))
                return (
                    file,
                    _names(content["names"], words.get("names")),
                    list(_places(tree, file, content)),
                )
        if not given and (tree.root / _CLASSES).is_file():
            lines = tree.text(_CLASSES).splitlines()
            return _CLASSES, [line.strip() for line in lines if line.strip()], []
        raise DataError(
            f"no YOLO data below {tree.root}: expected {given or _DATA} with `names`, or {_CLASSES}"
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


def _yaml(tree: Tree, file: str) -> Any:
    content = tree.bytes(file)
    if len(content) > _LARGEST_YAML:
        raise DataError(
            f"{file}: {len(content):,} bytes, more than {_LARGEST_YAML:,} for such a file"
        )
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: not YAML: {str(error)[:200]}") from error


def _names(content: Any, written: Any) -> list[str]:
    """Return the names of classes 0, 1, ...; data.yaml has a list, or a mapping from the index.

    Args:
        content: As YAML reads it, and the tool.
        written: The same with every word as it stands in the file.
    """
    if not isinstance(content, dict | list) or type(written) is not type(content):
        raise DataError("names: expected a list of names, or a mapping from 0, 1, ... to them")
    pairs_of = list(written.items()) if isinstance(written, dict) else list(enumerate(written))
    indices = [key if isinstance(key, int) else whole_number(key) for key, _ in pairs_of]
    order = sorted(index for index in indices if index is not None)
    if order != list(range(len(pairs_of))):
        told = ", ".join(str(key)[:20] for key, _ in pairs_of[:20])
        raise DataError(f"names: expected the indices 0, 1, ..., got {told}")
    names = {index: word for index, (_, word) in zip(indices, pairs_of, strict=True)}
    read = content.values() if isinstance(content, dict) else content
    wrong = [
        f"{index}: {word}"
        for (index, word), one in zip(names.items(), read, strict=True)
        if not isinstance(one, str) or not one.strip()
    ]
    if wrong:
        raise DataError(
            f"names: expected texts, got {', '.join(wrong)[:200]}; a name that YAML reads as a number, "
            "a date, yes or no, or nothing needs quotes, such as 'no'"
        )
    return [str(names[index]) for index in order]


def _places(tree: Tree, file: str, content: dict[str, Any]) -> Any:
    """Yield folder or image below the root, and its split."""
    folder = file.rpartition("/")[0]
    root = str(content.get("path") or "")
    for key, split in _SPLITS.items():
        written = content.get(key) or []
        for one in written if isinstance(written, list) else [written]:
            listed = [str(one)]
            if str(one).endswith(".txt"):
                name = _below(tree, folder, root, str(one))
                listed = tree.text(name).splitlines() if name else []
            for entry in listed:
                below = _below(tree, folder, root, entry.strip())
                if below is not None:
                    yield below, split


def _below(tree: Tree, folder: str, root: str, written: str) -> str | None:
    """Return a folder, list or image that data.yaml names, below the tree; None: it is elsewhere.

    Files name the path of another machine, or go up one folder too many: those parts are passed over.
    """
    parts = [part for part in written.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if not parts:
        return ""
    starts = [folder, f"{folder}/{root}" if folder else root, ""]
    for start in starts:
        for first in range(len(parts)):
            kept = [part for part in start.split("/") if part not in ("", ".", "..")]
            name = "/".join([*kept, *parts[first:]])
            if (tree.root / name).exists():
                return name
    return None


def _holds(place: str, image: str) -> bool:
    return not place or image == place or image.startswith(f"{place}/")


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
