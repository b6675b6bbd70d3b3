"""What every annotation format offers: reading a tree of files into shapes, and writing shapes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from seglab.annotations.drawing import Drawing
from seglab.annotations.options import FormatOptions
from seglab.annotations.rasterise import Canvas
from seglab.annotations.reading import Tree
from seglab.annotations.shapes import Annotations, Shape
from seglab.core.labels import LabelSpace
from seglab.core.parts.components import components, load_component


@dataclass(frozen=True)
class LabelledImage:
    """An image to be written in a format.

    Attributes:
        image: Path of the copy of the image below the folder that is written to, with `/`.
        height: Of the upright image.
        width: Of the upright image.
        shapes: In drawing order; None: nobody has annotated it.
        mask: uint8 `(H, W)` of class indices and the ignored index, which the shapes draw; None
            likewise.
        split: `train`, `val`, `test` or `unlabeled`.
    """

    image: str
    height: int
    width: int
    shapes: Sequence[Shape] | None
    mask: np.ndarray | None
    split: str

    @property
    def stem(self) -> str:
        """Path of the image without its suffix."""
        return Path(self.image).with_suffix("").as_posix()


class AnnotationFormat(ABC):
    """One format, both ways.

    Attributes:
        drawing: Its rasteriser and what it can hold.
        declared: Its options.
        image_folder: Where images go in what is written, below its folder; may have `{split}`.
        unannotated: How an image is told apart that nobody has annotated, in words.
        reads: Whether it is read by `read`; masks have importers of their own.
    """

    drawing: ClassVar[Drawing]
    declared: ClassVar[type[FormatOptions]] = FormatOptions
    image_folder: ClassVar[str] = "images"
    unannotated: ClassVar[str] = ""
    reads: ClassVar[bool] = True

    def __init__(self, options: FormatOptions | None = None) -> None:
        self.options: Any = options or self.declared()

    def canvas(self, height: int, width: int, fill: int) -> Canvas:
        """Return a canvas that draws as the tool does."""
        line_width = getattr(self.options, "line_width", 0)
        return self.drawing.canvas(height, width, fill, line_width)

    def image_path(self, sample_id: str, suffix: str, split: str) -> str:
        """Return where the image of a sample goes, below the folder that is written to."""
        return (Path(self.image_folder.format(split=split)) / f"{sample_id}{suffix}").as_posix()

    @abstractmethod
    def read(self, tree: Tree) -> Annotations:
        """Find the annotations of a tree of images.

        What is broken is told in the `faults` of what is returned, or by its `load`.

        Raises:
            DataError: There are no annotations of this format, or what all of them need is broken.
        """

    @abstractmethod
    def write(self, folder: Path, image: LabelledImage, labels: LabelSpace) -> None:
        """Write the annotation of one image, or keep it until `finish`."""

    def finish(self, folder: Path, labels: LabelSpace) -> None:  # noqa: B027 - most need nothing
        """Write what stands for all images together."""


def annotation_format(name: str, options: FormatOptions | None = None) -> AnnotationFormat:
    """Return a format by its name in the registry, such as `labelme`."""
    made: AnnotationFormat = load_component("annotation_format", name)(options)
    return made


def format_names() -> tuple[str, ...]:
    """Return the names of all formats."""
    return tuple(components("annotation_format"))
