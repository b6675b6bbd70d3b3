"""CVAT segmentation mask 1.1: coloured PNG files in `SegmentationClass`, and the colours in `labelmap.txt`.

- Rasteriser: none, pixels are pixels; no order, overlap or hole is lost. A PNG of another size than the
  upright image is refused, as are colours that no label has.
- `labelmap.txt` has lines `label:r,g,b:parts:actions`; a PNG of one channel without palette holds the
  number of the line instead, from 0.
- Parts: `SegmentationObject` tells objects apart, one connected region each; it is written where an image
  has at most 255, and not read. Crowd: not known to CVAT.
- Unlabelled: pixels of the label `background` (or, where a class has this name, `unlabelled`), which need
  not be black; the user says what they are.
- Not annotated: there is no PNG. Annotated as empty: it is background all over.
- Splits: the lists in `ImageSets/Segmentation`. Images lie in `JPEGImages`, or anywhere under the same name.
- EXIF: the PNG is that of the upright image.

References:
    CVAT, segmentation mask: https://docs.cvat.ai/docs/dataset_management/formats/format-smask/
"""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from seglab.annotations.drawing import Drawing
from seglab.annotations.format import AnnotationFormat, LabelledImage
from seglab.annotations.formats.cvat import SPLITS
from seglab.annotations.options import CvatMasksOptions
from seglab.annotations.rasterise import CornerCanvas
from seglab.annotations.reading import Tree, reasons_named, require_pixels
from seglab.annotations.shapes import AnnotatedImage, Annotations, Shape
from seglab.core.disk.files import atomic_path, write_text
from seglab.core.disk.mask_png import write_mask
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace, voc_palette

_MAP = "labelmap.txt"
_CLASSES, _OBJECTS, _LISTS = "SegmentationClass", "SegmentationObject", "ImageSets/Segmentation"
_NOTHING = ("unlabelled", "background")
_VOID = "void"
_MOST_OBJECTS = 255
Colour = tuple[int, int, int]


class CvatMasks(AnnotationFormat):
    """CVAT's masks, see the module."""

    drawing: ClassVar[Drawing] = Drawing(CornerCanvas, has_polygons=False)
    declared = CvatMasksOptions
    image_folder = "JPEGImages"
    unannotated: ClassVar[str] = "no PNG"

    def __init__(self, options: CvatMasksOptions | None = None) -> None:
        super().__init__(options)
        self._lists: dict[str, list[str]] = {}
        self._used: set[str] = set()

    def read(self, tree: Tree) -> Annotations:
        """Read `labelmap.txt`, and the PNG of every image."""
        maps = [file for file in tree.files(".txt") if file.rpartition("/")[2] == _MAP]
        if len(maps) != 1:
            told = f"{len(maps)} of them: {', '.join(maps[:5])}" if maps else "none"
            raise DataError(f"expected one {_MAP} below {tree.root}, got {told}")
        colours = _label_map(tree.text(maps[0]), maps[0])
        nothing = next((name for name in _NOTHING if name in colours), "")
        base = maps[0].removesuffix(_MAP)
        found = Annotations(void=frozenset({_VOID}), palette=colours, sources=[maps[0]])
        found.class_names = tuple(name for name in colours if name not in (nothing, _VOID))
        splits = _splits(tree, base, found)
        places = (f"{base}{_CLASSES}/", f"{base}{_OBJECTS}/")
        pictures = [one for one in tree.images if not one.startswith(places)]
        images = Tree(tree.root, pictures, tree.limits)
        listed: dict[str, str] = {}
        for file in tree.files(".png"):
            if not file.startswith(places[0]):
                continue
            stem = file.removeprefix(places[0]).removesuffix(".png")
            image = images.image_of_stem(f"{base}{self.image_folder}/{stem}.png")
            found.sources.append(file)
            if image is None or image in listed:
                why = f"{image} has {listed[image]} too" if image else "its image is not there"
                found.faults[file] = f"{file}: {why}"
                continue
            listed[image] = file
            load = functools.partial(_load, tree, file, colours, nothing)
            found.images.append(AnnotatedImage(image, load, True, splits.get(stem), file))
        rest = [image for image in pictures if image not in listed]
        found.images += [AnnotatedImage(image, lambda _h, _w: [], False) for image in rest]
        return found

    def write(self, folder: Path, image: LabelledImage, labels: LabelSpace) -> None:
        """Write the PNG files of an image; none for one that nobody annotated."""
        if image.shapes is None:
            return
        colours = _colours(labels)
        coloured = np.full((image.height, image.width, 3), colours[""], np.uint8)
        objects = np.zeros((image.height, image.width), np.int32)
        for number, shape in enumerate(image.shapes, 1):
            if shape.bitmap is None:
                raise DataError("CVAT's masks hold masks alone")
            (left, top), (rows, columns) = shape.rings[0][0].astype(int), shape.bitmap.shape
            place = slice(top, top + rows), slice(left, left + columns)
            coloured[place][shape.bitmap] = colours[shape.label]
            objects[place][shape.bitmap] = number
        stem = Path(image.stem).relative_to(self.image_folder).as_posix()
        with atomic_path(folder / _CLASSES / f"{stem}.png") as temporary:
            Image.fromarray(coloured).save(temporary, format="PNG")
        if len(image.shapes) <= _MOST_OBJECTS:
            path = folder / _OBJECTS / f"{stem}.png"
            write_mask(path, objects.astype(np.uint8), voc_palette(256))
        self._lists.setdefault(image.split, []).append(stem)
        self._used |= {shape.label for shape in image.shapes}

    def finish(self, folder: Path, labels: LabelSpace) -> None:
        """Write `labelmap.txt` and the lists of the splits."""
        colours = _colours(labels)
        # CVAT calls pixels of no label `background`, as do people whose class of this name has no shapes.
        nothing = "unlabelled" if "background" in self._used else "background"
        named = {nothing: colours.pop("")}
        named |= {name: one for name, one in colours.items() if name not in (nothing, _VOID)}
        named |= {_VOID: colours[_VOID]} if _VOID in self._used else {}
        lines = [f"{name}:{red},{green},{blue}::" for name, (red, green, blue) in named.items()]
        write_text(folder / _MAP, "\n".join(["# label:color_rgb:parts:actions", *lines]) + "\n")
        for split, stems in self._lists.items():
            write_text(folder / _LISTS / f"{split}.txt", "\n".join(stems) + "\n")
        self._lists, self._used = {}, set()


