"""What an annotator drew: shapes on an image, in the order in which they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Kind = Literal["polygon", "box", "ellipse", "line", "points", "mask"]


@dataclass(frozen=True)
class Shape:
    """One shape; coordinates are x, y in pixels of the upright image, in the format's own convention.

    Attributes:
        label: Class name as written in the annotation.
        kind: What it is.
        rings: Float `(N, 2)` arrays. Polygon: outer rings, each a part. Box: two opposite corners.
            Ellipse: centre and the two radii. Line, points: the vertices. Mask: its top left pixel.
        holes: Rings that are cut out of a polygon.
        bitmap: Boolean `(h, w)`, of a mask.
        rotation: Degrees, clockwise on the screen, of an ellipse.
        group: What joins the parts of one object; None: a shape is an object.
        crowd: Whether it covers several objects that were not told apart.
    """

    label: str
    kind: Kind
    rings: tuple[np.ndarray, ...] = ()
    holes: tuple[np.ndarray, ...] = ()
    bitmap: np.ndarray | None = None
    rotation: float = 0.0
    group: int | str | None = None
    crowd: bool = False


Loader = Callable[[int, int], Sequence[Shape]]


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of a set of annotations.

    Attributes:
        image: Path of the image below the root, with `/`.
        load: Returns the shapes in drawing order for an image of height and width; raises DataError
            where the annotation is broken.
        annotated: False: nobody has looked at it yet; true without shapes: there is nothing on it.
        split: Where the format says so.
        source: Annotation file below the root.
    """

    image: str
    load: Loader
    annotated: bool = True
    split: str | None = None
    source: str = ""


@dataclass
class Annotations:
    """What a format found.

    Attributes:
        images: In a stable order.
        class_names: Those that the files declare, in their order; empty: they declare none.
        palette: Colour by class name, where the files give one.
        void: Names that the format itself has for pixels that do not count.
        faults: Reason by image, or by annotation file where the image is not known.
        sources: Annotation files, below the root; those that would be read if they were there too.
        notes: Sentences for the user.
    """

    images: list[AnnotatedImage] = field(default_factory=list)
    class_names: tuple[str, ...] = ()
    palette: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    void: frozenset[str] = frozenset()
    faults: dict[str, str] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
