"""A mask in the forms that were asked for: palette PNG, areas, run lengths, polygons."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection

import numpy as np
from PIL import Image

from seglab.annotations.coco_rle import encode as run_lengths
from seglab.annotations.coco_rle import pack_counts
from seglab.annotations.drawing import Drawing
from seglab.annotations.rasterise import CornerCanvas
from seglab.annotations.vectorise import to_shapes
from seglab.bundle.loader import Bundle
from seglab.serve.errors import Refused
from seglab.serve.schema import ClassArea, Colour, ImageAnswer, Output, Polygon, Ring, RunLengths

MOST_BOUNDARY = 200_000  # pixel edges between classes; outlines are walked edge by edge
_UNLABELLED = 255
_DRAWING = Drawing(CornerCanvas, has_masks=False, has_holes=True, is_ordered=False)


def palette_png(mask: np.ndarray, palette: Collection[tuple[int, ...]]) -> bytes:
    """Return class indices uint8 `(H, W)` as a PNG whose palette has the classes' colours."""
    image = Image.fromarray(mask)
    image.putpalette([part for colour in palette for part in colour])
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def answer_image(
    bundle: Bundle, mask: np.ndarray, name: str | None, output: Collection[Output], tolerance: float
) -> ImageAnswer:
    """Return what was asked for of one mask.

    Args:
        bundle: Has the classes.
        mask: Class indices, uint8 `(H, W)`.
        name: Of the image.
        output: The forms.
        tolerance: How far outlines of polygons may move, pixels.

    Raises:
        Refused: The mask has too many outlines for polygons.
    """
    height, width = mask.shape
    png = palette_png(mask, bundle.palette) if "mask" in output else None
    return ImageAnswer(
        name=name,
        height=height,
        width=width,
        mask=None if png is None else base64.b64encode(png).decode(),
        areas=class_areas(bundle, mask) if "areas" in output else None,
        rle=_runs(bundle, mask) if "rle" in output else None,
        polygons=_polygons(bundle, mask, tolerance) if "polygons" in output else None,
    )


def class_areas(bundle: Bundle, mask: np.ndarray) -> list[ClassArea]:
    """Return the area of every class, also of those that do not occur."""
    counts = np.bincount(mask.reshape(-1), minlength=len(bundle.class_names)).tolist()
    return [
        ClassArea(index=index, name=name, colour=colour, pixels=count, share=count / mask.size)
        for index, (name, colour, count) in enumerate(
            zip(bundle.class_names, colours(bundle), counts, strict=True)
        )
    ]


def colours(bundle: Bundle) -> list[Colour]:
    """Return red, green and blue of every class."""
    return [(red, green, blue) for red, green, blue in bundle.palette]


def _runs(bundle: Bundle, mask: np.ndarray) -> list[RunLengths]:
    height, width = mask.shape
    found = []
    for index in np.unique(mask).tolist():
        counts = pack_counts(run_lengths(0, 0, mask == index, height, width))
        name = bundle.class_names[index]
        found.append(RunLengths(index=index, name=name, size=(height, width), counts=counts))
    return found


def _polygons(bundle: Bundle, mask: np.ndarray, tolerance: float) -> list[Polygon]:
    edges = sum(int(np.count_nonzero(np.diff(mask, axis=axis))) for axis in (0, 1))
    if edges > MOST_BOUNDARY:
        raise Refused(
            "query",
            f"the mask has {edges} pixel edges between classes, polygons are made of up to "
            f"{MOST_BOUNDARY}; ask for output=rle or output=mask",
        )
    names = {index: str(index) for index in range(len(bundle.class_names))}
    shapes = to_shapes(mask, names, _DRAWING, _UNLABELLED, tolerance)
    return [
        Polygon(
            index=int(shape.label),
            name=bundle.class_names[int(shape.label)],
            outline=_ring(shape.rings[0]),
            holes=[_ring(hole) for hole in shape.holes],
        )
        for shape in shapes
    ]


def _ring(points: np.ndarray) -> Ring:
    return [(x, y) for x, y in points.tolist()]