def _colours(labels: LabelSpace) -> dict[str, Colour]:
    """Return the colour of each class, of nothing (`""`) and of what does not count, no two alike."""
    named: dict[str, Colour] = {}
    free = [(0, 0, 0), (224, 224, 192), *voc_palette(256)]
    for name, wanted in [
        *zip(labels.class_names, labels.palette, strict=True),
        ("", free[0]),
        (_VOID, free[1]),
    ]:
        taken = set(named.values())
        named.setdefault(name, next(one for one in (wanted, *free) if one not in taken))
    return named


def _label_map(text: str, file: str) -> dict[str, Colour]:
    colours: dict[str, Colour] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, _, rest = line.strip().partition(":")
        if not name or name.startswith("#"):
            continue
        with reasons_named(f"{file}: line {number}"):
            red, green, blue = (int(part) for part in rest.partition(":")[0].split(","))
            if not all(0 <= part <= 255 for part in (red, green, blue)):
                raise DataError(f"a colour is three numbers from 0 to 255, got {rest[:40]}")
            if (red, green, blue) in colours.values() or name in colours:
                raise DataError("this label or colour is in a line before")
            colours[name] = (red, green, blue)
    if not colours:
        raise DataError(f"{file}: holds no labels")
    return colours


def _splits(tree: Tree, base: str, found: Annotations) -> dict[str, str]:
    splits: dict[str, str] = {}
    for file in tree.files(".txt"):
        folder, _, name = file.rpartition("/")
        split = SPLITS.get(name.removesuffix(".txt").lower())
        if folder == f"{base}{_LISTS}" and split:
            found.sources.append(file)
            splits |= {line.strip(): split for line in tree.text(file).splitlines()}
    return splits


def _load(
    tree: Tree, file: str, colours: dict[str, Colour], nothing: str, height: int, width: int
) -> list[Shape]:
    with reasons_named(file), Image.open(io.BytesIO(tree.bytes(file))) as picture:
        require_pixels(picture.height, picture.width, tree.limits)
        if (picture.height, picture.width) != (height, width):
            raise DataError(
                f"{picture.height} x {picture.width} pixels (H x W), the image is {height} x {width} upright"
            )
        is_index = picture.mode in ("1", "L", "I", "I;16")
        pixels = np.asarray(picture if is_index else picture.convert("RGB")).astype(np.int64)
    codes = pixels if is_index else pixels @ np.array([1 << 16, 1 << 8, 1])
    code_of = {
        name: number if is_index else (red << 16) + (green << 8) + blue
        for number, (name, (red, green, blue)) in enumerate(colours.items())
    }
    there = np.unique(codes)
    strange = np.setdiff1d(there, list(code_of.values()))[:5].tolist()
    if strange:
        told: Any = strange if is_index else [tuple(one.to_bytes(3, "big")) for one in strange]
        raise DataError(f"{file}: holds values that no label of {_MAP} has: {told}")
    corner = np.zeros((1, 2))
    return [
        Shape(name, "mask", (corner,), bitmap=codes == code)
        for name, code in code_of.items()
        if name != nothing and code in there
    ]
