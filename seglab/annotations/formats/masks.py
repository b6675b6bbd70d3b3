"""Masks as files, for export: plain indexed PNG, and the layout of PASCAL VOC.

Nothing is drawn: a pixel is its class index, 255 does not count, and no shape is lost or simplified. An
image that nobody annotated has no mask. They are read by the importers `folder` and `voc`.

References:
    Everingham et al. (2010), devkit: https://doi.org/10.1007/s11263-009-0275-4
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from seglab.annotations.drawing import Drawing
from seglab.annotations.format import AnnotationFormat, LabelledImage
from seglab.annotations.options import FormatOptions, MasksOptions, VocMasksOptions
from seglab.annotations.rasterise import CornerCanvas
from seglab.annotations.reading import Tree
from seglab.annotations.shapes import Annotations
from seglab.core.disk.files import write_text
from seglab.core.disk.mask_png import write_mask
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace, voc_palette

_IGNORED = 255


class Masks(AnnotationFormat):
    """One indexed PNG an image, `masks/SPLIT/NAME.png` beside `images/SPLIT`, and `class_names.txt`."""

    drawing: ClassVar[Drawing] = Drawing(CornerCanvas, has_polygons=False)
    declared: ClassVar[type[FormatOptions]] = MasksOptions
    image_folder = "images/{split}"
    unannotated: ClassVar[str] = "no mask"
    reads: ClassVar[bool] = False
    importer: ClassVar[str] = "folder"

    def read(self, tree: Tree) -> Annotations:
        """Refuse: masks have an importer of their own."""
        raise DataError(f"masks are no annotations: import them with the importer {self.importer}")

    def write(self, folder: Path, image: LabelledImage, labels: LabelSpace) -> None:
        """Write the mask of an image; none for one that nobody annotated."""
        stem = image.stem.removeprefix("images/")
        _save(folder / "masks" / f"{stem}.png", image.mask, labels, labels.palette)

    def finish(self, folder: Path, labels: LabelSpace) -> None:
        """Write the names of the classes, a line each, in index order."""
        write_text(folder / "class_names.txt", "\n".join(labels.class_names) + "\n")


class VocMasks(Masks):
    """`JPEGImages`, `SegmentationClass`, lists of names in `ImageSets/Segmentation`, and labelmap.txt.

    The colours are those of PASCAL VOC, whatever the classes; labelmap.txt (as CVAT has it) names them.
    """

    declared = VocMasksOptions
    image_folder = "JPEGImages"
    importer = "voc"

    def __init__(self, options: VocMasksOptions | None = None) -> None:
        super().__init__(options)
        self._lists: dict[str, list[str]] = {}

    def image_path(self, sample_id: str, suffix: str, split: str) -> str:
        """Return the image's path; lists hold plain names, so folders become part of the name."""
        return f"{self.image_folder}/{sample_id.replace('/', '_')}{suffix}"

    def write(self, folder: Path, image: LabelledImage, labels: LabelSpace) -> None:
        """Write the mask of an image, and keep its name for the list of its split."""
        name = Path(image.image).stem
        if image.mask is not None or image.split == "test":
            self._lists.setdefault(image.split, []).append(name)
        path = folder / "SegmentationClass" / f"{name}.png"
        _save(path, image.mask, labels, voc_palette(256))

    def finish(self, folder: Path, labels: LabelSpace) -> None:
        """Write the lists and labelmap.txt."""
        for split, names in self._lists.items():
            target = folder / "ImageSets" / "Segmentation" / f"{split}.txt"
            write_text(target, "\n".join(names) + "\n")
        colours = voc_palette(labels.num_classes)
        lines = [
            f"{name}:{','.join(map(str, colour))}::"
            for name, colour in zip(labels.class_names, colours, strict=True)
        ]
        write_text(
            folder / "labelmap.txt", "\n".join(["# label:color_rgb:parts:actions", *lines]) + "\n"
        )


def _save(
    path: Path,
    mask: np.ndarray | None,
    labels: LabelSpace,
    palette: tuple[tuple[int, int, int], ...],
) -> None:
    if mask is None:
        return
    write_mask(
        path, np.where(mask == labels.ignore_index, _IGNORED, mask).astype(np.uint8), palette
    )
